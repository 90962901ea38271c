"""A grid by month and hour: the mean over a run, and the best hour to start."""

from __future__ import annotations

import numpy as np
import pytest

from scaleplan.errors import InputError
from scaleplan.footprint.profile import HOURS_PER_YEAR, MONTH_DAYS, best_start, dated, hour_of, mean_over, profile_of

ROWS = [(month, hour, 0.2 + 0.02 * month + (0.1 if 7 <= hour < 19 else 0.0)) for month in range(1, 13) for hour in range(24)]
PROFILE = profile_of(ROWS)
YEAR = np.concatenate([np.tile(month, days) for month, days in zip(PROFILE, MONTH_DAYS, strict=True)])


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
        assert best_start(PROFILE, hours).kgco2e_per_kwh == pytest.approx(min(mean_over(PROFILE, s, hours) for s in range(HOURS_PER_YEAR)))


def test_a_start_is_an_hour_of_the_year():
    """The first of March, six o'clock, is hour 24 * 59 + 6, and back."""
    assert hour_of(3, 1, 6) == 24 * 59 + 6
    assert dated(24 * 59 + 6, 0.1) == (3, 1, 6, 0.1)


BROKEN = {"month 1, hour 0": ROWS[1:], "twice": [*ROWS, (1, 0, 0.2)], "month 13": [(13, 0, 0.1)], "hour 24": [(1, 24, 0.1)]}


@pytest.mark.parametrize(("said", "rows"), BROKEN.items())
def test_a_profile_is_whole(said, rows):
    """A month and hour that is missing, there twice or not of the clock is named."""
    with pytest.raises(InputError, match=said):
        profile_of(rows)
