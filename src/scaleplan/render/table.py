"""Answer -> tables for people, drawn by rich: with rules on a terminal, bare as `plain`, with pipes as Markdown."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Literal

import rich.box
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from scaleplan.answer import Answer, Line, Table, checked
from scaleplan.render import Style
from scaleplan.render.cells import numeric, show_cell, show_value
from scaleplan.wording import flag, spelled

ENDLESS = 100_000  # columns of a pipe: nothing is cut to a width


def as_table(answer: Answer, style: Style) -> str:
    """For a terminal: a rule under the heading, bold totals."""
    return page(answer, style, lambda table: grid(table, rich.box.SIMPLE_HEAD, table.title or None))


def as_plain(answer: Answer, style: Style) -> str:
    """Letters, digits and blanks only."""
    return page(answer, style, lambda table: grid(table, None, table.title or None))


def as_markdown(answer: Answer, style: Style) -> str:
    """Pipe tables under headings."""

    def heading(table: Table) -> str:
        return f"**{table.title}**\n" if table.title else ""

    blocks = [
        heading(table) + "\n" + drawn(grid(table, rich.box.MARKDOWN, None), style._replace(width=None, colour=False)).strip("\n")
        for table in tables_of(answer, style)
    ]
    remarks = [*remarks_of(answer, style), *(explained(line) for line in checked(answer.lines if style.verbose else ()))]
    blocks += ["\n".join(f"- {' '.join(remark.split())}" for remark in remarks)] if remarks else []
    return "\n\n".join(blocks) + "\n"


def page(answer: Answer, style: Style, draw: Callable[[Table], Grid]) -> str:
    """Tables, then remarks, then with `verbose` how each number was made."""
    blocks = [drawn(draw(table), style).strip("\n") for table in tables_of(answer, style)]
    remarks = remarks_of(answer, style)
    if remarks:
        blocks.append("\n".join(drawn(Text(remark), style).rstrip("\n") for remark in remarks))
    if style.verbose:
        blocks += [drawn(Text(explained(line)), style).rstrip("\n") for line in checked(answer.lines)]
        blocks += ["sources: " + ", ".join(answer.sources)] if answer.sources else []
    return "\n\n".join(blocks) + "\n"


def tables_of(answer: Answer, style: Style) -> list[Table]:
    """The tables to show: those of details only where numbers are explained."""
    return [table for table in answer.tables if style.verbose or not table.detail]


def remarks_of(answer: Answer, style: Style) -> list[str]:
    """What is to be said under the tables."""
    said = [*(note for table in tables_of(answer, style) for note in table.notes), *answer.notes] if style.notes else []
    return [spelled(note, flag) for note in said]


def grid(table: Table, box: rich.box.Box | None, title: str | None) -> Grid:
    """A rich table of shown cells; words flush left, numbers flush right, a total set apart."""
    drawing = Grid(
        box=box,
        title=title,
        title_justify="left",
        title_style="bold",
        header_style="bold",
        pad_edge=box is rich.box.MARKDOWN,
        padding=(0, 1),
        collapse_padding=box is not None,
        show_edge=box is rich.box.MARKDOWN,
    )
    columns = [column for column in table.columns if column.unit != "hidden"]
    shown = [[cell(show_cell(row, column), box) for column in columns] for row in table.rows]
    for place, column in enumerate(columns):
        texts = [column.label, *(row[place] for row in shown)]
        if numeric(column) or (place == 0 and not any(" " in text for text in texts)):
            # a number that lost a digit would be another number, and half a name is none: here nothing wraps
            justify: Literal["left", "right"] = "right" if numeric(column) else "left"
            drawing.add_column(Text(column.label), justify=justify, no_wrap=True, min_width=max(map(len, texts)))
        else:
            drawing.add_column(Text(column.label), overflow="fold")
    for position, texts in enumerate(shown, 1):
        last = table.total and position == len(shown)
        drawing.add_row(*map(Text, texts), style="bold" if last else None)
        if table.total and position == len(shown) - 1 and box is not rich.box.MARKDOWN:
            drawing.add_section()
    return drawing


def cell(text: str, box: rich.box.Box | None) -> str:
    """A pipe inside a Markdown cell would end it."""
    return text.replace("|", "\\|") if box is rich.box.MARKDOWN else text


def drawn(thing: Grid | Text, style: Style) -> str:
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


def explained(line: Line) -> str:
    """A line with its formula, inputs, sources and standing."""
    whole = isinstance(line.value, int) and line.unit in ("params", "tokens") and line.standing == "exact"
    head = f"{line.label}: {show_value(line.value, 'int' if whole else line.unit)}"
    if line.interval:
        head += f" ({show_value(line.interval.p10, line.unit)} to {show_value(line.interval.p90, line.unit)}, 80 %)"
    parts = [head]
    if line.formula:
        parts.append(f"  {line.key} = {line.formula}")
    if line.inputs:
        parts.append("  " + ", ".join(f"{name} = {short(value)}" for name, value in line.inputs.items()))
    parts.append(f"  {line.standing}" + (f"; source: {', '.join(line.sources)}" if line.sources else ""))
    return "\n".join(parts)


def short(value: object) -> str:
    """An input of a formula; a long list by its length."""
    if isinstance(value, list | tuple):
        return f"[{len(value)} numbers]" if len(value) > 6 else "[" + ", ".join(map(short, value)) + "]"
    return f"{value:,}" if isinstance(value, int) else f"{value:.10g}" if isinstance(value, float) else str(value)
