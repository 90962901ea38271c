"""Griffin's recurrence by hand (de2024): 30 channels in 6 heads, 4 taps."""

from __future__ import annotations

from tests.model.mixers.by_hand import cached, layer, scan_flops

SIZES = {"mixer": "rg-lru", "d_model": 22, "d_inner": 30, "n_heads": 6, "d_conv": 3}


def test_the_recurrence():
    """h = a h + sqrt(1 - a a) (i x), equation 4: four products, a difference and a sum for each channel, and 3 taps."""
    products = ("a h", "a a", "i x", "sqrt(1 - a a) (i x)")

    assert scan_flops(layer(**SIZES)) == 30 * (len(products) + 1 + 1) + 30 * 3 * 2


def test_the_state():
    """A number for each channel, and the 3 inputs of its taps."""
    assert [kept.per_sequence for kept in cached(layer(**SIZES))] == [30 + 30 * 3]
