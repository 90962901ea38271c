"""The largest or the smallest value of a setting with which something still fits, found exactly."""

from __future__ import annotations

from collections.abc import Callable, Sequence

LARGEST = 2**40


def largest(fits: Callable[[int], bool], step: int = 1, most: int = LARGEST) -> int | None:
    """The largest multiple of `step` that fits, where everything below it fits too; None where not even `step` does.

    Doubles until it does not fit, then halves the gap.
    """
    if not fits(step):
        return None
    below, above = 1, 2
    while above * step <= most and fits(above * step):
        below, above = above, 2 * above
    while above - below > 1:
        middle = (below + above) // 2
        below, above = (middle, above) if fits(middle * step) else (below, middle)
    return below * step


def smallest(fits: Callable[[int], bool], most: int = LARGEST) -> int | None:
    """The smallest whole number that fits, where everything above it fits too; None where nothing does."""
    upper = 1
    while not fits(upper):
        upper *= 2
        if upper > most:
            return None
    below = upper // 2  # 0, or the last power of two that does not fit
    while upper - below > 1:
        middle = (below + upper) // 2
        below, upper = (below, middle) if fits(middle) else (middle, upper)
    return upper


def best_of(candidates: Sequence[int], fits: Callable[[int], bool]) -> int | None:
    """The first candidate that fits, where only some values have a meaning."""
    return next((value for value in candidates if fits(value)), None)


def divisors(n: int) -> list[int]:
    """All whole numbers that divide n, in order."""
    small = [d for d in range(1, int(n**0.5) + 1) if n % d == 0]
    return sorted({*small, *(n // d for d in small)})
