"""Families of the module `older`: counts of the reference library, what a config leaves out, norms, windows and positions."""

from __future__ import annotations

from typing import Any

import pytest
from tests.model.families.reference import (
    Row,
    assert_absence_means_the_default,
    assert_same_counts,
    defaults_of,
    layers,
    like,
    models_of,
    named,
    windows,
)

from scaleplan.errors import ScaleplanError


@pytest.mark.parametrize("row", models_of("older"), ids=named)
def test_counts_equal_those_of_the_reference_library(row: Row) -> None:
    """No difference in any count."""
    assert_same_counts(row)


@pytest.mark.parametrize("row", defaults_of("older"), ids=named)
def test_an_absent_key_is_what_the_class_fills_in(row: Row) -> None:
    """The defaults of the configuration classes of transformers."""
    assert_absence_means_the_default(row)


def test_opt_has_two_rows_of_positions_more_than_tokens() -> None:
    """`max_position_embeddings` tokens are the most; the table begins at row 2."""
    arch = like("opt", max_position_embeddings=77)

    assert (arch.max_seq_len, arch.stacks[0].n_positions) == (77, 79)


def test_layers_of_gpt_neo() -> None:
    """Kinds and how often they are repeated, in place of a list of layers."""
    types = [[["global", "local"], 2], [["local"], 1]]
    arch = like("gpt_neo", without=("attention_layers", "window_size"), num_layers=5, attention_types=types)

    assert windows(arch) == [0, 256, 0, 256, 256]
    with pytest.raises(ScaleplanError, match="attention_types"):
        like("gpt_neo", without=("attention_layers",), num_layers=4, attention_types=types)


@pytest.mark.parametrize(
    ("said", "norms"),
    [({"num_ln_in_parallel_attn": 2}, 2), ({"num_ln_in_parallel_attn": 1}, 1), ({}, 2), ({"parallel_attn": False}, 2)],
)
def test_norms_of_falcon(said: dict[str, Any], norms: int) -> None:
    """Two in a block of the new architecture unless one is said."""
    arch = like("falcon", num_hidden_layers=3, **said)

    assert [block.n_norms for block in layers(arch)] == [norms] * 3


def test_norms_of_the_first_falcon() -> None:
    """One in a parallel block of the old architecture, two where the halves follow each other; three are no Falcon."""
    old = {"new_decoder_architecture": False, "num_hidden_layers": 2}

    assert [block.n_norms for block in layers(like("falcon", **old))] == [1, 1]
    assert [block.n_norms for block in layers(like("falcon", **old, parallel_attn=False))] == [2, 2]
    with pytest.raises(ScaleplanError, match="num_ln_in_parallel_attn"):
        like("falcon", num_ln_in_parallel_attn=3)


def test_keys_of_falcon() -> None:
    """One head of the multi-query generation, as many as query heads without; `num_kv_heads` in the new architecture."""
    new, old = {"num_kv_heads": 4}, {"new_decoder_architecture": False}
    heads = [
        {block.mixer.n_kv_heads for block in layers(like("falcon", num_attention_heads=16, **said))}
        for said in (new, old | {"multi_query": True}, old | {"multi_query": False})
    ]

    assert heads == [{4}, {1}, {16}]
