"""Kinds of mixer: what mixes the tokens of a layer. A mixer is one file here and one line of `MIXERS`.

Its class holds its sizes and has
    read(words)                from the words of a shape
    parts(d_model, stream)     weights and operations of one layer
    cache(layer)               elements kept for the next token while serving: keys and values, latents, or a state of fixed size
    attention_width            only if it has heads of attention: d_attn, the width of all query heads
    dense_pair_flops           only if its scores are no pairs: FLOP of a pair of query and key in dense attention of the same heads
A size that no mixer had before is one more row of `WORDS` in words.py.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from scaleplan.model.arch import Size
    from scaleplan.model.items import Kept, Layer
    from scaleplan.model.mixers.parts import Parts
    from scaleplan.model.words import Words

MIXERS = {
    "attention": "attention.Attention",
    "sparse-attention": "sparse.SparseAttention",
    "latent": "latent.LatentAttention",
    "compressed": "compressed.CompressedAttention",
    "linear-attention": "linear.LinearAttention",
    "hashed-attention": "hashed.HashedAttention",
    "mamba": "mamba.Mamba",
    "mamba2": "mamba2.Mamba2",
    "rwkv": "rwkv.Rwkv",
    "gated-delta": "gated_delta.GatedDelta",
    "short-conv": "short_conv.ShortConv",
    "rg-lru": "rg_lru.RgLru",
    "lstm": "lstm.Lstm",
}
"""Word of the shape -> file and class, loaded when a model has one."""


class Mixer(Protocol):
    """One layer's mixer."""

    def parts(self, d_model: Size, stream: str) -> Parts:
        """Weights and operations of one layer of a model of this width."""

    def cache(self, layer: Layer) -> list[Kept]:
        """Elements that one layer keeps for the next token."""


def mixer_of(words: Words, kind: str) -> Mixer | None:
    """The mixer of this kind that the words describe; None for `none`."""
    if kind == "none":
        return None
    made: Mixer = mixer_type(kind).read(words)
    return made


def mixer_type(kind: str) -> Any:
    """The class of a kind of mixer; its file is loaded now."""
    file, name = MIXERS[kind].split(".")
    return getattr(import_module(f"scaleplan.model.mixers.{file}"), name)


def attention_width(mixer: Mixer | None) -> Size | None:
    """d_attn of a mixer, None where it is no attention."""
    return getattr(mixer, "attention_width", None)


def dense_pair_flops(mixer: Mixer | None) -> Size | None:
    """FLOP of a pair in dense attention of the same heads, None where the mixer's scores are pairs or it has no heads."""
    return getattr(mixer, "dense_pair_flops", None)
