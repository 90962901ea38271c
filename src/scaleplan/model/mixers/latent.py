"""Multi-head latent attention, with an indexer where attention is sparse (deepseek2024-v2, deepseek2025-v3.2)."""

from typing import NamedTuple

from scaleplan.model.arch import Size
from scaleplan.model.items import Kept, Layer, Operation, Weight, linear, norm_weights
from scaleplan.model.mixers.parts import LAYER, RMS, Parts
from scaleplan.model.words import Words


class Indexer(NamedTuple):
    """Picks the keys that sparse attention looks at (deepseek2025-v3.2)."""

    n_heads: Size
    d_head: Size
    n_keys: Size


def indexer_parts(spec: Indexer, q_rank: Size, d_model: Size, stream: str) -> Parts:
    """The lightning indexer: its own narrow queries against one shared key (deepseek2025-v3.2)."""
    weights = linear("indexer Q", "attention", q_rank, spec.n_heads * spec.d_head, stream=stream)
    weights += linear("indexer K", "attention", d_model, spec.d_head, stream=stream)
    weights += norm_weights("indexer K norm", LAYER, spec.d_head, stream)
    weights += linear("indexer weights", "attention", d_model, spec.n_heads, stream=stream)
    return weights, [Operation("indexer scores", per_pair=2 * spec.n_heads * spec.d_head, queries=stream, keys=stream)]


class LatentAttention(NamedTuple):
    """Multi-head latent attention: keys and values are expanded from a narrow latent vector (deepseek2024-v2)."""

    n_heads: Size
    q_rank: Size | None
    kv_rank: Size
    d_nope: Size
    d_rope: Size
    d_value: Size
    bias: bool = False
    indexer: Indexer | None = None
    causal: bool = True

    @classmethod
    def read(cls, words: Words) -> "LatentAttention":
        """Multi-head latent attention, with an indexer where the words give it heads."""
        sizes = {word: words.need(word, "latent attention") for word in ("n_heads", "kv_rank", "d_nope", "d_rope", "d_value")}
        indexer = None
        if words.present("n_indexer_heads") is not None:
            more = {word: words.need(word, "an indexer") for word in ("d_indexer", "n_indexer_keys", "q_rank")}
            indexer = Indexer(words["n_indexer_heads"], more["d_indexer"], more["n_indexer_keys"])
        bias = words.get("attention_bias", "none") != "none"
        return cls(**sizes, q_rank=words.present("q_rank"), bias=bias, indexer=indexer, causal=not words.get("bidirectional", False))

    def parts(self, d_model: Size, stream: str) -> Parts:
        """Projections through narrow vectors, and scores at full head width.

            d_model q_rank + q_rank n_heads (d_nope + d_rope)                  Q (one full matrix without a rank)
            d_model (kv_rank + d_rope) + kv_rank n_heads (d_nope + d_value)    K and V
            n_heads d_value d_model                                            output

        Source: deepseek2024-v2 section 2.1.
        """
        heads, bias, d_query = self.n_heads, self.bias, self.d_nope + self.d_rope
        weights: list[Weight] = []
        if self.q_rank is None:
            weights += linear("Q", "attention", d_model, heads * d_query, column=heads, stream=stream)
        else:
            weights += linear("Q down", "attention", d_model, self.q_rank, bias=bias, stream=stream)
            weights += norm_weights("Q down norm", RMS, self.q_rank, stream)
            weights += linear("Q up", "attention", self.q_rank, heads * d_query, column=heads, stream=stream)
        weights += linear("KV down", "attention", d_model, self.kv_rank + self.d_rope, bias=bias, stream=stream)
        weights += norm_weights("KV down norm", RMS, self.kv_rank, stream)
        weights += linear("KV up", "attention", self.kv_rank, heads * (self.d_nope + self.d_value), column=heads, stream=stream)
        weights += linear("output", "attention", heads * self.d_value, d_model, bias=bias, row=heads, stream=stream)
        per_pair = 2 * heads * (d_query + self.d_value)
        operations = [Operation("attention scores", per_pair=per_pair, queries=stream, keys=stream, causal=self.causal, tp_ways=heads)]
        if self.indexer is not None:
            more_weights, more_operations = indexer_parts(self.indexer, self.q_rank, d_model, stream)
            weights, operations = weights + more_weights, operations + more_operations
        return weights, operations

    def cache(self, layer: Layer) -> list[Kept]:
        """The latent and the rotated key that all heads share: kv_rank + d_rope (deepseek2024-v2)."""
        kept = [Kept("latent and rotated key", self.kv_rank + self.d_rope, stream=layer.stream)]
        if self.indexer is not None:
            kept.append(Kept("keys of the indexer", self.indexer.d_head, stream=layer.stream))
        return kept

    @property
    def attention_width(self) -> Size:
        """d_attn, the width of all query heads together."""
        return self.n_heads * (self.d_nope + self.d_rope)
