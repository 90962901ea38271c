"""The best layout over device counts: what is in time, where devices stop paying, what no other choice beats."""

from __future__ import annotations

from itertools import combinations

import pytest

from scaleplan.machine.layout import Layout
from scaleplan.machine.scaling import Point, always, fewest, pareto, scaling
from scaleplan.machine.training_run import Row

ROW = Row(Layout(dp=8), 2, "none", 3.0, 2.5, 3.5, 0.4, 0.5, 1000.0, 10, 9, 11, "fits", True, {})


def best_of(steps: dict[int, float]):
    return lambda n: ROW._replace(step_s=steps[n]) if n in steps else None


def test_device_hours_are_devices_times_hours():
    """7,200 s on 24 devices are 48 device-hours."""
    assert Point(24, ROW, 7200.0).device_hours == pytest.approx(48.0, rel=1e-12)


def test_the_wall_time_is_that_of_the_steps_over_the_goodput():
    """700 steps of 3.2 s are 2,240 s of progress, at a goodput of 0.8 2,800 s of wall time: in time of 2,800 s and not of 2,799.9."""

    def found(deadline_s: float) -> Point | None:
        return fewest(best_of({24: 3.2}), [24], 700, deadline_s, 0.0, goodput=lambda n: 0.8)

    point = found(2800.0)
    assert point is not None
    assert (point.n_devices, point.wall_s) == (24, pytest.approx(2800.0, rel=1e-12))
    assert found(2799.9) is None


def test_goodput_is_that_of_each_count():
    """1,000 steps by 1,100 s: 16 devices need 1,000 s and lose half of the time, 32 need 900 s and lose 10 %."""
    found = fewest(best_of({16: 1.0, 32: 0.9}), [16, 32], 1000, 1100.0, 0.0, goodput=lambda n: {16: 0.5, 32: 0.9}[n])

    assert found is not None
    assert (found.n_devices, found.wall_s) == (32, pytest.approx(1000.0, rel=1e-12))


def test_a_run_that_nothing_stops_always_advances():
    found = fewest(best_of({16: 3.0}), [16], 700, 2100.0, 0.0)

    assert always(16) == 1.0
    assert found is not None and found.wall_s == pytest.approx(2100.0, rel=1e-12)


@pytest.mark.parametrize(("least_device_s", "priced"), [(9000.0, [8, 16, 32]), (9000.1, [16, 32]), (18_000.0, [16, 32]), (18_000.1, [32])])
def test_counts_whose_peak_is_too_little_are_not_priced(least_device_s: float, priced: list[int]):
    """In 1,500 s at a goodput of 0.75 eight devices work 8 x 1,500 x 0.75 = 9,000 s: what the FLOP take at the peak, or it is too late."""
    asked: list[int] = []

    def best(n: int) -> Row:
        asked.append(n)
        return ROW._replace(step_s=1e9)

    assert fewest(best, [32, 8, 16], 10, 1500.0, least_device_s, goodput=lambda n: 0.75) is None
    assert asked == priced


def test_each_count_that_is_late_is_told_and_may_end_the_search():
    """Late on 8, nothing fits on 16, in time on 32; a true answer ends it before."""
    told: list[tuple[int, float | None]] = []
    best = best_of({8: 5.0, 32: 2.0})

    def tell(n: int, point: Point | None) -> bool:
        told.append((n, None if point is None else point.wall_s))
        return False

    found = fewest(best, [8, 16, 32], 100, 250.0, 0.0, tell)
    assert found is not None and found.n_devices == 32
    assert told == [(8, 500.0), (16, None)]
    assert fewest(best, [8, 16, 32], 100, 250.0, 0.0, lambda n, point: n == 16) is None


@pytest.mark.parametrize(
    ("times", "stops"),
    [
        ({8: 120.0, 24: 70.0, 72: 40.0}, 8),  # 3 times the devices, 1.714 times as fast: below 3^0.5 = 1.732
        ({8: 120.0, 24: 69.0, 72: 39.0}, None),  # 1.739 and 1.769 times
        ({8: 120.0, 24: 60.0, 72: 36.0}, 24),
        ({8: 120.0, 24: 60.0, 72: 36.0, 144: 20.0, 288: 19.0}, 24),
        ({10: 9.0, 20: 9.5, 40: 2.0}, 10),
        ({16: 4.0, 64: 2.0}, None),
        ({16: 4.0, 64: 2.0001}, 16),
        ({7: 5.0}, None),
    ],
)
def test_devices_pay_while_half_of_their_doublings_turn_into_speed(times: dict[int, float], stops: int | None):
    """k times the devices pay when they are at least k^0.5 times as fast; 4 times the devices exactly twice as fast still pay."""
    found = scaling([Point(n, ROW, wall_s) for n, wall_s in times.items()])

    assert found.stops_paying == stops
    assert [point.n_devices for point in found.points] == list(times)


def dominated(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    """Whether the other is nowhere larger and somewhere smaller."""
    return max(b - a for a, b in zip(one, other, strict=True)) <= 0 and min(b - a for a, b in zip(one, other, strict=True)) < 0


def test_the_front_of_all_points_of_a_grid():
    """Every set of three points of a small grid, equal ones too: those that no other dominates."""
    grid = [(float(a), float(b)) for a in (1, 2, 3) for b in (1, 2, 3)]
    for points in combinations([*grid, *grid[:4]], 3):
        assert pareto(points) == [i for i, one in enumerate(points) if not any(dominated(one, other) for other in points)]


def test_a_point_is_kept_for_one_number_in_which_it_is_best():
    """Hours, devices and bytes: the third is best in bytes alone; the fourth is as good as the first and no better."""
    assert pareto([(2.0, 8, 30), (1.5, 16, 30), (9.0, 99, 29), (2.0, 8, 30), (2.0, 9, 30)]) == [0, 1, 2, 3]


def test_fewest_devices_for_a_deadline():
    """One step fewer would be late: counted by trying every number of nodes."""
    steps = {8: 4.0, 16: 2.2, 24: 1.6, 32: 1.3}

    def best(n: int) -> Row:
        return ROW._replace(step_s=steps[n])

    found = fewest(best, [32, 16, 8, 24], n_steps=100, deadline_s=170, least_device_s=8 * 150)
    assert found is not None and (found.n_devices, found.wall_s) == (24, 160.0)
    assert fewest(best, steps, n_steps=100, deadline_s=1, least_device_s=1) is None
    stopped = fewest(best, steps, n_steps=100, deadline_s=170, least_device_s=1, goodput=lambda n: 0.9 if n < 32 else 0.8)
    assert stopped is not None and (stopped.n_devices, stopped.wall_s) == (32, pytest.approx(130 / 0.8))


def test_adding_devices_stops_paying_where_half_of_them_are_lost():
    """Doubling that gains less than a factor of 2 ** 0.5 does not pay."""
    times = {8: 8.0, 16: 4.2, 32: 2.4, 64: 1.9}
    points = [Point(n, ROW, wall_s) for n, wall_s in times.items()]

    assert scaling(points).stops_paying == 32
    assert [point.device_hours for point in points] == pytest.approx([n * t / 3600 for n, t in times.items()])
    assert isinstance(points[0], Point)


def test_two_points_of_one_count_are_judged_by_the_faster():
    """A count that is given twice with other layouts is one step of the scaling."""
    points = [Point(n, ROW, seconds) for n, seconds in ((8, 8.0), (16, 9.0), (16, 4.2), (32, 2.4), (64, 1.9), (64, 1.9))]
    assert scaling(points).stops_paying == 32


def test_the_front_is_what_no_other_point_beats():
    """Time and devices: 3 s on 8 is beaten by 2 s on 8."""
    assert pareto([(4.0, 4), (2.0, 8), (3.0, 8), (1.9, 16)]) == [0, 1, 3]
