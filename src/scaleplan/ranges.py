"""A range of values as people write it: `lo:hi`, `lo:hi:n`, `lo:hi:log:n`, `lo:hi:lin:n`, or values with commas between them."""

from __future__ import annotations

from collections.abc import Callable
from math import exp, log
from typing import Any, NamedTuple

from scaleplan.errors import InputError, clipped
from scaleplan.units import count

SPACINGS = ("log", "lin")
MOST_POINTS = 10_000_000


def values_of(text: str, read: Callable[[str], Any]) -> list[Any]:
    """The values that a range stands for, each as `read` takes it; whole where both ends are whole and `read` wants whole numbers.

    Raises InputError where the text is no range.
    """
    if ":" not in text:
        return [read(part.strip()) for part in text.split(",") if part.strip()]
    first, *rest = text.split(":")
    spacing, n_points = "lin", None
    if len(rest) == 3 and rest[1] in SPACINGS:
        spacing, n_points = rest[1], count(rest[2])
    elif len(rest) == 2:
        n_points = count(rest[1])
    elif len(rest) != 1:
        raise InputError(f"`{clipped(text)}` is not a range", hint="write lo:hi:log:n, lo:hi:lin:n, or a,b,c")
    low, high = read(first), read(rest[0])
    if not low <= high:
        raise InputError(f"`{clipped(text)}` runs downwards", hint=f"write `{clipped(rest[0])}:{clipped(first)}`")
    if n_points is None:
        if not (isinstance(low, int) and isinstance(high, int)):
            raise InputError(f"`{clipped(text)}` does not say how many points", hint=f"write `{clipped(text)}:log:20`")
        return doublings(low, high)
    if n_points > MOST_POINTS:
        raise InputError(f"`{clipped(text)}` has more than {MOST_POINTS:,} points")
    whole = isinstance(low, int) and isinstance(high, int)
    return [spaced(low, high, place, n_points, spacing, whole=whole) for place in range(n_points)]


def spaced(low: float, high: float, place: int, n_points: int, spacing: str, *, whole: bool) -> Any:
    """One point of a range; the ends are exact."""
    if place == 0 or n_points == 1:
        return low
    if place == n_points - 1:
        return high
    share = place / (n_points - 1)
    value = exp(log(low) + (log(high) - log(low)) * share) if spacing == "log" else low + (high - low) * share
    return round(value) if whole else value


def doublings(low: int, high: int) -> list[int]:
    """Whole numbers from one end to the other, each twice the one before; the upper end is always one of them."""
    found = [low]
    while found[-1] * 2 <= high:
        found.append(found[-1] * 2)
    return found if found[-1] == high else [*found, high]


def part(text: str) -> tuple[int, int]:
    """`K/N`: part K of N, counted from 1."""
    first, slash, second = text.partition("/")
    k, n = (count(first), count(second)) if slash else (0, 0)
    if not 1 <= k <= n:
        raise InputError(f"`{clipped(text)}` is not a part", hint="write 3/16 for the third of sixteen")
    return k, n


class WholeRange(NamedTuple):
    """Whole numbers that a text stands for: its points, or with `lo:hi` also everything between the ends.

    is_open  `lo:hi`: points in between are free to be chosen
    """

    text: str
    points: tuple[int, ...]
    is_open: bool

    @property
    def label(self) -> str:
        """As it was typed."""
        return self.text


def whole_range(text: str) -> WholeRange:
    """`64`, `64,128,256`, `8:4096`, `8:4096:log:10`.

    Raises InputError where nothing or no range is said.
    """
    points = tuple(dict.fromkeys(sorted(values_of(text, count))))
    if not points:
        raise InputError(f"`{clipped(text)}` names no number", hint="write 64, 64,128 or 8:4096")
    return WholeRange(text, points, text.count(":") == 1)
