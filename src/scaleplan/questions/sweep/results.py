"""The result of `sweep`, as its JSON Schema is made from it."""

from __future__ import annotations

from typing import Any

from typing_extensions import TypedDict  # pydantic reads this one on every Python


class Swept(TypedDict):
    """A table over a grid.

    n_points  of the whole grid
    columns   the swept fields, then dotted paths into the result of the question that is swept
    rows      one for each point of this part, the last grid fastest
    """

    n_points: int
    columns: list[str]
    rows: list[dict[str, Any]]
