"""Softmax attention: full, causal, grouped heads, windows and sparse patterns, cross-attention."""

from typing import NamedTuple

from scaleplan.model.arch import Norm, Size, Span
from scaleplan.model.items import Kept, Layer, Operation, Weight, linear, norm_weights, vector
from scaleplan.model.mixers.parts import Parts
from scaleplan.model.words import Words
from scaleplan.numeric import is_zero


class Attention(NamedTuple):
    """Softmax attention with `n_heads` queries and `n_kv_heads` keys and values."""

    n_heads: Size
    n_kv_heads: Size
    d_head: Size
    d_value: Size  # width of one value head
    qkv_bias: bool = False
    out_bias: bool = False
    fused: bool = False  # Q, K and V are one tensor in the reference code
    qk_norm: str | None = None  # `head`: one scale for all heads; `heads`: one a head; `width`: over all heads together
    qk_norm_vectors: int = 1
    gate: str | None = None  # `head`: a scalar for each head; `width`: as wide as the queries
    sinks: bool = False  # one learned logit a head that takes attention away
    relative: bool = False  # a projection of relative positions (Transformer-XL)
    share_keys_values: str | None = None  # `layer`: those of an earlier layer are used; `same`: K is also V
    span: Span | None = None
    causal: bool = True
    keys: str | None = None  # stream that keys and values come from, where it is not the layer's own
    d_rotary: Size = 0  # how much of a head is rotated by position

    @classmethod
    def read(cls, words: Words) -> "Attention":
        """Softmax attention; sizes that are not given are those of the query heads."""
        n_heads, d_head = heads_of(words)
        n_kv_heads = words.get("n_kv_heads", n_heads)
        words.divide("n_heads", "n_kv_heads", n_heads, n_kv_heads)
        bias = words.get("attention_bias", "none" if words.get("gated") else "all")
        return cls(
            n_heads=n_heads,
            n_kv_heads=n_kv_heads,
            d_head=d_head,
            d_value=words.get("d_value", d_head),
            qkv_bias=bias in ("qkv", "all"),
            out_bias=bias in ("out", "all"),
            fused=words.get("fused_qkv", False),
            qk_norm=words.choice("qk_norm"),
            qk_norm_vectors=words.get("qk_norm_vectors", 1),
            gate=words.choice("attention_gate"),
            sinks=words.get("sinks", False),
            relative=words.get("relative_projection", False),
            share_keys_values=words.choice("share_keys_values"),
            span=span_of(words),
            causal=not words.get("bidirectional", False),
            d_rotary=words.get("d_rotary", 0 if words.has_position_table else d_head),
        )

    def parts(self, d_model: Size, stream: str) -> Parts:
        """Projections and scores of softmax attention.

            d_model n_heads d_head            Q (twice with an output gate as wide as the queries)
            d_model n_kv_heads d_head         K
            d_model n_kv_heads d_value        V
            n_heads d_value d_model           output
            2 n_heads (d_head + d_value)      FLOP for each pair of query and key

        K and V of cross-attention are made from the other stream's tokens.
        Sources: vaswani2017 section 3.2.2; ainslie2023 (fewer K and V heads).
        """
        keys = self.keys or stream
        weights = projections(self, d_model, stream, keys)
        if self.gate == "head":
            weights += linear("output gate", "attention", d_model, self.n_heads, column=self.n_heads, stream=stream)
        weights += linear("output", "attention", self.n_heads * self.d_value, d_model, bias=self.out_bias, row=self.n_heads, stream=stream)
        weights += query_key_norms(self, stream, keys)
        if self.sinks:
            weights.append(vector("sinks", "attention", self.n_heads, stream, tp_ways=self.n_heads))
        per_pair = 2 * self.n_heads * (self.d_head + self.d_value)
        if self.relative:
            weights += linear("relative positions", "attention", d_model, self.n_heads * self.d_head, column=self.n_heads, stream=stream)
            per_pair = per_pair + 2 * self.n_heads * self.d_head
        name = "attention scores" if self.keys is None else "cross-attention scores"
        scores = Operation(
            name,
            per_pair=per_pair,
            queries=stream,
            keys=keys,
            span=self.span,
            causal=self.causal and self.keys is None,
            tp_ways=self.n_heads,
        )
        return weights, [scores]

    def cache(self, layer: Layer) -> list[Kept]:
        """Keys and values, those of the window where there is one; an encoder that sees everything at once keeps none."""
        if not self.causal or self.share_keys_values == "layer":
            return []
        d_value = 0 if self.share_keys_values == "same" else self.d_value
        width = self.n_kv_heads * (self.d_head + d_value)
        return [Kept("keys and values", width, stream=layer.stream, span=self.span, tp_ways=self.n_kv_heads)]

    @property
    def attention_width(self) -> Size:
        """d_attn, the width of all query heads together."""
        return self.n_heads * self.d_head


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
    norm = Norm(vectors=mixer.qk_norm_vectors)
    shared = mixer.qk_norm == "head"
    weights = norm_weights("Q norm", norm, mixer.d_head if shared else mixer.n_heads * mixer.d_head, stream)
    if mixer.share_keys_values != "layer":
        weights += norm_weights("K norm", norm, mixer.d_head if shared else mixer.n_kv_heads * mixer.d_head, keys)
    return weights


def heads_of(words: Words) -> tuple[Size, Size]:
    """Query heads and the width of one; the width is a whole share of the model's unless it is given."""
    n_heads, d_model = words.need("n_heads", "attention"), words["d_model"]
    if "d_head" in words:
        return n_heads, words["d_head"]
    hint = f"give {words.spell('d_head')}, or a width that {n_heads} heads divide"
    return n_heads, words.divide("d_model", "n_heads", d_model, n_heads, hint)


def span_of(words: Words) -> Span | None:
    """The keys that a query sees, where the words say that it does not see all.

    A pattern that is only a window or only blocks is masked by reference code; the sparse ones are computed as such.
    """
    window, chunk = words.present("window"), words.present("chunk")
    local = chunk if window is None else window
    stride, n_global, n_random = words.present("stride"), words.get("n_global", 0), words.get("n_random", 0)
    sparse = stride is not None or not is_zero(n_global) or not is_zero(n_random)
    if local is None and not sparse:
        return None
    return Span(local=local, stride=stride, n_random=n_random, n_global=n_global, masked=not sparse, chunked=window is None)
