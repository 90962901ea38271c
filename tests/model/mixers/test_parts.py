"""What several mixers are built from."""

from __future__ import annotations

from tests.model.mixers.by_hand import cached, layer

from scaleplan.model.items import norm_weights
from scaleplan.model.mixers.parts import LAYER, RMS


def test_norms():
    """RMS norm: a scale; layer norm: a scale and a shift."""
    assert [weight.shape for weight in norm_weights("norm", RMS, 7, "decoder")] == [(7,)]
    assert [weight.shape for weight in norm_weights("norm", LAYER, 7, "decoder")] == [(7,), (7,)]
    assert (RMS.vectors, LAYER.vectors) == (1, 2)


def test_a_state_is_kept_whole_unless_it_is_split():
    """RWKV's on every rank, Griffin's by heads."""
    griffin = layer(mixer="rg-lru", d_model=22, d_inner=30, n_heads=6)

    assert [kept.tp_ways for kept in cached(layer(mixer="rwkv", d_model=22))] == [1]
    assert [kept.tp_ways for kept in cached(griffin)] == [6]
