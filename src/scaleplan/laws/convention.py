"""Which N, which C: the conventions in which laws differ, and the conversions between them.

Constants of one law never meet the N of another: what a law counts is written in its preset (`n_params = "total"` or
`"non_embedding"`), and every conversion is a function of this file.
"""

from __future__ import annotations

from typing import Any

from scaleplan.errors import NotSupported
from scaleplan.numeric import exp, log

FLOPS_PER_PARAM_TOKEN = 6  # 2 forward, 2 for the gradient of the activations, 2 for that of the weights
INFERENCE_FLOPS_PER_PARAM_TOKEN = 2
TOTAL = "total"
NON_EMBEDDING = "non_embedding"
EMBEDDING_SCALE = 47491  # pearce2024: 32k vocabulary, width about 39 times the depth


def training_flops(n_params: Any, n_tokens: Any) -> Any:
    """6 N D.

    >>> training_flops(10**9, 2 * 10**11)
    1200000000000000000000
    """
    return FLOPS_PER_PARAM_TOKEN * n_params * n_tokens


def inference_flops(n_params: Any, n_tokens: Any) -> Any:
    """2 N D: a forward pass."""
    return INFERENCE_FLOPS_PER_PARAM_TOKEN * n_params * n_tokens


def total_params(non_embedding: Any) -> Any:
    """N_total = N + 47491 N^(1/3) for a usual shape and a vocabulary of 32k.

    Source: pearce2024 section 3 (the Chinchilla models; an estimate elsewhere).

    >>> round(total_params(1e9))
    1047491000
    """
    return non_embedding + EMBEDDING_SCALE * non_embedding ** (1 / 3)


def non_embedding_params(total: Any) -> Any:
    """The N whose total is given: the real root of x^3 + w x = N_total with x = N^(1/3).

    x = 2 s sinh(asinh(N_total / (2 s^3)) / 3),   s = sqrt(w / 3)

    >>> round(non_embedding_params(total_params(1e9)))
    1000000000
    """
    s = (EMBEDDING_SCALE / 3) ** 0.5
    ratio = total / (2 * s**3)
    third = log(ratio + (ratio * ratio + 1) ** 0.5) / 3
    return (s * (exp(third) - exp(-third))) ** 3


def converted_params(n_params: Any, kind: str, wanted: str) -> Any:
    """N of one kind as the other."""
    if kind == wanted:
        return n_params
    if (kind, wanted) == (NON_EMBEDDING, TOTAL):
        return total_params(n_params)
    if (kind, wanted) == (TOTAL, NON_EMBEDDING):
        return non_embedding_params(n_params)
    raise NotSupported(f"no conversion from `{kind}` to `{wanted}` parameters")


def bits_per_byte(loss_nats: Any, bytes_per_token: Any) -> Any:
    """nats per token / (ln 2 x bytes per token)."""
    return loss_nats / (log(2) * bytes_per_token)
