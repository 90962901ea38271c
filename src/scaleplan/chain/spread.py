"""How inputs that are not known exactly are spread, and what that does to their products.

Nothing is drawn here. `presets/draws.csv` holds 1,000 quasi-random points in standard normal units, a column for each
uncertain input, made by `benchmarks/derive_draws.py`; a law's own draws join them row by row. A spread turns its column into
factors of the central value. Products of inputs multiply their factors row by row, so that what two answers share moves both.
"""

import math
from collections.abc import Iterable
from functools import lru_cache
from typing import Literal, NamedTuple, TypeAlias

from scaleplan import library
from scaleplan.answer import Interval
from scaleplan.numeric import at_position, quantile

Column: TypeAlias = Literal[
    "mfu", "goodput", "step_time", "device_power", "host_power", "price", "pue", "grid", "embodied", "water", "serving"
]
Factors: TypeAlias = tuple[float, ...]
"""A draw of a quantity over its central value, one for each row of the table."""
Z90 = 1.2815515655446004  # the 90 % point of the standard normal distribution


class Spread(NamedTuple):
    """The spread of one input, in factors of its central value.

    p10, p90  the 10 and 90 % points: log-normal, each side with a width of its own
    votes     instead of a log-normal, the values themselves (prices of providers), interpolated between neighbours
    """

    column: Column
    p10: float = 1.0
    p90: float = 1.0
    votes: Factors = ()

    def ends(self) -> tuple[float, float, float]:
        """The 10, 50 and 90 % points, in factors of the central value."""
        if not self.votes:
            return self.p10, 1.0, self.p90
        low, middle, high = (quantile(self.votes, level) for level in (0.1, 0.5, 0.9))
        return low, middle, high


def within(column: Column, value: float, p10: float, p90: float) -> Spread | None:
    """The spread of a value with these 10 and 90 % points; None where they are one point."""
    return Spread(column, p10 / value, p90 / value) if p10 < p90 else None


def among(column: Column, value: float, votes: Iterable[float]) -> Spread | None:
    """The spread of a value that several vote on; None where they agree, or where there is one."""
    factors = tuple(sorted(vote / value for vote in votes))
    return Spread(column, votes=factors) if factors and factors[0] < factors[-1] else None


@lru_cache(maxsize=256)
def factors(spread: Spread) -> Factors:
    """The draws of an input over its central value."""
    column = library.draws()[spread.column]
    if spread.votes:
        last = len(spread.votes) - 1
        return tuple(at_position(spread.votes, last * (1 + math.erf(z / math.sqrt(2))) / 2) for z in column)
    low, high = -math.log(spread.p10) / Z90, math.log(spread.p90) / Z90
    return tuple(math.exp(z * (high if z > 0 else low)) for z in column)


def times(*draws: Factors | None) -> Factors | None:
    """The factors of a product; None (known exactly) where every input is."""
    known = [some for some in draws if some is not None]
    if len(known) < 2:
        return known[0] if known else None
    return tuple(map(math.prod, zip(*known, strict=True)))


def over(draws: Factors | None) -> Factors | None:
    """The factors of a reciprocal."""
    return draws and tuple(1 / factor for factor in draws)


def sum_of(*parts: tuple[float, Factors | None]) -> Factors | None:
    """The factors of a sum of (central value, factors)."""
    if all(draws is None for _, draws in parts):
        return None
    total = sum(value for value, _ in parts) or 1.0  # of nothing, which nothing moves
    rows = len(next(draws for _, draws in parts if draws is not None))
    columns = [[value * factor / total for factor in draws or (1.0,) * rows] for value, draws in parts]
    return tuple(map(sum, zip(*columns, strict=True)))


def interval_of(value: float, draws: Factors | None) -> Interval | None:
    """The 10, 50 and 90 % points of a quantity; None where it is known exactly."""
    if draws is None:
        return None
    return Interval(*(value * point for point in points_of(draws)))


@lru_cache(maxsize=256)
def points_of(draws: Factors) -> tuple[float, float, float]:
    """The 10, 50 and 90 % points of draws; quantities that are in proportion share them."""
    ordered = sorted(draws)
    low, middle, high = (at_position(ordered, len(ordered) * level - 0.5) for level in (0.1, 0.5, 0.9))
    return low, middle, high
