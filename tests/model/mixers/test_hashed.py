"""Hashed attention by hand (kitaev2020): 6 heads of 5, queries that are keys."""

from __future__ import annotations

from tests.model.mixers.by_hand import cached, layer, n_params, pair_flops

from scaleplan.model.mixers.hashed import HashedAttention

SIZES = {"mixer": "hashed-attention", "d_model": 33, "n_heads": 6, "d_head": 5, "chunk": 11, "n_hashes": 3, "n_buckets": 14}


def test_weights_and_pairs():
    """QK, V and output; each of 3 rounds hashes by 7 rotations with a sign, and scores the two chunks of 11 with keys and values of 30."""
    bill = layer(**SIZES)

    assert n_params(bill) == 3 * 33 * 30
    assert pair_flops(bill, 1) == 3 * (2 * 11 * (2 * 30 + 2 * 30) + 2 * 30 * (14 // 2))


def test_keys_and_values_are_kept():
    """One key and one value a head."""
    assert [kept.per_token for kept in cached(layer(**SIZES))] == [30 + 30]


def test_the_width_of_its_queries():
    """6 heads of 5; a dense pair costs a product of keys and one of values."""
    mixer = HashedAttention(6, 5, 11, 3, 14)

    assert (mixer.attention_width, mixer.dense_pair_flops) == (30, 2 * 30 + 2 * 30)
