"""Answer -> tables for a terminal, drawn by rich; where one is too narrow for a table, a block a row as in plain text."""

from __future__ import annotations

import io
from typing import Literal

import rich.box
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from scaleplan.answer import Answer, Table
from scaleplan.render import Style
from scaleplan.render.explained import tables_of
from scaleplan.render.plain import below, blocks_of, fitted, longest_word, plain_table, sheet

MOST_ROWS = 1000  # that are drawn; longer tables are plain text with a rule, which is as readable and made at once
RULE = "\N{BOX DRAWINGS LIGHT HORIZONTAL}"
ENDLESS = 100_000  # columns of a pipe: nothing is cut to a width


def as_table(answer: Answer, style: Style) -> str:
    """Tables with a rule under the heading and bold totals, then what stands below them."""
    return "\n\n".join([*(table_text(table, style) for table in tables_of(answer, style)), *below(answer, style)]) + "\n"


def table_text(table: Table, style: Style) -> str:
    """A table that fits the terminal, else its rows as blocks."""
    if len(table.rows) > MOST_ROWS:
        return plain_table(table, style.width, RULE)
    headings, numbers, rows = sheet(table)
    widths = fitted(headings, numbers, rows, style.width)
    if widths is None:
        return "\n".join([*([table.title] if table.title else []), *blocks_of(headings, rows, style.width)])
    return drawn(grid(table, headings, numbers, rows), style).strip("\n")


def grid(table: Table, headings: list[str], numbers: list[bool], rows: list[list[str]]) -> Grid:
    """A rich table of shown cells; words flush left, numbers flush right, a total set apart."""
    drawing = Grid(
        box=rich.box.SIMPLE_HEAD,
        title=table.title or None,
        title_justify="left",
        title_style="bold",
        header_style="bold",
        pad_edge=False,
        padding=(0, 1),
        collapse_padding=True,
        show_edge=False,
    )
    for place, (heading, number) in enumerate(zip(headings, numbers, strict=True)):
        texts = [heading, *(row[place] for row in rows)]
        # a number that lost a digit would be another number: numbers do not wrap, and words only between words
        justify: Literal["left", "right"] = "right" if number else "left"
        drawing.add_column(Text(heading), justify=justify, no_wrap=number, min_width=max(map(len if number else longest_word, texts)))
    for position, texts in enumerate(rows, 1):
        last = table.total and position == len(rows)
        drawing.add_row(*map(Text, texts), style="bold" if last else None)
        if table.total and position == len(rows) - 1:
            drawing.add_section()
    return drawing


def drawn(thing: Grid, style: Style) -> str:
    """What rich makes of it; lines without blanks at their end."""
    out = io.StringIO()
    console = Console(
        file=out,
        width=style.width or ENDLESS,
        force_terminal=style.colour,
        no_color=not style.colour,
        highlight=False,
        markup=False,
        emoji=False,
        legacy_windows=False,
    )
    console.print(thing, crop=False, overflow="fold")
    return "\n".join(line.rstrip() for line in out.getvalue().split("\n"))
