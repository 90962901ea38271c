"""A grid's intensity by month and hour, over the hours of a run, and the best hour to start it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

from scaleplan.errors import InputError

MONTH_DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
HOURS_PER_YEAR = 24 * sum(MONTH_DAYS)

Profile = Sequence[Sequence[float]]
"""kg of CO2e per kWh: 12 months of 24 hours, each hour the mean of its month."""


class Start(NamedTuple):
    """When a run starts (month from 1, day from 1, hour from 0) and the mean intensity over it, in kg of CO2e per kWh."""

    month: int
    day: int
    hour: int
    kgco2e_per_kwh: float


def profile_of(rows: Sequence[tuple[int, int, float]]) -> Profile:
    """The profile of rows of (month 1 to 12, hour 0 to 23, kg of CO2e per kWh).

    Raises InputError where one is missing, there twice or out of range.
    """
    table: dict[tuple[int, int], float] = {}
    for month, hour, intensity in rows:
        if not (1 <= month <= 12 and 0 <= hour <= 23 and intensity >= 0):
            seen = f"month {month}, hour {hour}, {intensity:g} kg/kWh"
            raise InputError(f"{seen}: no row of a profile", hint="months are 1 to 12, hours 0 to 23, intensities not negative")
        if (month, hour) in table:
            raise InputError(f"month {month}, hour {hour} is in the profile twice")
        table[month, hour] = intensity
    missing = [(month, hour) for month in range(1, 13) for hour in range(24) if (month, hour) not in table]
    if missing:
        raise InputError(f"the profile has no month {missing[0][0]}, hour {missing[0][1]}", hint="it holds 12 x 24 rows")
    return tuple(tuple(table[month, hour] for hour in range(24)) for month in range(1, 13))


def mean_over(profile: Profile, start: int, hours: float) -> float:
    """Mean intensity over a run of so many hours from an hour of the year, weighted by time; a long run wraps around the year."""
    return mean_of(running_total(profile), start, hours)


def best_start(profile: Profile, hours: float) -> Start:
    """The hour of the year at which a run of constant power emits least; the earliest of equals."""
    totals = running_total(profile)
    hour = min(range(HOURS_PER_YEAR), key=lambda start: mean_of(totals, start, hours))
    return dated(hour, mean_of(totals, hour, hours))


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


def mean_of(totals: Sequence[float], start: int, hours: float) -> float:
    """Mean intensity over a run, from running totals of the year."""
    return (total_to(totals, start + hours) - total_to(totals, start)) / hours


def total_to(totals: Sequence[float], hour: float) -> float:
    """The sum of intensities from the year's first hour to an hour, which may lie in a later year."""
    years, rest = divmod(hour, HOURS_PER_YEAR)
    whole = int(rest)
    part = (rest - whole) * (totals[whole + 1] - totals[whole]) if rest > whole else 0.0
    return years * totals[-1] + totals[whole] + part
