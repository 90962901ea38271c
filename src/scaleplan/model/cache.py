"""What each kind of mixer keeps for the next token while serving: keys and values, latents, or a state of fixed size."""

from __future__ import annotations

from collections.abc import Iterator

from scaleplan.model.arch import (
    Attention,
    CompressedAttention,
    GatedDelta,
    HashedAttention,
    LatentAttention,
    LinearAttention,
    Mamba,
    Mamba2,
    Mixer,
    RgLru,
    Rwkv,
    ShortConv,
    Span,
)
from scaleplan.model.items import Kept, Layer


def layer_cache(layer: Layer) -> list[Kept]:
    """Elements that one layer keeps for a token, or for a sequence.

        n_kv_heads (d_head + d_value)     keys and values
        kv_rank + d_rope                  the latent and the rotated key that all heads share (deepseek2024-v2)

    A sliding window bounds the tokens; layers that use another layer's keys and values keep none.
    """
    block = layer.block
    if block is None:
        return []
    kept = [item for spec in (block.mixer, block.beside) for item in of_mixer(spec, layer)]
    if block.cross is not None:
        cross = block.cross
        width = cross.n_kv_heads * (cross.d_head + cross.d_value)
        kept.append(Kept("keys and values of the encoder", width, stream=cross.keys or layer.stream, tp_ways=cross.n_kv_heads))
    return kept


def of_mixer(spec: Mixer | None, layer: Layer) -> Iterator[Kept]:
    """What the mixer itself keeps."""
    stream = layer.stream
    if isinstance(spec, Attention):
        yield from attention_cache(spec, stream)
    elif isinstance(spec, LatentAttention):
        yield Kept("latent and rotated key", spec.kv_rank + spec.d_rope, stream=stream)
        if spec.indexer is not None:
            yield Kept("keys of the indexer", spec.indexer.d_head, stream=stream)
    elif isinstance(spec, CompressedAttention):
        yield from compressed_cache(spec, stream)
    elif isinstance(spec, HashedAttention):
        yield Kept("keys and values", 2 * spec.n_heads * spec.d_head, stream=stream, tp_ways=spec.n_heads)
    else:
        yield from state(spec, layer)


def compressed_cache(spec: CompressedAttention, stream: str) -> Iterator[Kept]:
    """One key that is also the value: those of the window, and one of each block of farther tokens."""
    yield Kept("keys of the window", spec.d_head, stream=stream, span=Span(local=spec.window))
    if spec.rate:
        yield Kept("compressed keys", spec.d_head // spec.rate, stream=stream)
        if spec.indexer is not None:
            yield Kept("compressed keys of the indexer", spec.indexer.d_head // spec.rate, stream=stream)


def attention_cache(spec: Attention, stream: str) -> Iterator[Kept]:
    """Keys and values of softmax attention; an encoder that sees everything at once keeps none."""
    if not spec.causal or spec.share_keys_values == "layer":
        return
    d_value = 0 if spec.share_keys_values == "same" else spec.d_value
    yield Kept("keys and values", spec.n_kv_heads * (spec.d_head + d_value), stream=stream, span=spec.span, tp_ways=spec.n_kv_heads)


def state(spec: Mixer | None, layer: Layer) -> Iterator[Kept]:
    """States of fixed size, in 32 bits: of state spaces, linear attention, recurrences and short convolutions."""
    stream = layer.stream
    if isinstance(spec, Mamba):
        yield Kept("state", per_sequence=spec.d_inner * (spec.d_state + spec.d_conv), dtype="fp32", stream=stream, tp_ways=spec.d_inner)
    elif isinstance(spec, Mamba2):
        inner = spec.n_heads * spec.d_head
        convolved = inner + 2 * spec.n_groups * spec.d_state
        yield Kept("state", per_sequence=inner * spec.d_state + convolved * spec.d_conv, dtype="fp32", stream=stream, tp_ways=spec.n_heads)
    elif isinstance(spec, LinearAttention):
        yield Kept("state", per_sequence=spec.n_heads * spec.d_head * spec.d_value, dtype="fp32", stream=stream, tp_ways=spec.n_heads)
    elif isinstance(spec, GatedDelta):
        matrices = spec.n_value_heads * spec.d_key * spec.d_value
        convolved = 2 * spec.n_key_heads * spec.d_key + spec.n_value_heads * spec.d_value
        yield Kept("state", per_sequence=matrices + convolved * spec.d_conv, dtype="fp32", stream=stream, tp_ways=spec.n_value_heads)
    elif isinstance(spec, Rwkv):
        yield Kept("state", per_sequence=5 * spec.d_attention, dtype="fp32", stream=stream)
    elif isinstance(spec, ShortConv):
        yield Kept("state", per_sequence=layer.d_model * spec.d_conv, stream=stream)
    elif isinstance(spec, RgLru):
        yield Kept("state", per_sequence=spec.d_inner * (1 + spec.d_conv), dtype="fp32", stream=stream, tp_ways=spec.n_heads)
