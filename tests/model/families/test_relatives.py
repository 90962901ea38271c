"""Families of the module `relatives`: counts, what a config leaves out, windows and norms."""

from __future__ import annotations

import pytest
from tests.model.families.reference import (
    Row,
    assert_absence_means_the_default,
    assert_same_counts,
    built,
    defaults_of,
    layers,
    like,
    models_of,
    n_params,
    named,
    windows,
)


@pytest.mark.parametrize("row", models_of("relatives"), ids=named)
def test_counts_equal_those_of_the_reference_library(row: Row) -> None:
    """No difference in any count."""
    assert_same_counts(row)


@pytest.mark.parametrize("row", defaults_of("relatives"), ids=named)
def test_an_absent_key_is_what_the_class_fills_in(row: Row) -> None:
    """The defaults of the configuration classes of transformers."""
    assert_absence_means_the_default(row)


@pytest.mark.parametrize("kind", ["cohere2", "exaone4", "olmo3", "cwm"])
def test_windows_in_three_layers_of_four(kind: str) -> None:
    """All but every fourth layer; every so many-th where the pattern is a number, every fourth where it is none."""
    given = {"without": ("layer_types", "sliding_window_pattern"), "num_hidden_layers": 9, "sliding_window": 33}

    assert windows(like(kind, **given)) == [33, 33, 33, 0, 33, 33, 33, 0, 33]
    given["without"] = ("layer_types",)
    assert windows(like(kind, **given, sliding_window_pattern=3)) == [33, 33, 0, 33, 33, 0, 33, 33, 0]
    assert windows(like(kind, **given, sliding_window_pattern=1)) == [0] * 9
    assert windows(like(kind, **given, sliding_window_pattern=0)) == [33, 33, 33, 0, 33, 33, 33, 0, 33]


def test_windows_of_vaultgemma_and_ministral() -> None:
    """Every second layer, from the first on; every layer."""
    given = {"without": ("layer_types",), "num_hidden_layers": 3, "sliding_window": 33}

    assert windows(like("vaultgemma", **given)) == [33, 0, 33]
    assert windows(like("ministral", **given)) == [33, 33, 33]


@pytest.mark.parametrize("kind", ["qwen2_vl_text", "qwen2_5_vl_text"])
def test_windows_of_qwen_vl_begin_at_a_layer(kind: str) -> None:
    """`max_window_layers` is the first with a window."""
    config = {"use_sliding_window": True, "sliding_window": 7, "max_window_layers": 3, "num_hidden_layers": 5, "vocab_size": 11}
    sizes = {"hidden_size": 24, "intermediate_size": 40, "num_attention_heads": 6, "num_key_value_heads": 3}

    assert windows(built(kind, config | sizes)) == [0, 0, 0, 7, 7]


@pytest.mark.parametrize(("said", "norms"), [({}, 4), ({"use_post_norm": True}, 4), ({"use_post_norm": False}, 2)])
def test_norms_of_hyperclovax(said: dict[str, bool], norms: int) -> None:
    """Before and after each half of a block, after only where it is said."""
    assert {block.n_norms for block in layers(like("hyperclovax", without=("use_post_norm",), **said))} == {norms}


def test_one_bias_of_the_japanese_neox() -> None:
    """A vector as wide as the model in the last layer alone; the feed-forward is a multiple of the width."""
    arch = like("gpt_neox_japanese", num_hidden_layers=5, hidden_size=96, num_attention_heads=8, intermediate_multiple_size=3)

    assert [[tensor.shape for tensor in block.tensors] for block in layers(arch)] == [[], [], [], [], [(96,)]]
    assert {block.feed_forward.d_ff for block in layers(arch)} == {288}


def test_norms_of_queries_and_keys_of_persimmon() -> None:
    """Layer norms as wide as a head: scale and shift, twice a layer."""
    plain, normed = (like("persimmon", qk_layernorm=normed) for normed in (False, True))

    assert n_params(normed) - n_params(plain) == 36 * 2 * 2 * (4096 // 64)
    assert {block.mixer.qk_norm_vectors for block in layers(normed)} == {2}


def test_slopes_of_apertus() -> None:
    """Two numbers in each of 32 layers."""
    assert [[tensor.shape for tensor in block.tensors] for block in layers(like("apertus"))] == [[(1,), (1,)]] * 32


def test_inner_norms_of_bitnet() -> None:
    """As wide as the model and as the feed-forward."""
    arch = like("bitnet", hidden_size=96, intermediate_size=40, num_attention_heads=8, num_key_value_heads=4, num_hidden_layers=2)

    assert [[tensor.shape for tensor in block.tensors] for block in layers(arch)] == [[(96,), (40,)]] * 2


@pytest.mark.parametrize(
    ("attention", "out", "vectors"), [(True, True, 24 + 24 + 30), (True, False, 24 + 24), (False, True, 30), (False, False, 0)]
)
def test_biases_of_seed_oss(attention: bool, out: bool, vectors: int) -> None:
    """Of Q, K and V, and of the output, said apart: 4 heads of 6, 2 of keys and 2 of values, a width of 30."""
    sizes = {"hidden_size": 30, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 6, "num_hidden_layers": 7}
    plain = like("seed_oss", **sizes, attention_bias=False, attention_out_bias=False)

    assert n_params(like("seed_oss", **sizes, attention_bias=attention, attention_out_bias=out)) - n_params(plain) == 7 * vectors
