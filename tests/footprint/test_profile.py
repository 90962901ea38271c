"""A grid by month and hour: the mean over a run, and the best hour to start."""

from __future__ import annotations

import calendar
from datetime import datetime, timedelta

import numpy as np
import pytest

from scaleplan.errors import ScaleplanError
from scaleplan.footprint.profile import (
    HOURS_PER_YEAR,
    MONTH_DAYS,
    MONTH_NAMES,
    Row,
    best_start,
    dated,
    faults_of,
    hour_of,
    mean_over,
    means_by_start,
    profile_of,
    running_total,
    total_to,
    year_mean,
)

ROWS = [Row(month, hour, 0.2 + 0.02 * month + (0.1 if 7 <= hour < 19 else 0.0)) for month in range(1, 13) for hour in range(24)]
PROFILE = profile_of(ROWS)
YEAR = np.concatenate([np.tile(month, days) for month, days in zip(PROFILE, MONTH_DAYS, strict=True)])


def by_hand(start: int, hours: float) -> float:
    """The mean of the hours that a run takes, the last one in part, around the year's end."""
    whole, turned = int(hours), np.roll(YEAR, -start)
    return float(turned[:whole].sum() + (hours - whole) * turned[whole]) / hours


@pytest.mark.parametrize(("start", "hours"), [(0, 1), (5, 14), (8755, 10), (100, 8760), (1234, 20_000), (17, 0.5), (30, 2.25)])
def test_the_mean_is_that_of_the_hours_one_by_one(start, hours):
    """Hours added up one by one, the last one in part, around the year's end."""
    steps = np.arange(start, start + int(hours)) % HOURS_PER_YEAR
    total = YEAR[steps].sum() + (hours - int(hours)) * YEAR[(start + int(hours)) % HOURS_PER_YEAR]
    assert mean_over(PROFILE, start, hours) == pytest.approx(total / hours)


def test_the_best_start_is_the_least_of_all_starts():
    """Twelve hours fit into a January night; a month begins with the year."""
    night = best_start(PROFILE, 12)
    assert (night.month, night.hour, night.kgco2e_per_kwh) == (1, 19, pytest.approx(0.22))
    for hours in (12, 100.5, 24 * 31):
        assert best_start(PROFILE, hours).kgco2e_per_kwh == pytest.approx(min(by_hand(start, hours) for start in range(HOURS_PER_YEAR)))


def test_a_start_is_an_hour_of_the_year():
    """The first of March, six o'clock, is hour 24 * 59 + 6, and back."""
    assert hour_of(3, 1, 6) == 24 * 59 + 6
    assert dated(24 * 59 + 6, 0.1) == (3, 1, 6, 0.1)


BROKEN = {
    "month 1 hour 0": ROWS[1:],
    "twice": [*ROWS, Row(1, 0, 0.2)],
    "month 13": [Row(13, 0, 0.1)],
    "hour 24": [Row(1, 24, 0.1)],
    "-0.1": [*ROWS[1:], Row(1, 0, -0.1)],
}


@pytest.mark.parametrize(("said", "rows"), BROKEN.items())
def test_a_profile_is_whole(said, rows):
    """A month and hour that is missing, there twice or not of the clock is named."""
    with pytest.raises(ScaleplanError, match=said):
        profile_of(rows)


def test_every_fault_is_told_with_the_place_of_its_row():
    """Three faults of three rows, and the hour that then is missing."""
    rows = [*ROWS[1:], Row(2, 5, 0.3), Row(0, 0, 0.1), Row(1, 7, float("nan"))]
    assert [place for place, _ in faults_of(rows)] == [287, 288, 289, None]


def test_the_mean_of_the_year_is_that_of_a_run_of_one_year():
    """Whatever the start."""
    assert year_mean(PROFILE) == pytest.approx(YEAR.mean())
    assert mean_over(PROFILE, 4321, 8760) == pytest.approx(year_mean(PROFILE))


@pytest.mark.parametrize("hours", [0.0, 1e-12, 1e-4])
def test_a_run_that_takes_no_time_has_the_intensity_of_its_hour(hours):
    """The limit of the mean; nothing is divided by zero."""
    assert mean_over(PROFILE, 7, hours) == pytest.approx(YEAR[7])


def test_arrays_of_times_are_the_times_one_by_one():
    """Zero, parts of hours and several years in one array."""
    hours = np.array([0.0, 0.5, 12, 100.25, 8760, 30_000])
    assert mean_over(PROFILE, 20.5, hours) == pytest.approx([mean_over(PROFILE, 20.5, float(one)) for one in hours])


def test_a_flat_grid_has_its_best_start_on_the_first_of_january():
    """The earliest of equals, whatever the last digits of the sums are."""
    flat = profile_of([row._replace(kgco2e_per_kwh=0.3) for row in ROWS])
    assert best_start(flat, 777.7)[:3] == (1, 1, 0)


def test_five_days_of_a_dirty_january_and_five_of_a_clean_february():
    """The example of docs/cost.md: (5 x 0.4 + 5 x 0.2) / 10, and February is best."""
    grid = profile_of([row._replace(kgco2e_per_kwh=0.4 if row.month == 1 else 0.2) for row in ROWS])
    assert mean_over(grid, hour_of(1, 27, 0), 240) == pytest.approx(0.3)
    assert best_start(grid, 240) == (2, 1, 0, pytest.approx(0.2))


def test_the_year_is_that_of_the_calendar():
    """365 days, each month with its own."""
    assert list(zip(MONTH_NAMES, MONTH_DAYS, strict=True)) == [
        (calendar.month_name[m], calendar.monthrange(2023, m)[1]) for m in range(1, 13)
    ]
    assert (datetime(2024, 1, 1) - datetime(2023, 1, 1)) / timedelta(hours=1) == HOURS_PER_YEAR


@pytest.mark.parametrize("hour", [0, 5, 31 * 24 - 1, 31 * 24, 1417, 5087, 8016, 8759])
def test_hours_of_the_year_are_dates(hour: int):
    """From 1 January at 0 on, as a clock counts."""
    when = datetime(2023, 1, 1) + timedelta(hours=hour)

    assert dated(hour, 0.7) == (when.month, when.day, when.hour, 0.7)
    assert hour_of(when.month, when.day, when.hour) == hour


@pytest.mark.parametrize("hour", [0, 0.25, 7.75, 8759.5, 8760, 8761.25, 2 * 8760 + 31.5])
def test_the_sum_to_an_hour(hour: float):
    """Whole hours one by one around the years, and the part of the last; for arrays too."""
    whole = int(hour)
    summed = sum(YEAR[h % HOURS_PER_YEAR] for h in range(whole)) + (hour - whole) * YEAR[whole % HOURS_PER_YEAR]
    totals = running_total(PROFILE)

    assert len(totals) == HOURS_PER_YEAR + 1 and totals[0] == 0
    assert total_to(totals, hour) == pytest.approx(summed, rel=1e-12)
    assert total_to(totals, np.array([hour])) == pytest.approx([summed], rel=1e-12)


def test_there_is_a_mean_for_every_start():
    """Each hour of the year, in order."""
    found = means_by_start(PROFILE, 5.5)

    assert len(found) == HOURS_PER_YEAR
    assert found[::97] == pytest.approx([by_hand(start, 5.5) for start in range(0, HOURS_PER_YEAR, 97)], rel=1e-9)


@pytest.mark.parametrize(
    ("row", "is_fault"),
    [
        (Row(1, 0, 0.0), False),
        (Row(12, 23, 0.1), False),
        (Row(0, 5, 0.1), True),
        (Row(13, 5, 0.1), True),
        (Row(3, -1, 0.1), True),
        (Row(3, 24, 0.1), True),
        (Row(3, 5, -1e-9), True),
    ],
)
def test_the_edges_of_months_and_hours(row: Row, is_fault: bool):
    """Months 1 to 12, hours 0 to 23, no negative intensity."""
    others = [one for one in ROWS if one[:2] != row[:2]]
    assert any(place == len(others) for place, _ in faults_of([*others, row])) is is_fault


@pytest.mark.parametrize(("n", "said"), [(3, "hour 2"), (4, "and 1 more"), (6, "and 3 more")])
def test_missing_hours_are_named_as_far_as_there_are_three(n: int, said: str):
    """Three are named, of more the number."""
    ((place, error),) = faults_of(ROWS[n:])
    assert place is None and str(error).endswith(said)


def test_the_best_start_is_found_in_every_month():
    """One clean night hour: 17 October at 4 cannot be told from the other days of October, so that the first of them is best."""
    clean = profile_of([row._replace(kgco2e_per_kwh=0.1 if row[:2] == (10, 4) else 0.5 + row.month / 100) for row in ROWS])
    assert best_start(clean, 1) == (10, 1, 4, pytest.approx(0.1, rel=1e-6))
