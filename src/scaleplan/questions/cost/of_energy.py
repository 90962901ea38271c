"""The emissions of an energy that was metered at the computers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaleplan import library
from scaleplan.answer import Answer
from scaleplan.chain.cost_inputs import site_inputs
from scaleplan.chain.run_cost import CostInputs, Input, run_cost
from scaleplan.questions.cost.footprint import Costed, answer_of, on_site

if TYPE_CHECKING:
    from scaleplan.questions.cost import Energy


def solve(asked: Energy) -> Costed:
    """Energy of the facility, carbon and water; the energy may be an array."""
    site = site_inputs(asked.pue, asked.region, asked.grid_intensity, library.defaults())
    inputs = on_site(CostInputs(energy_it_wh=Input(asked.energy)), site, asked.carbon_scope)
    return Costed(inputs, run_cost(inputs), None, None, site)


def explain(asked: Energy, solved: Costed) -> Answer:
    """The answer for the energy."""
    return answer_of(asked, solved, [], {})
