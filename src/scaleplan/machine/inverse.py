"""The largest or the smallest value of a setting with which something still fits, found exactly."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

from scaleplan.errors import InputError, clipped

MOST_DIVIDED = 10**12  # whose smallest prime is found in a moment
LARGEST = 2**40


def largest(fits: Callable[[int], bool], step: int = 1, most: int = LARGEST) -> int | None:
    """The largest multiple of `step` up to `most` that fits, where everything below it fits too; None where not even `step` does.

    Doubles until it does not fit, then halves the gap.
    """
    if not fits(step):
        return None
    below, above = 1, 2
    while above * step <= most and fits(above * step):
        below, above = above, 2 * above
    above = min(above, most // step + 1)  # which does not fit, or is not asked for
    while above - below > 1:
        middle = (below + above) // 2
        below, above = (middle, above) if fits(middle * step) else (below, middle)
    return below * step


def smallest(fits: Callable[[int], bool], most: int = LARGEST) -> int | None:
    """The smallest whole number up to `most` that fits, where everything above it fits too; None where nothing does."""
    below, upper = 0, 1
    while not fits(upper):
        if upper == most:
            return None
        below, upper = upper, min(2 * upper, most)
    while upper - below > 1:
        middle = (below + upper) // 2
        below, upper = (below, middle) if fits(middle) else (middle, upper)
    return upper


def best_of(candidates: Sequence[int], fits: Callable[[int], bool]) -> int | None:
    """The first candidate that fits, where only some values have a meaning."""
    return next((value for value in candidates if fits(value)), None)


def divisors(n: int) -> list[int]:
    """All whole numbers that divide n, in order; InputError above MOST_DIVIDED."""
    found = [1]
    for prime, power in prime_powers(n):
        found = [d * prime**k for d in found for k in range(power + 1)]
    return sorted(found)


@lru_cache(maxsize=4096)
def prime_powers(n: int) -> tuple[tuple[int, int], ...]:
    """The primes whose product is n, each with its power: 12 is (2, 2), (3, 1); InputError above MOST_DIVIDED."""
    if n > MOST_DIVIDED:
        raise InputError(f"a count of {clipped(n)} is too large to be divided among devices", hint=f"at most {MOST_DIVIDED:,}")
    found, prime = [], 2
    while n > 1:
        power = 0
        while n % prime == 0:
            n, power = n // prime, power + 1
        if power:
            found.append((prime, power))
        prime = prime + 1 if prime * prime <= n else n
    return tuple(found)
