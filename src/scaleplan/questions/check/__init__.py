"""Is an answer within the limits?"""

from __future__ import annotations

from typing import NamedTuple

from scaleplan.errors import UsageError
from scaleplan.questions.asking import Question, Shape
from scaleplan.questions.registry import asks
from scaleplan.wording import field


class OfAnswer(NamedTuple):
    """A plan or an answer, and the limits to hold against it: those of the plan, and more."""

    answer: str | None = None
    limit: tuple[str, ...] = ()
    set: tuple[str, ...] = ()
    at: str | None = None
    unsure: str | None = None
    base: str | None = None
    summary: str | None = None

    def check(self) -> None:
        """There is something to check; raises UsageError."""
        if self.answer is None:
            hint = f"give {field('answer')}: a plan file, what a command printed with --json, or `-`"
            raise UsageError("nothing to check", hint=hint)


QUESTION = Question(
    name="check",
    asks=asks("check"),
    subject=("answer",),
    headings={"Limits": ("limit", "at", "unsure", "base"), "Plan": ("set",), "Job": ("summary",)},
    shapes=(Shape("limits", OfAnswer, "the limits of a plan or an answer", "check.of_answer", "check.results:Verdicts"),),
    examples=(
        "scaleplan cost gpt2 --tokens 300B --hardware h100-sxm --json > cost.json",
        "scaleplan check cost.json --limit 'usd<=50k' --limit 'kgco2e<=2t:warn'",
        "scaleplan check plan.toml --set training.tokens=2T --format github",
        "scaleplan check plan.toml --base main-plan.json --summary summary.md",
        "scaleplan optimal --compute 1e21 --json |\n    scaleplan check - --limit 'laws.besiroglu2024.n_params<=3B' --at p90",
    ),
    more="Exit code 0: every limit holds or is in doubt; 1: a limit of level error is broken; 2: no answer.",
    formats=("text", "github", "junit"),
)
