"""What the laws answer to one budget, side by side, and what each answer is worth to the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from scaleplan.answer import Interval
from scaleplan.chain.uncertainty import interval
from scaleplan.laws.allocation import Question, Run, allocate, allocate_draws
from scaleplan.laws.convention import TOTAL, converted_params, training_flops
from scaleplan.laws.law import Law
from scaleplan.laws.power import Power

NOTHING = 1e-9  # relative: what is as narrow as this is fixed by the bounds


class Advice(NamedTuple):
    """One law's answer.

    run              N in the law's own kind, D, loss
    n_params         N in the kind that was asked for, `n_params_kind`
    critical_batch   Kaplan's B_crit at the loss of the run, in tokens; None where the loss is unknown
    n_steps          steps of the run at that batch
    excess           what the yardstick law expects of this N and D, against its own best at the same compute
    epochs           passes over the different tokens, where those are limited
    rules            what else the law says of this run: batch, steps, learning rate, other losses
    intervals        80 % intervals of what is not fixed; None for a law without draws
    beyond           where the run lies outside the range in which the law was fitted
    flops_per_token  what a token costs, where that was counted; None: 6 N
    """

    law: Law
    run: Run
    n_params: float
    n_params_kind: str
    critical_batch: float | None
    n_steps: float | None
    excess: Excess
    epochs: float | None
    rules: Mapping[str, Told]
    intervals: Mapping[str, Interval] | None
    beyond: Sequence[Beyond]
    flops_per_token: float | None = None

    @property
    def compute_flops(self) -> Any:
        """What the run costs, as its tokens are counted."""
        return self.run.compute_flops if self.flops_per_token is None else self.flops_per_token * self.run.n_tokens


Adviser = Callable[[Law, Question, Law, Power, str | None], Advice]
"""What answers as `advise` does."""


class Excess(NamedTuple):
    """A run seen by another law.

    loss_nats          its loss by that law
    above_best_nats    how much above the best loss of as much compute
    wasted_fraction    share of the compute without which the best run would reach the same loss
    """

    loss_nats: float
    above_best_nats: float
    wasted_fraction: float


class Told(NamedTuple):
    """A rule of a law at a run: its value and what it was made from."""

    value: float
    rule: Power
    inputs: Mapping[str, float]


class Beyond(NamedTuple):
    """A quantity outside the range of a fit, and by what factor."""

    quantity: str
    value: float
    bound: float
    factor: float


def constrained(question: Question) -> bool:
    """Whether more than a budget is asked, so that the optimum is not that of the plain law."""
    return bool(question.unique_tokens or question.inference_tokens or question.bounds)


def advise(law: Law, question: Question, yardstick: Law, critical_batch: Power, kind: str | None = None) -> Advice:
    """The answer of one law.

    yardstick       the law by which answers are compared
    critical_batch  B_crit as a function of the loss
    kind            the kind of N that is given and shown; None: the law's own
    """
    kind = kind or law.n_kind
    if question.n_params is not None:
        question = question._replace(n_params=converted_params(question.n_params, kind, law.n_kind))
    run = allocate(law, question)
    total = converted_params(run.n_params, law.n_kind, TOTAL)
    batch = batch_at(critical_batch, run.loss_nats) if law.in_nats else None
    return Advice(
        law,
        run,
        n_params=converted_params(run.n_params, law.n_kind, kind),
        n_params_kind=kind,
        critical_batch=batch,
        n_steps=run.n_tokens / batch if batch else None,
        excess=excess(yardstick, total, run.n_tokens),
        epochs=max(run.n_tokens / question.unique_tokens, 1.0) if question.unique_tokens else None,
        rules=told(law, run),
        intervals=intervals(law, question, critical_batch, kind),
        beyond=beyond(law.limits, run),
    )


def batch_at(critical_batch: Power, loss_nats: Any) -> Any:
    """B_crit, where the loss is known."""
    return critical_batch.at(loss_nats=loss_nats) if loss_nats is not None else None


def excess(yardstick: Law, n_params: float, n_tokens: float) -> Excess:
    """N (total) on D, held against the best use of as much compute by the yardstick law."""
    law, flops = yardstick.additive, training_flops(n_params, n_tokens)
    loss = law.loss(n_params, n_tokens)
    best = law.params_at_loss(loss)
    needed = training_flops(best, law.tokens_at_params(best))
    return Excess(loss, max(loss - law.least_loss(flops), 0.0), max(1 - needed / flops, 0.0))


def told(law: Law, run: Run) -> dict[str, Told]:
    """Every power of a law whose quantities a run has; a power of compute is of C_min where the law's allocation is."""
    least = law.data.get("allocation", {}).get("min_compute_fraction", 1) * run.compute_flops
    known = {"n_params": run.n_params, "n_tokens": run.n_tokens, "compute_flops": least, "loss_nats": run.loss_nats}
    known = {name: value for name, value in known.items() if value is not None}
    found = {}
    for name, rule in law.rules.items():
        if isinstance(rule, Power) and name != "critical_batch" and rule.needs() <= set(known):
            seen = known | ({"compute_flops": run.compute_flops} if law.data[name].get("of_spent_compute") else {})
            found[name] = Told(rule.at(**seen), rule, {quantity: seen[quantity] for quantity in rule.exponents})
    return found


def intervals(law: Law, question: Question, critical_batch: Power, kind: str) -> dict[str, Interval] | None:
    """80 % intervals over the draws of a law, of every quantity that the question leaves open."""
    if not law.draws or question.unique_tokens is not None:
        return None
    runs = allocate_draws(law, question)
    open_quantities: dict[str, Callable[[Run], float]] = {
        "n_params": lambda run: converted_params(run.n_params, law.n_kind, kind),
        "n_tokens": lambda run: run.n_tokens,
        "tokens_per_param": lambda run: run.n_tokens / converted_params(run.n_params, law.n_kind, kind),
        "loss_nats": lambda run: run.loss_nats,
        "compute_flops": lambda run: run.compute_flops,
        "critical_batch_tokens": lambda run: critical_batch.at(loss_nats=run.loss_nats),
    }
    fixed = known(question) if law.in_nats else known(question) | {"critical_batch_tokens"}
    found = {name: interval(map(measure, runs)) for name, measure in open_quantities.items() if name not in fixed}
    kept = {name: points for name, points in found.items() if points}
    if question.bounds is not None:
        kept = {name: points for name, points in kept.items() if points.p90 - points.p10 > NOTHING * abs(points.p50)}
    return kept or None


def known(question: Question) -> set[str]:
    """What a question fixes, also through C = 6 N D."""
    fixed = set(question.fixed())
    if len(fixed) == 2:
        fixed |= {"compute_flops", "n_params", "n_tokens", "tokens_per_param"}
    if question.loss_nats is not None:
        fixed |= {"critical_batch_tokens"}
    return fixed


def beyond(limits: Mapping[str, float], run: object) -> list[Beyond]:
    """Where a run lies outside the range of a fit, farthest first."""
    found = []
    for key, bound in limits.items():
        quantity, _, side = key.rpartition("_")
        if not hasattr(run, quantity):
            continue
        value = float(getattr(run, quantity))
        factor = value / bound if side == "max" else bound / value
        if factor > 1:
            found.append(Beyond(quantity, value, bound, factor))
    return sorted(found, key=lambda item: -item.factor)


class Growth(NamedTuple):
    """By how much things grow when compute grows tenfold."""

    law: Law
    n_params: float
    n_tokens: float
    critical_batch: float | None
    n_steps: float | None


def growth(advice: Advice, critical_batch: Power) -> Growth:
    """Multipliers for ten times the compute of an answer: those that the law prints for batch and steps, else through its loss."""
    law, here = advice.law, advice.run
    tenfold = allocate(law, Question(compute_flops=10 * advice.compute_flops))
    batch, steps = (printed_growth(law, name) for name in ("batch_of_compute", "steps_of_compute"))
    if batch is None and law.in_nats and here.loss_nats is not None and tenfold.loss_nats is not None:
        batch = critical_batch.at(loss_nats=tenfold.loss_nats) / critical_batch.at(loss_nats=here.loss_nats)
        steps = tenfold.n_tokens / here.n_tokens / batch
    return Growth(law, tenfold.n_params / here.n_params, tenfold.n_tokens / here.n_tokens, batch, steps)


def printed_growth(law: Law, name: str) -> float | None:
    """10 to the exponent of a power of compute that the law has of its own."""
    rule = law.rules.get(name)
    return 10 ** float(rule.exponents["compute_flops"]) if isinstance(rule, Power) else None


def spread(advices: Iterable[Advice]) -> float:
    """Largest N over smallest, as totals."""
    totals = [float(converted_params(advice.run.n_params, advice.law.n_kind, TOTAL)) for advice in advices]
    return max(totals) / min(totals)
