"""Attention among keys of the same hash (kitaev2020)."""

from __future__ import annotations

from typing import NamedTuple

from scaleplan.model.arch import Size
from scaleplan.model.items import Kept, Layer, Operation, Weight, linear
from scaleplan.model.mixers.attention import heads_of
from scaleplan.model.mixers.parts import Parts
from scaleplan.model.words import Words


class HashedAttention(NamedTuple):
    """Attention among keys of the same hash: queries are keys too, and each round sees two chunks (kitaev2020)."""

    n_heads: Size
    d_head: Size
    chunk: Size
    rounds: int
    n_buckets: Size
    bias: bool = False

    @classmethod
    def read(cls, words: Words) -> HashedAttention:
        """Attention within hash buckets."""
        n_heads, d_head = heads_of(words)
        chunk, rounds, buckets = (words.need(word, "hashed attention") for word in ("chunk", "n_hashes", "n_buckets"))
        return cls(n_heads, d_head, chunk, rounds, buckets, bias=words.get("attention_bias", "none") != "none")

    def parts(self, d_model: Size, stream: str) -> Parts:
        """Shared queries and keys; each round sorts by hash and sees its own chunk and the one before (kitaev2020)."""
        heads, wide = self.n_heads, self.n_heads * self.d_head
        weights: list[Weight] = []
        for name in ("QK", "V"):
            weights += linear(name, "attention", d_model, wide, bias=self.bias, column=heads, stream=stream)
        weights += linear("output", "attention", wide, d_model, bias=self.bias, row=heads, stream=stream)
        scores = self.rounds * 2 * self.chunk * 4 * wide
        hashing = self.rounds * wide * self.n_buckets  # random rotations, half of them by sign
        return weights, [
            Operation("attention scores", per_token=scores, queries=stream, keys=stream, tp_ways=heads),
            Operation("hashing", per_token=hashing, queries=stream, keys=stream, tp_ways=heads),
        ]

    def cache(self, layer: Layer) -> list[Kept]:
        """Keys, which are the queries too, and values."""
        return [Kept("keys and values", 2 * self.n_heads * self.d_head, stream=layer.stream, tp_ways=self.n_heads)]

    @property
    def attention_width(self) -> Size:
        """d_attn, the width of all query heads together."""
        return self.n_heads * self.d_head

    @property
    def dense_pair_flops(self) -> Size:
        """FLOP that a pair of query and key would cost the same heads in dense attention."""
        return 4 * self.n_heads * self.d_head
