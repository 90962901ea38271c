"""Columns of texts by their different ones."""

from __future__ import annotations

from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from scaleplan.chain import columns
from scaleplan.chain.columns import columns_of, constant


@given(
    rows=st.lists(st.lists(st.sampled_from(["a", " a ", "", "7", "b c"]), min_size=0, max_size=4), min_size=1, max_size=9),
    near=st.integers(1, 4),
)
def test_cells_are_those_of_the_rows(rows, near):
    """Row by row: without blanks around, cut or filled with empty ones to three; however many rows are read at once."""
    with patch.object(columns, "NEAR", near):
        found = columns_of(("x", "y", "z"), iter(rows))
    expected = [[*(cell.strip() for cell in row), "", "", ""][:3] for row in rows]

    assert [list(cells) for cells in zip(*(column.texts() for column in found.values()), strict=True)] == expected
    assert [[column.at(place) for column in found.values()] for place in range(len(rows))] == expected


def test_no_rows_are_nothing():
    assert columns_of(("x",), []) == {}


def test_each_different_text_is_there_once():
    column = columns_of(("x",), [["b"], ["a"], ["b"]])["x"]

    assert column.different == ["b", "a"]
    assert column.spread([2, 5], int).tolist() == [2, 5, 2]
    assert constant("c", 2).texts() == ["c", "c"]
