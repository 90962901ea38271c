"""The charts of `batch`: what a batch costs in steps and in tokens, and how it may grow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaleplan.answer import Axis, Chart, Mark, Series
from scaleplan.laws.batch import Tradeoff
from scaleplan.laws.schedule import Schedule

if TYPE_CHECKING:
    from scaleplan.chain.batch import BatchAnswer

POINTS = 41
REACH = 32  # batches from B_crit / 32 to 32 B_crit


def charts_of(found: BatchAnswer, ramp: Schedule | None) -> list[Chart]:
    """The trade-off, and the ramp where one is asked for."""
    return [pareto_chart(found.curve, found.batch_tokens), *([schedule_chart(ramp)] if ramp else [])]


def pareto_chart(curve: Tradeoff, chosen: float | None) -> Chart:
    """Minimum steps for a number of tokens: every batch is a point of the curve."""
    middle = curve.critical_batch
    batches = [middle * REACH ** (2 * i / (POINTS - 1) - 1) for i in range(POINTS)]
    line = Series("runs that reach the loss", [curve.tokens(b) for b in batches], [curve.steps(b) for b in batches])
    marks = [Mark("B_crit", curve.tokens(middle), curve.steps(middle))]
    if chosen is not None:
        marks.append(Mark("this batch", curve.tokens(chosen), curve.steps(chosen)))
    return Chart("Steps against tokens, to the same loss", Axis("tokens", "tokens"), Axis("steps", "steps"), [line], marks)


def schedule_chart(found: Schedule) -> Chart:
    """The ramp and B_crit against the tokens seen, beside the constant batch of as many steps."""
    seen = [at.tokens for at in found.stretches]
    series = [
        Series("ramp", seen, [at.batch_tokens for at in found.stretches]),
        Series("B_crit", seen, [at.critical_batch for at in found.stretches]),
        Series("constant batch, equal steps", [seen[0], found.constant_tokens], [found.constant_batch] * 2),
    ]
    return Chart("Batch-size ramp", Axis("tokens seen", "tokens", log=False), Axis("batch", "tokens", log=False), series)
