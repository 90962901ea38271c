"""Families of the module `gemma`: counts of the reference library, what a config leaves out, windows, shared keys and experts."""

from __future__ import annotations

import pytest
from tests.model.families.reference import (
    Row,
    assert_absence_means_the_default,
    assert_same_counts,
    defaults_of,
    layers,
    like,
    models_of,
    n_params,
    named,
    windows,
)

from scaleplan.errors import ScaleplanError


@pytest.mark.parametrize("row", models_of("gemma"), ids=named)
def test_counts_equal_those_of_the_reference_library(row: Row) -> None:
    """No difference in any count."""
    assert_same_counts(row)


@pytest.mark.parametrize("row", defaults_of("gemma"), ids=named)
def test_an_absent_key_is_what_the_class_fills_in(row: Row) -> None:
    """The defaults of the configuration classes of transformers."""
    assert_absence_means_the_default(row)


def test_windows_of_gemma_3n() -> None:
    """All but every fifth layer see the window; the last 15 layers use keys and values of earlier ones unless said."""
    arch = like(
        "gemma3n_text", without=("layer_types", "num_kv_shared_layers", "sliding_window"), num_hidden_layers=20, intermediate_size=77
    )
    shared = [block.mixer.share_keys_values for block in layers(arch)]

    assert windows(arch) == [512, 512, 512, 512, 0] * 4
    assert shared == [None] * 5 + ["layer"] * 15
    assert [block.n_norms for block in layers(arch)] == [4] * 20


def test_some_layers_keep_keys_and_values_of_their_own() -> None:
    """One layer at least."""
    assert n_params(like("gemma4_text", without=("layer_types",), num_hidden_layers=5, num_kv_shared_layers=4)) > 0
    with pytest.raises(ScaleplanError, match="num_kv_shared_layers"):
        like("gemma4_text", without=("layer_types",), num_hidden_layers=5, num_kv_shared_layers=5)


def test_windows_of_gemma_4() -> None:
    """All but every sixth layer and the last, which sees everything."""
    assert windows(like("gemma4_text", without=("layer_types",), num_hidden_layers=8, sliding_window=9)) == [9, 9, 9, 9, 9, 0, 9, 0]


def test_feed_forwards_of_gemma_4_are_twice_as_wide_where_keys_are_shared() -> None:
    """`use_double_wide_mlp`: the layers that use keys and values of earlier ones."""
    arch = like(
        "gemma4_text", without=("layer_types",), num_hidden_layers=5, num_kv_shared_layers=2, use_double_wide_mlp=True, intermediate_size=77
    )

    assert [block.feed_forward.d_ff for block in layers(arch)] == [77, 77, 77, 154, 154]


def test_experts_of_gemma_4_stand_beside_the_feed_forward() -> None:
    """Gate, up and down of each expert, a router of d E with a scale of d, a scale for each expert, and three norms more."""
    moe = {"enable_moe_block": True, "num_experts": 7, "top_k_experts": 2, "moe_intermediate_size": 11}
    d, plain, mixed = 2304, like("gemma4_text"), like("gemma4_text", **moe)

    assert n_params(mixed) - n_params(plain) == 12 * (7 * 3 * d * 11 + d * 7 + d + 7 + 3 * d)


def test_layers_of_gemma_3n_may_differ_in_width() -> None:
    """One width for each layer; more than 10^9 is none."""
    given = {"without": ("layer_types",), "num_hidden_layers": 5, "num_kv_shared_layers": 1}

    assert [block.feed_forward.d_ff for block in layers(like("gemma3n_text", **given, intermediate_size=[3, 5, 7, 11, 13]))] == [
        3,
        5,
        7,
        11,
        13,
    ]
    with pytest.raises(ScaleplanError, match="intermediate_size"):
        like("gemma3n_text", **given, intermediate_size=[3, 5, 7, 11, 10**9 + 1])
