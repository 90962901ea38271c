"""The charts of `optimal`: the loss along one budget, and N and D from a hundredth of it to a hundred times as much."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from scaleplan.answer import Axis, Chart, Mark, Series
from scaleplan.chain.optimum import Advice
from scaleplan.laws.allocation import Question, frontier_for
from scaleplan.laws.convention import TOTAL, converted_params, inference_flops
from scaleplan.laws.forms import Frontier
from scaleplan.laws.law import Law, stacked
from scaleplan.laws.power import PowerFrontier
from scaleplan.units import show_si

REACH_OF_SIZE = 8  # the loss is drawn from the smallest best size / 8 to the largest x 8
REACH_OF_COMPUTE = 100
STEPS = 49
BAND = (10, 90)  # percent
APART = 1.02  # sizes nearer to each other than this are one point
SIZE, TOKENS, COMPUTE = Axis("N, with embeddings", "params"), Axis("D", "tokens"), Axis("C", "FLOP")

Curve = Frontier | PowerFrontier
Array = Any


def charts_of(question: Question, advices: Sequence[Advice], recommended: str) -> list[Chart]:
    """What can be drawn around the budget of the recommended law, or of the first one where that was not asked."""
    leader = next((advice for advice in advices if advice.law.name == recommended), advices[0])
    served = inference_flops(leader.run.n_params, question.inference_tokens or 0)
    flops = float(question.compute_flops or leader.run.compute_flops + served)
    return [*equal_compute(question, advices, leader, flops), *along_compute(question, advices, leader, flops)]


def total(law: Law, n_params: Any) -> Any:
    """N of a law, in the one kind in which all are drawn."""
    return converted_params(n_params, law.n_kind, TOTAL)


def percentiles(law: Law, question: Question, measure: Callable[[Curve], Array]) -> tuple[list[float], list[float]] | tuple[None, None]:
    """The 80 % band of what `measure` gives, points x draws, for all draws of a law at once; nothing for a law without draws."""
    if not law.draws or question.unique_tokens is not None:
        return None, None
    import numpy as np

    many = stacked(law.draws)
    low, high = np.percentile(measure(frontier_for(law._replace(loss=many, frontier=many), question)), BAND, axis=1)
    return low.tolist(), high.tolist()


# The loss along one budget.


def equal_compute(question: Question, advices: Sequence[Advice], leader: Advice, flops: float) -> Iterator[Chart]:
    """Loss against N where the compute is fixed. One chart a tokenizer: losses of different tokens are not comparable."""
    known = [found for found in advices if found.law.in_nats and isinstance(frontier_for(found.law, question), Frontier)]
    first_the_leader = sorted(known, key=lambda found: found is not leader)
    for tokenizer in dict.fromkeys(found.law.tokenizer for found in first_the_leader):
        alike = [found for found in known if found.law.tokenizer == tokenizer]
        title = f"Loss of {show_si(flops, 'FLOP')} against N, in {tokenizer} tokens"
        yield Chart(title, SIZE, Axis("loss", "nats", log=False), *losses(question, alike, flops))


def losses(question: Question, advices: Sequence[Advice], flops: float) -> tuple[list[Series], list[Mark]]:
    """A curve a law, its lowest point, and the run of the answer where that is another."""
    import numpy as np

    curves = [frontier_for(found.law, question) for found in advices]
    best = [float(curve.params_at_compute(flops)) for curve in curves]
    totals = [float(total(found.law, n)) for found, n in zip(advices, best, strict=True)]
    sizes = np.geomspace(min(totals) / REACH_OF_SIZE, max(totals) * REACH_OF_SIZE, STEPS)
    series, marks = [], []
    for found, curve, lowest, shown in zip(advices, curves, best, totals, strict=True):
        law, run = found.law, found.run
        own = converted_params(sizes, TOTAL, law.n_kind)
        kept = curve.tokens_at_compute(flops, own) > 0  # inference may take the whole budget
        low, high = percentiles(law, question, partial(loss_at, flops=flops, n_params=own[kept, None]))
        series.append(Series(law.name, sizes[kept].tolist(), loss_at(curve, flops, own[kept]).tolist(), low, high))
        marks.append(Mark(f"best of {law.name}", shown, float(loss_at(curve, flops, lowest))))
        if run.loss_nats is not None and not 1 / APART < run.n_params / lowest < APART and is_near(run.compute_flops, flops):
            marks.append(Mark("this run", float(total(law, run.n_params)), float(run.loss_nats)))
    return series, marks


def loss_at(curve: Curve, flops: float, n_params: Any) -> Any:
    """The loss of N with the rest of a budget for tokens."""
    return curve.loss(n_params, curve.tokens_at_compute(flops, n_params))


def is_near(one: float, other: float) -> bool:
    """Whether two budgets are one and the same."""
    return bool(1 / APART < one / other < APART)


# Along the compute.


def along_compute(question: Question, advices: Sequence[Advice], leader: Advice, flops: float) -> Iterator[Chart]:
    """The best N and D of all laws against compute, two decades to either side, and where the leader was fitted."""
    import numpy as np

    budgets = np.geomspace(flops / REACH_OF_COMPUTE, flops * REACH_OF_COMPUTE, STEPS)

    def sizes(law: Law, curve: Curve, budget: Array) -> Array:
        return total(law, curve.params_at_compute(budget))

    def tokens(_: Law, curve: Curve, budget: Array) -> Array:
        return curve.tokens_at_compute(budget, curve.params_at_compute(budget))

    named = [("this budget", flops)] + [(f"{side} run of its fit", c) for side, c in fitted_budgets(leader.law) if in_range(c, budgets)]
    for title, axis, measure in (("The best N against compute", SIZE, sizes), ("The best D against compute", TOKENS, tokens)):
        series = []
        for law in (found.law for found in advices):
            values = measure(law, frontier_for(law, question), budgets)
            band = percentiles(law, question, partial(measure, law, budget=budgets[:, None]))
            series.append(Series(law.name, budgets.tolist(), values.tolist(), *band))
        curve = frontier_for(leader.law, question)
        marks = [Mark(name, float(c), float(measure(leader.law, curve, np.array(c)))) for name, c in named]
        yield Chart(f"{title}; {leader.law.name} is marked", COMPUTE, axis, series, marks)


def fitted_budgets(law: Law) -> Iterator[tuple[str, float]]:
    """The smallest and the largest compute that a law has seen, where its preset says."""
    for side, ending in (("smallest", "min"), ("largest", "max")):
        if f"compute_flops_{ending}" in law.limits:
            yield side, law.limits[f"compute_flops_{ending}"]


def in_range(flops: float, budgets: Array) -> bool:
    """Whether a budget is drawn."""
    return bool(budgets[0] <= flops <= budgets[-1])
