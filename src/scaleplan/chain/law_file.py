"""A fitted law as files: a preset in TOML and, beside it, the table of its draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

MOST_DRAWS = 1000  # of a table: as many as the built-in laws carry
SOURCE = "own-runs"
DRAW_DIGITS = 9


def law_text(
    title: str,
    convention: Mapping[str, Any],
    limits: Mapping[str, float],
    blocks: Mapping[str, Mapping[str, Any]],
    head: Mapping[str, str] | None = None,
) -> str:
    """A law preset. Its name is that of its file.

    convention  which N, D, C, loss and tokenizer it means
    limits      the range in which it was fitted
    blocks      name -> what it says: `loss` with its form and constants, `runs` with the data it comes from, ...
    head        what stands above the blocks: the task and the family of a task law
    """
    tables = {"convention": convention, "range": limits, **blocks}
    lines = [f"title = {quoted(title)}", 'standing = "fitted"', *(f"{key} = {quoted(text)}" for key, text in (head or {}).items())]
    for name, values in tables.items():
        lines += ["", f"[{name}]", f'source = "{SOURCE}"', *(f"{key} = {written(value)}" for key, value in values.items())]
    return "\n".join(lines) + "\n"


def written(value: Any) -> str:
    """A value as TOML writes it, with every digit."""
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, list):
        return f"[{', '.join(map(written, value))}]"
    return repr(value) if isinstance(value, int) else repr(float(value))


def quoted(text: str) -> str:
    """A TOML string: control characters, quotes and backslashes escaped."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in escaped) + '"'


def draws_text(columns: Mapping[str, Sequence[float]]) -> str:
    """The table of draws: a heading, then one law a row."""
    rows = zip(*(column[:MOST_DRAWS] for column in columns.values()), strict=True)
    return "\n".join([",".join(columns), *(",".join(f"{value:.{DRAW_DIGITS}g}" for value in row) for row in rows)]) + "\n"
