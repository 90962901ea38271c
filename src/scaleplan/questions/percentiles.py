"""Intervals in results, as the JSON Schema is made from them."""

from __future__ import annotations

from typing_extensions import TypedDict  # pydantic reads this one on every Python


class Percentiles(TypedDict):
    """10, 50 and 90 % points."""

    p10: float
    p50: float
    p90: float
