"""From draws to intervals. Nothing is drawn here: a law brings its draws along."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from scaleplan.answer import Interval
from scaleplan.numeric import is_number, quantile


def interval(values: Iterable[Any]) -> Interval | None:
    """The 10, 50 and 90 % points of draws, element by element where they are arrays; None without draws."""
    found = list(values)
    if not is_number(*found):
        import numpy as np

        return Interval(*np.percentile(np.array(found), (10, 50, 90), axis=0))
    ordered = sorted(found)
    return Interval(*(quantile(ordered, level) for level in (0.1, 0.5, 0.9))) if ordered else None
