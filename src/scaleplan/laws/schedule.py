"""A batch that grows along the training, because B_crit grows as the loss falls.

A small stretch of training that needs ds steps at endless batches takes (1 + B_crit / B) ds steps and (B + B_crit) ds tokens at
batch B. Where a step is worth r tokens, the best batch at each moment is B = sqrt(r B_crit); r = B_crit at the end makes it end
at B_crit. Source: mccandlish2018 appendix D, with the loss along the training from kaplan2020 equation 5.6.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from scaleplan.laws.batch import StepLoss, Tradeoff
from scaleplan.laws.power import Power

N_STRETCHES = 200
FIRST_SHARE = 0.01  # before this share of the steps L(N, S) is not yet the transient's end (kaplan2020 figure 4)


class Stretch(NamedTuple):
    """A point along the training.

    min_steps        fewest steps up to here, at endless batches
    steps, tokens    spent up to here with the growing batch
    """

    min_steps: Any
    loss_nats: Any
    critical_batch: Any
    batch_tokens: Any
    steps: Any
    tokens: Any


class Schedule(NamedTuple):
    """A growing batch against constant ones.

    least            what no batch undercuts from the first stretch to the last: its B_crit is the mean along the way
    """

    stretches: Sequence[Stretch]
    least: Tradeoff

    @property
    def steps(self) -> Any:
        return self.stretches[-1].steps

    @property
    def tokens(self) -> Any:
        return self.stretches[-1].tokens

    @property
    def constant_batch(self) -> Any:
        """The constant batch that takes as many steps, in tokens."""
        return self.least.min_tokens / (self.steps - self.least.min_steps)

    @property
    def constant_tokens(self) -> Any:
        """What that takes."""
        return self.least.tokens(self.constant_batch)

    @property
    def saved_fraction(self) -> Any:
        """Share of its tokens that growing saves."""
        return 1 - self.tokens / self.constant_tokens

    @property
    def saved_steps_fraction(self) -> Any:
        """Share of the steps that growing saves of the constant batch that takes as many tokens."""
        batch = (self.tokens - self.least.min_tokens) / self.least.min_steps
        return 1 - self.steps / self.least.steps(batch)


def growing_batch(law: StepLoss, critical_batch: Power, n_params: Any, loss_nats: Any) -> Schedule:
    """The schedule by which N parameters reach a loss."""
    fewest = law.min_steps(n_params, loss_nats)
    last = critical_batch.at(loss_nats=loss_nats)
    step = fewest * (1 - FIRST_SHARE) / N_STRETCHES
    stretches: list[Stretch] = []
    steps: Any = 0.0
    tokens: Any = 0.0
    min_tokens: Any = 0.0
    for i in range(N_STRETCHES):
        done = fewest * FIRST_SHARE + (i + 1) * step
        loss = law.loss(n_params, done - step / 2)  # in the middle of the stretch
        critical = critical_batch.at(loss_nats=loss)
        batch = (last * critical) ** 0.5
        steps = steps + (1 + critical / batch) * step
        tokens = tokens + (batch + critical) * step
        min_tokens = min_tokens + critical * step
        stretches.append(Stretch(done, law.loss(n_params, done), critical, batch, steps, tokens))
    return Schedule(stretches, Tradeoff(min_tokens, fewest * (1 - FIRST_SHARE)))
