"""The cost of device-hours that are known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaleplan import library
from scaleplan.answer import Answer
from scaleplan.chain.run_cost import CostInputs, Input
from scaleplan.questions.cost.footprint import Costed, answer_of, costed

if TYPE_CHECKING:
    from scaleplan.questions.cost import DeviceHours


def solve(asked: DeviceHours) -> Costed:
    """The cost of the device-hours; they may be an array."""
    return costed(asked, CostInputs(device_hours=Input(asked.device_hours)), library.load("hardware", asked.hardware))


def explain(asked: DeviceHours, solved: Costed) -> Answer:
    """The answer for the device-hours."""
    return answer_of(asked, solved, [], {})
