"""Where a monotone function crosses zero, for numbers and arrays alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from scaleplan.numeric import where

SMALLEST = 1e-6
LARGEST = 1e40
HALVINGS = 64  # of the logarithm of the range: 106 nats / 2^64 is below the spacing of floats


def rising_root(function: Callable[[Any], Any], low: Any = SMALLEST, high: Any = LARGEST) -> Any:
    """The x between `low` and `high` where an increasing function of a positive x is zero, by halving log x.

    >>> round(rising_root(lambda x: x - 42.0), 12)
    42.0
    """
    for _ in range(HALVINGS):
        middle = (low * high) ** 0.5
        below = function(middle) < 0
        low, high = where(below, middle, low), where(below, high, middle)
    return (low * high) ** 0.5
