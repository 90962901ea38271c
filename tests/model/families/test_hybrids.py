"""Families of the module `hybrids`: counts, what a config leaves out, and the mixer of each layer."""

from __future__ import annotations

import pytest
from tests.model.families.reference import (
    Row,
    assert_absence_means_the_default,
    assert_same_counts,
    defaults_of,
    experts,
    layers,
    like,
    mixers,
    models_of,
    named,
)

from scaleplan.errors import ScaleplanError


@pytest.mark.parametrize("row", models_of("hybrids"), ids=named)
def test_counts_equal_those_of_the_reference_library(row: Row) -> None:
    """No difference in any count."""
    assert_same_counts(row)


@pytest.mark.parametrize("row", defaults_of("hybrids"), ids=named)
def test_an_absent_key_is_what_the_class_fills_in(row: Row) -> None:
    """The defaults of the configuration classes of transformers."""
    assert_absence_means_the_default(row)


def test_jamba_by_layer() -> None:
    """Attention in layers 4, 12, ..., experts in every second one; a period and an offset say otherwise."""
    usual = ("attn_layer_period", "attn_layer_offset", "expert_layer_period", "expert_layer_offset")
    arch = like("jamba", without=usual, num_hidden_layers=14)
    other = like("jamba", num_hidden_layers=7, attn_layer_period=3, attn_layer_offset=2, expert_layer_period=5, expert_layer_offset=0)

    assert [number for number, name in enumerate(mixers(arch)) if name == "Attention"] == [4, 12]
    assert experts(arch) == [1, 3, 5, 7, 9, 11, 13]
    assert [number for number, name in enumerate(mixers(other)) if name == "Attention"] == [2, 5]
    assert experts(other) == [0, 5]


def test_an_offset_lies_within_its_period() -> None:
    """0 to period - 1."""
    with pytest.raises(ScaleplanError, match="attn_layer_offset"):
        like("jamba", attn_layer_period=3, attn_layer_offset=3)


def test_one_expert_of_jamba_is_a_plain_feed_forward() -> None:
    """Two are a mixture."""
    assert experts(like("jamba", num_experts=1, num_hidden_layers=8)) == []
    assert experts(like("jamba", num_experts=2, num_hidden_layers=8)) == [1, 3, 5, 7]


@pytest.mark.parametrize("kind", ["jamba", "falcon_mamba"])
@pytest.mark.parametrize(("d_model", "rank"), [(64, 4), (65, 5), (80, 5)])
def test_an_automatic_rank_is_a_sixteenth_rounded_up(kind: str, d_model: int, rank: int) -> None:
    """ceil(d / 16)."""
    key = "mamba_dt_rank" if kind == "jamba" else "time_step_rank"
    arch = like(kind, hidden_size=d_model, head_dim=3, num_hidden_layers=8, intermediate_size=128, **{key: "auto"})

    assert {block.mixer.dt_rank for block in layers(arch) if type(block.mixer).__name__ == "Mamba"} == {rank}


def test_attention_of_bamba_is_where_its_list_says() -> None:
    """Layers from 0 to n - 1."""
    assert mixers(like("bamba", num_hidden_layers=4, attn_layer_indices=[1, 3])) == ["Mamba2", "Attention", "Mamba2", "Attention"]
    with pytest.raises(ScaleplanError, match="attn_layer_indices"):
        like("bamba", num_hidden_layers=4, attn_layer_indices=[4])


def test_attention_of_lfm2_is_where_its_list_says() -> None:
    """Layers from 0 to n - 1."""
    assert mixers(like("lfm2", num_hidden_layers=3, full_attn_idxs=[2])) == ["ShortConv", "ShortConv", "Attention"]
    with pytest.raises(ScaleplanError, match="full_attn_idxs"):
        like("lfm2", num_hidden_layers=3, full_attn_idxs=[3])


@pytest.mark.parametrize(("said", "multiple", "d_ff"), [(1000, 256, 768), (1000, 7, 672), (1153, 256, 768), (1154, 256, 1024)])
def test_the_feed_forward_of_lfm2_is_two_thirds_rounded_up(said: int, multiple: int, d_ff: int) -> None:
    """2 / 3 of what the config says, cut to a whole number, then the next multiple; 256 where none is said."""
    named = {} if multiple == 256 else {"block_multiple_of": multiple}
    arch = like("lfm2", without=("block_multiple_of",) if multiple == 256 else (), block_ff_dim=said, **named)

    assert {block.feed_forward.d_ff for block in layers(arch)} == {d_ff}


@pytest.mark.parametrize("factor", [1, 1.0])
def test_a_factor_of_one_changes_nothing(factor: float) -> None:
    """Other factors of LFM2's width are refused."""
    assert like("lfm2", block_ffn_dim_multiplier=factor) == like("lfm2", without=("block_ffn_dim_multiplier",))
    with pytest.raises(ScaleplanError, match="block_ffn_dim_multiplier"):
        like("lfm2", block_ffn_dim_multiplier=2 * factor)


@pytest.mark.parametrize(("n_layers", "attention"), [(9, [3, 7]), (4, [3]), (3, [2]), (2, [1])])
def test_attention_of_olmo_hybrid_is_in_every_fourth_layer(n_layers: int, attention: list[int]) -> None:
    """Layers 3, 7, ...; the last one of fewer than four."""
    found = mixers(like("olmo_hybrid", without=("layer_types",), num_hidden_layers=n_layers))

    assert [number for number, name in enumerate(found) if name == "Attention"] == attention


def test_values_of_olmo_hybrid_are_as_wide_as_its_mixer_says() -> None:
    """`linear_value_head_dim` in the delta rule, the width of a head in attention."""
    arch = like("olmo_hybrid", without=("layer_types",), num_hidden_layers=5, linear_value_head_dim=11)

    assert [block.mixer.d_value for block in layers(arch)] == [11, 11, 11, 3840 // 30, 11]


def test_minimax_and_qwen_in_turn() -> None:
    """MiniMax: attention in every second layer from the first on; Qwen 3.5: in every fourth, the fourth first."""
    assert mixers(like("minimax", without=("layer_types",), num_hidden_layers=3)) == ["Attention", "LinearAttention", "Attention"]
    kinds = mixers(like("qwen3_5_text", without=("layer_types",), num_hidden_layers=6))
    assert [number for number, name in enumerate(kinds) if name == "Attention"] == [3]


def test_recurrent_blocks_in_a_pattern() -> None:
    """Two recurrent ones, then attention with a window; the feed-forward is half as wide as the config says."""
    arch = like("recurrent_gemma", num_hidden_layers=4, attention_window_size=33, intermediate_size=154)

    assert mixers(arch) == ["RgLru", "RgLru", "Attention", "RgLru"]
    assert layers(arch)[2].mixer.span.local == 33
    assert {block.feed_forward.d_ff for block in layers(arch)} == {77}
