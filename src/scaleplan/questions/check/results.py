"""The result of `check`, as its JSON Schema is made from it."""

from __future__ import annotations

from typing import Literal

from typing_extensions import TypedDict  # pydantic reads this one on every Python

Word = Literal["pass", "unsure", "fail"]


class Judged(TypedDict):
    """One limit and what was found; percentiles are null where nothing is known of the spread.

    value         the number of the answer itself; `found` is the 50 % point where there is one
    base          what was found in the base, and by how much it changed; null without a base or where it has none
    base_verdict  of the same limit on the base; null for a limit on the change
    """

    quantity: str
    verdict: Word
    found: float
    p10: float | None
    p50: float | None
    p90: float | None
    limit: float
    level: Literal["error", "warn"]
    used_fraction: float | None
    value: float
    base: float | None
    change_fraction: float | None
    base_verdict: Word | None


class Verdicts(TypedDict):
    """All limits, the worst first; the verdict of the whole is the worst."""

    limits: list[Judged]
    verdict: Word
