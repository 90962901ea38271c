"""Help as wide as the terminal: examples to copy, flags under headings."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from textwrap import wrap
from typing import Any

from typer._click.formatting import HelpFormatter  # Typer carries its own Click and exports none of it

from scaleplan.cli.streams import terminal_width
from scaleplan.wording import NO_BREAK

WIDTH = 100
TOGETHER = re.compile(r"--?[a-z][a-z0-9-]* (?![-|>])|'[^']*'|\"[^\"]*\"")  # a flag and its value, what is in quotes


def help_settings() -> dict[str, Any]:
    """Help is as wide as the terminal, at most `WIDTH`; a pipe has no width of its own."""
    return {"help_option_names": ["-h", "--help"], "terminal_width": min(terminal_width(sys.stdout) or WIDTH, WIDTH)}


def write_examples(formatter: HelpFormatter, examples: Sequence[str]) -> None:
    """Commands to copy, under each other."""
    indent = " " * formatter.current_indent
    terminal = terminal_width(sys.stdout)
    for example in examples:
        lines = [example] if terminal is None else continued(example, terminal - len(indent))
        formatter.write("".join(f"{indent}{line}\n" for line in lines))


def continued(command: str, width: int) -> list[str]:
    """A command that goes on after a backslash where it is wider than the terminal; no flag is parted from its value."""
    if len(command) <= width:
        return [command]
    whole = TOGETHER.sub(lambda found: found[0].replace(" ", NO_BREAK), command)
    lines = wrap(whole, width - 2, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False)
    return " \\\n".join(lines).replace(NO_BREAK, " ").split("\n")


def write_section(formatter: HelpFormatter, heading: str, records: list[Any]) -> None:
    """Flags under a heading; one that is longer than its column has its meaning behind it where that fits the line."""
    most = min(34, formatter.width * 34 // WIDTH)
    records = [record for record in records if record]
    column = min(max((len(first) for first, _ in records), default=0), most)
    with formatter.section(heading):
        for first, second in records:
            if len(first) > column and len(first) + len(second) + 4 <= formatter.width:
                formatter.write(f"{'':{formatter.current_indent}}{first}  {second}\n")
            else:
                formatter.write_dl([(first.ljust(column) if len(first) <= column else first, second)], col_max=column)


def write_list(formatter: HelpFormatter, heading: str, flags: list[str], explained_by: str) -> None:
    """Flags that the help of another command explains."""
    with formatter.section(heading):
        listed = ", ".join(flag.replace(" ", NO_BREAK) for flag in flags)
        for line in wrap(listed, formatter.width - formatter.current_indent, break_on_hyphens=False):
            formatter.write(f"{'':{formatter.current_indent}}{line.replace(NO_BREAK, ' ')}\n")
        formatter.write_text(f"`scaleplan {explained_by} -h` explains them.")
