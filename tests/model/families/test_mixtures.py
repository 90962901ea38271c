"""Families of the module `mixtures`: counts, what a config leaves out, which layers have experts, windows and indexers."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from tests.model.families.reference import (
    Row,
    assert_absence_means_the_default,
    assert_same_counts,
    defaults_of,
    experts,
    layers,
    like,
    models_of,
    named,
    windows,
)

from scaleplan.errors import ScaleplanError
from scaleplan.model.arch import Arch


@pytest.mark.parametrize("row", models_of("mixtures"), ids=named)
def test_counts_equal_those_of_the_reference_library(row: Row) -> None:
    """No difference in any count."""
    assert_same_counts(row)


@pytest.mark.parametrize("row", defaults_of("mixtures"), ids=named)
def test_an_absent_key_is_what_the_class_fills_in(row: Row) -> None:
    """The defaults of the configuration classes of transformers."""
    assert_absence_means_the_default(row)


def indexers(arch: Arch) -> list[int]:
    """Heads of the indexer of each layer, 0 where it has none."""
    return [0 if block.mixer.indexer is None else block.mixer.indexer.n_heads for block in layers(arch)]


@pytest.mark.parametrize(
    ("frequency", "offset", "full"), [(1, 2, range(9)), (3, 2, [0, 1, 4, 7]), (4, 3, [0, 1, 2, 6]), (2, 0, [1, 3, 5, 7])]
)
def test_layers_with_an_indexer_of_their_own(frequency: int, offset: int, full: Sequence[int]) -> None:
    """Layer i has one where max(i - offset + 1, 0) is a multiple of the frequency (GlmMoeDsaConfig)."""
    arch = like("glm_moe_dsa", without=("indexer_types",), num_hidden_layers=9, index_topk_freq=frequency, index_skip_topk_offset=offset)

    assert [number for number, heads in enumerate(indexers(arch)) if heads] == list(full)


def test_the_offset_of_indexers_is_two() -> None:
    """Where the config is silent."""
    silent = like("glm_moe_dsa", without=("indexer_types", "index_skip_topk_offset"), num_hidden_layers=9, index_topk_freq=3)

    assert [number for number, heads in enumerate(indexers(silent)) if heads] == [0, 1, 4, 7]


@pytest.mark.parametrize(("kind", "first"), [("deepseek_v32", 3), ("exaone_moe", 1), ("glm4_moe_lite", 1), ("hy_v3", 1)])
def test_dense_layers_first(kind: str, first: int) -> None:
    """Where the config is silent."""
    arch = like(kind, without=("first_k_dense_replace", "mlp_layer_types", "layer_types", "indexer_types"), num_hidden_layers=5)

    assert experts(arch) == list(range(first, 5))


@pytest.mark.parametrize("kind", ["glm4_moe_lite", "hy_v3"])
def test_one_dense_layer_whatever_is_said(kind: str) -> None:
    """`first_k_dense_replace` may say 1 and nothing else, because the class does not read it."""
    assert like(kind, first_k_dense_replace=1) == like(kind, without=("first_k_dense_replace",))
    with pytest.raises(ScaleplanError, match="first_k_dense_replace"):
        like(kind, first_k_dense_replace=2)


@pytest.mark.parametrize(
    ("said", "sparse"),
    [
        ({}, [1, 2, 3, 4, 5, 6]),
        ({"moe_layer_end_index": -1}, [1, 2, 3, 4, 5, 6]),
        ({"moe_layer_interval": 3, "moe_layer_start_index": 0}, [2, 5]),
        ({"moe_layer_start_index": 2, "moe_layer_end_index": 4}, [2, 3, 4]),
        ({"moe_layer_interval": 2, "moe_layer_start_index": 3, "moe_layer_end_index": 5}, [3, 5]),
    ],
)
def test_experts_of_ernie(said: dict[str, int], sparse: list[int]) -> None:
    """Layer i where the interval divides i + 1, from the start to the end, both included."""
    keys = ("moe_layer_start_index", "moe_layer_end_index", "moe_layer_interval")
    assert experts(like("ernie4_5_moe", tuple(key for key in keys if key not in said), num_hidden_layers=7, **said)) == sparse


def test_an_absent_number_of_key_heads_of_dbrx_is_one() -> None:
    """DbrxAttentionConfig: kv_n_heads = 1."""
    assert {block.mixer.n_kv_heads for block in layers(like("dbrx", attn_config={}))} == {1}


def test_windows_of_afmoe() -> None:
    """All but every fourth layer."""
    arch = like("afmoe", without=("layer_types",), num_hidden_layers=9, sliding_window=33, num_dense_layers=1)

    assert windows(arch) == [33, 33, 33, 0, 33, 33, 33, 0, 33]


def test_values_of_minicpm3_share_the_width_among_the_heads() -> None:
    """hidden_size // num_attention_heads."""
    arch = like("minicpm3", without=("v_head_dim",), hidden_size=2600, num_attention_heads=40)

    assert {block.mixer.d_value for block in layers(arch)} == {65}


def test_shared_experts_of_hunyuan_are_one() -> None:
    """As a number, or once for each layer."""
    assert like("hunyuan_v1_moe", num_shared_expert=1) == like("hunyuan_v1_moe", num_shared_expert=[1] * 32)
    with pytest.raises(ScaleplanError, match="num_shared_expert"):
        like("hunyuan_v1_moe", num_shared_expert=2)


def test_attention_of_deepseek_v4_where_nothing_is_said() -> None:
    """Two layers with a compressed key for 128 tokens, then 128 and 4 in turn (DeepseekV4Config); an indexer where it is 4."""
    arch = like("deepseek_v4", without=("compress_ratios", "layer_types"), num_hidden_layers=7)

    assert [block.mixer.rate for block in layers(arch)] == [128, 128, 128, 4, 128, 4, 128]
    assert [bool(heads) for heads in indexers(arch)] == [False, False, False, True, False, True, False]


def test_rates_of_deepseek_v4_that_are_counted() -> None:
    """4 and 128 tokens a compressed key; ratios 0, 4 and 128."""
    rates = {"compressed_sparse_attention": 4, "heavily_compressed_attention": 128}
    arch = like("deepseek_v4", compress_rates=rates, compress_ratios=[0, 4, 128], num_hidden_layers=3)

    assert [block.mixer.rate for block in layers(arch)] == [0, 4, 128]
    for said in (
        {"compress_rates": rates | {"heavily_compressed_attention": 64}},
        {"compress_ratios": [0, 4, 129]},
        {"compress_ratios": [0, 4, 8]},
    ):
        with pytest.raises(ScaleplanError, match="compress_rat"):
            like("deepseek_v4", num_hidden_layers=3, **said)
