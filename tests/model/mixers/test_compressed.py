"""Attention of DeepSeek V4 with an indexer, by hand: 4 heads of 12, compressed keys for 3 tokens."""

from __future__ import annotations

from typing import Any

import pytest
from tests.model.mixers.by_hand import cached, layer, n_params, pair_flops

from scaleplan.errors import ScaleplanError
from scaleplan.model.mixers.compressed import CompressedAttention

SIZES: dict[str, Any] = {
    "mixer": "compressed", "d_model": 32, "n_heads": 4, "d_head": 12, "q_rank": 6, "n_output_groups": 2, "output_rank": 5, "window": 16,
    "compression": 3, "n_indexer_heads": 5, "d_indexer": 7, "n_indexer_keys": 9,
}  # fmt: skip


def test_weights_with_an_indexer():
    """Compressed keys overlap: values and gate are twice as wide, those of the indexer too; each has a bias for 3 places and a norm."""
    queries, keys, output = 32 * 6 + 6 * 48 + 6, 32 * 12 + 12, 48 * 5 + 2 * 5 * 32
    compressed = 2 * 32 * 24 + 3 * 24 + 12
    indexer = 2 * 32 * 14 + 3 * 14 + 7 + 6 * 5 * 7 + 32 * 5

    assert n_params(layer(**SIZES)) == queries + keys + output + 4 + compressed + indexer


def test_pairs_with_an_indexer():
    """Each query meets 16 near keys and 9 picked ones in 4 heads of 12, and a compressed key of each 3 tokens in 5 heads of 7."""
    assert pair_flops(layer(**SIZES), 60) == 60 * (16 + 9) * 2 * 4 * (12 + 12) + 60 * 20 * 2 * 5 * 7


def test_what_is_kept_for_the_next_token():
    """A key of 12 in the window, a compressed one for 3 tokens, and one of the indexer's."""
    assert [kept.per_token for kept in cached(layer(**SIZES))] == [12, 12 // 3, 7 // 3]


def test_the_width_of_its_queries():
    """4 heads of 12."""
    assert CompressedAttention(4, 12, 6, 2, 5, 16).attention_width == 48


@pytest.mark.parametrize("groups", [2, 9])
def test_groups_divide_the_width_of_all_heads(groups: int):
    """3 heads of 6 in 2 or 9 groups, not in 4."""
    heads = {"n_heads": 3, "d_head": 6}

    assert n_params(layer(**SIZES | heads | {"n_output_groups": groups})) > 0
    with pytest.raises(ScaleplanError, match="n_output_groups"):
        layer(**SIZES | heads | {"n_output_groups": 4})
