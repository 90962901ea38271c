"""The answer of a cost: its quantities as the result, as one table, and as lines; and the CO2e beside the energy of each scope."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from scaleplan.answer import Answer, Caution, Column, Line, Table, intervals, quantities
from scaleplan.chain.cost_given import Costing, calendar_of, total_of
from scaleplan.chain.run_cost import CostInputs, RunCost
from scaleplan.questions.asking import plain
from scaleplan.questions.cost.lines import LABELS, converted_rate, cost_lines, rate_lines, rate_note

if TYPE_CHECKING:
    from scaleplan import library
    from scaleplan.chain.cost_inputs import Defaults
    from scaleplan.chain.grid_profile import Calendar

ONLY_DETAIL = ("kgco2e_devices", "kgco2e_it", "kgco2e_facility")
"""Quantities that the table by scope shows."""


def answer_of(
    asked: Any,
    costing: Costing,
    cost: RunCost,
    notes: Sequence[str],
    *,
    said: Mapping[str, Any] = {},
    first: Mapping[str, Any] = {},
    before: Sequence[Line] = (),
    compared: Sequence[Table] = (),
    warnings: Sequence[Caution] = (),
) -> Answer:
    """The answer of one case.

    said    inputs of the answer beside the fields that were given
    first   keys that stand before those of every cost
    before  lines that stand before them
    """
    inputs = costing.inputs
    lines, when = cost_lines(inputs, cost), calendar_of(asked._asdict(), inputs, cost)
    rates = rate_lines(inputs, lines, getattr(asked, "flops_per_s_per_device", None))
    rates += converted_rate(rates, first)
    from_start, said_of_start = start_views(asked, when, inputs, cost)
    total = total_of(asked._asdict(), inputs, cost)
    of_total = [] if total is None else total_views().lines_of(total, inputs, cost)
    result = {
        **first,
        "n_devices": inputs.n_devices,
        **{key: getattr(cost, key) for key in LABELS},
        "carbon_scope": inputs.carbon_scope,
        "intervals": intervals(lines),
        "total": None if total is None else total_views().result_of(total),
        "calendar": calendar_result(when),
        "rates": {one.key.removeprefix("rates."): one.value for one in rates},
        "side_by_side": list(compared[0].rows) if compared else None,
    }
    shown = [one for one in lines if one.key not in ONLY_DETAIL]
    of_run = [*before, *devices_line(inputs, asked), *shown, *of_total, *from_start]
    rate = rate_note(rates, str(first.get("flops_convention")))
    tables = [quantities("", of_run, [*([rate] if rate else []), *notes, *said_of_start]), scope_table(cost), *compared]
    said = {**fields_of(asked), **region_of(asked, costing), **said}
    return Answer("cost", said, result, tables, [*before, *lines, *of_total, *from_start, *rates], warnings=warnings)


def start_views(asked: Any, when: Calendar | None, inputs: CostInputs, cost: RunCost) -> tuple[list[Line], list[str]]:
    """The lines and the sentences of a run with a start or a profile of its grid; none without."""
    if when is None:
        return [], []
    from scaleplan.questions.cost.calendar import lines_of

    return lines_of(when, inputs, cost), calendar_notes(asked._asdict(), when, cost)


def side_by_side(asked: Any, inputs: CostInputs, device: library.Preset, defaults: Defaults) -> list[Table]:
    """The same run elsewhere, where that is asked for."""
    if asked.side_by_side is None:
        return []
    from scaleplan.questions.cost.compared import compared

    return compared(asked, inputs, device, defaults)


def total_views() -> Any:
    """The views of a total, loaded where there is one."""
    from scaleplan.questions.cost import total

    return total


def calendar_notes(given: Mapping[str, Any], when: Calendar | None, cost: RunCost) -> list[str]:
    """When the run is, its grid and the best start, in sentences; none without a start or a profile."""
    if when is None:
        return []
    from scaleplan.questions.cost.calendar import notes_of

    return notes_of(when, given.get("grid_profile"), cost.kgco2e)


def calendar_result(when: Calendar | None) -> dict[str, Any] | None:
    """When the run is, as a key of the result."""
    if when is None:
        return None
    return {**when._asdict(), "best_start": when.best_start and when.best_start._asdict()}


def devices_line(inputs: CostInputs, asked: Any) -> list[Line]:
    """The fewest devices, where a deadline asks for them."""
    if getattr(asked, "deadline", None) is None:
        return []
    return [Line("n_devices", "fewest devices within the deadline", inputs.n_devices, "int", standing="estimate")]


def scope_table(cost: RunCost) -> Table:
    """Energy and CO2e in each scope."""
    scopes = {"devices": "energy_devices_wh", "it": "energy_it_wh", "facility": "energy_wh"}
    rows = [{"scope": scope, "energy_wh": getattr(cost, key), "kgco2e": getattr(cost, f"kgco2e_{scope}")} for scope, key in scopes.items()]
    columns = [Column("scope", "scope"), Column("energy_wh", "energy", "Wh"), Column("kgco2e", "CO2e", "kgCO2e")]
    return Table("Energy and CO2e by scope", columns, rows, detail=True)


def fields_of(asked: Any) -> dict[str, Any]:
    """What was asked, in base units."""
    return {key: plain(value) for key, value in asked._asdict().items() if value is not None and value is not False}


def region_of(asked: Any, costing: Costing) -> dict[str, Any]:
    """The key of the zone that a region was taken as: `FR` is FRA."""
    return {} if asked.region is None or costing.zone is None else {"region": costing.zone["zone"]}
