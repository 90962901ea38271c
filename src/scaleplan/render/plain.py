"""Answer -> tables as text, and Markdown.

Columns keep their numbers whole and wrap their words; where a terminal is too narrow for that, each row becomes a block of
`heading: value` lines, so that nothing is cut and no column is dropped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import zip_longest
from textwrap import wrap

from scaleplan.answer import Answer, Table, checked
from scaleplan.render import Style
from scaleplan.render.cells import numeric, show_cell
from scaleplan.render.explained import explained, notes_of, tables_of
from scaleplan.wording import visible, wrapped

GAP = 2  # blanks between columns
RULE = "\N{BOX DRAWINGS LIGHT HORIZONTAL}"
BOLD, NORMAL = "\x1b[1m", "\x1b[0m"
SIGNS = re.compile(r"[\\|`<>*\[\]~]|&(?=#?\w+;)|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")  # `six_n`, `80 %` and `1e-3` stay as they are
ESCAPED = r"\\\g<0>"
TAG = re.compile(r"<(?=[A-Za-z/!?])")


def as_table(answer: Answer, style: Style) -> str:
    """Tables with a rule under the headings; titles, headings and totals are bold where the terminal shows colour."""
    return as_text(answer, style, rule=RULE, bold=style.colour)


def as_plain(answer: Answer, style: Style) -> str:
    """Letters, digits and blanks only."""
    return as_text(answer, style)


def as_text(answer: Answer, style: Style, *, rule: str = "", bold: bool = False) -> str:
    """Tables, then notes, then with `verbose` how each number was made."""
    blocks = [plain_table(table, style.width, rule, bold=bold) for table in tables_of(answer, style)]
    return "\n\n".join([*blocks, *below(answer, style)]) + "\n"


def below(answer: Answer, style: Style) -> list[str]:
    """What stands under the tables: notes, and with `verbose` each line and the sources."""
    notes = notes_of(answer, style)
    blocks = ["\n".join(line for note in notes for line in wrapped(note, style.width))] if notes else []
    if style.verbose:
        blocks += [
            "\n".join(line for part in explained(one).split("\n") for line in wrapped(part, style.width)) for one in checked(answer.lines)
        ]
        blocks += ["\n".join(wrapped(visible("sources: " + ", ".join(answer.sources)), style.width))] if answer.sources else []
    return blocks


def as_markdown(answer: Answer, style: Style) -> str:
    """Pipe tables under headings."""
    blocks = [markdown_table(table) for table in tables_of(answer, style)]
    notes = [*notes_of(answer, style), *(explained(one) for one in checked(answer.lines if style.verbose else ()))]
    blocks += ["\n".join(f"- {TAG.sub(ESCAPED, ' '.join(note.split()))}" for note in notes)] if notes else []
    return "\n\n".join(blocks) + "\n"


# ---------------------------------------------------------------------------------------------------------------- tables


def sheet(table: Table) -> tuple[list[str], list[bool], list[list[str]]]:
    """Headings, whether each column holds numbers, and the shown cells of every row."""
    columns = [column for column in table.columns if column.unit != "hidden"]
    rows = [[show_cell(row, column) for column in columns] for row in table.rows]
    return [column.label for column in columns], [numeric(column) for column in columns], rows


def plain_table(table: Table, width: int | None, rule: str = "", *, bold: bool = False) -> str:
    """Aligned columns, or a block a row where the terminal is too narrow for them."""
    headings, numbers, rows = sheet(table)
    widths = fitted(headings, numbers, rows, width)
    title = wrapped(table.title, width) if table.title else []
    if widths is None:
        return "\n".join([*emphasised(title, bold), *blocks_of(headings, rows, width)])
    lines = aligned([headings, *rows], numbers, widths)
    under = [rule * (sum(widths) + GAP * (len(widths) - 1))] if rule else []
    apart = [""] if table.total and len(rows) > 1 else []
    *body, last = lines[1:] if len(lines) > 1 else [[]]
    return "\n".join(
        [
            *emphasised([*title, *lines[0]], bold),
            *under,
            *(line for row in body for line in row),
            *apart,
            *emphasised(last, bold and table.total),
        ]
    )


def emphasised(lines: list[str], bold: bool) -> list[str]:
    """Lines in bold, where they are to be."""
    return [f"{BOLD}{line}{NORMAL}" for line in lines] if bold else lines


def fitted(headings: list[str], numbers: list[bool], rows: list[list[str]], width: int | None) -> list[int] | None:
    """The widths of the columns within a terminal: numbers stay whole, words wrap between words; None where they do not fit."""
    columns = [[heading, *(row[place] for row in rows)] for place, heading in enumerate(headings)]
    natural = [max(map(len, texts)) for texts in columns]
    least = [wide if number else max(map(longest_word, texts)) for wide, number, texts in zip(natural, numbers, columns, strict=True)]
    room = None if width is None else width - GAP * (len(columns) - 1)
    if room is None or sum(natural) <= room:
        return natural
    spare = room - sum(least)
    if spare < 0:
        return None
    found = list(least)
    wanting = [place for place in range(len(columns)) if natural[place] > least[place]]
    for left, place in enumerate(sorted(wanting, key=lambda place: natural[place] - least[place])):
        more = min(natural[place] - least[place], spare // (len(wanting) - left))
        found[place] += more
        spare -= more
    return found


def longest_word(text: str) -> int:
    """Characters of the longest word."""
    return max(map(len, text.split()), default=0)


def aligned(rows: list[list[str]], numbers: list[bool], widths: list[int]) -> list[list[str]]:
    """The lines of each row: words flush left and wrapped, numbers flush right."""
    found: list[list[str]] = []
    for row in rows:
        cells = [wrap(cell, width, break_on_hyphens=False) or [""] for cell, width in zip(row, widths, strict=True)]
        found.append([])
        for parts in zip_longest(*cells, fillvalue=""):
            padded = (
                part.rjust(width) if number else part.ljust(width) for part, number, width in zip(parts, numbers, widths, strict=True)
            )
            found[-1].append((" " * GAP).join(padded).rstrip())
    return found


def blocks_of(headings: list[str], rows: list[list[str]], width: int | None) -> Iterator[str]:
    """A block a row: `heading: value`, a blank line between rows."""
    for position, row in enumerate(rows):
        if position:
            yield ""
        for heading, cell in zip(headings, row, strict=True):
            if cell:
                yield from wrapped(f"{heading}: {cell}" if heading else cell, width)


def markdown_table(table: Table) -> str:
    """A pipe table, under its title in bold."""
    headings, numbers, rows = sheet(table)
    rule = ["---:" if number else "---" for number in numbers]
    lines = [" | ".join(map(escaped, row)) for row in (headings, rule, *rows)]
    title = f"**{escaped(table.title)}**\n\n" if table.title else ""
    return title + "\n".join(f"| {line} |" for line in lines)


def escaped(text: str) -> str:
    """A cell that ends no cell and starts no markup."""
    return SIGNS.sub(ESCAPED, " ".join(text.split()))
