"""When a run is, and what its start does to its CO2e, as `cost` and `plan` show it."""

from __future__ import annotations

from typing import Any

from scaleplan.answer import Line
from scaleplan.chain.grid_profile import Calendar
from scaleplan.chain.run_cost import ENERGY_OF_SCOPE, CostInputs, RunCost, counted_wh
from scaleplan.footprint.profile import MONTH_NAMES, Start
from scaleplan.units import show_mass
from scaleplan.wording import field


def lines_of(found: Calendar, inputs: CostInputs, cost: RunCost) -> list[Line]:
    """CO2e from the best start, and what it saves."""
    if found.best_start is None or found.best_start_kgco2e is None:
        return []
    energy, best_kg = ENERGY_OF_SCOPE[inputs.carbon_scope], found.best_start.kgco2e_per_kwh
    counted = {energy: counted_wh(inputs, cost), "best_start_kgco2e_per_kwh": best_kg}
    less = {"kgco2e": cost.kgco2e, "best_start_kgco2e": found.best_start_kgco2e}
    formula = f"{energy} / 1000 * best_start_kgco2e_per_kwh"
    label = f"CO2e from the best start, {spelled(found.best_start)}"
    return [
        Line("calendar.best_start.kgco2e_per_kwh", "grid intensity from the best start", best_kg, "kgCO2e/kWh", standing="estimate"),
        Line("calendar.best_start_kgco2e", label, found.best_start_kgco2e, "kgCO2e", formula, counted, standing="estimate"),
        Line("calendar.saved_kgco2e", "saved by it", found.saved_kgco2e, "kgCO2e", "kgco2e - best_start_kgco2e", less, standing="estimate"),
    ]


def spelled(start: Start) -> str:
    """A start in words: `4 May, 23:00`."""
    return f"{start.day} {MONTH_NAMES[start.month - 1]}, {start.hour}:00"


def notes_of(found: Calendar, profile: Any, kgco2e: float | None) -> list[str]:
    """When the run ends, the intensity over it, and the best start, in sentences."""
    notes = [f"From {found.start} to {found.finish}."] if found.start is not None and found.finish is not None else []
    return notes if found.best_start is None else [*notes, grid_note(found, profile), best_note(found, found.best_start, kgco2e)]


def grid_note(found: Calendar, profile: Any) -> str:
    """The intensity over the run and over the year."""
    over, year = (f"{1000 * (value or 0):.0f} g/kWh" for value in (found.kgco2e_per_kwh, found.year_kgco2e_per_kwh))
    told = f"{over} over the run, {year} over the year" if found.start else f"{year}, the mean of the year; {field('start')} says when"
    return f"Grid: {profile.label}, {told}."


def best_note(found: Calendar, best: Start, kgco2e: float | None) -> str:
    """The best start and what it saves."""
    saved = found.saved_kgco2e
    if saved == 0 and found.start is not None:
        return "No start emits less."
    saves = f", saves {show_mass(saved)} ({100 * saved / kgco2e:.1f} %)" if saved and kgco2e else ""
    return f"Best start: {spelled(best)}, {1000 * best.kgco2e_per_kwh:.0f} g/kWh{saves}."
