"""An independent route to an optimum: the loss itself, searched to 40 digits.

Close to its minimum a function is flat, so that floats find the place to eight digits only.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal, localcontext
from math import log

GOLDEN = (Decimal(5).sqrt() - 1) / 2


def place_of_least(function: Callable[[Decimal], Decimal], low: float, high: float) -> float:
    """Where a function with one minimum is least, by golden section; `low` and `high` are positive and searched by their logarithm."""
    with localcontext() as context:
        context.prec = 40
        left, right = Decimal(log(low)), Decimal(log(high))
        inner, outer = right - GOLDEN * (right - left), left + GOLDEN * (right - left)
        at_inner, at_outer = function(inner.exp()), function(outer.exp())
        while right - left > Decimal("1e-13"):
            if at_inner < at_outer:
                right, outer, at_outer = outer, inner, at_inner
                inner = right - GOLDEN * (right - left)
                at_inner = function(inner.exp())
            else:
                left, inner, at_inner = inner, outer, at_outer
                outer = left + GOLDEN * (right - left)
                at_outer = function(outer.exp())
        return float(((left + right) / 2).exp())
