"""Weights and operations of every kind of mixer: attention in its forms, state spaces, convolutions, recurrences.

Each function takes the mixer, the width of the model and the stream, and returns what one layer has of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from scaleplan.model.arch import (
    Attention,
    CompressedAttention,
    GatedDelta,
    HashedAttention,
    Indexer,
    LatentAttention,
    LinearAttention,
    Lstm,
    Mamba,
    Mamba2,
    Mixer,
    Norm,
    RgLru,
    Rwkv,
    ShortConv,
    Size,
    Span,
)
from scaleplan.model.items import Operation, Weight, linear, norm_weights, vector

Parts: TypeAlias = tuple[list[Weight], list[Operation]]

RMS = Norm("rms", 1)
LAYER = Norm("layer", 2)


def mixer_parts(mixer: Mixer | None, d_model: Size, stream: str) -> Parts:
    """Weights and operations of one layer's mixer."""
    if mixer is None:
        return [], []
    return PARTS[type(mixer)](mixer, d_model, stream)


# ---------------------------------------------------------------------------------------------------------------- attention


def attention(mixer: Attention, d_model: Size, stream: str) -> Parts:
    """Projections and scores of softmax attention.

        d_model n_heads d_head            Q (twice with an output gate as wide as the queries)
        d_model n_kv_heads d_head         K
        d_model n_kv_heads d_value        V
        n_heads d_value d_model           output
        2 n_heads (d_head + d_value)      FLOP for each pair of query and key

    K and V of cross-attention are made from the other stream's tokens.
    Sources: vaswani2017 section 3.2.2; ainslie2023 (fewer K and V heads).
    """
    keys = mixer.keys or stream
    weights = projections(mixer, d_model, stream, keys)
    if mixer.gate == "head":
        weights += linear("output gate", "attention", d_model, mixer.n_heads, column=mixer.n_heads, stream=stream)
    weights += linear("output", "attention", mixer.n_heads * mixer.d_value, d_model, bias=mixer.out_bias, row=mixer.n_heads, stream=stream)
    weights += query_key_norms(mixer, stream, keys)
    if mixer.sinks:
        weights.append(vector("sinks", "attention", mixer.n_heads, stream, tp_ways=mixer.n_heads))
    per_pair = 2 * mixer.n_heads * (mixer.d_head + mixer.d_value)
    if mixer.relative:
        weights += linear("relative positions", "attention", d_model, mixer.n_heads * mixer.d_head, column=mixer.n_heads, stream=stream)
        per_pair = per_pair + 2 * mixer.n_heads * mixer.d_head
    name = "attention scores" if mixer.keys is None else "cross-attention scores"
    scores = Operation(
        name,
        per_pair=per_pair,
        queries=stream,
        keys=keys,
        span=mixer.span,
        causal=mixer.causal and mixer.keys is None,
        tp_ways=mixer.n_heads,
    )
    return weights, [scores]


def projections(mixer: Attention, d_model: Size, stream: str, keys: str) -> list[Weight]:
    """Q, K and V, in one tensor or in three."""
    bias, heads, kv_heads = mixer.qkv_bias, mixer.n_heads, mixer.n_kv_heads
    q_width = heads * mixer.d_head * (2 if mixer.gate == "width" else 1)
    k_width, v_width = kv_heads * mixer.d_head, kv_heads * mixer.d_value
    if mixer.fused:
        return linear("Q, K, V", "attention", d_model, q_width + k_width + v_width, bias=bias, column=heads, stream=stream)
    weights = linear("Q", "attention", d_model, q_width, bias=bias, column=heads, stream=stream)
    if mixer.share_keys_values != "layer":
        weights += linear("K", "attention", d_model, k_width, bias=bias, column=kv_heads, stream=keys)
        if mixer.share_keys_values != "same":
            weights += linear("V", "attention", d_model, v_width, bias=bias, column=kv_heads, stream=keys)
    return weights


def query_key_norms(mixer: Attention, stream: str, keys: str) -> list[Weight]:
    """Scales of the norms of queries and keys."""
    if mixer.qk_norm is None:
        return []
    norm = Norm("rms" if mixer.qk_norm_vectors == 1 else "layer", mixer.qk_norm_vectors)
    shared = mixer.qk_norm == "head"
    weights = norm_weights("Q norm", norm, mixer.d_head if shared else mixer.n_heads * mixer.d_head, stream)
    if mixer.share_keys_values != "layer":
        weights += norm_weights("K norm", norm, mixer.d_head if shared else mixer.n_kv_heads * mixer.d_head, keys)
    return weights


def latent_attention(mixer: LatentAttention, d_model: Size, stream: str) -> Parts:
    """Projections through narrow vectors, and scores at full head width.

        d_model q_rank + q_rank n_heads (d_nope + d_rope)                  Q (one full matrix without a rank)
        d_model (kv_rank + d_rope) + kv_rank n_heads (d_nope + d_value)    K and V
        n_heads d_value d_model                                            output

    Source: deepseek2024-v2 section 2.1.
    """
    heads, bias, d_query = mixer.n_heads, mixer.bias, mixer.d_nope + mixer.d_rope
    weights: list[Weight] = []
    if mixer.q_rank is None:
        weights += linear("Q", "attention", d_model, heads * d_query, column=heads, stream=stream)
    else:
        weights += linear("Q down", "attention", d_model, mixer.q_rank, bias=bias, stream=stream)
        weights += norm_weights("Q down norm", RMS, mixer.q_rank, stream)
        weights += linear("Q up", "attention", mixer.q_rank, heads * d_query, column=heads, stream=stream)
    weights += linear("KV down", "attention", d_model, mixer.kv_rank + mixer.d_rope, bias=bias, stream=stream)
    weights += norm_weights("KV down norm", RMS, mixer.kv_rank, stream)
    weights += linear("KV up", "attention", mixer.kv_rank, heads * (mixer.d_nope + mixer.d_value), column=heads, stream=stream)
    weights += linear("output", "attention", heads * mixer.d_value, d_model, bias=bias, row=heads, stream=stream)
    per_pair = 2 * heads * (d_query + mixer.d_value)
    operations = [Operation("attention scores", per_pair=per_pair, queries=stream, keys=stream, causal=mixer.causal, tp_ways=heads)]
    if mixer.indexer is not None:
        more_weights, more_operations = indexer(mixer.indexer, mixer.q_rank, d_model, stream)
        weights, operations = weights + more_weights, operations + more_operations
    return weights, operations


def indexer(spec: Indexer, q_rank: Size, d_model: Size, stream: str) -> Parts:
    """The lightning indexer: its own narrow queries against one shared key (deepseek2025-v3.2)."""
    weights = linear("indexer Q", "attention", q_rank, spec.n_heads * spec.d_head, stream=stream)
    weights += linear("indexer K", "attention", d_model, spec.d_head, stream=stream)
    weights += norm_weights("indexer K norm", LAYER, spec.d_head, stream)
    weights += linear("indexer weights", "attention", d_model, spec.n_heads, stream=stream)
    return weights, [Operation("indexer scores", per_pair=2 * spec.n_heads * spec.d_head, queries=stream, keys=stream)]


def compressed_attention(mixer: CompressedAttention, d_model: Size, stream: str) -> Parts:
    """One key and value for all heads, an output in groups, and compressed keys for what lies beyond the window.

        d_model q_rank + q_rank n_heads d_head + d_model d_head             Q, and what is both K and V
        n_heads d_head output_rank + n_output_groups output_rank d_model    output
        2 d_model d_head + rate d_head                                      compression: values, weights, position biases

    With an indexer compressed keys overlap, which doubles their projections.
    """
    heads, wide, groups = mixer.n_heads, mixer.n_heads * mixer.d_head, mixer.n_output_groups
    weights = linear("Q down", "attention", d_model, mixer.q_rank, stream=stream)
    weights += norm_weights("Q down norm", RMS, mixer.q_rank, stream)
    weights += linear("Q up", "attention", mixer.q_rank, wide, column=heads, stream=stream)
    weights += linear("KV", "attention", d_model, mixer.d_head, stream=stream)
    weights += norm_weights("KV norm", RMS, mixer.d_head, stream)
    weights += linear("output down", "attention", wide // groups, groups * mixer.output_rank, row=groups, stream=stream)
    weights += linear("output up", "attention", groups * mixer.output_rank, d_model, row=groups, stream=stream)
    weights.append(vector("sinks", "attention", heads, stream, tp_ways=heads))
    seen, picked = Span(local=mixer.window, masked=False), mixer.indexer
    operations = []
    if picked is not None:
        weights += compressor("", 2 * mixer.d_head, mixer.d_head, mixer.rate, d_model, stream)
        weights += compressor("indexer ", 2 * picked.d_head, picked.d_head, mixer.rate, d_model, stream)
        weights += linear("indexer Q", "attention", mixer.q_rank, picked.n_heads * picked.d_head, stream=stream)
        weights += linear("indexer weights", "attention", d_model, picked.n_heads, stream=stream)
        seen = seen._replace(n_random=picked.n_keys)
        searched = Span(stride=mixer.rate, masked=False)
        scores = 2 * picked.n_heads * picked.d_head
        operations.append(Operation("indexer scores", per_pair=scores, queries=stream, keys=stream, span=searched))
    elif mixer.rate:
        weights += compressor("", mixer.d_head, mixer.d_head, mixer.rate, d_model, stream)
        seen = seen._replace(stride=mixer.rate)
    scores = Operation("attention scores", per_pair=4 * wide, queries=stream, keys=stream, span=seen, tp_ways=heads)
    return weights, [scores, *operations]


def compressor(name: str, wide: Size, d_norm: Size, rate: Size, d_model: Size, stream: str) -> list[Weight]:
    """Values, the weights that they are summed by, and a bias for each place in a block."""
    weights = linear(f"{name}compressed KV", "attention", d_model, wide, stream=stream)
    weights += linear(f"{name}compression gate", "attention", d_model, wide, stream=stream)
    weights.append(Weight(f"{name}compression positions", "attention", (rate, wide), matmul=False, stream=stream))
    return weights + norm_weights(f"{name}compressed KV norm", RMS, d_norm, stream)


def linear_attention(mixer: LinearAttention, d_model: Size, stream: str) -> Parts:
    """Projections, and a d_head x d_value state for each head that every token updates and reads (katharopoulos2020)."""
    heads, bias = mixer.n_heads, mixer.bias
    wide = heads * mixer.d_value
    q_and_k = [("Q", heads * mixer.d_head), ("K", heads * mixer.d_head), ("V", wide)]
    parts = [("Q, K, V", 2 * heads * mixer.d_head + wide)] if mixer.fused else q_and_k
    weights: list[Weight] = []
    for name, width in parts + ([("output gate", wide)] if mixer.gate else []):
        weights += linear(name, "mixer", d_model, width, bias=bias, column=heads, stream=stream)
    weights += linear("output", "mixer", wide, d_model, bias=bias, row=heads, stream=stream)
    if mixer.norm:
        weights += norm_weights("output norm", RMS, wide, stream)
    state = Operation("state", per_token=4 * heads * mixer.d_head * mixer.d_value, queries=stream, keys=stream, tp_ways=heads)
    return weights, [state]


def hashed_attention(mixer: HashedAttention, d_model: Size, stream: str) -> Parts:
    """Shared queries and keys; each round sorts by hash and sees its own chunk and the one before (kitaev2020)."""
    heads, wide = mixer.n_heads, mixer.n_heads * mixer.d_head
    weights: list[Weight] = []
    for name in ("QK", "V"):
        weights += linear(name, "attention", d_model, wide, bias=mixer.bias, column=heads, stream=stream)
    weights += linear("output", "attention", wide, d_model, bias=mixer.bias, row=heads, stream=stream)
    scores = mixer.rounds * 2 * mixer.chunk * 4 * wide
    hashing = mixer.rounds * wide * mixer.n_buckets  # random rotations, half of them by sign
    return weights, [
        Operation("attention scores", per_token=scores, queries=stream, keys=stream, tp_ways=heads),
        Operation("hashing", per_token=hashing, queries=stream, keys=stream, tp_ways=heads),
    ]


# ------------------------------------------------------------------------------------------------------------- state spaces


def mamba(mixer: Mamba, d_model: Size, stream: str) -> Parts:
    """Selective state space.

        d_model 2 d_inner                     in
        d_inner (dt_rank + 2 d_state)         x: dt, B and C of each token
        dt_rank d_inner                       dt, counted with the scan as its kernels do
        d_inner d_model                       out

    The scan is 9 FLOP a channel and state, as the authors' own count has it. Source: gu2023.
    """
    wide = mixer.d_inner
    weights = linear("in", "mixer", d_model, 2 * wide, bias=mixer.bias, column=wide, stream=stream)
    weights += depthwise(wide, mixer.d_conv, mixer.conv_bias, stream)
    weights += linear("x", "mixer", wide, mixer.dt_rank + 2 * mixer.d_state, row=wide, stream=stream)
    weights.append(Weight("dt", "mixer", (mixer.dt_rank, wide), matmul=False, stream=stream, tp_ways=wide))
    weights.append(vector("dt bias", "mixer", wide, stream, tp_ways=wide))
    weights.append(Weight("A", "mixer", (wide, mixer.d_state), matmul=False, stream=stream, tp_ways=wide))
    weights.append(vector("D", "mixer", wide, stream, tp_ways=wide))
    weights += linear("out", "mixer", wide, d_model, bias=mixer.bias, row=wide, stream=stream)
    if mixer.inner_norms:
        for name, width in (("dt", mixer.dt_rank), ("B", mixer.d_state), ("C", mixer.d_state)):
            weights += norm_weights(f"{name} norm", RMS, width, stream)
    scan = 2 * mixer.dt_rank * wide + 9 * wide * mixer.d_state + 2 * wide
    return weights, [convolution(wide, mixer.d_conv, stream), Operation("scan", per_token=scan, queries=stream, keys=stream, tp_ways=wide)]


def mamba2(mixer: Mamba2, d_model: Size, stream: str) -> Parts:
    """State space with heads.

        d_model (2 d_inner + 2 n_groups d_state + n_heads)    in: z, x, B, C, dt
        d_inner d_model                                       out

    The state of a token is 4 FLOP a channel and state (update and read), the count of its recurrent form. Source: dao2024.
    """
    heads, wide = mixer.n_heads, mixer.n_heads * mixer.d_head
    channels = wide + 2 * mixer.n_groups * mixer.d_state
    weights = linear("in", "mixer", d_model, wide + channels + heads, bias=mixer.bias, column=heads, stream=stream)
    weights += depthwise(channels, mixer.d_conv, mixer.conv_bias, stream)
    weights += [vector(name, "mixer", heads, stream, tp_ways=heads) for name in ("dt bias", "A", "D")]
    if mixer.gate_norm:
        weights += norm_weights("gate norm", RMS, wide, stream)
    weights += linear("out", "mixer", wide, d_model, bias=mixer.bias, row=heads, stream=stream)
    state = Operation("scan", per_token=4 * wide * mixer.d_state, queries=stream, keys=stream, tp_ways=heads)
    return weights, [convolution(channels, mixer.d_conv, stream), state]


def gated_delta(mixer: GatedDelta, d_model: Size, stream: str) -> Parts:
    """Gated delta rule.

        d_model (2 n_key_heads d_key + 2 n_value_heads d_value)    Q, K, V and the output gate Z
        d_model 2 n_value_heads                                    beta and alpha
        n_value_heads d_value d_model                              out

    Each token reads, corrects and reads the state again: 6 FLOP an entry. Source: yang2024.
    """
    heads = mixer.n_value_heads
    key_width, value_width = mixer.n_key_heads * mixer.d_key, heads * mixer.d_value
    channels = 2 * key_width + value_width
    if mixer.fused:
        parts = [("Q, K, V, Z", channels + value_width), ("beta, alpha", 2 * heads)]
    else:
        parts = [("Q, K, V", channels), ("Z", value_width), ("beta", heads), ("alpha", heads)]
    weights: list[Weight] = []
    for name, width in parts:
        weights += linear(name, "mixer", d_model, width, column=mixer.n_key_heads, stream=stream)
    weights += depthwise(channels, mixer.d_conv, False, stream)
    weights += [vector(name, "mixer", heads, stream, tp_ways=heads) for name in ("dt bias", "A")]
    weights += norm_weights("output norm", RMS, mixer.d_value, stream)
    weights += linear("out", "mixer", value_width, d_model, row=heads, stream=stream)
    state = Operation("delta rule", per_token=6 * heads * mixer.d_key * mixer.d_value, queries=stream, keys=stream, tp_ways=heads)
    return weights, [convolution(channels, mixer.d_conv, stream), state]


# ---------------------------------------------------------------------------------------------- convolutions and recurrences


def rwkv(mixer: Rwkv, d_model: Size, stream: str) -> Parts:
    """Time mixing of RWKV-4: four matrices, decay and first-token bonus a channel, three vectors that mix neighbours (peng2023)."""
    wide = mixer.d_attention
    weights: list[Weight] = []
    for name in ("receptance", "key", "value"):
        weights += linear(name, "mixer", d_model, wide, column=wide, stream=stream)
    weights += linear("output", "mixer", wide, d_model, row=wide, stream=stream)
    weights += [vector(f"time {part}", "mixer", wide, stream, tp_ways=wide) for part in ("decay", "first")]
    weights += [vector(f"mix {part}", "mixer", d_model, stream) for part in ("key", "value", "receptance")]
    return weights, [Operation("scan", per_token=10 * wide, queries=stream, keys=stream, tp_ways=wide)]


def short_conv(mixer: ShortConv, d_model: Size, stream: str) -> Parts:
    """Two gates and the values in one projection, a depthwise convolution, and a projection back."""
    weights = linear("in", "mixer", d_model, 3 * d_model, bias=mixer.bias, column=d_model, stream=stream)
    weights += depthwise(d_model, mixer.d_conv, mixer.bias, stream)
    weights += linear("out", "mixer", d_model, d_model, bias=mixer.bias, row=d_model, stream=stream)
    return weights, [convolution(d_model, mixer.d_conv, stream)]


def rg_lru(mixer: RgLru, d_model: Size, stream: str) -> Parts:
    """Recurrent block of Griffin: two branches, a convolution, and gates that are block-diagonal by head (de2024)."""
    wide, heads = mixer.d_inner, mixer.n_heads
    weights: list[Weight] = []
    for name in ("branch y", "branch x"):
        weights += linear(name, "mixer", d_model, wide, bias=True, column=wide, stream=stream)
    weights += depthwise(wide, mixer.d_conv, True, stream)
    for name in ("input gate", "recurrence gate"):
        weights += linear(name, "mixer", wide // heads, wide // heads, bias=True, stored=heads, used=heads, stream=stream)
    weights.append(vector("recurrence", "mixer", wide, stream, tp_ways=wide))
    weights += linear("out", "mixer", wide, d_model, bias=True, row=wide, stream=stream)
    scan = Operation("scan", per_token=6 * wide, queries=stream, keys=stream, tp_ways=wide)
    return weights, [convolution(wide, mixer.d_conv, stream), scan]


def lstm(mixer: Lstm, d_model: Size, stream: str) -> Parts:
    """Four gates of the input and of the state before: 8 d_model^2 weights and their biases (hochreiter1997)."""
    weights = linear("input gates", "mixer", d_model, 4 * d_model, stream=stream)
    weights += linear("state gates", "mixer", d_model, 4 * d_model, stream=stream)
    weights += [vector(f"gates bias {n + 1}", "mixer", 4 * d_model, stream) for n in range(mixer.n_biases)]
    return weights, [Operation("cell", per_token=4 * d_model, queries=stream, keys=stream)]


def depthwise(channels: Size, d_conv: Size, bias: bool, stream: str) -> list[Weight]:
    """A convolution that keeps channels apart."""
    weights = [Weight("convolution", "mixer", (channels, d_conv), matmul=False, stream=stream, tp_ways=channels)]
    return weights + ([vector("convolution bias", "mixer", channels, stream, tp_ways=channels)] if bias else [])


def convolution(channels: Size, d_conv: Size, stream: str) -> Operation:
    """Its work: a multiply-add for each channel and tap."""
    return Operation("convolution", per_token=2 * channels * d_conv, queries=stream, keys=stream, tp_ways=channels)


PARTS: dict[type[Any], Callable[[Any, Size, str], Parts]] = {
    Attention: attention,
    LatentAttention: latent_attention,
    CompressedAttention: compressed_attention,
    LinearAttention: linear_attention,
    HashedAttention: hashed_attention,
    Mamba: mamba,
    Mamba2: mamba2,
    GatedDelta: gated_delta,
    Rwkv: rwkv,
    ShortConv: short_conv,
    RgLru: rg_lru,
    Lstm: lstm,
}
