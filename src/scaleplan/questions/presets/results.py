"""The result of `presets`, as its JSON Schema is made from it."""

from __future__ import annotations

from typing import Any, NotRequired

from typing_extensions import TypedDict  # pydantic reads this one on every Python


class Listing(TypedDict):
    """One of: the kinds, the presets of a kind, the values of one, several side by side, a schema."""

    kinds: NotRequired[list[dict[str, Any]]]
    presets: NotRequired[list[dict[str, Any]]]
    values: NotRequired[list[dict[str, Any]]]
    compared: NotRequired[list[dict[str, Any]]]
    json_schema: NotRequired[dict[str, Any]]
