"""Families of the module `encoders`: counts of the reference library, what a config leaves out, norms, windows and positions."""

from __future__ import annotations

import pytest
from tests.model.families.reference import (
    Row,
    assert_absence_means_the_default,
    assert_same_counts,
    built,
    defaults_of,
    layers,
    models_of,
    named,
    windows,
)


@pytest.mark.parametrize("row", models_of("encoders"), ids=named)
def test_counts_equal_those_of_the_reference_library(row: Row) -> None:
    """No difference in any count."""
    assert_same_counts(row)


@pytest.mark.parametrize("row", defaults_of("encoders"), ids=named)
def test_an_absent_key_is_what_the_class_fills_in(row: Row) -> None:
    """The defaults of the configuration classes of transformers."""
    assert_absence_means_the_default(row)


def test_norms_and_windows_of_modernbert() -> None:
    """The first layer has no norm before its attention; all but every third layer have a window."""
    config = {"hidden_size": 24, "intermediate_size": 40, "num_attention_heads": 6, "vocab_size": 101}
    arch = built("modernbert", {**config, "num_hidden_layers": 7, "local_attention": 14})

    assert windows(arch) == [0, 14, 14, 0, 14, 14, 0]
    assert [block.n_norms for block in layers(arch)] == [1, 2, 2, 2, 2, 2, 2]
    assert [block.n_norms for block in layers(built("modernbert", {**config, "num_hidden_layers": 1}))] == [1]


def test_bart_has_two_rows_of_positions_more_than_tokens() -> None:
    """`max_position_embeddings` tokens are the most; the table begins at row 2."""
    config = next(row["config"] for row in models_of("encoders") if row["config"]["model_type"] == "bart")
    arch = built("bart", {**config, "max_position_embeddings": 77})

    assert (arch.max_seq_len, arch.stacks[0].n_positions, arch.stacks[1].n_positions) == (77, 79, 79)
