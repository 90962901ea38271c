"""Mixtures of experts: laws that know how many experts there are, beside N and D."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from scaleplan.laws.forms import Additive
from scaleplan.numeric import log


def effective_experts(n_experts: Any, e_start: Any, e_max: Any) -> Any:
    """E^: the number of experts that counts, between E_start (one expert) and E_max (endless experts).

        1 / E^ = 1 / (E - 1 + 1 / (1 / E_start - 1 / E_max)) + 1 / E_max

    Source: clark2022 equation 9.
    """
    return 1 / (1 / (n_experts - 1 + 1 / (1 / e_start - 1 / e_max)) + 1 / e_max)


class RoutedExperts(NamedTuple):
    """log10 L = a log10 N + b log10 E^ + c log10 N log10 E^ + d, at 130e9 tokens; N is what one token passes.

    Source: clark2022 equation 11 and Table 3.
    """

    a: Any
    b: Any
    c: Any
    d: Any
    e_start: Any
    e_max: Any

    def loss(self, n_params: Any, n_experts: Any) -> Any:
        n, e = log(n_params) / log(10), log(effective_experts(n_experts, self.e_start, self.e_max)) / log(10)
        return 10 ** (self.a * n + self.b * e + self.c * n * e + self.d)

    def useless_from(self) -> Any:
        """N above which more experts no longer help: 10^(-b / c)."""
        return 10 ** (-self.b / self.c)

    def dense_params(self, n_params: Any, n_experts: Any) -> Any:
        """The model without routing that has the same loss.

        >>> s_base = RoutedExperts(-0.082, -0.108, 0.009, 1.104, 1.847, 314.478)
        >>> round(s_base.dense_params(5e6, 128) / 1e6)
        52
        """
        one = log(effective_experts(1, self.e_start, self.e_max)) / log(10)
        wanted = log(self.loss(n_params, n_experts)) / log(10) - self.d - self.b * one
        return 10 ** (wanted / (self.a + self.c * one))


class FineGrainedExperts(NamedTuple):
    """L = c + (g / G^gamma + a) / N^alpha + b / D^beta, for experts cut G times finer. Source: krajewski2024."""

    c: Any
    a: Any
    alpha: Any
    b: Any
    beta: Any
    g: Any
    gamma: Any

    def bracket(self, granularity: Any) -> Any:
        """g / G^gamma + a: what the size of the model leaves unlearned, by granularity."""
        return self.g / granularity**self.gamma + self.a

    def at(self, granularity: Any) -> Additive:
        """The law of N and D at one granularity."""
        return Additive(self.c, self.bracket(granularity), self.b, self.alpha, self.beta)


class JointExperts(NamedTuple):
    """L = a E^^delta N^-(alpha + gamma ln E^) + b E^^omega D^-(beta + zeta ln E^) + c; N is what one token passes.

    Source: ludziejewski2025.
    """

    a: Any
    alpha: Any
    delta: Any
    gamma: Any
    b: Any
    beta: Any
    omega: Any
    zeta: Any
    c: Any
    e_start: Any
    e_max: Any

    def at(self, n_experts: Any) -> Additive:
        """The law of N and D with so many experts."""
        e = effective_experts(n_experts, self.e_start, self.e_max)
        return Additive(
            self.c, self.a * e**self.delta, self.b * e**self.omega, self.alpha + self.gamma * log(e), self.beta + self.zeta * log(e)
        )


class SparseExperts(NamedTuple):
    """L = a / N^alpha + b / D^beta + c / (1 - S)^lambda + d / ((1 - S)^delta N^gamma) + e.

    N counts all experts, S is the share of experts that a token does not use. Source: abnar2025 equation 6 and Table 3.
    """

    a: Any
    alpha: Any
    b: Any
    beta: Any
    c: Any
    lambda_: Any
    d: Any
    delta: Any
    gamma: Any
    e: Any

    def loss(self, n_params: Any, n_tokens: Any, sparsity: Any) -> Any:
        kept = 1 - sparsity
        return (
            self.a / n_params**self.alpha
            + self.b / n_tokens**self.beta
            + self.c / kept**self.lambda_
            + self.d / (kept**self.delta * n_params**self.gamma)
            + self.e
        )


ExpertLaw = RoutedExperts | FineGrainedExperts | JointExperts | SparseExperts
FORMS: Mapping[str, type[RoutedExperts | FineGrainedExperts | JointExperts | SparseExperts]] = {
    "routed-experts": RoutedExperts,
    "fine-grained-experts": FineGrainedExperts,
    "joint-experts": JointExperts,
    "sparse-experts": SparseExperts,
}


def expert_law_of(block: Mapping[str, Any]) -> ExpertLaw:
    """From the `[loss]` block of a preset."""
    form = FORMS[block["form"]]
    return form(**{name: float(block[name.rstrip("_")]) for name in form._fields})
