"""Attention with a kernel in place of the softmax, retention and gated linear attention among them (katharopoulos2020)."""

from __future__ import annotations

from typing import NamedTuple

from scaleplan.model.arch import Size
from scaleplan.model.items import Kept, Layer, Operation, Weight, linear, norm_weights
from scaleplan.model.mixers.attention import heads_of
from scaleplan.model.mixers.parts import RMS, Parts, state
from scaleplan.model.words import Words


class LinearAttention(NamedTuple):
    """Attention with a kernel in place of the softmax: the state is d_head x d_value a head (katharopoulos2020)."""

    n_heads: Size
    d_head: Size
    d_value: Size
    gate: bool = False
    norm: bool = False
    bias: bool = False
    decay: bool = False
    fused: bool = False

    @classmethod
    def read(cls, words: Words) -> LinearAttention:
        """Attention without a softmax."""
        n_heads, d_head = heads_of(words)
        gate = words.choice("attention_gate") is not None
        return cls(
            n_heads,
            d_head,
            words.get("d_value", d_head),
            gate=gate,
            norm=words.get("inner_norms", False),
            bias=words.get("attention_bias", "none") != "none",
            fused=words.get("fused_qkv", False),
        )

    def parts(self, d_model: Size, stream: str) -> Parts:
        """Projections, and a d_head x d_value state for each head that every token updates and reads (katharopoulos2020)."""
        heads, bias = self.n_heads, self.bias
        wide = heads * self.d_value
        q_and_k = [("Q", heads * self.d_head), ("K", heads * self.d_head), ("V", wide)]
        parts = [("Q, K, V", 2 * heads * self.d_head + wide)] if self.fused else q_and_k
        weights: list[Weight] = []
        for name, width in parts + ([("output gate", wide)] if self.gate else []):
            weights += linear(name, "mixer", d_model, width, bias=bias, column=heads, stream=stream)
        weights += linear("output", "mixer", wide, d_model, bias=bias, row=heads, stream=stream)
        if self.norm:
            weights += norm_weights("output norm", RMS, wide, stream)
        scan = Operation("state", per_token=4 * heads * self.d_head * self.d_value, queries=stream, keys=stream, tp_ways=heads)
        return weights, [scan]

    def cache(self, layer: Layer) -> list[Kept]:
        """A d_head x d_value state for each head, in 32 bits."""
        return [state(self.n_heads * self.d_head * self.d_value, layer, tp_ways=self.n_heads)]

    @property
    def dense_pair_flops(self) -> Size:
        """FLOP that a pair of query and key would cost the same heads in dense attention."""
        return 2 * self.n_heads * (self.d_head + self.d_value)
