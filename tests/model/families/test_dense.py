"""Families of the module `dense`: counts, what a config leaves out, which layers have windows."""

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
    models_of,
    n_params,
    named,
    windows,
)


@pytest.mark.parametrize("row", models_of("dense"), ids=named)
def test_counts_equal_those_of_the_reference_library(row: Row) -> None:
    """No difference in any count."""
    assert_same_counts(row)


@pytest.mark.parametrize("row", defaults_of("dense"), ids=named)
def test_an_absent_key_is_what_the_class_fills_in(row: Row) -> None:
    """The defaults of the configuration classes of transformers."""
    assert_absence_means_the_default(row)


SMALL = {"hidden_size": 24, "intermediate_size": 40, "num_attention_heads": 6, "num_key_value_heads": 3, "head_dim": 5, "vocab_size": 101}


def small(kind: str, n_layers: int, **changes: Any) -> Any:
    """A narrow model of a family."""
    return built(kind, {**SMALL, "num_hidden_layers": n_layers, **changes})


@pytest.mark.parametrize("kind", ["qwen2", "qwen3"])
def test_windows_of_qwen_begin_at_a_layer(kind: str) -> None:
    """Layer `max_window_layers` is the first with a window; none has one unless `use_sliding_window` says so; a list says which."""
    said = {"use_sliding_window": True, "sliding_window": 7, "max_window_layers": 3}
    listed = ["sliding_attention", "full_attention", "sliding_attention", "full_attention", "full_attention"]

    assert windows(small(kind, 5, **said)) == [0, 0, 0, 7, 7]
    assert windows(small(kind, 5, **said | {"layer_types": listed})) == [7, 0, 7, 0, 0]
    assert windows(small(kind, 5, **said | {"use_sliding_window": False})) == [0] * 5
    assert windows(small(kind, 5, **said | {"sliding_window": None})) == [0] * 5


def test_windows_of_gemma() -> None:
    """Gemma 2: every second layer, from the first on; Gemma 3: all but every sixth; a null window is none."""
    assert windows(small("gemma2", 5, sliding_window=7)) == [7, 0, 7, 0, 7]
    assert windows(small("gemma3_text", 13, sliding_window=7)) == [7, 7, 7, 7, 7, 0, 7, 7, 7, 7, 7, 0, 7]
    assert windows(small("gemma3_text", 5, sliding_window=7, sliding_window_pattern=2)) == [7, 0, 7, 0, 7]
    assert windows(small("gemma3_text", 3, sliding_window=None)) == [0, 0, 0]


def test_windows_of_mistral_and_of_those_without() -> None:
    """One window for all layers; Phi 3's class has none unless it is said."""
    assert windows(small("mistral", 2, sliding_window=7)) == windows(small("phi3", 2, sliding_window=7)) == [7, 7]
    assert windows(small("phi3", 2)) == windows(small("mistral", 2, sliding_window=None)) == [0, 0]


def test_a_parallel_block_of_stablelm_has_one_norm() -> None:
    """A scale and a shift fewer in each layer; norms of queries and keys are one a head, of 24 / 6 numbers, without shifts."""
    config = {"use_parallel_residual": False, "qk_layernorm": False}
    changed: tuple[dict[str, bool], ...] = ({}, {"use_parallel_residual": True}, {"qk_layernorm": True})
    plain, parallel, normed = (small("stablelm", 5, **config | changes) for changes in changed)

    assert n_params(plain) - n_params(parallel) == 5 * 2 * 24
    assert n_params(normed) - n_params(plain) == 5 * (6 + 3) * 4
    assert [block.parallel for block in layers(parallel)] == [True] * 5


def test_norms_of_queries_and_keys_of_phi() -> None:
    """Layer norms as wide as a head: scale and shift, twice a layer."""
    plain, normed = (small("phi", 7, head_dim=None, qk_layernorm=normed) for normed in (False, True))

    assert n_params(normed) - n_params(plain) == 7 * 2 * 2 * (24 // 6)
    assert {block.mixer.qk_norm_vectors for block in layers(normed)} == {2}
