"""Columns of texts of which many are equal: the different texts, and for each cell its place among them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any, NamedTuple

NEAR = 2_000  # rows whose cells are still near each other in memory when their columns are read


class TextColumn(NamedTuple):
    """The different texts of a column, in their order, and an array of places among them."""

    different: Sequence[str]
    places: Any

    def texts(self) -> list[str]:
        """The text of each cell."""
        return list(self.spread([*self.different], object))

    def spread(self, values: Sequence[Any], dtype: type) -> Any:
        """For each cell what there is one of for each different text."""
        import numpy as np

        return np.array(values, dtype=dtype)[self.places]

    def at(self, row: int) -> str:
        """The text of one cell."""
        return self.different[int(self.places[row])]


def constant(text: str, n: int) -> TextColumn:
    """A column of one text."""
    import numpy as np

    return TextColumn([text], np.zeros(n, dtype=np.int64))


def columns_of(names: Sequence[str], rows: Iterable[list[str]]) -> dict[str, TextColumn]:
    """Rows by columns, without blanks around cells; a row that is too short ends in empty cells. Nothing of no rows."""
    import numpy as np

    n, rows = len(names), iter(rows)
    known: list[dict[str, int]] = [{} for _ in names]
    places: list[list[Any]] = [[] for _ in names]
    while some := list(islice(rows, NEAR)):
        if set(map(len, some)) != {n}:
            some = [(row + [""] * n)[:n] for row in some]
        for place_of, found, texts in zip(known, places, zip(*some, strict=True), strict=True):
            for text in dict.fromkeys(texts):
                place_of.setdefault(text, len(place_of))
            found.append(np.fromiter(map(place_of.__getitem__, texts), np.int64, len(texts)))
    if not places or not places[0]:
        return {}
    return {
        name: TextColumn([text.strip() for text in place_of], np.concatenate(found))
        for name, place_of, found in zip(names, known, places, strict=True)
    }
