"""The best layout over device counts: fewest devices for a deadline, strong scaling, and what no other choice beats."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from math import log
from typing import Any, NamedTuple

from scaleplan.machine.training_run import Row

PAYS = 0.5  # of doubled devices, the least share that must turn into speed


class Point(NamedTuple):
    """A run on so many devices with its best layout."""

    n_devices: int
    row: Row
    wall_s: float

    @property
    def device_hours(self) -> float:
        return self.wall_s * self.n_devices / 3600


class Scaling(NamedTuple):
    """Strong scaling: the points, and the first count from which more devices turn less than half of themselves into speed."""

    points: list[Point]
    stops_paying: int | None


BestOf = Callable[[int], Row | None]
"""The best layout on so many devices; None where none fits."""
Priced = Callable[[int, Point | None], Any]
"""Told of each count that is not in time, and of the run on it; a true answer ends the search."""
GoodputOn = Callable[[int], float]
"""Goodput by number of devices."""


def always(_n_devices: int) -> float:
    """The goodput of a run that nothing stops."""
    return 1.0


def fewest(
    best: BestOf,
    counts: Sequence[int],
    n_steps: float,
    deadline_s: float,
    least_device_s: float,
    priced: Priced | None = None,
    goodput: GoodputOn = always,
) -> Point | None:
    """The smallest count whose best layout finishes in time.

    least_device_s  device-seconds that the FLOP of the run take at the peak: counts that cannot make it are passed over unpriced
    goodput         on so many devices: the share of the wall time in which the run advances
    """
    for n in sorted(counts):
        advancing = goodput(n)
        if n * deadline_s * advancing < least_device_s:
            continue
        row = best(n)
        point = None if row is None else Point(n, row, n_steps * row.step_s / advancing)
        if point is not None and point.wall_s <= deadline_s:
            return point
        if priced is not None and priced(n, point):
            return None
    return None


def scaling(points: Sequence[Point]) -> Scaling:
    """Where adding devices stops paying: the speed gained, in logarithms, over the devices added; the fastest point of each count."""
    stop = None
    fastest = {point.n_devices: point for point in sorted(points, key=lambda point: (point.n_devices, -point.wall_s))}
    for before, after in pairwise(fastest.values()):
        gained = log(before.wall_s / after.wall_s) / log(after.n_devices / before.n_devices)
        if stop is None and gained < PAYS:
            stop = before.n_devices
    return Scaling(list(points), stop)


def pareto(points: Sequence[tuple[float, ...]]) -> list[int]:
    """Places of the points that no other beats: at most as large in every number, smaller in one."""
    return [
        place
        for place, mine in enumerate(points)
        if not any(all(a <= b for a, b in zip(other, mine, strict=True)) and other != mine for other in points)
    ]
