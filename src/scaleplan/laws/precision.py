"""Training in few bits: precision as a loss of effective parameters, and sparsity as a change of the constants."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from scaleplan.laws.forms import Additive
from scaleplan.laws.law import Law
from scaleplan.laws.search import rising_root
from scaleplan.numeric import exp


def kept_share(bits: Any, gamma: Any) -> Any:
    """1 - exp(-P / gamma): the share of the parameters that P bits keep useful. Source: kumar2024 equation 3.

    >>> round(kept_share(8, 2.6745), 3)
    0.95
    """
    return 1 - exp(-bits / gamma)


class Precision(NamedTuple):
    """N_eff = N (1 - exp(-P_w / g_w)) (1 - exp(-P_a / g_a)) (1 - exp(-P_kv / g_kv)) of weights, activations and KV cache."""

    gamma_w: Any
    gamma_a: Any
    gamma_kv: Any

    def effective_share(self, weight_bits: Any, activation_bits: Any, cache_bits: Any) -> Any:
        """N_eff / N."""
        return kept_share(weight_bits, self.gamma_w) * kept_share(activation_bits, self.gamma_a) * kept_share(cache_bits, self.gamma_kv)


def in_bits(law: Law, precision: Precision, bits: float, usual_bits: float = 16) -> Law:
    """A law fitted on runs in 16 bits, for training in others: the share of N that stays useful, against that in 16 bits."""
    share = precision.effective_share(bits, bits, bits) / precision.effective_share(usual_bits, usual_bits, usual_bits)
    changed = with_effective_share(law.additive, share)
    return law._replace(loss=changed, frontier=changed, draws=[with_effective_share(draw, share) for draw in law.draws])


def with_effective_share(law: Additive, share: Any) -> Additive:
    """A law of N_eff as a law of N: A grows by share^-alpha."""
    return law._replace(a=law.a / share**law.alpha)


def best_bits(precision: Precision) -> Any:
    """P of weights, activations and cache alike that spends a budget ~ N D P best, where alpha = beta.

    Then N_eff D = C prod (1 - exp(-P / g)) / P is to be largest, which is where

        sum over the three of (P / g) exp(-P / g) / (1 - exp(-P / g)) = 1

    Source: kumar2024 equation 5. With one g for all three P is 1.904 g:

    >>> round(best_bits(Precision(1.0, 1.0, 1.0)), 3)
    1.904
    """

    def lacking(bits: Any) -> Any:
        """1 less what one more bit keeps, against what it costs."""
        return 1 - sum(bits / gamma * exp(-bits / gamma) / kept_share(bits, gamma) for gamma in precision)

    return rising_root(lacking, 1e-3, 1e2)


class Sparse(NamedTuple):
    """L = (a_S (1 - S)^b_S + c_S) N^-b_N + (a_D / D)^b_D + c, N the weights that are not zero. Source: frantar2023."""

    a_s: Any
    b_s: Any
    c_s: Any
    b_n: Any
    a_d: Any
    b_d: Any
    c: Any

    def at(self, sparsity: Any) -> Additive:
        """The law of N and D at one sparsity."""
        return Additive(self.c, self.a_s * (1 - sparsity) ** self.b_s + self.c_s, self.a_d**self.b_d, self.b_n, self.b_d)


def precision_of(block: Mapping[str, Any]) -> Precision:
    """From the `[precision]` block of a preset."""
    return Precision(*(float(block[name]) for name in Precision._fields))


def sparse_of(block: Mapping[str, Any]) -> Sparse:
    """From the `[loss]` block of a preset of form `sparsity`."""
    return Sparse(**{name: float(block[name]) for name in Sparse._fields})
