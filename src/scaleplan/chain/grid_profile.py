"""A grid's intensity by month and hour, from a file of the user's: its mean over a run, the best start, and when a run ends."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from scaleplan import library, runs
from scaleplan.chain.run_cost import CostInputs, Input, RunCost, counted_wh, hours_of
from scaleplan.chain.spread import Spread, among
from scaleplan.errors import InputError, ScaleplanError, UsageError, clipped, raise_all
from scaleplan.footprint.carbon import run_kgco2e
from scaleplan.footprint.profile import (
    ROUNDING,
    Profile,
    Row,
    Start,
    best_start,
    dated,
    faults_of,
    hour_of,
    mean_over,
    means_by_start,
    profile_of,
    year_mean,
)
from scaleplan.numeric import at_position, is_number
from scaleplan.wording import field, fields

Given = Mapping[str, Any]
"""Field -> value in base units."""
KG_OF_COLUMN = {"kgco2e_per_kwh": 1.0, "gco2e_per_kwh": 1e-3}
"""Heading of the intensity -> kg of its unit."""
COLUMNS = f"its columns are month (1 to 12), hour (0 to 23) and {' or '.join(KG_OF_COLUMN)}"
MOST_KG = 5.0
"""kg of CO2e per kWh that no grid reaches: the dirtiest of the grid table has 1.1 and lignite alone 1.2."""


class GridProfile(NamedTuple):
    """A profile, and the file that it is of."""

    label: str
    table: Profile

    @property
    def mean(self) -> float:
        """Mean intensity of the year."""
        return year_mean(self.table)

    def spelled(self) -> str:
        """How it was given."""
        return self.label


class Calendar(NamedTuple):
    """When a run is, and what its start does to its CO2e; what needs a profile, or a start, is None without it.

    kgco2e_per_kwh      mean over the run; without a start that of the year
    year_kgco2e_per_kwh mean over the year
    best_start          the hour of the year at which the run emits least
    best_start_kgco2e   CO2e of the run that starts then
    saved_kgco2e        what that saves: against the start, or against the mean of the year
    """

    start: str | None
    finish: str | None
    kgco2e_per_kwh: float | None = None
    year_kgco2e_per_kwh: float | None = None
    best_start: Start | None = None
    best_start_kgco2e: float | None = None
    saved_kgco2e: float | None = None


# ------------------------------------------------------------------------------------------------------------------ readers


def read_start(text: str) -> str:
    """A date, with an hour or without, as `2026-03-01T00:00`; raises InputError for a zone of time, which a profile has not."""
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        raise InputError(f"`{clipped(text)}` is not a date", hint="write 2026-03-01, or 2026-03-01T06:00") from None
    if found.tzinfo is not None:
        raise InputError(f"`{clipped(text)}` has a time zone", hint="leave it out: hours are those of the profile's own clock")
    return found.isoformat(timespec="minutes")


def read_profile(path: str) -> GridProfile:
    """A table of month, hour and intensity (CSV, TSV, JSON lines); every fault is raised, with its line in the file."""
    name, data = "standard input" if path == "-" else path, library.read_bytes(path)
    try:
        headings, rows = runs.opened(runs.text_of(data), f"month,hour,{next(iter(KG_OF_COLUMN))}")
        column = column_of(headings)
        found, lines, faults = collected(rows, column)
    except ScaleplanError as error:
        raise error.located(name) from None
    for place, fault in faults_of(found):
        if place is not None:
            faults.append(fault.located(name, lines[place]))
        elif not faults:  # of a file with unreadable rows nobody knows what it lacks
            faults.append(fault)
    raise_all(sorted((fault.located(name) for fault in faults), key=lambda fault: fault.line or 0)[: runs.MOST_ERRORS])
    return GridProfile(name, profile_of(found))


def column_of(headings: list[str]) -> str:
    """The heading of the intensity; raises InputError where a column is missing or there twice."""
    known = [heading for heading in headings if heading in KG_OF_COLUMN]
    missing = [heading for heading in ("month", "hour") if heading not in headings]
    twice = [heading for heading in ("month", "hour", *known) if headings.count(heading) > 1]
    if twice:
        raise InputError(f"has two columns named `{twice[0]}`", hint=COLUMNS)
    if missing or len(known) != 1:
        lacking = " and ".join(f"`{heading}`" for heading in [*missing, *([] if known else [" or ".join(KG_OF_COLUMN)])])
        raise InputError(f"has no column {lacking}" if lacking else f"has {' and '.join(known)}: the intensity twice", hint=COLUMNS)
    return known[0]


def collected(rows: Iterator[tuple[int, Mapping[str, Any]]], column: str) -> tuple[list[Row], list[int], list[ScaleplanError]]:
    """The rows that can be read, the line of each, and the faults of the others."""
    found: list[Row] = []
    lines: list[int] = []
    faults: list[ScaleplanError] = []
    for line, cells in rows:
        try:
            found.append(row_of(cells, column))
            lines.append(line)
        except InputError as error:
            error.line = line
            faults.append(error)
        if len(faults) == runs.MOST_ERRORS:
            break
    return found, lines, faults


def row_of(cells: Mapping[str, Any], column: str) -> Row:
    """One row of numbers."""
    if cells.get(""):
        raise InputError(str(cells[""]))
    month, hour, intensity = (number_in(cells, heading) for heading in ("month", "hour", column))
    for heading, value in (("month", month), ("hour", hour)):
        if value != int(value):
            raise InputError(f"{heading} `{clipped(cells[heading])}` is not a whole number")
    kg = intensity * KG_OF_COLUMN[column]
    if kg > MOST_KG:
        raise InputError(f"{column} `{clipped(cells[column])}` is {kg:g} kg/kWh, more than any grid has", hint=f"{COLUMNS}: check the unit")
    return Row(int(month), int(hour), kg)


def number_in(cells: Mapping[str, Any], heading: str) -> float:
    """The finite number of a cell."""
    cell = cells.get(heading, "")
    value = runs.as_number(cell)
    if value is None or value - value != 0:
        raise InputError(f"{heading} `{clipped(cell)}` is not a number" if str(cell).strip() else f"{heading} is empty")
    return value


# ------------------------------------------------------------------------------------------------------------------- in time


def over_run(given: Given, inputs: CostInputs) -> CostInputs:
    """The inputs with a profile's intensity over the hours of the run.

    Without a start it is the mean of the year, spread as the means of such a run are over every start.
    Raises UsageError where the time of the run is not known.
    """
    profile, hours = given["grid_profile"], hours_of(inputs)
    if hours is None or inputs.n_devices is None:
        ways = fields("n_devices", "deadline", joined=" or ")
        raise UsageError(f"{field('grid_profile')} needs the time of the run, and it is unknown", hint=f"give {ways}")
    wall_hours = hours / inputs.n_devices
    start = given.get("start")
    if start is not None:
        return inputs._replace(kgco2e_per_kwh=Input(mean_over(profile.table, hour_in_year(start), wall_hours)))
    mean = profile.mean
    spread = spread_of_starts(profile.table, wall_hours, mean) if is_number(wall_hours) else None  # no interval is made of arrays
    return inputs._replace(kgco2e_per_kwh=Input(mean, "estimate", spread=spread))


QUANTILES = 40  # between which the means of all starts are interpolated


def spread_of_starts(profile: Profile, wall_hours: float, mean: float) -> Spread | None:
    """The means of a run over every start, about the mean of the year; None where they are all one."""
    means = sorted(means_by_start(profile, wall_hours))
    if means[-1] <= means[0] * (1 + ROUNDING):
        return None
    return among("grid", mean, (at_position(means, place / QUANTILES * (len(means) - 1)) for place in range(QUANTILES + 1)))


def hour_in_year(start: str) -> float:
    """The hour of the profile's year at which a run starts, minutes as a part of it."""
    found = datetime.fromisoformat(start)
    return hour_of(found.month, found.day, found.hour) + found.minute / 60


def calendar(given: Given, inputs: CostInputs, cost: RunCost) -> Calendar:
    """When a run is, and what another start would save."""
    start, profile = given.get("start"), given.get("grid_profile")
    finish = None if start is None or cost.wall_s is None else finish_of(start, cost.wall_s)
    if profile is None or cost.wall_s is None:
        return Calendar(start, finish)
    energy, mean = counted_wh(inputs, cost), inputs.kgco2e_per_kwh.value
    best = best_start(profile.table, cost.wall_s / 3600)
    if start is not None and mean <= best.kgco2e_per_kwh * (1 + ROUNDING):  # no start is better than the one that was given
        best = dated(int(hour_in_year(start)), mean)
    found = Calendar(start, finish, mean, profile.mean, best)
    if energy is None:
        return found
    least = run_kgco2e(energy, best.kgco2e_per_kwh)
    return found._replace(best_start_kgco2e=least, saved_kgco2e=run_kgco2e(energy, mean) - least)


def finish_of(start: str, wall_s: float) -> str | None:
    """When a run ends that starts then; None beyond the calendar's year 9999."""
    try:
        return (datetime.fromisoformat(start) + timedelta(seconds=wall_s)).isoformat(timespec="minutes")
    except OverflowError:
        return None
