"""The emissions of an energy that was metered at the computers."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from scaleplan import library
from scaleplan.answer import Answer, Line
from scaleplan.chain import cost as steps
from scaleplan.chain.assumptions import site_of
from scaleplan.questions.cost.footprint import answer_of, carbon_lines, said

if TYPE_CHECKING:
    from scaleplan.questions.cost import Energy


class Metered(NamedTuple):
    """The energy and its carbon, and what is to be said of the site."""

    lines: list[Line]
    notes: list[str]


def solve(asked: Energy) -> Metered:
    """Energy of the facility, and carbon."""
    site, notes = site_of(asked.pue, asked.region, asked.grid_intensity, library.defaults())
    lines = steps.metered_lines(asked.energy, site)
    return Metered(lines + carbon_lines(lines, site), notes)


def explain(asked: Energy, solved: Metered) -> Answer:
    """The answer for the energy."""
    return answer_of(said(asked), {}, solved.lines, solved.notes)
