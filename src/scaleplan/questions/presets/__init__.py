"""What is built in: kinds of presets, the presets of a kind, and every value of some of them with its source."""

from __future__ import annotations

from typing import NamedTuple

from scaleplan.questions.asking import Question, Shape
from scaleplan.questions.registry import asks


class OfKind(NamedTuple):
    """All kinds, the presets of one, the values of some, or the schema of files of a kind."""

    kind: str | None = None
    name: tuple[str, ...] = ()
    schema: bool = False


QUESTION = Question(
    name="presets",
    asks=asks("presets"),
    subject=("kind", "name"),
    headings={"Presets": ("schema",)},
    shapes=(
        Shape(
            "presets",
            OfKind,
            "presets",
            "presets.listing",
            "presets.results:Listing",
            needs={"name": ("kind",), "schema": ("kind",)},
            together=(("name", "schema"),),
        ),
    ),
    examples=(
        "scaleplan presets hardware",
        "scaleplan presets hardware h100-sxm a100-sxm-80gb",
        "scaleplan presets laws besiroglu2024",
        "scaleplan presets schemas params --json",
        "scaleplan presets models --format csv",
    ),
    more="`scaleplan presets schemas` lists the JSON Schemas that every answer keeps to.",
)
