"""A short convolution by hand."""

from __future__ import annotations

from tests.model.mixers.by_hand import cached, layer


def test_the_state():
    """The inputs of 3 taps for each of 22 channels."""
    assert [kept.per_sequence for kept in cached(layer(mixer="short-conv", d_model=22, d_conv=3))] == [22 * 3]
