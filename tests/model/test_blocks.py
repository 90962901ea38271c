"""What a layer keeps, tensor by tensor: a product its input, a norm its input and statistics, a softmax its output."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from scaleplan.model.adapters import Lora, with_lora
from scaleplan.model.bill import bill_of
from scaleplan.model.blocks import copies_under_autocast, layer_kept
from scaleplan.model.items import Layer
from scaleplan.model.passes import Keeping, Pass
from scaleplan.model.shape import arch_of_shape

GPT: dict[str, Any] = {"n_layers": 1, "d_model": 36, "n_heads": 6, "n_kv_heads": 3, "d_head": 5, "d_value": 7, "d_ff": 44, "n_vocab": 11}
LATENT = {"mixer": "latent", "n_heads": 6, "q_rank": 13, "kv_rank": 11, "d_nope": 5, "d_rope": 3, "d_value": 7}


def layer(lora: Lora | None = None, **words: Any) -> Layer:
    """One layer of a small model."""
    bill = bill_of(arch_of_shape(GPT | words))
    return (bill if lora is None else with_lora(bill, lora)).blocks()[0]


def kept(one: Layer, how: Pass) -> dict[str, int]:
    """Elements a token, by name."""
    found = Counter[str]()
    for each in layer_kept(one, how):
        found[each.name] += each.per_token
    return dict(found)


PLAIN = Pass(Keeping())


def test_a_plain_layer_under_a_fused_kernel():
    """Inputs of products and norms; Q, K and V; the output of the core and a log-sum-exp a head; both sides of the activation."""
    assert kept(layer(), PLAIN) == {
        "norm input": 2 * 36,
        "norm statistics": 2 * 8,
        "attention input": 36,
        "queries": 30,
        "keys": 15,
        "values": 21,
        "attention output": 42,
        "log-sum-exp": 6,
        "feed-forward input": 36,
        "inputs of the activation": 44,
        "output of the activation": 44,
    }


@pytest.mark.parametrize(("n_bytes", "expected"), [(4, (8, "byte")), (2, (4, "byte")), (None, (2, "residual"))])
def test_a_layer_norm_keeps_mean_and_deviation(n_bytes: int | None, expected: tuple[int, str]):
    """Two statistics a token, in bytes of their own or as wide as the residual stream."""
    found = [each for each in layer_kept(layer(), Pass(Keeping(norm_stats_bytes=n_bytes))) if each.name == "norm statistics"]

    assert [(each.per_token, each.dtype) for each in found] == [expected] * 2


def test_what_kernels_keep_beyond_the_count():
    """So many bytes for each unit of width, split as the first split matrix is; whole where none is."""
    how = Pass(Keeping(more_per_width=7))
    found = [
        next(each for each in layer_kept(one, how) if "beyond" in each.name)
        for one in (layer(), layer(mixer="none", feed_forward="none", norms_per_layer=1))
    ]

    assert [(each.per_token, each.dtype, each.tp_ways) for each in found] == [(7 * 36, "byte", 6), (7 * 36, "byte", 1)]


@pytest.mark.parametrize(
    ("words", "attention", "feed_forward"),
    [({}, 3, 1), ({"fused_qkv": True, "gated": True}, 1, 2), ({"gated": True, "fused_gate": True}, 3, 1)],
)
def test_under_autocast_each_product_keeps_a_copy_of_its_input(words: dict[str, bool], attention: int, feed_forward: int):
    """Q, K and V or one for all; gate and up or one for both."""
    found = kept(layer(**words), PLAIN._replace(autocast=True))

    assert (found["attention input"], found["feed-forward input"]) == (attention * 36, feed_forward * 36)


@pytest.mark.parametrize(("kind", "statistics"), [("head", (6, 3)), ("heads", (6, 3)), ("width", (1, 1))])
def test_norms_of_queries_and_keys(kind: str, statistics: tuple[int, int]):
    """Their input, and a statistic for each head, or one for all where they are normed together."""
    found = kept(layer(qk_norm=kind), PLAIN)

    assert (found["query norm input"], found["key norm input"]) == (30, 15)
    assert (found["query norm statistics"], found["key norm statistics"]) == statistics


@pytest.mark.parametrize(("rotated", "copied"), [(2, True), (5, False)])
def test_heads_that_are_rotated_in_part_are_put_together_again(rotated: int, copied: bool):
    """A copy of the core's output, 6 heads of 7; Q and K of one tensor are kept through V, a view of it: 9 heads of 5."""
    found = kept(layer(fused_qkv=True, d_rotary=rotated), Pass(Keeping(in_steps=True)))

    assert found.get("copy of the attention output") == (42 if copied else None)
    assert found["queries and keys before rotation"] == 45


def test_latent_attention():
    """Latents and their norms, then 6 heads of 5 + 3 for queries and keys and of 7 for values."""
    found = kept(layer(**LATENT, norm="rms", feed_forward="none"), PLAIN)

    assert found == {
        "norm input": 36 + 13 + 11,
        "norm statistics": 3,
        "attention input": 36,
        "query latent": 13,
        "key and value latent": 11,
        "queries": 48,
        "keys": 48,
        "values": 42,
        "attention output": 42,
        "log-sum-exp": 6,
    }


@pytest.mark.parametrize(("words", "readers"), [({}, 2), ({"n_indexer_heads": 2, "d_indexer": 9, "n_indexer_keys": 4}, 4)])
def test_products_that_read_the_input_of_latent_attention(words: dict[str, int], readers: int):
    """Q down and KV down; an indexer's key and weights as well."""
    assert kept(layer(**LATENT, **words), PLAIN._replace(autocast=True))["attention input"] == readers * 36


def test_any_other_mixer_keeps_inputs_and_outputs_of_its_products():
    """RWKV: receptance, key and value from 36 to 21 and the output back; a frozen product keeps no input."""
    words = {"mixer": "rwkv", "d_inner": 21}
    free, frozen = (kept(layer(lora, **words), PLAIN) for lora in (None, Lora(3, ("mlp",))))
    names = [f"{name} input and output" for name in ("receptance", "key", "value", "output")]

    assert [free[name] for name in names] == [36 + 21] * 4
    assert [frozen[name] for name in names] == [21, 21, 21, 36]


def test_per_operation_recomputation():
    """The layer's input, the core's output and the outputs of every second product: Q, V and up of Q, K, V, output, up, down."""
    assert kept(layer(), PLAIN._replace(recompute="per-op")) == {
        "layer input": 36,
        "Q output": 30,
        "V output": 21,
        "up output": 44,
        "attention output": 42,
    }


EXPERTS: dict[str, Any] = {"n_experts": 7, "n_experts_per_token": 3, "d_ff_expert": 11}


def test_per_operation_recomputation_of_experts():
    """Those that a token passes."""
    assert kept(layer(**EXPERTS), PLAIN._replace(recompute="per-op"))["expert up output"] == 3 * 11


def test_the_narrow_vector_inside_the_adapters_of_experts():
    """5 numbers for each of 3 experts."""
    assert kept(layer(Lora(5, ("experts",)), **EXPERTS), PLAIN)["expert up adapter A output"] == 3 * 5


def test_narrow_copies_of_weights_under_autocast():
    """Attention, router and the experts that a token passes; none without autocast."""
    attention = 36 * (30 + 15 + 21) + 42 * 36

    assert copies_under_autocast(layer(**EXPERTS), PLAIN._replace(autocast=True)) == attention + 36 * 7 + 3 * 2 * 36 * 11
    assert copies_under_autocast(layer(**EXPERTS), PLAIN) == 0
