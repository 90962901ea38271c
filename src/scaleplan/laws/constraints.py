"""Bounds on N, D and D / N: the best run that keeps to them.

Along a budget the loss has one minimum in N, and to a given loss the compute has one, so the best run within bounds is the
best of all, moved to the nearest bound.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import nan
from typing import Any, NamedTuple

from scaleplan.errors import InputError, NotSupported, UnknownName
from scaleplan.laws.convention import FLOPS_PER_PARAM_TOKEN
from scaleplan.laws.forms import Additive, Frontier
from scaleplan.laws.search import LARGEST, SMALLEST, rising_root
from scaleplan.numeric import is_number, maximum, minimum, where
from scaleplan.wording import field

BOUNDED = ("n_params", "n_tokens", "tokens_per_param")


class Bounds(NamedTuple):
    """At least and at most, in the law's own N."""

    n_params: tuple[float, float] = (SMALLEST, LARGEST)
    n_tokens: tuple[float, float] = (SMALLEST, LARGEST)
    tokens_per_param: tuple[float, float] = (SMALLEST**2, LARGEST)

    def narrowed(self, quantity: str, at_most: bool, bound: float) -> Bounds:
        """With one more bound."""
        if quantity not in BOUNDED:
            raise UnknownName("quantity to bound", quantity, BOUNDED)
        low, high = getattr(self, quantity)
        return self._replace(**{quantity: (low, min(high, bound)) if at_most else (max(low, bound), high)})


class _BoundedConstants(NamedTuple):
    inner: Any
    bounds: Bounds


class Bounded(_BoundedConstants, Frontier):
    """A frontier with bounds on what may be chosen."""

    __slots__ = ()

    def loss(self, n_params: Any, n_tokens: Any) -> Any:
        return self.inner.loss(n_params, n_tokens)

    def params_at_compute(self, flops: Any) -> Any:
        """The best N of the frontier, moved between the bounds: D = C / (6 N) falls with N, and D / N with N^2."""
        through = flops / FLOPS_PER_PARAM_TOKEN
        (n_low, n_high), (d_low, d_high), (r_low, r_high) = self.bounds
        low = maximum(maximum(n_low, through / d_high), (through / r_high) ** 0.5)
        high = minimum(minimum(n_high, through / d_low), (through / r_low) ** 0.5)
        return between(self.inner.params_at_compute(flops), low, high)

    def tokens_at_compute(self, flops: Any, n_params: Any) -> Any:
        return self.inner.tokens_at_compute(flops, n_params)

    def params_at_loss(self, loss_nats: Any) -> Any:
        """The N of least compute that reaches the loss within the bounds; in arrays NaN where none does."""
        law = self.inner
        if not isinstance(law, Additive):
            raise NotSupported("bounds with a loss need a law of the form E + A / N^alpha + B / D^beta", hint=f"bound a {field('compute')}")
        (n_low, n_high), (d_low, d_high), (r_low, r_high) = self.bounds
        reducible = loss_nats - law.e_nats
        endless = (law.a / reducible) ** (1 / law.alpha)  # the N that needs endless data
        low = maximum(maximum(n_low, params_of(law, loss_nats, d_high)), self.params_at_ratio(loss_nats, r_high, endless))
        high = minimum(minimum(n_high, params_of(law, loss_nats, d_low)), self.params_at_ratio(loss_nats, r_low, endless))
        if is_number(high, endless) and not high > endless:
            raise InputError(
                f"no amount of data brings {float(high):.4g} parameters to a loss of {loss_nats} nats",
                hint=f"it takes more than {endless:.4g}",
            )
        found = between(law.params_at_loss(loss_nats), low, high)
        return found if is_number(high, endless) else where(high > endless, found, nan)

    def params_at_ratio(self, loss_nats: Any, ratio: Any, endless: Any) -> Any:
        """The N that reaches the loss on ratio x N tokens."""
        return rising_root(lambda n: loss_nats - self.inner.loss(n, ratio * n), endless)

    def tokens_at_loss(self, n_params: Any, loss_nats: Any) -> Any:
        """The D with which N reaches the loss: (B / (L - E - A / N^alpha))^(1 / beta)."""
        law = self.inner
        return (law.b / (loss_nats - law.e_nats - law.a / n_params**law.alpha)) ** (1 / law.beta)


def params_of(law: Additive, loss_nats: Any, n_tokens: Any) -> Any:
    """The N that reaches a loss on D tokens; where D is too little for any N, more than there is."""
    left = loss_nats - law.e_nats - law.b / n_tokens**law.beta
    if not is_number(left):
        return where(left > 0, (law.a / where(left > 0, left, nan)) ** (1 / law.alpha), LARGEST)
    if left <= 0:
        return LARGEST
    return (law.a / left) ** (1 / law.alpha)


def between(value: Any, low: Any, high: Any) -> Any:
    """The value moved between two bounds; refused where they cross, in arrays NaN."""
    moved, crossed = minimum(maximum(value, low), high), low > high * (1 + 1e-12)
    if not is_number(low, high):
        return where(crossed, nan, moved)
    if crossed:
        raise InputError("nothing keeps to all the bounds at once", hint=f"they ask for N of at least {low:.4g} and at most {high:.4g}")
    return moved


def bounds_of(limits: Sequence[tuple[str, bool, float]], tokens_per_param: float | None = None) -> Bounds | None:
    """From (quantity, at most?, bound) and a fixed ratio; None where nothing is bounded."""
    bounds = Bounds()
    for limit in limits:
        bounds = bounds.narrowed(*limit)
    if tokens_per_param is not None:
        bounds = bounds.narrowed("tokens_per_param", True, tokens_per_param).narrowed("tokens_per_param", False, tokens_per_param)
    return None if bounds == Bounds() else bounds
