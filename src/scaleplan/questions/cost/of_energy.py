"""The emissions of an energy that was metered at the computers."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from scaleplan import library
from scaleplan.answer import Answer
from scaleplan.chain.cost_given import Costing, assumptions, site_of
from scaleplan.chain.run_cost import Input, RunCost, run_cost
from scaleplan.questions.cost.answers import answer_of

if TYPE_CHECKING:
    from scaleplan.questions.cost import Energy


class Metered(NamedTuple):
    """The inputs of the cost, and the cost."""

    costing: Costing
    cost: RunCost


def solve(asked: Energy) -> Metered:
    """Energy of the facility, carbon and water."""
    at_site, zone = site_of(asked._asdict(), library.defaults())
    inputs = at_site._replace(energy_it_wh=Input(asked.energy))
    return Metered(Costing(inputs, None, zone), run_cost(inputs))


def explain(asked: Energy, solved: Metered) -> Answer:
    """The answer for the energy."""
    return answer_of(asked, solved.costing, solved.cost, assumptions(asked._asdict(), solved.costing, None))
