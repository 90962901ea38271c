"""Pruning patterns by hand."""

from __future__ import annotations

import pytest

from scaleplan.errors import InputError
from scaleplan.model.sparsity import Sparsity, parse_sparsity


@pytest.mark.parametrize(
    ("text", "share", "kept", "group", "bits"),
    [
        ("2:4", 0.5, 2, 4, 2),
        ("1:4", 0.75, 1, 4, 2),
        ("2:5", 0.6, 2, 5, 3),
        ("4:8", 0.5, 4, 8, 3),
        ("7:9", 2 / 9, 7, 9, 4),
        ("1:2", 0.5, 1, 2, 1),
    ],
)
def test_a_pattern(text: str, share: float, kept: int, group: int, bits: int):
    """All but `kept` of a group are zero; the place of one in a group of n takes ceil(log2 n) bits."""
    found = parse_sparsity(text)

    assert found == Sparsity(pytest.approx(share), kept, group)
    assert found.index_bits == bits


@pytest.mark.parametrize(("text", "share"), [("0.3", 0.3), ("30%", 0.3)])
def test_a_share(text: str, share: float):
    """Zeros anywhere: no group, and no index of a place in one."""
    assert parse_sparsity(text) == Sparsity(pytest.approx(share))
    assert parse_sparsity(text).index_bits == 0


@pytest.mark.parametrize("text", ["0", "1", "100%", "0:4", "4:4", "5:4"])
def test_what_leaves_nothing_or_everything(text: str):
    """All weights zero, or none."""
    with pytest.raises(InputError):
        parse_sparsity(text)
