"""How far a step time may be off: the 80 % interval, from the residuals of measured rows."""

from __future__ import annotations

from typing import Any

from scaleplan.answer import Interval
from scaleplan.machine.efficiency import Spread, Spreads
from scaleplan.machine.step_time import StepTime
from scaleplan.numeric import exp


def interval(time: StepTime, spreads: Spreads) -> Interval:
    """exp(-down), 1, exp(up) times the prediction, each linear in what is uncertain of the step."""
    step = time.step_s
    return Interval(step * exp(-half_width(time, spreads.down)), step, step * exp(half_width(time, spreads.up)))


def half_width(time: StepTime, spread: Spread) -> Any:
    """Of log(measured / predicted) on one side."""
    step = time.step_s
    return (
        spread.base
        + spread.host * time.u_host
        + spread.exposed * time.exposed_s / step
        + spread.bubble * time.bubble_s / step
        + spread.nodes * time.u_nodes
    )
