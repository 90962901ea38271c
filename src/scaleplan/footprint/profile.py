"""A grid's intensity by month and hour, over the hours of a run, and the best hour to start it.

The year has 365 days; 29 February is the first of March. Hours are of the profile's own clock.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

from scaleplan.errors import InputError, raise_all
from scaleplan.numeric import is_number, where

MONTH_DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
MONTH_NAMES = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December")
HOURS_PER_YEAR = 24 * sum(MONTH_DAYS)

Profile = Sequence[Sequence[float]]
"""kg of CO2e per kWh: 12 months of 24 hours, each hour the mean of its month."""


class Start(NamedTuple):
    """When a run starts (month from 1, day from 1, hour from 0) and the mean intensity over it, in kg of CO2e per kWh."""

    month: int
    day: int
    hour: int
    kgco2e_per_kwh: float


class Row(NamedTuple):
    """A row of a profile: month 1 to 12, hour 0 to 23, kg of CO2e per kWh."""

    month: int
    hour: int
    kgco2e_per_kwh: float


def profile_of(rows: Sequence[Row]) -> Profile:
    """The profile of 12 x 24 rows in any order; every fault that `faults_of` finds is raised."""
    raise_all([error for _, error in faults_of(rows)])
    table = {(row.month, row.hour): row.kgco2e_per_kwh for row in rows}
    return tuple(tuple(table[month, hour] for hour in range(24)) for month in range(1, 13))


def faults_of(rows: Sequence[Row]) -> Iterator[tuple[int | None, InputError]]:
    """What is wrong with the rows of a profile, each with the place of its row from 0; None for what no row has."""
    seen = set()
    for place, (month, hour, intensity) in enumerate(rows):
        if not (1 <= month <= 12 and 0 <= hour <= 23 and intensity >= 0):
            shown = f"month {month}, hour {hour}, {intensity:g} kg/kWh"
            yield place, InputError(f"{shown}: no row of a profile", hint="months are 1 to 12, hours 0 to 23, intensities not negative")
        elif (month, hour) in seen:
            yield place, InputError(f"month {month}, hour {hour} is in the profile twice")
        seen.add((month, hour))
    missing = [(month, hour) for month in range(1, 13) for hour in range(24) if (month, hour) not in seen]
    if missing:
        first = ", ".join(f"month {month} hour {hour}" for month, hour in missing[:3])
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        yield None, InputError(f"the profile has no {first}{more}", hint="a profile holds 12 x 24 rows, one for each hour of each month")


def year_mean(profile: Profile) -> float:
    """Mean intensity of the year, each month by its days."""
    return running_total(profile)[-1] / HOURS_PER_YEAR


def mean_over(profile: Profile, start: float, hours: Any) -> Any:
    """Mean intensity over a run of so many hours from a time of the year in hours, weighted by time; a long run wraps around the year."""
    return mean_of(running_total(profile), start, hours)


def means_by_start(profile: Profile, hours: float) -> list[float]:
    """Mean intensity over a run of so many hours, for each hour of the year at which it may start."""
    totals = running_total(profile)
    return [mean_of(totals, start, hours) for start in range(HOURS_PER_YEAR)]


def best_start(profile: Profile, hours: float) -> Start:
    """The hour of the year at which a run of constant power emits least; the earliest of equals."""
    means = means_by_start(profile, hours)
    least = min(means) * (1 + ROUNDING)
    hour = next(start for start, mean in enumerate(means) if mean <= least)
    return dated(hour, means[hour])


def hour_of(month: int, day: int, hour: int) -> int:
    """The hour of the year, from 0."""
    return 24 * (sum(MONTH_DAYS[: month - 1]) + day - 1) + hour


def dated(hour: int, intensity: float) -> Start:
    """An hour of the year as month, day and hour."""
    day, month = hour // 24, 0
    while day >= MONTH_DAYS[month]:
        day -= MONTH_DAYS[month]
        month += 1
    return Start(month + 1, day + 1, hour % 24, intensity)


def running_total(profile: Profile) -> list[float]:
    """The sum of the intensities of a year's hours before each hour, and of all of them."""
    year = [value for month, days in zip(profile, MONTH_DAYS, strict=True) for value in tuple(month) * days]
    return [0.0, *accumulate(year)]


ROUNDING = 1e-9
"""Sums of the same hours in another order differ in their last digits."""

SHORTEST_HOURS = 1e-3
"""Below it the mean is that of the hour of the start: the difference of two sums over a year has too few digits left."""


def mean_of(totals: Sequence[float], start: float, hours: Any) -> Any:
    """Mean intensity over a run, from running totals of the year."""
    is_short = hours < SHORTEST_HOURS
    length = where(is_short, 1.0, hours)
    return (total_to(totals, start + length) - total_to(totals, start)) / length


def total_to(totals: Sequence[float], hour: Any) -> Any:
    """The sum of intensities from the year's first hour to an hour, which may lie in a later year."""
    years, rest = divmod(hour, HOURS_PER_YEAR)
    if is_number(rest):
        below = int(rest)
        return years * totals[-1] + totals[below] + (rest - below) * (totals[below + 1] - totals[below])
    import numpy as np

    return years * totals[-1] + np.interp(rest, np.arange(HOURS_PER_YEAR + 1), totals)
