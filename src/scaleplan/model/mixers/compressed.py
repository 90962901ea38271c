"""Attention of DeepSeek V4: a window, and farther keys in compressed blocks."""

from __future__ import annotations

from typing import NamedTuple

from scaleplan.model.arch import Size, Span
from scaleplan.model.items import Kept, Layer, Operation, Weight, linear, norm_weights, vector
from scaleplan.model.mixers.latent import Indexer
from scaleplan.model.mixers.parts import RMS, Parts
from scaleplan.model.words import Words


class CompressedAttention(NamedTuple):
    """Attention of DeepSeek V4: one key that is also the value for all heads, a window, and farther keys in compressed blocks.

    rate     tokens that one compressed key stands for; 0: the window is all there is
    indexer  picks compressed keys; without one all of them are seen
    """

    n_heads: Size
    d_head: Size
    q_rank: Size
    n_output_groups: Size
    output_rank: Size
    window: Size
    rate: Size = 0
    indexer: Indexer | None = None

    @classmethod
    def read(cls, words: Words) -> CompressedAttention:
        """A window and compressed keys; an indexer where the words give it heads."""
        names = ("n_heads", "d_head", "q_rank", "n_output_groups", "output_rank", "window")
        sizes = {word: words.need(word, "compressed attention") for word in names}
        indexer = None
        if words.present("n_indexer_heads") is not None:
            indexer = Indexer(*(words.need(word, "an indexer") for word in ("n_indexer_heads", "d_indexer", "n_indexer_keys")))
        words.divide("n_heads", "n_output_groups", sizes["n_heads"] * sizes["d_head"], sizes["n_output_groups"])
        return cls(**sizes, rate=words.get("compression", 0), indexer=indexer)

    def parts(self, d_model: Size, stream: str) -> Parts:
        """One key and value for all heads, an output in groups, and compressed keys for what lies beyond the window.

            d_model q_rank + q_rank n_heads d_head + d_model d_head             Q, and what is both K and V
            n_heads d_head output_rank + n_output_groups output_rank d_model    output
            2 d_model d_head + rate d_head                                      compression: values, weights, position biases

        With an indexer compressed keys overlap, which doubles their projections.
        """
        heads, wide, groups = self.n_heads, self.n_heads * self.d_head, self.n_output_groups
        weights = linear("Q down", "attention", d_model, self.q_rank, stream=stream)
        weights += norm_weights("Q down norm", RMS, self.q_rank, stream)
        weights += linear("Q up", "attention", self.q_rank, wide, column=heads, stream=stream)
        weights += linear("KV", "attention", d_model, self.d_head, stream=stream)
        weights += norm_weights("KV norm", RMS, self.d_head, stream)
        weights += linear("output down", "attention", wide // groups, groups * self.output_rank, row=groups, stream=stream)
        weights += linear("output up", "attention", groups * self.output_rank, d_model, row=groups, stream=stream)
        weights.append(vector("sinks", "attention", heads, stream, tp_ways=heads))
        seen, picked = Span(local=self.window, masked=False), self.indexer
        operations = []
        if picked is not None:
            weights += compressor("", 2 * self.d_head, self.d_head, self.rate, d_model, stream)
            weights += compressor("indexer ", 2 * picked.d_head, picked.d_head, self.rate, d_model, stream)
            weights += linear("indexer Q", "attention", self.q_rank, picked.n_heads * picked.d_head, stream=stream)
            weights += linear("indexer weights", "attention", d_model, picked.n_heads, stream=stream)
            seen = seen._replace(n_random=picked.n_keys)
            searched = Span(stride=self.rate, masked=False)
            scores = 2 * picked.n_heads * picked.d_head
            operations.append(Operation("indexer scores", per_pair=scores, queries=stream, keys=stream, span=searched))
        elif self.rate:
            weights += compressor("", self.d_head, self.d_head, self.rate, d_model, stream)
            seen = seen._replace(stride=self.rate)
        scores = Operation("attention scores", per_pair=4 * wide, queries=stream, keys=stream, span=seen, tp_ways=heads)
        return weights, [scores, *operations]

    def cache(self, layer: Layer) -> list[Kept]:
        """One key that is also the value: those of the window, and one of each block of farther tokens."""
        kept = [Kept("keys of the window", self.d_head, stream=layer.stream, span=Span(local=self.window))]
        if self.rate:
            kept.append(Kept("compressed keys", self.d_head // self.rate, stream=layer.stream))
            if self.indexer is not None:
                kept.append(Kept("compressed keys of the indexer", self.indexer.d_head // self.rate, stream=layer.stream))
        return kept

    @property
    def attention_width(self) -> Size:
        """d_attn, the width of all query heads together."""
        return self.n_heads * self.d_head


def compressor(name: str, wide: Size, d_norm: Size, rate: Size, d_model: Size, stream: str) -> list[Weight]:
    """Values, the weights that they are summed by, and a bias for each place in a block."""
    weights = linear(f"{name}compressed KV", "attention", d_model, wide, stream=stream)
    weights += linear(f"{name}compression gate", "attention", d_model, wide, stream=stream)
    weights.append(Weight(f"{name}compression positions", "attention", (rate, wide), matmul=False, stream=stream))
    return weights + norm_weights(f"{name}compressed KV norm", RMS, d_norm, stream)
