"""Counts that articles print in closed form, for plain transformers: a second route to what the bill of materials adds up.

Names are those of the sources' shapes: L layers, width d, inner width f, heads times head width (k h), vocabulary V, sequence s.
"""

from __future__ import annotations

from typing import Any


def megatron_params(n_layers: Any, d_model: Any, n_vocab: Any, seq_len: Any) -> Any:
    """12 L h^2 + 13 L h + (V + s) h. Source: narayanan2021 equation 2; the final norm is left out.

    >>> megatron_params(80, 12288, 51200, 2048)
    145622237184
    """
    return 12 * n_layers * d_model**2 + 13 * n_layers * d_model + (n_vocab + seq_len) * d_model


def megatron_recompute_flops(n_layers: Any, d_model: Any, n_vocab: Any, seq_len: Any) -> Any:
    """FLOP of training on one token, every layer run forward twice: 96 L h^2 + 16 L h s + 6 h V. Source: narayanan2021 equation 3."""
    return 96 * n_layers * d_model**2 + 16 * n_layers * d_model * seq_len + 6 * d_model * n_vocab


def chinchilla_params(n_layers: Any, d_model: Any, d_ff: Any, n_heads: Any, d_head: Any, n_vocab: Any) -> Any:
    """L (5 d k h + 2 d f) + V d: a fifth projection for relative positions, one embedding. Source: hoffmann2022 table A9, recomputed.

    >>> chinchilla_params(16, 1024, 4096, 16, 64, 32000)
    250871808
    """
    return n_layers * (5 * d_model * n_heads * d_head + 2 * d_model * d_ff) + n_vocab * d_model


def deepseek_flops_per_token(n_layers: Any, d_model: Any, seq_len: Any) -> Any:
    """M = 72 L d^2 + 12 L d s: training FLOP of a token without the vocabulary. Source: deepseek2024 equation 2.

    >>> deepseek_flops_per_token(30, 4096, 4096)
    42278584320
    """
    return 72 * n_layers * d_model**2 + 12 * n_layers * d_model * seq_len


def kaplan_params(n_layers: Any, d_model: Any) -> Any:
    """12 L d^2, for heads that fill the width and an inner width of 4 d. Source: kaplan2020 equation 2.1.

    >>> kaplan_params(36, 1280)
    707788800
    """
    return 12 * n_layers * d_model**2


def layer_activation_bytes(seq_len: Any, batch_size_seqs: Any, d_model: Any, n_heads: Any) -> Any:
    """s b h (34 + 5 a s / h) in 16 bits, nothing recomputed, no parallelism. Source: korthikanti2022 equation 1.

    >>> layer_activation_bytes(2048, 1, 12288, 96)
    2868903936
    """
    return seq_len * batch_size_seqs * (34 * d_model + score_activation_bytes(seq_len, n_heads))


def score_activation_bytes(seq_len: Any, n_heads: Any) -> Any:
    """5 a s: bytes that the attention square keeps for each token, which selective recomputation saves. Source: korthikanti2022."""
    return 5 * n_heads * seq_len


def selective_recompute_fraction(seq_len: Any, d_model: Any) -> Any:
    """What selective recomputation adds, as a share of the layers' training FLOP, by the article: s / (6 h).

    One more forward pass over the attention square is a third of that, 4 s^2 h of 72 s h^2: `flops.recomputed_flops` counts
    so. Source: korthikanti2022 section 5.
    """
    return seq_len / (6 * d_model)
