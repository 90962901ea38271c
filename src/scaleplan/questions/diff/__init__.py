"""What changed between two plans or answers, which input did it, and whether the new one is within its limits."""

from __future__ import annotations

from typing import NamedTuple

from scaleplan.questions.asking import Question, Shape
from scaleplan.questions.registry import asks


class OfTwo(NamedTuple):
    """Two documents of one kind, and limits to hold against the second beside its own."""

    base_file: str
    head_file: str
    limit: tuple[str, ...] = ()
    at: str | None = None
    unsure: str | None = None


QUESTION = Question(
    name="diff",
    asks=asks("diff"),
    subject=("base_file", "head_file"),
    headings={"Limits": ("limit", "at", "unsure")},
    shapes=(Shape("changes", OfTwo, "a difference", "diff.of_two", "diff.results:Changes"),),
    examples=(
        "scaleplan diff main/plan.toml plan.toml",
        "scaleplan diff base.json head.json --json",
        "scaleplan diff base.json head.json --limit 'usd<=+10%'",
    ),
    more="Of two plan files each changed key is applied to the base alone, and its share of the whole change is told. "
    "Exit code 0: whatever changed, no limit of HEAD is broken; 1: a limit of level error is; 2: no answer.",
)
