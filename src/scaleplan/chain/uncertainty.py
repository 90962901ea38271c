"""From draws to intervals. Nothing is drawn here: a law brings its draws along."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from scaleplan.answer import Interval
from scaleplan.numeric import is_number


def percentile(ordered: Sequence[float], level: float) -> float:
    """A percentile of values in rising order, between neighbours where it falls between two (numpy's default).

    >>> percentile([1.0, 2.0, 4.0], 75)
    3.0
    """
    position = (len(ordered) - 1) * level / 100
    below = int(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (position - below) * (ordered[above] - ordered[below])


def interval(values: Iterable[Any]) -> Interval | None:
    """The 10, 50 and 90 % points of draws, element by element where they are arrays; None without draws."""
    found = list(values)
    if not is_number(*found):
        import numpy as np

        return Interval(*np.percentile(np.array(found), (10, 50, 90), axis=0))
    ordered = sorted(found)
    return Interval(percentile(ordered, 10), percentile(ordered, 50), percentile(ordered, 90)) if ordered else None
