"""Kaplan's frontier of efficient training in closed form."""

from __future__ import annotations

from typing import Any, NamedTuple

from scaleplan.laws.batch import StepLoss, compute_exponent
from scaleplan.laws.convention import training_flops
from scaleplan.laws.power import Power


class EfficientFrontier(NamedTuple):
    """The least compute C_min = 6 N B_crit(L) S_min(N, L) to reach a loss, over all sizes; batch and steps then follow too.

    steps                 L(N, S_min)
    batch_scale, alpha_b  B_crit = B* / L^(1 / alpha_B)

    Source: kaplan2020 appendix B.
    """

    steps: StepLoss
    batch_scale: Any
    alpha_b: Any

    @property
    def exponent(self) -> Any:
        """alpha_C of L = (C_c / C_min)^alpha_C."""
        return compute_exponent(self.steps.alpha_s, self.alpha_b, self.steps.alpha_n)

    @property
    def scale(self) -> Any:
        """C_c = 6 N_c B* S_c (1 + r)^(1 / alpha_S + 1 / alpha_N) (1 / r)^(1 / alpha_S) with r = alpha_N / alpha_S, in FLOP."""
        law, excess = self.steps, self.steps.excess_at_optimum()
        spent = training_flops(law.n_c, self.batch_scale * law.s_c)
        return spent * (1 + excess) ** (1 / law.alpha_s + 1 / law.alpha_n) / excess ** (1 / law.alpha_s)

    def loss(self, min_flops: Any) -> Any:
        """L at the best size for C_min."""
        return (self.scale / min_flops) ** self.exponent

    def params_at_loss(self, loss_nats: Any) -> Any:
        """The size whose converged loss is L / (1 + r): N_c ((1 + r) / L)^(1 / alpha_N)."""
        return self.steps.params_at_loss(loss_nats)

    def params_at_compute(self, min_flops: Any) -> Any:
        """N = N_c (C_min / C_c)^(alpha_C / alpha_N) (1 + r)^(1 / alpha_N)."""
        return self.params_at_loss(self.loss(min_flops))


def efficient_frontier(steps: StepLoss, critical_batch: Power) -> EfficientFrontier:
    """From L(N, S_min) and B_crit(L), a power of the loss alone."""
    return EfficientFrontier(steps, critical_batch.scale, -1 / critical_batch.exponents["loss_nats"])
