"""Answer -> HTML tables for a notebook: they load nothing, run nothing, and show what came from files as text."""

from __future__ import annotations

from html import escape

from scaleplan.answer import Answer, Table
from scaleplan.render import Style
from scaleplan.render.cells import numeric, show_cell
from scaleplan.wording import keyword, spelled


def as_html(answer: Answer) -> str:
    """The tables, notes and warnings of an answer; whoever reads a notebook asks by keyword."""
    return spelled(as_html_text(answer, Style()), keyword)


def as_html_text(answer: Answer, style: Style) -> str:
    """The same, with fields not yet spelled."""
    tables = [as_grid(table) for table in answer.tables if style.verbose or not table.detail]
    notes = [*(note for table in answer.tables for note in table.notes if style.verbose or not table.detail), *answer.notes]
    said = [f"<p>{escape(note)}</p>" for note in notes if style.notes]
    warned = [f"<p><strong>Warning:</strong> {escape(warning.message)}</p>" for warning in answer.warnings if style.notes]
    return "<div>" + "".join([*tables, *said, *warned]) + "</div>\n"


def as_grid(table: Table) -> str:
    """One table: words flush left, numbers flush right."""
    columns = [column for column in table.columns if column.unit != "hidden"]
    caption = f"<caption>{escape(table.title)}</caption>" if table.title else ""
    heading = "".join(f"<th>{escape(column.label)}</th>" for column in columns)
    rows = []
    for row in table.rows:
        cells = (f'<td style="text-align: {"right" if numeric(c) else "left"}">{escape(show_cell(row, c))}</td>' for c in columns)
        rows.append(f"<tr>{''.join(cells)}</tr>")
    return f"<table>{caption}<thead><tr>{heading}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
