"""The result of a question as one row: dotted path -> number, word, or nothing where it is unknown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

NAMES_OF_ROWS = ("name", "law", "quantity", "precision", "phase", "group", "term")
"""Keys by which a row of a list is named in a path; a row without one is counted from 0."""
NUMBER_KEYS = {"value", "standing"}


def flat(result: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every number, word and unknown of a result; of {value, p10, p50, p90, standing} the value."""
    if isinstance(result, Mapping):
        if set(result) >= NUMBER_KEYS:
            yield prefix.rstrip("."), result["value"]
            return
        for key, value in result.items():
            yield from flat(value, f"{prefix}{key}.")
    elif isinstance(result, list | tuple) and not hasattr(result, "_asdict"):
        for place, row in enumerate(result):
            name = name_of(row)
            yield from flat(without_name(row), f"{prefix}{place if name is None else name}.")
    else:
        yield prefix.rstrip("."), result


def name_of(row: Any) -> str | None:
    """What a row of a list is called."""
    if not isinstance(row, Mapping):
        return None
    return next((str(row[key]) for key in NAMES_OF_ROWS if isinstance(row.get(key), str)), None)


def without_name(row: Any) -> Any:
    """The row without the key that names it."""
    if not isinstance(row, Mapping):
        return row
    named = next((key for key in NAMES_OF_ROWS if isinstance(row.get(key), str)), None)
    return {key: value for key, value in row.items() if key != named}
