"""The cost of device-hours that are known."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from scaleplan import library
from scaleplan.answer import Answer
from scaleplan.chain.cost_given import Costing, assumptions, cautions, costing, settled
from scaleplan.chain.run_cost import RunCost, run_cost
from scaleplan.questions.cost.answers import answer_of, side_by_side

if TYPE_CHECKING:
    from scaleplan.questions.cost import DeviceHours


class Costed(NamedTuple):
    """The device, the inputs of the cost, and the cost."""

    device: library.Preset
    costing: Costing
    cost: RunCost


def solve(asked: DeviceHours) -> Costed:
    """Time, dollars, energy, carbon and water of the device-hours."""
    device = library.load("hardware", asked.hardware)
    found = costing(asked._asdict(), device, library.defaults())
    found = found._replace(inputs=settled(asked._asdict(), found.inputs))
    return Costed(device, found, run_cost(found.inputs))


def explain(asked: DeviceHours, solved: Costed) -> Answer:
    """The answer for the device-hours."""
    device, found, cost = solved
    notes = assumptions(asked._asdict(), found, device)
    tables = side_by_side(asked, found.inputs, device, library.defaults())
    warnings = cautions(asked._asdict(), found, library.defaults())
    return answer_of(asked, found, cost, notes, compared=tables, warnings=warnings)
