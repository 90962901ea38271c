"""What changed between two plans or answers, and which input did it."""

from __future__ import annotations

from typing import NamedTuple

from scaleplan.questions.asking import Question, Shape
from scaleplan.questions.registry import asks


class OfTwo(NamedTuple):
    """Two documents of one kind."""

    base_file: str
    head_file: str


QUESTION = Question(
    name="diff",
    asks=asks("diff"),
    subject=("base_file", "head_file"),
    headings={},
    shapes=(Shape("changes", OfTwo, "a difference", "diff.of_two", "diff.results:Changes"),),
    examples=("scaleplan diff main/plan.toml plan.toml", "scaleplan diff base.json head.json --json"),
    more="Of two plan files each changed key is applied to the base alone, and its share of the whole change is told.",
)
