"""Batch size: steps against tokens, and the batch at which neither is wasted.

Halving the steps of a run by a larger batch costs tokens, and saving tokens by a smaller batch costs steps:

    (S / S_min - 1) (E / E_min - 1) = 1,    B_crit = E_min / S_min

with S steps and E = B S tokens to the same loss. Sources: mccandlish2018 section 2; kaplan2020 equations 5.1 to 5.5.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

from scaleplan.errors import InputError, clipped
from scaleplan.laws.convention import training_flops
from scaleplan.wording import field


class Tradeoff(NamedTuple):
    """The runs that reach one loss: what no batch can undercut.

    min_tokens   E_min, at very small batches
    min_steps    S_min, at very large ones
    """

    min_tokens: Any
    min_steps: Any

    @property
    def critical_batch(self) -> Any:
        """B_crit = E_min / S_min: twice the fewest steps, twice the fewest tokens."""
        return self.min_tokens / self.min_steps

    def steps(self, batch_tokens: Any) -> Any:
        """S = S_min (1 + B_crit / B).

        >>> Tradeoff(min_tokens=1e10, min_steps=1e4).steps(1e6)
        20000.0
        """
        return self.min_steps * (1 + self.critical_batch / batch_tokens)

    def tokens(self, batch_tokens: Any) -> Any:
        """E = E_min (1 + B / B_crit)."""
        return self.min_tokens * (1 + batch_tokens / self.critical_batch)

    def flops(self, batch_tokens: Any, n_params: Any) -> Any:
        """C = 6 N E: at the critical batch twice what a tiny batch needs."""
        return training_flops(n_params, self.tokens(batch_tokens))


def doubling_speedup(critical_batches: Any) -> Any:
    """Speed of a run whose batch and devices are doubled over that before, at B / B_crit: steps fall as 1 + B_crit / B.

    >>> doubling_speedup(1.0)
    1.3333333333333333
    """
    return (1 + 1 / critical_batches) / (1 + 0.5 / critical_batches)


def from_run(n_tokens: Any, batch_tokens: Any, critical_batch: Any) -> Tradeoff:
    """The trade-off through a run of so many tokens at some batch: E_min = E / (1 + B / B_crit), S_min = E_min / B_crit."""
    min_tokens = n_tokens / (1 + batch_tokens / critical_batch)
    return Tradeoff(min_tokens, min_tokens / critical_batch)


def from_steps(min_steps: Any, critical_batch: Any) -> Tradeoff:
    """The trade-off whose fewest steps are known: E_min = B_crit S_min."""
    return Tradeoff(critical_batch * min_steps, min_steps)


def min_compute(flops: Any, batch_tokens: Any, critical_batch: Any) -> Any:
    """C_min = C / (1 + B / B_crit). Source: kaplan2020 equation 5.5."""
    return flops / (1 + batch_tokens / critical_batch)


class _StepConstants(NamedTuple):
    n_c: Any
    alpha_n: Any
    s_c: Any
    alpha_s: Any


class StepLoss(_StepConstants):
    """L(N, S_min) = (N_c / N)^alpha_N + (S_c / S_min)^alpha_S, with data without end.

    Source: kaplan2020 equation 5.6 with the constants of its Table 3.

    >>> round(StepLoss(6.5e13, 0.077, 2.1e3, 0.76).loss(1e9, 1e5), 4)
    2.4005
    """

    __slots__ = ()

    FORMULAS: ClassVar = {
        "loss_nats": "(n_c / n_params) ** alpha_n + (s_c / min_steps) ** alpha_s",
        "min_steps": "s_c / (loss_nats - (n_c / n_params) ** alpha_n) ** (1 / alpha_s)",
        "params_at_loss": "n_c * ((1 + alpha_n / alpha_s) / loss_nats) ** (1 / alpha_n)",
    }

    def converged(self, n_params: Any) -> Any:
        """L(N, endless training)."""
        return (self.n_c / n_params) ** self.alpha_n

    def loss(self, n_params: Any, min_steps: Any) -> Any:
        return self.converged(n_params) + (self.s_c / min_steps) ** self.alpha_s

    def min_steps(self, n_params: Any, loss_nats: Any) -> Any:
        """The fewest steps in which N parameters reach a loss."""
        return self.s_c / (loss_nats - self.converged(n_params)) ** (1 / self.alpha_s)

    def stopping_steps(self, loss_nats: Any, converged_nats: Any) -> Any:
        """Steps before which training on limited data need not stop: S_c / (L(N, D) - L(N, endless data))^(1 / alpha_S).

        Source: kaplan2020 equation 5.7.
        """
        return self.s_c / (loss_nats - converged_nats) ** (1 / self.alpha_s)

    # Along the frontier: kaplan2020 appendix B.

    def excess_at_optimum(self) -> Any:
        """How far above the converged loss efficient training stops: alpha_N / alpha_S."""
        return self.alpha_n / self.alpha_s

    def params_at_loss(self, loss_nats: Any) -> Any:
        """N that reaches a loss with the least compute: where L = (1 + alpha_N / alpha_S) L(N, endless training).

        6 N B_crit(L) S_min(N, L) is least there, whatever B_crit is, because B_crit depends on the loss alone.

        >>> law = StepLoss(6.5e13, 0.077, 2.1e3, 0.76)
        >>> round(law.loss(law.params_at_loss(2.5), law.min_steps(law.params_at_loss(2.5), 2.5)), 9)
        2.5
        """
        return self.n_c * ((1 + self.excess_at_optimum()) / loss_nats) ** (1 / self.alpha_n)

    def compute_of_size(self, n_ratio: Any) -> Any:
        """C(N) / C_opt to the same loss with N = n_ratio times the efficient size (appendix B.4)."""
        return n_ratio * self.steps_of_size(n_ratio)

    def steps_of_size(self, n_ratio: Any) -> Any:
        """Steps relative to those of the efficient size: (1 + (alpha_S / alpha_N) (1 - (1 / r)^alpha_N))^(-1 / alpha_S)."""
        return (1 + self.alpha_s / self.alpha_n * (1 - n_ratio**-self.alpha_n)) ** (-1 / self.alpha_s)

    def params_of_excess(self, excess: Any) -> Any:
        """N at the optimum over N trained to within `excess` of its converged loss (appendix B.3)."""
        return ((1 + self.excess_at_optimum()) / (1 + excess)) ** (1 / self.alpha_n)

    def compute_of_excess(self, excess: Any) -> Any:
        """Compute at the optimum over compute spent training to within `excess` of the converged loss (appendix B.3)."""
        best = self.excess_at_optimum()
        steps = (best * (1 + excess) / (excess * (1 + best))) ** (-1 / self.alpha_s)
        return self.params_of_excess(excess) * steps


class NormAtBatch(NamedTuple):
    """A mean squared gradient norm, measured at a batch size."""

    batch: float
    norm2: float


def norm_at_batch(text: str) -> NormAtBatch:
    """`32=0.041`: a batch size and the mean squared norm of its gradient."""
    batch, _, norm2 = text.partition("=")
    try:
        found = NormAtBatch(float(batch), float(norm2))
    except ValueError:
        found = NormAtBatch(0.0, 0.0)
    if not all(0 < value < float("inf") for value in found):
        raise InputError(f"`{clipped(text)}` is not BATCH=NORM2", hint="for example 32=0.041")
    return found


class _NoiseParts(NamedTuple):
    gradient_norm2: Any
    noise_trace: Any


class GradientNoise(_NoiseParts):
    """|G|^2 of the true gradient and tr(Sigma) of its covariance over samples; B_simple = tr(Sigma) / |G|^2.

    Source: mccandlish2018 equation 2.9 and appendix A.1.
    """

    __slots__ = ()

    FORMULAS: ClassVar = {
        "gradient_norm2": "(large_batch * large_norm2 - small_batch * small_norm2) / (large_batch - small_batch)",
        "noise_trace": "(small_norm2 - large_norm2) / (1 / small_batch - 1 / large_batch)",
        "noise_scale": "noise_trace / gradient_norm2",
    }

    @property
    def noise_scale(self) -> Any:
        """B_simple, in the unit of the batches."""
        return self.noise_trace / self.gradient_norm2


def gradient_noise(small: NormAtBatch, large: NormAtBatch) -> GradientNoise:
    """The true gradient and its noise from squared norms at two batch sizes, in the unit of the batches.

        |G|^2     = (B_big |G_big|^2 - B_small |G_small|^2) / (B_big - B_small)
        tr(Sigma) = (|G_small|^2 - |G_big|^2) / (1 / B_small - 1 / B_big)

    Source: mccandlish2018 appendix A.1.

    >>> round(gradient_noise(NormAtBatch(32, 0.041), NormAtBatch(512, 0.0028)).noise_scale)
    5147
    """
    if not small.batch * small.norm2 < large.batch * large.norm2 or not small.norm2 > large.norm2:
        raise InputError(
            f"{field('gradient_norm2')}: these norms cannot be those of one gradient with noise",
            hint="a larger batch must have the smaller squared norm, but not in proportion to the batch",
        )
    gradient = (large.batch * large.norm2 - small.batch * small.norm2) / (large.batch - small.batch)
    return GradientNoise(gradient, (small.norm2 - large.norm2) / (1 / small.batch - 1 / large.batch))


def step_loss_of(block: Mapping[str, Any]) -> StepLoss:
    """From a block of a preset."""
    return StepLoss(**{name: float(block[name]) for name in StepLoss._fields})


def compute_exponent(alpha_s: Any, alpha_b: Any, alpha_n: Any) -> Any:
    """The exponent of L(C_min) that follows from those of steps, batch and size: 1 / (1 / alpha_S + 1 / alpha_B + 1 / alpha_N).

    Source: kaplan2020 equation 6.4.
    """
    return 1 / (1 / alpha_s + 1 / alpha_b + 1 / alpha_n)
