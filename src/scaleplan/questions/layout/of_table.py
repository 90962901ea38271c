"""What a table of given layouts needs, row by row."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, overload

from scaleplan.answer import Answer, Column, Stream, Table
from scaleplan.chain.layout_table import ADDED, Block, LayoutTable, check_held, table_at

if TYPE_CHECKING:
    from scaleplan.questions.layout import TableOfLayouts

FOR_PEOPLE = {name: (name, "text") for name in ("tp", "pp", "cp", "dp", "ep", "stack", "error")} | {
    "peak_bytes": ("peak", "bytes"),
    "fits": ("fits", "text"),
}
"""Columns that a terminal shows: heading and unit."""


def solve(asked: TableOfLayouts) -> LayoutTable:
    """The header; rows are priced when they are written or read."""
    return table_at(asked.table)


def explain(asked: TableOfLayouts, solved: LayoutTable) -> Answer:
    """The rows with what was found of each."""
    gathered = Gathered(solved)
    return Answer(
        "layout",
        {"table": asked.table},
        gathered,
        TablesOf(gathered),
        more_sources=["korthikanti2022", "rajbhandari2020", "narayanan2021"],
        stream=Stream(
            forms=("csv",),
            n_rows=solved.n_rows,
            header=lambda _: csv_text([heading(solved)]),
            texts=lambda _, __: texts(solved),
            identity=None,
        ),
    )


class Gathered(Mapping[str, Any]):
    """The result, which prices all rows when it is read."""

    def __init__(self, table: LayoutTable) -> None:
        self.table = table

    @cached_property
    def known(self) -> dict[str, Any]:
        """The whole of it."""
        check_held(self.table)
        rows = [row for block in self.table.blocks() for row in rows_of(block)]
        n_errors, n_fitting = sum(bool(row["error"]) for row in rows), sum(bool(row["fits"]) for row in rows)
        return {"kind": "table", "n_rows": len(rows), "n_fitting": n_fitting, "n_errors": n_errors, "rows": rows}

    def __getitem__(self, key: str) -> Any:
        return "table" if key == "kind" else self.known[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.known)

    def __len__(self) -> int:
        return len(self.known)


class TablesOf(Sequence[Table]):
    """The table of a result, made when it is looked at."""

    def __init__(self, result: Gathered) -> None:
        self.result = result

    @cached_property
    def known(self) -> Table:
        """All rows, numbered, and how many fit."""
        found = self.result.known
        note = f"{found['n_fitting']:,} of {found['n_rows']:,} layouts fit; {found['n_errors']:,} cannot be priced. "
        rows = [{"row": number, **row} for number, row in enumerate(found["rows"], 1)]
        return Table("", columns(self.result.table), rows, [note + "`-o FILE.csv` writes all columns."])

    def __len__(self) -> int:
        return 1

    @overload
    def __getitem__(self, place: int) -> Table: ...
    @overload
    def __getitem__(self, place: slice) -> list[Table]: ...
    def __getitem__(self, place: int | slice) -> Table | list[Table]:
        return [self.known][place]


def rows_of(block: Block) -> Iterator[dict[str, Any]]:
    """The rows of a block: the columns of the file, then what was found."""
    found = {**block.texts, **block.priced.cells()}
    return (dict(zip(found, row, strict=True)) for row in zip(*found.values(), strict=True))


def texts(priced: LayoutTable) -> Iterator[tuple[str, int]]:
    """All rows in their order as CSV, block by block, each with its number of rows."""
    for block in priced.blocks():
        found = block.priced.cells()
        found["fits"] = [fits if fits is None else int(fits) for fits in found["fits"]]
        cells = {**block.texts, **found}
        yield csv_text(zip(*(cells[name] for name in heading(priced)), strict=True)), len(found["fits"])


def csv_text(rows: Any) -> str:
    """Rows as CSV."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue()


def columns(priced: LayoutTable) -> list[Column]:
    """All columns in files; on a terminal the degrees, the peak and the verdict."""
    return [Column(name, *FOR_PEOPLE.get(name, (name, "hidden"))) for name in heading(priced)]


def heading(priced: LayoutTable) -> list[str]:
    """The columns of the file, and those that are added."""
    return [*(name for name in priced.columns if name not in ADDED), *ADDED]
