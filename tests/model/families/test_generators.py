"""Families of the module `generators`: counts of the reference library, what a config leaves out, positions."""

from __future__ import annotations

import pytest
from tests.model.families.reference import (
    Row,
    assert_absence_means_the_default,
    assert_same_counts,
    built,
    defaults_of,
    models_of,
    named,
)


@pytest.mark.parametrize("row", models_of("generators"), ids=named)
def test_counts_equal_those_of_the_reference_library(row: Row) -> None:
    """No difference in any count."""
    assert_same_counts(row)


@pytest.mark.parametrize("row", defaults_of("generators"), ids=named)
def test_an_absent_key_is_what_the_class_fills_in(row: Row) -> None:
    """The defaults of the configuration classes of transformers."""
    assert_absence_means_the_default(row)


def test_biogpt_has_two_rows_of_positions_more_than_tokens() -> None:
    """`max_position_embeddings` tokens are the most; the table begins at row 2."""
    config = next(row["config"] for row in models_of("generators") if row["config"]["model_type"] == "biogpt")
    arch = built("biogpt", {**config, "max_position_embeddings": 77})

    assert (arch.max_seq_len, arch.stacks[0].n_positions) == (77, 79)
