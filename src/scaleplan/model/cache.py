"""What a layer keeps for the next token while serving: what its mixers keep, and the keys and values of an encoder."""

from __future__ import annotations

from scaleplan.model.items import Kept, Layer


def layer_cache(layer: Layer) -> list[Kept]:
    """Elements that one layer keeps for a token, or for a sequence; each mixer's own file says which.

    Cross-attention keeps n_kv_heads (d_head + d_value) for each token of the encoder.
    """
    block = layer.block
    if block is None:
        return []
    kept = [item for mixer in (block.mixer, block.beside) if mixer is not None for item in mixer.cache(layer)]
    if block.cross is not None:
        cross = block.cross
        width = cross.n_kv_heads * (cross.d_head + cross.d_value)
        kept.append(Kept("keys and values of the encoder", width, stream=cross.keys or layer.stream, tp_ways=cross.n_kv_heads))
    return kept
