"""Repeated data: what a second, a tenth and a hundredth pass over the same tokens are worth."""

from __future__ import annotations

from typing import Any, NamedTuple

from scaleplan.laws.forms import Additive, Frontier
from scaleplan.numeric import exp, maximum, minimum


class Repeating(NamedTuple):
    """The additive law with what repeated data and excess parameters are worth.

    r_d_star, r_n_star: repetitions of the data (multiples of the size the data deserve) after which 1 - 1/e of all that
    repetition can give is had. Source: muennighoff2023 equations 5, 6, 16 and 17.
    """

    fresh: Additive
    r_d_star: Any
    r_n_star: Any

    @property
    def most_worth(self) -> Any:
        """What endless passes over one unit of data are worth: 1 + R*."""
        return 1 + self.r_d_star

    @property
    def lost_per_pass(self) -> Any:
        """The share that a pass loses to the one before, in the geometric series that the law approximates: 1 / (1 + R*)."""
        return 1 / (1 + self.r_d_star)

    def data_term_ratio(self, worth: Any, other: Any) -> Any:
        """B / D'^beta at one worth of data over that at another."""
        return (other / worth) ** self.fresh.beta

    def on(self, unique_tokens: Any) -> Repeated:
        """The law where no more than so many different tokens exist."""
        return Repeated(self.fresh, self.r_d_star, self.r_n_star, unique_tokens)


class _RepeatedConstants(NamedTuple):
    fresh: Additive
    r_d_star: Any
    r_n_star: Any
    unique_tokens: Any


class Repeated(_RepeatedConstants, Frontier):
    """L = E + A / N'^alpha + B / D'^beta with D tokens seen of which U are different.

    D' = U + U R* (1 - exp(-R / R*)),   R = D / U - 1, the repetitions
    N' likewise, from U_N = the size that U fresh tokens deserve

    >>> law = Additive(1.8693, 520.8, 1487.7, 0.3526596, 0.3526596)
    >>> round(Repeated(law, 15.387756, 5.309743, 25e9).loss(6.34e9, 242e9), 3)
    2.226
    """

    __slots__ = ()

    def loss(self, n_params: Any, n_tokens: Any) -> Any:
        return self.fresh.loss(self.effective_params(n_params, n_tokens), self.effective_tokens(n_tokens))

    def epochs(self, n_tokens: Any) -> Any:
        """Passes over the different tokens, at least one."""
        return maximum(n_tokens / self.unique_tokens, 1.0)

    def effective_tokens(self, n_tokens: Any) -> Any:
        """D': the fresh tokens that are worth as much."""
        return saturated(n_tokens, minimum(n_tokens, self.unique_tokens), self.r_d_star)

    def effective_params(self, n_params: Any, n_tokens: Any) -> Any:
        """N': the parameters that the different tokens can feed."""
        return saturated(n_params, self.deserved_params(n_params, n_tokens), self.r_n_star)

    def deserved_params(self, n_params: Any, n_tokens: Any) -> Any:
        """U_N: the best size for one pass over the different tokens, at most N."""
        return minimum(n_params, self.fresh.params_at_tokens(minimum(n_tokens, self.unique_tokens)))

    def savings(self, n_params: Any, n_tokens: Any) -> tuple[Any, Any]:
        """As of the additive law, each term times what 1 % more of N (of D) adds to N' (to D')."""
        more_params = marginal(n_params, self.deserved_params(n_params, n_tokens), self.r_n_star)
        more_tokens = marginal(n_tokens, minimum(n_tokens, self.unique_tokens), self.r_d_star)
        law, n, d = self.fresh, self.effective_params(n_params, n_tokens), self.effective_tokens(n_tokens)
        return more_params * law.alpha * law.a / n**law.alpha, more_tokens * law.beta * law.b / d**law.beta


def saturated(amount: Any, base: Any, r_star: Any) -> Any:
    """U + U R* (1 - exp(-R / R*)) with R = amount / U - 1: the first U count in full, the rest less and less.

    >>> round(saturated(5.0, 1.0, 3.0), 2)
    3.21
    """
    return base + base * r_star * (1 - exp(-(amount / base - 1) / r_star))


def geometric(passes: Any, lost: Any) -> Any:
    """Worth of whole passes over one unit where each is worth a share `lost` less than the one before: (1 - (1 - lost)^passes) / lost.

    The form that `saturated` approximates, with R* = (1 - lost) / lost. Source: muennighoff2023 appendix A.

    >>> round(geometric(5, 0.25), 2)
    3.05
    """
    return (1 - (1 - lost) ** passes) / lost


def marginal(amount: Any, base: Any, r_star: Any) -> Any:
    """d log saturated / d log amount: 1 before anything is repeated, falling to 0."""
    return amount * exp(-(amount / base - 1) / r_star) / saturated(amount, base, r_star)
