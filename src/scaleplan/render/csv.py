"""Answer -> CSV: the first table in base units and full digits, or with `verbose` one row a line."""

from __future__ import annotations

import csv
import io
from typing import Any

from scaleplan.answer import Answer, Column, Interval, Row, Table, checked
from scaleplan.render import Style

LINE_COLUMNS = ("key", "label", "value", "unit", "formula", "sources", "standing")


def as_csv(answer: Answer, style: Style) -> str:
    """Rows of one length; the heading is the keys of the JSON."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    if style.verbose and answer.lines:
        writer.writerow(LINE_COLUMNS)
        writer.writerows([cell(getattr(line, key)) for key in LINE_COLUMNS] for line in checked(answer.lines))
    elif answer.tables:
        writer.writerows(sheet(answer.tables[0]))
    return out.getvalue()


def sheet(table: Table) -> list[list[Any]]:
    """Heading and rows of a table: where each row has its own unit the unit is a column, and an interval is three."""
    heading: list[str] = []
    for column in table.columns:
        spread = any(isinstance(row.get(column.key), Interval) for row in table.rows)
        heading += [prefixed(column.key, name) for name in Interval._fields] if spread else [column.key]
        heading += ["unit"] if column.unit == "own" and column.key == "value" else []
    return [heading, *([cell(value) for column in table.columns for value in values(table, row, column)] for row in table.rows)]


def values(table: Table, row: Row, column: Column) -> list[Any]:
    """What one column of a table becomes in one row."""
    value = row.get(column.key)
    if any(isinstance(other.get(column.key), Interval) for other in table.rows):
        return list(value) if value is not None else [None] * len(Interval._fields)
    return [value, row.get("unit")] if column.unit == "own" and column.key == "value" else [value]


def prefixed(key: str, name: str) -> str:
    """The heading of a percentile: `p10` of the only interval, `n_params_p10` of one among several."""
    return name if key == "interval" else f"{key.removesuffix('_interval')}_{name}"


def cell(value: Any) -> Any:
    """A bare number or text; nothing for unknown."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, list | tuple):
        return " ".join(map(str, value))
    return repr(value) if isinstance(value, float) else value
