"""The forms of L(N, D): what a fit says of the loss, and where it puts the optimum.

A constant is a number, or an array of draws of it: `Additive(*columns)` is a thousand laws at once, and the same formulas
serve both. N counts parameters as the law's preset says, D tokens, C FLOP, the loss is in nats per token (where a law
measures something else, its preset says so).
"""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

from scaleplan.laws.convention import FLOPS_PER_PARAM_TOKEN
from scaleplan.laws.search import rising_root


class Frontier:
    """The best N and D along a budget 6 N D, for any smooth loss of both.

    A form gives `loss(n, d)` and `savings(n, d)`: what 1 % more parameters would save, and what 1 % more tokens would. Their
    difference, `balance(n, d)`, per unit of the compute they cost, is zero at the optimum, falls with N and rises with D; so
    every question is one root. Forms whose costs differ override it, and forms with a closed answer the rest.
    """

    __slots__ = ()

    def loss(self, n_params: Any, n_tokens: Any) -> Any:
        raise NotImplementedError  # each form gives its own

    def savings(self, n_params: Any, n_tokens: Any) -> tuple[Any, Any]:
        raise NotImplementedError  # each form gives its own

    def balance(self, n_params: Any, n_tokens: Any) -> Any:
        by_params, by_tokens = self.savings(n_params, n_tokens)
        return by_params - by_tokens

    def params_at_compute(self, flops: Any) -> Any:
        """N of least loss at 6 N D = C."""
        return rising_root(lambda n: -self.balance(n, flops / FLOPS_PER_PARAM_TOKEN / n))

    def tokens_at_params(self, n_params: Any) -> Any:
        """The D with which N is the best size."""
        return rising_root(lambda d: self.balance(n_params, d))

    def params_at_tokens(self, n_tokens: Any) -> Any:
        """The N for which D is the best amount of data."""
        return rising_root(lambda n: -self.balance(n, n_tokens))

    def params_at_loss(self, loss_nats: Any) -> Any:
        """N of the cheapest run that reaches a loss."""
        tokens = rising_root(lambda d: loss_nats - self.loss(self.params_at_tokens(d), d))
        return self.params_at_tokens(tokens)

    def tokens_at_compute(self, flops: Any, n_params: Any) -> Any:
        """What is left of a budget for tokens: D = C / (6 N)."""
        return flops / FLOPS_PER_PARAM_TOKEN / n_params

    def tokens_at_loss(self, n_params: Any, loss_nats: Any) -> Any:  # noqa: ARG002 - a frontier with bounds uses it
        """D of the cheapest run that reaches a loss, from its N."""
        return self.tokens_at_params(n_params)

    def least_loss(self, flops: Any) -> Any:
        """The loss at the optimum."""
        n = self.params_at_compute(flops)
        return self.loss(n, flops / FLOPS_PER_PARAM_TOKEN / n)


class _AdditiveConstants(NamedTuple):
    e_nats: Any
    a: Any
    b: Any
    alpha: Any
    beta: Any


class Additive(_AdditiveConstants, Frontier):
    """L = E + A / N^alpha + B / D^beta.

    Source: hoffmann2022 equations 2 to 4 and 10.

    >>> round(Additive(1.8172, 482.01, 2085.43, 0.3478, 0.3658).loss(70e9, 1.4e12), 4)
    1.9739
    """

    __slots__ = ()

    FORMULAS: ClassVar = {
        "loss_nats": "e_nats + a / n_params ** alpha + b / n_tokens ** beta",
        "params_at_compute": "(alpha * a / (beta * b)) ** (1 / (alpha + beta)) * (compute_flops / 6) ** (beta / (alpha + beta))",
        "tokens_at_params": "(beta * b * n_params ** alpha / (alpha * a)) ** (1 / beta)",
        "params_at_tokens": "(alpha * a * n_tokens ** beta / (beta * b)) ** (1 / alpha)",
        "params_at_loss": "(a * (1 + alpha / beta) / (loss_nats - e_nats)) ** (1 / alpha)",
    }

    def loss(self, n_params: Any, n_tokens: Any) -> Any:
        return self.e_nats + self.a / n_params**self.alpha + self.b / n_tokens**self.beta

    def savings(self, n_params: Any, n_tokens: Any) -> tuple[Any, Any]:
        return self.alpha * self.a / n_params**self.alpha, self.beta * self.b / n_tokens**self.beta

    @property
    def exponent(self) -> Any:
        """a of N ~ C^a: beta / (alpha + beta)."""
        return self.beta / (self.alpha + self.beta)

    @property
    def prefactor(self) -> Any:
        """G of N = G (C / 6)^a: (alpha A / (beta B))^(1 / (alpha + beta))."""
        return (self.alpha * self.a / (self.beta * self.b)) ** (1 / (self.alpha + self.beta))

    def params_at_compute(self, flops: Any) -> Any:
        """N = G (C / 6)^(beta / (alpha + beta))."""
        return self.prefactor * (flops / FLOPS_PER_PARAM_TOKEN) ** self.exponent

    def tokens_at_params(self, n_params: Any) -> Any:
        """D = (beta B N^alpha / (alpha A))^(1 / beta)."""
        return (self.beta * self.b * n_params**self.alpha / (self.alpha * self.a)) ** (1 / self.beta)

    def params_at_tokens(self, n_tokens: Any) -> Any:
        """N = (alpha A D^beta / (beta B))^(1 / alpha)."""
        return (self.alpha * self.a * n_tokens**self.beta / (self.beta * self.b)) ** (1 / self.alpha)

    def params_at_loss(self, loss_nats: Any) -> Any:
        """N = (A (1 + alpha / beta) / (L - E))^(1 / alpha)."""
        return (self.a * (1 + self.alpha / self.beta) / (loss_nats - self.e_nats)) ** (1 / self.alpha)


class _KaplanConstants(NamedTuple):
    n_c: Any
    d_c: Any
    alpha_n: Any
    alpha_d: Any


class KaplanLoss(_KaplanConstants):
    """L(N, D) = ((N_c / N)^(alpha_N / alpha_D) + D_c / D)^alpha_D, trained on D tokens until it stops improving.

    Source: kaplan2020 equation 1.5 with the constants of its Table 2; not the sum of L(N) and L(D).

    >>> round(KaplanLoss(6.4e13, 1.8e13, 0.076, 0.103).loss(1e9, 2.29e10), 3)
    2.368
    """

    __slots__ = ()

    FORMULAS: ClassVar = {"loss_nats": "((n_c / n_params) ** (alpha_n / alpha_d) + d_c / n_tokens) ** alpha_d"}

    def loss(self, n_params: Any, n_tokens: Any) -> Any:
        return ((self.n_c / n_params) ** (self.alpha_n / self.alpha_d) + self.d_c / n_tokens) ** self.alpha_d

    def overfit(self, n_params: Any, n_tokens: Any) -> Any:
        """L(N, D) / L(N, infinite data) - 1. Source: kaplan2020 equation 4.3."""
        return (1 + (n_params / self.n_c) ** (self.alpha_n / self.alpha_d) * self.d_c / n_tokens) ** self.alpha_d - 1

    def tokens_at_overfit(self, n_params: Any, overfit: Any) -> Any:
        """The data that keep overfitting to a share of the loss. Source: kaplan2020 equation 4.4.

        >>> round(KaplanLoss(6.4e13, 1.8e13, 0.076, 0.103).tokens_at_overfit(1e9, 0.02) / 1e9)
        24
        """
        return (n_params / self.n_c) ** (self.alpha_n / self.alpha_d) * self.d_c / ((1 + overfit) ** (1 / self.alpha_d) - 1)
