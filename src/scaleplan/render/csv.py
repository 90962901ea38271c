"""Answer -> CSV: the first table in base units and full digits, or with `verbose` one row a line."""

from __future__ import annotations

import csv
import io
from typing import Any

from scaleplan.answer import Answer, Table
from scaleplan.render import Style

LINE_COLUMNS = ("key", "label", "value", "unit", "formula", "sources", "standing")


def as_csv(answer: Answer, style: Style) -> str:
    """Rows of one length; the heading is the keys of the JSON."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    if style.verbose and answer.lines:
        writer.writerow(LINE_COLUMNS)
        writer.writerows([cell(getattr(line, key)) for key in LINE_COLUMNS] for line in answer.lines)
    elif answer.tables:
        writer.writerows(sheet(answer.tables[0]))
    return out.getvalue()


def sheet(table: Table) -> list[list[Any]]:
    """Heading and rows of a table; where each row has its own unit, the unit is a column."""
    keys = [column.key for column in table.columns]
    if any(column.unit == "own" for column in table.columns):
        keys.insert(keys.index("value") + 1, "unit")
    return [keys, *([cell(row.get(key)) for key in keys] for row in table.rows)]


def cell(value: Any) -> Any:
    """A bare number or text; nothing for unknown."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, list | tuple):
        return " ".join(map(str, value))
    return repr(value) if isinstance(value, float) else value
