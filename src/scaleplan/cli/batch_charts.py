"""The charts of `scaleplan batch`: what a batch costs in steps and in tokens."""

from __future__ import annotations

from scaleplan.answer import Axis, Chart, Mark, Series
from scaleplan.laws.batch import Tradeoff

POINTS = 41
REACH = 32  # batches from B_crit / 32 to 32 B_crit


def pareto_chart(curve: Tradeoff, chosen: float | None) -> Chart:
    """The fewest steps for so many tokens: every batch is a point of the curve."""
    middle = curve.critical_batch
    batches = [middle * REACH ** (2 * i / (POINTS - 1) - 1) for i in range(POINTS)]
    line = Series("runs that reach the loss", [curve.tokens(b) for b in batches], [curve.steps(b) for b in batches])
    marks = [Mark("B_crit", curve.tokens(middle), curve.steps(middle))]
    if chosen is not None:
        marks.append(Mark("the batch asked about", curve.tokens(chosen), curve.steps(chosen)))
    return Chart("Steps against tokens, to the same loss", Axis("tokens", "tokens"), Axis("steps", "steps"), [line], marks)
