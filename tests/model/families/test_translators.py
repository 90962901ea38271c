"""Families of the module `translators`: counts, what a config leaves out, which layers have experts, positions and patterns."""

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
    models_of,
    named,
    windows,
)


@pytest.mark.parametrize("row", models_of("translators"), ids=named)
def test_counts_equal_those_of_the_reference_library(row: Row) -> None:
    """No difference in any count."""
    assert_same_counts(row)


@pytest.mark.parametrize("row", defaults_of("translators"), ids=named)
def test_an_absent_key_is_what_the_class_fills_in(row: Row) -> None:
    """The defaults of the configuration classes of transformers."""
    assert_absence_means_the_default(row)


@pytest.mark.parametrize(
    ("n_layers", "n_sparse", "sparse"), [(7, 3, [1, 3, 5]), (9, 2, [1, 5]), (6, 6, [0, 1, 2, 3, 4, 5]), (6, 0, [1]), (1, 1, [0])]
)
def test_experts_of_switch(n_layers: int, n_sparse: int, sparse: list[int]) -> None:
    """Layer i where i mod step is 1, with step = layers // layers with experts; all where it is 1 (SwitchTransformersStack)."""
    keys = ("encoder_sparse_step", "decoder_sparse_step")
    arch = like("switch_transformers", keys, num_layers=n_layers, num_sparse_encoder_layers=n_sparse, num_decoder_layers=12)
    other = like("switch_transformers", keys, num_decoder_layers=n_layers, num_sparse_decoder_layers=n_sparse)

    assert experts(arch, 0) == sparse
    assert experts(other, 1) == sparse
    used = {block.feed_forward.experts.n_used for block in layers(arch, 0) if block.feed_forward.experts}
    assert used == {1}


@pytest.mark.parametrize(("step", "sparse"), [(3, [2, 5]), (1, [0, 1, 2, 3, 4, 5, 6]), (0, [])])
def test_experts_of_nllb(step: int, sparse: list[int]) -> None:
    """Layer i where the step divides i + 1; none where it is 0 (NllbMoeEncoder). A token passes two."""
    arch = like("nllb-moe", encoder_layers=7, decoder_layers=7, encoder_sparse_step=step, decoder_sparse_step=2)

    assert (experts(arch, 0), experts(arch, 1)) == (sparse, [1, 3, 5])
    assert {block.feed_forward.experts.n_used for block in layers(arch) if block.feed_forward.experts} == {2}


@pytest.mark.parametrize(("said", "keys"), [({}, 3 * 128), ({"local_radius": 10}, 3 * 11)])
def test_local_attention_of_longt5(said: dict[str, int], keys: int) -> None:
    """A block of radius + 1 tokens and its two neighbours (guo2021 section 3.1.1); one sum of a block for each 16 tokens beside them."""
    arch = like("longt5", without=("local_radius", "global_block_size"), encoder_attention_type="transient-global", **said)

    assert windows(arch, 0) == [keys] * 12
    assert {block.mixer.span.stride for block in layers(arch, 0)} == {16}
    assert windows(arch, 1) == [0] * 12


def test_positions_of_led() -> None:
    """A table for each half."""
    led = like("led", max_encoder_position_embeddings=77, max_decoder_position_embeddings=55, attention_window=22)

    assert [stack.n_positions for stack in led.stacks] == [77, 55]


def test_mbart_has_two_rows_of_positions_more_than_tokens() -> None:
    """The table begins at row 2."""
    assert [stack.n_positions for stack in like("mbart", max_position_embeddings=77).stacks] == [79, 79]
