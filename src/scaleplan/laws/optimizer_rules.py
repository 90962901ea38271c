"""Learning rate, batch and weight decay by optimizer: how they go together, and what another optimizer is worth.

A rate means nothing without its optimizer, its parametrisation and its schedule; the constants are in the presets of the laws.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from scaleplan.laws.power import Power
from scaleplan.numeric import exp, log

Optimizer = Literal["adam", "adamw", "muon", "muonh", "soap", "kron"]
ADAM_LIKE = ("adam", "adamw")
FEW_TOKENS_HALF_LIFE = 131_072  # tokens of a batch at which beta2 is 0.999: marin-5951


def weight_decay(batch_tokens: Any, learning_rate: Any, n_tokens: Any, time_share: Any) -> Any:
    """lambda = B / (eta D tau): the decay whose memory lasts a share tau of the run. Linear in the batch. Source: bergsma2025.

    >>> round(weight_decay(1e6, 1e-3, 2e10, 0.224), 3)
    0.223
    """
    return batch_tokens / (learning_rate * n_tokens * time_share)


def decay_time_share(batch_tokens: Any, learning_rate: Any, n_tokens: Any, decay: Any) -> Any:
    """tau = B / (eta lambda D): how long weight decay remembers, as a share of the run. Source: bergsma2025."""
    return batch_tokens / (learning_rate * decay * n_tokens)


def rate_at_batch(learning_rate: Any, batch_tokens: Any, new_batch_tokens: Any) -> Any:
    """The rate for another batch, below B_crit: eta ~ sqrt(B). Source: malladi2022 (Adam)."""
    return learning_rate * (new_batch_tokens / batch_tokens) ** 0.5


def beta2_at_batch(batch_tokens: float) -> float:
    """Adam's beta2 with a half-life in tokens: 0.999^(B / 131072), from 0.95 to 0.9999. Source: marin-5951."""
    return min(max(float(0.999 ** (batch_tokens / FEW_TOKENS_HALF_LIFE)), 0.95), 0.9999)


def compute_ratio(fast: Power, slow: Power, slow_flops: Any) -> Any:
    """Compute with which one optimizer reaches the loss of another at `slow_flops`, as a share of it.

    Both are L = a C^-b along the frontier. Source: liu2025 Table 3.

    >>> muon, adamw = Power(2.506, {"compute_flops": -0.052}), Power(2.608, {"compute_flops": -0.054})
    >>> round(compute_ratio(muon, adamw, 18.0), 3)
    0.519
    """
    return fast.solve(slow.at(compute_flops=slow_flops)) / slow_flops


def gain_between(n_params: Any, sizes: Sequence[float], gains: Sequence[float]) -> Any:
    """A gain between two measured sizes, a power of N; not for sizes outside of them.

    >>> round(gain_between(1e8, [1e8, 1.2e9], [1.4, 1.1]), 3), round(gain_between(1.2e9, [1e8, 1.2e9], [1.4, 1.1]), 3)
    (1.4, 1.1)
    """
    share = log(n_params / sizes[0]) / log(sizes[1] / sizes[0])
    return gains[0] * exp(share * log(gains[1] / gains[0]))
