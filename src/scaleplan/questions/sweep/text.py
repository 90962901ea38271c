"""Rows as text: CSV or JSON lines, numbers with all their digits.

A block of a million rows has few different numbers: what hangs on one axis is written once for each value of that axis, and neighbours
that hang on the same axes are joined before they are repeated.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby, pairwise
from typing import Any, Literal, NamedTuple, get_args

from scaleplan.questions.sweep.grid import Block
from scaleplan.questions.sweep.points import Swept, plain

Form = Literal["csv", "jsonl"]
FORMS: tuple[Form, ...] = get_args(Form)
POINTS_AT_ONCE = 16  # rows of points that are solved one by one, between two writings


class Cells(NamedTuple):
    """The texts of a column: as many as there are different ones, along the axes that they hang on."""

    shape: tuple[int, ...]
    texts: list[str]


# -------------------------------------------------------------------------------------------------------------------- one cell


def csv_cell(value: Any) -> str:
    """A bare number or a word; nothing for unknown."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, int | float):
        return repr(value)
    return quoted(str(value))


def quoted(text: str) -> str:
    """A word as CSV holds it, in quotation marks where it needs them."""
    out = io.StringIO()
    csv.writer(out, lineterminator="").writerow([text])
    return out.getvalue()


def json_cell(value: Any) -> str:
    """A value as JSON; null for unknown."""
    if isinstance(value, float) and not math.isfinite(value):
        return "null"
    return json.dumps(value, ensure_ascii=False)


CELL: dict[Form, Callable[[Any], str]] = {"csv": csv_cell, "jsonl": json_cell}


def header(form: Form, heading: Sequence[str]) -> str:
    """What stands before the first row."""
    return ",".join(map(quoted, heading)) + "\n" if form == "csv" else ""


def frames(form: Form, heading: Sequence[str]) -> list[tuple[str, str]]:
    """What stands before and behind the value of each column."""
    last = len(heading) - 1
    if form == "csv":
        return [("", "\n" if place == last else ",") for place in range(len(heading))]
    return [
        (("{" if place == 0 else ", ") + json.dumps(key, ensure_ascii=False) + ": ", "}\n" if place == last else "")
        for place, key in enumerate(heading)
    ]


# ---------------------------------------------------------------------------------------------------------------- many of them


def texts(swept: Swept, form: Form, start: int, stop: int) -> Iterator[tuple[str, int]]:
    """Rows of the points from `start` to before `stop`, each text with its number of rows."""
    if swept.solve is None:
        framed = frames(form, swept.heading)
        for low in range(start, stop, POINTS_AT_ONCE):
            high = min(low + POINTS_AT_ONCE, stop)
            yield "".join(one_row(swept.cells(point), framed, CELL[form]) for point in range(low, high)), high - low
        return
    for block in swept.grid.blocks(start, stop):
        low, high = max(start, block.start), min(stop, block.stop)
        rows = row_texts(swept, block, form)
        wanted = rows if (low, high) == (block.start, block.stop) else rows[low - block.start : high - block.start]
        yield "".join(wanted), high - low


def one_row(values: Sequence[Any], framed: Sequence[tuple[str, str]], cell: Callable[[Any], str]) -> str:
    """The text of one row."""
    return "".join(f"{before}{cell(value)}{behind}" for value, (before, behind) in zip(values, framed, strict=True))


def row_texts(swept: Swept, block: Block, form: Form) -> list[str]:
    """The text of each row of a block."""
    assert swept.solve is not None
    columns = [*axis_values(swept, block), *swept.solve(block)]
    framed = frames(form, swept.heading)
    cells = [cells_of(value, block.shape, CELL[form], *around) for value, around in zip(columns, framed, strict=True)]
    joined = [join(list(alike)) for _, alike in groupby(cells, key=lambda one: one.shape)]
    return list(map("".join, zip(*(repeated(one, block.shape) for one in joined), strict=True)))


def axis_values(swept: Swept, block: Block) -> Iterator[Cells | Any]:
    """The swept values of a block, along their axes."""
    n = len(block.spans)
    for place, (axis, (low, high)) in enumerate(zip(swept.grid.axes, block.spans, strict=True)):
        yield Along(tuple(high - low if one == place else 1 for one in range(n)), [plain(value) for value in axis.values[low:high]])


class Along(NamedTuple):
    """Python's own numbers along axes, as an array would hold them."""

    shape: tuple[int, ...]
    values: list[Any]


def cells_of(value: Any, shape: tuple[int, ...], cell: Callable[[Any], str], before: str, behind: str) -> Cells:
    """The texts of one column of a block."""
    if hasattr(value, "ravel"):
        value = Along((1,) * (len(shape) - value.ndim) + value.shape, value.ravel().tolist())
    if not isinstance(value, Along):
        return Cells((1,) * len(shape), [f"{before}{cell(value)}{behind}"])
    return Cells(value.shape, [f"{before}{one}{behind}" for one in map(cell_for(value.values, cell), value.values)])


def cell_for(values: Sequence[Any], cell: Callable[[Any], str]) -> Callable[[Any], str]:
    """How to write these: `repr`, where they are all plain numbers that are known."""
    kinds = set(map(type, values))
    return repr if kinds <= {int, float} and all(map(math.isfinite, values)) else cell


def join(alike: Sequence[Cells]) -> Cells:
    """Neighbouring columns that hang on the same axes, as one."""
    return Cells(alike[0].shape, list(map("".join, zip(*(one.texts for one in alike), strict=True))))


def repeated(cells: Cells, shape: tuple[int, ...]) -> list[str]:
    """A text for every row of a block."""
    if cells.shape == shape:
        return cells.texts
    import numpy as np

    held = np.empty(len(cells.texts), dtype=object)
    held[:] = cells.texts
    return list(np.broadcast_to(held.reshape(cells.shape), shape).ravel())


def joined_text(swept: Swept, form: Form, start: int, stop: int) -> str:
    """All rows of some points."""
    return "".join(text for text, _ in texts(swept, form, start, stop))


def pieces(start: int, stop: int, size: int) -> list[tuple[int, int]]:
    """Runs of points of a size, the last one perhaps shorter."""
    return list(pairwise([*range(start, stop, size), stop])) if start < stop else []
