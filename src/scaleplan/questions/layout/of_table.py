"""What a table of given layouts needs, row by row."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

from scaleplan.answer import Answer, Column, Table
from scaleplan.chain.layout_table import ADDED, LayoutTable, price_table

if TYPE_CHECKING:
    from scaleplan.questions.layout import TableOfLayouts

FOR_PEOPLE = {name: (name, "text") for name in ("tp", "pp", "cp", "dp", "ep", "stack", "error")} | {
    "peak_bytes": ("peak", "bytes"),
    "fits": ("fits", "text"),
}
"""Columns that a terminal shows: heading and unit."""


def solve(asked: TableOfLayouts) -> LayoutTable:
    """Every row of the file, priced in one pass over arrays."""
    return price_table(asked.table)


def explain(asked: TableOfLayouts, solved: LayoutTable) -> Answer:
    """The rows with what was found of each."""
    found = [{**row, **one.cells()} for row, one in zip(solved.rows, solved.priced, strict=True)]
    n_errors = sum(bool(one.error) for one in solved.priced)
    n_fitting = sum(bool(one.fits) for one in solved.priced)
    notes = [f"{n_fitting:,} of {len(found):,} layouts fit; {n_errors:,} cannot be priced. `-o FILE.csv` writes all columns."]
    return Answer(
        "layout",
        {"table": asked.table},
        {"n_rows": len(found), "n_fitting": n_fitting, "n_errors": n_errors, "rows": found},
        [Table("", columns(solved), [{"row": number, **row} for number, row in enumerate(found, 1)], notes)],
        files={".csv": {".csv": as_csv(solved)}},
        more_sources=["korthikanti2022", "rajbhandari2020", "narayanan2021"],
    )


def columns(priced: LayoutTable) -> list[Column]:
    """All columns in files; on a terminal the degrees, the peak and the verdict."""
    return [Column(name, *FOR_PEOPLE.get(name, (name, "hidden"))) for name in heading(priced)]


def heading(priced: LayoutTable) -> list[str]:
    """The columns of the file, and those that are added."""
    return [*(name for name in priced.columns if name not in ADDED), *ADDED]


def as_csv(priced: LayoutTable) -> str:
    """All rows in their order: the columns of the file as they stood there, then what was found."""
    out = io.StringIO()
    writer = csv.DictWriter(out, heading(priced), lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    for row, one in zip(priced.rows, priced.priced, strict=True):
        cells = {name: int(value) if isinstance(value, bool) else value for name, value in one.cells().items()}
        writer.writerow({**row, **cells})
    return out.getvalue()
