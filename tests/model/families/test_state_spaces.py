"""Families of the module `state_spaces`: counts of the reference library, what a config leaves out, and the mixer of each layer."""

from __future__ import annotations

from typing import Any

import pytest
from tests.model.families.reference import (
    Row,
    assert_absence_means_the_default,
    assert_same_counts,
    built,
    defaults_of,
    layers,
    like,
    mixers,
    models_of,
    named,
)


@pytest.mark.parametrize("row", models_of("state_spaces"), ids=named)
def test_counts_equal_those_of_the_reference_library(row: Row) -> None:
    """No difference in any count."""
    assert_same_counts(row)


@pytest.mark.parametrize("row", defaults_of("state_spaces"), ids=named)
def test_an_absent_key_is_what_the_class_fills_in(row: Row) -> None:
    """The defaults of the configuration classes of transformers."""
    assert_absence_means_the_default(row)


@pytest.mark.parametrize(("said", "d_ff"), [({}, 4 * 35), ({"intermediate_size": None}, 4 * 35), ({"intermediate_size": 77}, 77)])
def test_channel_mixing_of_rwkv_is_four_times_as_wide(said: dict[str, Any], d_ff: int) -> None:
    """Where the config is silent; time mixing is as wide as the model."""
    arch = like("rwkv", without=("attention_hidden_size", *(() if said else ("intermediate_size",))), hidden_size=35, **said)

    assert {block.feed_forward.d_ff for block in layers(arch)} == {d_ff}
    assert {block.mixer.d_attention for block in layers(arch)} == {35}


@pytest.mark.parametrize(("d_model", "rank"), [(64, 4), (65, 5), (80, 5)])
def test_an_automatic_rank_is_a_sixteenth_rounded_up(d_model: int, rank: int) -> None:
    """ceil(d / 16), and twice as many channels as the width."""
    sizes = {"hidden_size": d_model, "state_size": 5, "conv_kernel": 3, "num_hidden_layers": 2, "vocab_size": 11}
    arch = built("mamba", sizes | {"time_step_rank": "auto"})

    assert {(block.mixer.dt_rank, block.mixer.d_inner) for block in layers(arch)} == {(rank, 2 * d_model)}


def test_attention_of_qwen3_next_is_in_every_fourth_layer() -> None:
    """The fourth first; another interval says otherwise."""
    fourth = like("qwen3_next", without=("layer_types",), num_hidden_layers=9)
    third = like("qwen3_next", without=("layer_types",), num_hidden_layers=9, full_attention_interval=3)

    assert [number for number, name in enumerate(mixers(fourth)) if name == "Attention"] == [3, 7]
    assert [number for number, name in enumerate(mixers(third)) if name == "Attention"] == [2, 5, 8]


def test_values_of_qwen3_next_are_as_wide_as_its_mixer_says() -> None:
    """`linear_value_head_dim` in the delta rule, `head_dim` in attention."""
    arch = like("qwen3_next", without=("layer_types",), num_hidden_layers=5, linear_value_head_dim=11, head_dim=13)

    assert [block.mixer.d_value for block in layers(arch)] == [11, 11, 11, 13, 11]
