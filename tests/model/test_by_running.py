"""The count beside a transformer that is run: small models in numpy, whose products are counted as they happen."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from scaleplan.model.bill import bill_of
from scaleplan.model.flops import Counting, count_flops, serving_flops
from scaleplan.model.params import count_params
from scaleplan.model.shape import arch_of_shape


class Machine:
    """Multiplies matrices, remembers how many FLOP it took and how many numbers the weights hold."""

    def __init__(self) -> None:
        self.linear = 0
        self.pairwise = 0
        self.n_params = 0
        self.random = np.random.default_rng(7)

    def weight(self, rows: int, columns: int) -> np.ndarray:
        self.n_params += rows * columns
        return self.random.normal(size=(rows, columns)) / math.sqrt(rows)

    def through(self, x: np.ndarray, weight: np.ndarray) -> np.ndarray:
        """Tokens times a weight."""
        self.linear += 2 * x.shape[0] * x.shape[1] * weight.shape[1]
        return x @ weight

    def attend(self, q: np.ndarray, k: np.ndarray, v: np.ndarray, visible: np.ndarray, *, skip: bool) -> np.ndarray:
        """One head; a kernel that skips computes only the visible pairs."""
        pairs = int(visible.sum()) if skip else visible.size
        self.pairwise += 2 * pairs * (q.shape[1] + v.shape[1])
        scores = np.where(visible, q @ k.T / math.sqrt(q.shape[1]), -np.inf)
        scores = np.exp(scores - scores.max(axis=1, keepdims=True))
        return scores / scores.sum(axis=1, keepdims=True) @ v


def visible_pairs(n_queries: int, n_keys: int, *, causal: bool, window: int | None) -> np.ndarray:
    i, j = np.arange(n_queries)[:, None], np.arange(n_keys)[None, :]
    near = j > i - window if window else np.full((n_queries, n_keys), True)
    return near & (j <= i) if causal else near


def heads_of(x: np.ndarray, n_heads: int) -> Iterator[np.ndarray]:
    yield from np.split(x, n_heads, axis=1)


class Attention:
    """Queries in groups that share a key and a value head."""

    def __init__(self, m: Machine, d: int, n_heads: int, n_kv_heads: int, d_head: int) -> None:
        self.m, self.n_heads, self.n_kv_heads = m, n_heads, n_kv_heads
        self.q, self.k = m.weight(d, n_heads * d_head), m.weight(d, n_kv_heads * d_head)
        self.v, self.o = m.weight(d, n_kv_heads * d_head), m.weight(n_heads * d_head, d)

    def __call__(self, x: np.ndarray, y: np.ndarray, visible: np.ndarray, *, skip: bool) -> np.ndarray:
        q = list(heads_of(self.m.through(x, self.q), self.n_heads))
        k = list(heads_of(self.m.through(y, self.k), self.n_kv_heads))
        v = list(heads_of(self.m.through(y, self.v), self.n_kv_heads))
        group = self.n_heads // self.n_kv_heads
        out = [self.m.attend(q[h], k[h // group], v[h // group], visible, skip=skip) for h in range(self.n_heads)]
        return self.m.through(np.concatenate(out, axis=1), self.o)


class FeedForward:
    """Up, perhaps a gate, and down."""

    def __init__(self, m: Machine, d: int, d_ff: int, *, gated: bool) -> None:
        self.m, self.up, self.down = m, m.weight(d, d_ff), m.weight(d_ff, d)
        self.gate = m.weight(d, d_ff) if gated else None

    def __call__(self, x: np.ndarray) -> np.ndarray:
        inner = np.maximum(self.m.through(x, self.up), 0)
        if self.gate is not None:
            inner *= self.m.through(x, self.gate)
        return self.m.through(inner, self.down)


class Experts:
    """Each token goes to the k experts that its router likes best, one by one."""

    def __init__(self, m: Machine, d: int, d_ff: int, n_experts: int, n_used: int, *, gated: bool) -> None:
        self.m, self.n_used, self.router = m, n_used, m.weight(d, n_experts)
        self.experts = [FeedForward(m, d, d_ff, gated=gated) for _ in range(n_experts)]

    def __call__(self, x: np.ndarray) -> np.ndarray:
        chosen = np.argsort(self.m.through(x, self.router), axis=1)[:, -self.n_used :]
        return np.stack([sum(self.experts[e](token[None])[0] for e in picked) for token, picked in zip(x, chosen, strict=True)])


def run(words: dict[str, Any], n_tokens: int, *, skip: bool = False, head: bool = True) -> Machine:
    """A model without norms and biases, run on one sequence; a stack of an encoder and a decoder with as many tokens each."""
    m = Machine()
    d, n_heads = words["d_model"], words["n_heads"]
    n_kv_heads, d_head, d_ff = words.get("n_kv_heads", n_heads), words.get("d_head", d // n_heads), words.get("d_ff", 4 * d)
    gated, window = words.get("gated", False), words.get("window")
    embedding = m.weight(words["n_vocab"], d)
    x = embedding[m.random.integers(0, words["n_vocab"], n_tokens)]

    def feed_forward(layer: int) -> Any:
        if "n_experts" in words and layer >= words.get("n_dense_layers", 0):
            return Experts(m, d, words["d_ff_expert"], words["n_experts"], words["n_experts_per_token"], gated=gated)
        return FeedForward(m, d, d_ff, gated=gated)

    encoded = None
    if "n_encoder_layers" in words:
        encoded = x.copy()
        for _ in range(words["n_encoder_layers"]):
            everything = visible_pairs(n_tokens, n_tokens, causal=False, window=window)
            encoded += Attention(m, d, n_heads, n_kv_heads, d_head)(encoded, encoded, everything, skip=skip)
            encoded += FeedForward(m, d, d_ff, gated=gated)(encoded)
    seen = visible_pairs(n_tokens, n_tokens, causal=not words.get("bidirectional", False), window=window)
    for layer in range(words["n_layers"]):
        x = x + Attention(m, d, n_heads, n_kv_heads, d_head)(x, x, seen, skip=skip)
        if encoded is not None:
            x = x + Attention(m, d, n_heads, n_kv_heads, d_head)(x, encoded, np.full((n_tokens, n_tokens), True), skip=skip)
        x = x + feed_forward(layer)(x)
    if head:
        m.through(x, embedding.T if words.get("tied", True) else m.weight(d, words["n_vocab"]))
    return m


GPT = {"n_layers": 3, "d_model": 24, "n_heads": 4, "n_vocab": 50}
SHAPES: dict[str, dict[str, Any]] = {
    "gpt": {},
    "untied": {"tied": False},
    "gated": {"gated": True, "d_ff": 40},
    "grouped": {"n_kv_heads": 2},
    "one key head": {"n_kv_heads": 1},
    "wide heads": {"d_head": 10},
    "narrow heads": {"d_head": 3, "n_kv_heads": 2},
    "experts": {"n_experts": 6, "n_experts_per_token": 2, "d_ff_expert": 16, "gated": True},
    "dense layer first": {"n_experts": 4, "n_experts_per_token": 3, "d_ff_expert": 16, "n_dense_layers": 1},
    "encoder and decoder": {"n_encoder_layers": 2},
    "window": {"window": 5},
    "one key": {"window": 1},
    "wide window": {"window": 40},
}


def counted(words: dict[str, Any]) -> Any:
    bare = {"attention_bias": "none", "mlp_bias": False, "norms_per_layer": 0, "norm": "layer-fixed"}
    return bill_of(arch_of_shape(GPT | bare | words))


@pytest.mark.parametrize("words", SHAPES.values(), ids=SHAPES)
def test_a_model_that_runs_does_the_products_that_are_counted(words: dict[str, Any]):
    """Parameters, products with weights and the full attention square of a forward pass are those of a real one."""
    ran, found = run(GPT | words, 13), counted(words)
    count = count_flops(found, 13)

    assert count_params(found).n_params == ran.n_params
    assert count.linear_flops == ran.linear
    assert count.attention_flops == ran.pairwise


@pytest.mark.parametrize("words", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("n_tokens", [1, 4, 13])
def test_a_kernel_that_skips_does_the_pairs_that_are_counted(words: dict[str, Any], n_tokens: int):
    """Causal and windowed pairs are those that a mask leaves."""
    ran = run(GPT | words, n_tokens, skip=True)

    assert count_flops(counted(words), n_tokens, how=Counting(causal=True, window=True)).attention_flops == ran.pairwise


@pytest.mark.parametrize("name", ["gpt", "grouped", "experts", "window", "wide window"])
def test_writing_a_token_costs_one_more_row_of_the_causal_pass(name: str):
    """Decoding after 12 tokens is the difference of the passes over 13 and 12, and one row of logits."""
    words, found = SHAPES[name], counted(SHAPES[name])
    one_more, before = (run(GPT | words, n, skip=True, head=False) for n in (13, 12))

    more = one_more.linear + one_more.pairwise - before.linear - before.pairwise
    assert serving_flops(found, 12).decode_flops_per_token == more + 2 * 24 * 50


@pytest.mark.parametrize("name", ["gpt", "grouped", "experts", "window"])
def test_reading_a_prompt_costs_the_causal_pass_and_one_row_of_logits(name: str):
    """Only the last position of a prompt needs its logits."""
    ran = run(GPT | SHAPES[name], 13, skip=True, head=False)

    assert serving_flops(counted(SHAPES[name]), 13).prefill_flops == ran.linear + ran.pairwise + 2 * 24 * 50
