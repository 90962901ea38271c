"""The result of `layout`, as its JSON Schema is made from it."""

from __future__ import annotations

from typing import Any

from typing_extensions import TypedDict  # pydantic reads this one on every Python


class PricedTable(TypedDict):
    """A table of layouts; a row holds the columns of the file as they stood there, and what was found."""

    n_rows: int
    n_fitting: int
    n_errors: int
    rows: list[dict[str, Any]]
