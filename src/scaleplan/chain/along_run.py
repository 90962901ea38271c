"""The loss along a run of known N and D, when to stop on limited data, and how far such laws carry."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from scaleplan.laws.allocation import Run
from scaleplan.laws.batch import StepLoss
from scaleplan.laws.forms import KaplanLoss
from scaleplan.laws.law import Law
from scaleplan.laws.power import Power, power_of
from scaleplan.laws.training import ENDLESS, Moment, contradiction_flops, moment, stopping_steps

SHARES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0)  # of the tokens
CONTRADICTING = ("loss_of_compute", "loss_of_tokens", "tokens_of_compute")


class Limit(NamedTuple):
    """Where two laws of one article meet and must fail. Source: kaplan2020 section 6.3."""

    compute_flops: Any
    n_params: Any
    n_tokens: Any
    loss_nats: Any


class AlongRun(NamedTuple):
    """A run of one law that knows the loss against steps.

    converged_nats  the loss of this size after endless training on fresh data
    endless_nats    L(N, endless data) of the law's L(N, D); None without one
    stopping_steps  steps before which training on these tokens alone need not stop; None likewise
    limit           where the law contradicts itself; None where it has no such laws
    """

    law: Law
    run: Run
    along: StepLoss
    critical_batch: Power
    moments: Sequence[Moment]
    converged_nats: Any
    endless_nats: Any
    stopping_steps: Any
    limit: Limit | None

    def at(self, share: float) -> Moment:
        """The moment after a share of the tokens, at the critical batch."""
        return moment(self.along, self.critical_batch, self.run.n_params, share * self.run.n_tokens)


def along_run(law: Law, run: Run) -> AlongRun | None:
    """The training run of a law; None where it does not know the loss against steps."""
    along, critical_batch = law.along_steps, law.rules.get("critical_batch")
    if along is None or not isinstance(critical_batch, Power):
        return None
    moments = [moment(along, critical_batch, run.n_params, share * run.n_tokens) for share in SHARES]
    endless = stopping = None
    if isinstance(law.loss, KaplanLoss):
        endless = law.loss.loss(run.n_params, ENDLESS)
        stopping = stopping_steps(along, law.loss, run.n_params, run.n_tokens)
    return AlongRun(law, run, along, critical_batch, moments, along.converged(run.n_params), endless, stopping, limit_of(law))


def power(law: Law, name: str) -> Power:
    """A power of the law."""
    found = power_of(law.data["allocation"]) if name == "allocation" else law.rules[name]
    assert isinstance(found, Power), f"`{name}` of a law with a loss against steps is a power"
    return found


def limit_of(law: Law) -> Limit | None:
    """The budget at which the laws of one article meet, and N, D and the loss there."""
    if not all(name in law.rules for name in CONTRADICTING):
        return None
    flops = contradiction_flops(*(power(law, name) for name in CONTRADICTING))
    n, d, loss = (power(law, name).at(compute_flops=flops) for name in ("allocation", "tokens_of_compute", "loss_of_compute"))
    return Limit(flops, n, d, loss)
