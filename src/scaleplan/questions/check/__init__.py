"""Is an answer within the limits?"""

from __future__ import annotations

from typing import NamedTuple

from scaleplan.errors import UsageError
from scaleplan.questions.asking import Question, Shape
from scaleplan.questions.registry import asks
from scaleplan.wording import field


class OfAnswer(NamedTuple):
    """An answer as its JSON, and the limits to hold against it."""

    answer: str | None = None
    limit: tuple[str, ...] = ()
    at: str | None = None

    def check(self) -> None:
        """Both an answer and a limit; raises UsageError."""
        if self.answer is None:
            raise UsageError("nothing to check", hint=f"give {field('answer')}: the file that a command printed with --json, or `-`")
        if not self.limit:
            raise UsageError("no limit to check against", hint=f"add {field('limit')} 'usd<=50k'")


QUESTION = Question(
    name="check",
    asks=asks("check"),
    subject=("answer",),
    headings={"Limits": ("limit", "at")},
    shapes=(Shape("limits", OfAnswer, "the limits of an answer", "check.of_answer", "check.results:Verdicts"),),
    examples=(
        "scaleplan cost gpt2 --tokens 300B --hardware h100-sxm --json > cost.json",
        "scaleplan check cost.json --limit 'usd<=50k' --limit 'kgco2e<=2t:warn'",
        "scaleplan optimal --compute 1e21 --json |\n    scaleplan check - --limit 'laws.besiroglu2024.n_params<=3B' --at p90",
    ),
    more="Exit code 0: every limit holds or is in doubt; 1: a limit of level error is broken; 2: no answer.",
    formats=("text", "github"),
)
