"""The loss along one training run, when to stop on limited data, and where Kaplan's laws contradict each other.

Sources: kaplan2020 sections 5.1, 5.3 and 6.3.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from scaleplan.laws.batch import StepLoss
from scaleplan.laws.forms import KaplanLoss
from scaleplan.laws.power import Power
from scaleplan.laws.search import rising_root

ENDLESS = float("inf")


class Moment(NamedTuple):
    """A point of a training run: at the critical batch, or at a batch of its own."""

    n_tokens: Any
    steps: Any
    min_steps: Any
    loss_nats: Any


def moment(law: StepLoss, critical_batch: Power, n_params: Any, n_tokens: Any, batch_tokens: Any = None) -> Moment:
    """The loss of N parameters after one pass over so many tokens: L(N, S_min) with S_min = S / (1 + B_crit(L) / B), S = D / B.

    Without a batch it is B_crit, so that S_min = S / 2. B_crit follows from the loss and the loss from the steps: one root.
    Source: kaplan2020 equations 5.4 and 5.6.
    """

    def fewest(loss: Any) -> Any:
        """S_min = D / (B + B_crit)."""
        critical = critical_batch.at(loss_nats=loss)
        return n_tokens / (2 * critical if batch_tokens is None else batch_tokens + critical)

    loss = rising_root(lambda guess: guess - law.loss(n_params, fewest(guess)), law.converged(n_params))
    steps = 2 * fewest(loss) if batch_tokens is None else n_tokens / batch_tokens
    return Moment(n_tokens, steps, fewest(loss), loss)


def stopping_steps(along: StepLoss, joint: KaplanLoss, n_params: Any, n_tokens: Any) -> Any:
    """Fewest steps before N parameters have learned what a data set of so many tokens can teach.

    S_stop >= S_c / (L(N, D) - L(N, endless data))^(1 / alpha_S). Source: kaplan2020 equation 5.7.
    """
    return along.stopping_steps(joint.loss(n_params, n_tokens), joint.loss(n_params, ENDLESS))


def contradiction_flops(loss_of_compute: Power, loss_of_tokens: Power, tokens_of_compute: Power) -> Any:
    """C* at which L(C_min) falls to L(D(C_min)): more compute would have to learn more than its data can teach.

    Both are powers of C_min, so the crossing is where their ratio is one. Source: kaplan2020 section 6.3.
    """

    def ratio(flops: Any) -> Any:
        taught = loss_of_tokens.at(n_tokens=tokens_of_compute.at(compute_flops=flops))
        return taught / loss_of_compute.at(compute_flops=flops)

    return rising_root(lambda flops: ratio(flops) - 1)
