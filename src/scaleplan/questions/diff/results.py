"""The result of `diff`, as its JSON Schema is made from it."""

from __future__ import annotations

from typing_extensions import TypedDict  # pydantic reads this one on every Python

from scaleplan.questions.check.results import Judged, Word


class Because(TypedDict):
    """A changed input, and the share of the change that it makes when it alone is changed; null where that is not known."""

    input: str
    share: float | None


class Change(TypedDict):
    """One quantity in both documents."""

    quantity: str
    base: float | None
    head: float | None
    change: float | None
    change_fraction: float | None
    because: list[Because]


class Changes(TypedDict):
    """Every quantity that differs, and the limits of the head, the worst first; the verdict is null where there is none."""

    changes: list[Change]
    changed_inputs: list[str]
    limits: list[Judged]
    verdict: Word | None
