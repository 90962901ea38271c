"""Softmax attention by hand: 6 query heads of 5, 2 of keys, values of 7."""

from __future__ import annotations

import pytest
from tests.model.mixers.by_hand import cached, layer, n_params, pair_flops

from scaleplan.model.mixers.attention import Attention

SIZES = {"d_model": 33, "n_heads": 6, "n_kv_heads": 2, "d_head": 5, "d_value": 7}


def test_relative_positions_are_projected_and_scored():
    """A matrix of d x 30 more, and one product of queries with positions more for each pair: 2 x 6 x 5 (dai2019)."""
    plain, relative = layer(**SIZES), layer(**SIZES, relative_projection=True)

    assert pair_flops(plain, 11) == 11 * 11 * 2 * 6 * (5 + 7)
    assert pair_flops(relative, 11) == 11 * 11 * (2 * 6 * (5 + 7) + 2 * 6 * 5)
    assert n_params(relative) - n_params(plain) == 33 * 30


@pytest.mark.parametrize(("shared", "elements"), [("none", [2 * (5 + 7)]), ("same", [2 * 5]), ("layer", [])])
def test_keys_and_values_that_are_kept(shared: str, elements: list[int]):
    """A key and a value for each of two heads; a key that is also the value; nothing where an earlier layer keeps them."""
    assert [kept.per_token for kept in cached(layer(**SIZES, share_keys_values=shared))] == elements


@pytest.mark.parametrize(("kind", "elements"), [("head", 5 + 5), ("heads", 30 + 10), ("width", 30 + 10)])
@pytest.mark.parametrize("vectors", [1, 2])
def test_norms_of_queries_and_keys(kind: str, elements: int, vectors: int):
    """As wide as one head, or as all heads of queries and of keys; a scale, and perhaps a shift."""
    normed = layer(**SIZES, qk_norm=kind, qk_norm_vectors=vectors)

    assert n_params(normed) - n_params(layer(**SIZES)) == vectors * elements


def test_a_norm_of_queries_has_a_scale_alone_unless_said():
    """One vector of each of Q and K."""
    weights, _ = Attention(n_heads=6, n_kv_heads=2, d_head=5, d_value=7, qk_norm="head").parts(33, "decoder")

    assert [weight.shape for weight in weights if weight.group == "norm"] == [(5,), (5,)]
