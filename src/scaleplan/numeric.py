"""The few functions that serve numbers and numpy arrays alike; numpy is touched only when an array is handed in.

Formulas use operators and these. Parameters and bytes are ints (int64 in arrays). FLOP of a batch or a run are Python ints
for one model and float64 in arrays, because int64 overflows silently above 9.2e18: `floats` makes that change of type.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import reduce
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from numpy.typing import NDArray

Real: TypeAlias = "int | float | NDArray[Any]"
"""A number, or a numpy array of them."""

NUMBERS = (int, float, bool)


def is_number(*values: Any) -> bool:
    """Whether every value is a plain Python number."""
    return all(isinstance(value, NUMBERS) for value in values)


def maximum(a: Real, b: Real) -> Any:
    """The larger of two, element by element for arrays."""
    if is_number(a, b):
        return a if a >= b else b
    import numpy as np

    return np.maximum(a, b)


def minimum(a: Real, b: Real) -> Any:
    """The smaller of two, element by element for arrays."""
    if is_number(a, b):
        return a if a <= b else b
    import numpy as np

    return np.minimum(a, b)


LARGEST_EXACT_QUOTIENT = 2**53
"""Below it, whole a and b divided as 64-bit floats and rounded are exact: the quotient is further from a whole number than its
rounding error. Hardware divides floats several times faster than 64-bit ints."""


def ceil_div(a: Real, b: Real) -> Any:
    """a / b rounded up, exact for ints of any size."""
    if is_number(a, b) or not below_exact(a):
        return -(-a // b)
    import numpy as np

    return np.ceil(a / b).astype(np.int64)


def floor_div(a: Real, b: Real) -> Any:
    """a / b rounded down, exact for ints of any size."""
    if is_number(a, b) or not below_exact(a):
        return a // b
    import numpy as np

    return np.floor(a / b).astype(np.int64)


def below_exact(a: Any) -> bool:
    """Whether every number is so small that a division of floats is exact."""
    largest = (
        abs(a) if is_number(a) else max(abs(int(a.min())), abs(int(a.max()))) if a.size and a.dtype.kind == "i" else LARGEST_EXACT_QUOTIENT
    )
    return bool(largest < LARGEST_EXACT_QUOTIENT)


def floor(x: Real) -> Any:
    """Rounded down, an int or an array of ints."""
    return int(x // 1) if isinstance(x, int | float) else (x // 1).astype("int64")


def is_zero(value: Any) -> bool:
    """Whether a count says that something is absent; an array never does."""
    return isinstance(value, int) and value == 0


def maximum_of(values: Iterable[Any]) -> Any:
    """The largest of several sizes, numbers or arrays; 0 of none."""
    return reduce(maximum, values, 0)


def where(condition: Any, yes: Any, no: Any) -> Any:
    """`yes` where the condition holds, else `no`."""
    if isinstance(condition, bool):
        return yes if condition else no
    import numpy as np

    return np.where(condition, yes, no)


def log(x: Real) -> Any:
    """Natural logarithm."""
    if is_number(x):
        return math.log(x)
    import numpy as np

    return np.log(x)


def exp(x: Real) -> Any:
    """e to the x."""
    if is_number(x):
        return math.exp(x)
    import numpy as np

    return np.exp(x)


def log2(x: Real) -> Any:
    """Logarithm to the base 2."""
    if is_number(x):
        return math.log2(x)
    import numpy as np

    return np.log2(x)


def floats(x: Real) -> Any:
    """An array as float64, so that products of FLOP cannot overflow; a Python number as it is (ints are exact at any size)."""
    return x if isinstance(x, int | float) else x.astype(float)


def product(values: Any) -> Any:
    """The product of a sequence of numbers or arrays."""
    result: Any = 1
    for value in values:
        result = result * value
    return result


def quantile(values: Iterable[float], level: float) -> float:
    """The value below which a share `level` lies, interpolated linearly between neighbours (numpy's default).

    >>> quantile([3.0, 1.0, 2.0], 0.5)
    2.0
    """
    ordered = sorted(values)
    return at_position(ordered, level * (len(ordered) - 1))


def at_position(ordered: Sequence[float], position: float) -> float:
    """The value at a position of a row in rising order, interpolated linearly between neighbours."""
    below = min(int(position), len(ordered) - 1)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (position - below) * (ordered[above] - ordered[below])
