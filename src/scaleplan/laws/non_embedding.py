"""What a law of all parameters looks like to someone who leaves out the embeddings: why Kaplan and Hoffmann disagree."""

from __future__ import annotations

from typing import Any, NamedTuple

from scaleplan.laws.convention import EMBEDDING_SCALE, total_params, training_flops
from scaleplan.laws.forms import Additive, Frontier
from scaleplan.numeric import log


class _SeenConstants(NamedTuple):
    law: Additive


class WithoutEmbeddings(_SeenConstants, Frontier):
    """The additive law in N without embeddings and C = 6 N D of that N, total parameters N_T = N + 47491 N^(1/3).

    Small models are mostly embeddings, so that N seems to grow faster with C than it does. Source: pearce2024 section 3.
    """

    __slots__ = ()

    def loss(self, n_params: Any, n_tokens: Any) -> Any:
        return self.law.loss(total_params(n_params), n_tokens)

    def balance(self, n_params: Any, n_tokens: Any) -> Any:
        law = self.law
        saved = law.alpha * law.a / total_params(n_params) ** law.alpha
        return growth_of_total(n_params) * saved - law.beta * law.b / n_tokens**law.beta

    def tokens_at_params(self, n_params: Any) -> Any:
        """D = (beta B N_T^alpha / (g alpha A))^(1 / beta), g the growth of the total."""
        return self.law.tokens_at_params(total_params(n_params)) / growth_of_total(n_params) ** (1 / self.law.beta)

    def exponent_between(self, smallest: float, largest: float) -> float:
        """The a of N ~ C^a that a fit to sizes between two finds."""
        sizes = spread_evenly(smallest, largest)
        return slope([self.compute_at_params(n) for n in sizes], sizes)

    def loss_exponent_between(self, smallest: float, largest: float) -> float:
        """The exponent of L ~ C^-x, without a floor, that a fit to sizes between two finds; it is negative."""
        sizes = spread_evenly(smallest, largest)
        losses = [self.loss(n, self.tokens_at_params(n)) for n in sizes]
        return slope([self.compute_at_params(n) for n in sizes], losses)

    def compute_at_params(self, n_params: Any) -> Any:
        """The budget, embeddings left out, for which N is the best size."""
        return training_flops(n_params, self.tokens_at_params(n_params))


def spread_evenly(smallest: float, largest: float, count: int = 100) -> list[float]:
    """Sizes from the smallest to the largest, each larger by the same factor."""
    return [smallest * (largest / smallest) ** (i / (count - 1)) for i in range(count)]


def slope(x: list[float], y: list[float]) -> float:
    """Of log y against log x, by least squares."""
    from statistics import linear_regression

    return linear_regression([log(value) for value in x], [log(value) for value in y]).slope


def growth_of_total(n_params: Any) -> Any:
    """g = d log N_T / d log N = (N + 47491 N^(1/3) / 3) / N_T: a third for tiny models, 1 for large ones.

    >>> round(growth_of_total(768), 3), round(growth_of_total(1e12), 3)
    (0.335, 1.0)
    """
    return (n_params + EMBEDDING_SCALE / 3 * n_params ** (1 / 3)) / total_params(n_params)
