"""What measured steps say of a plan: a corrected stack, and the plan redone with it."""

from __future__ import annotations

from typing import NamedTuple

from scaleplan.errors import UsageError
from scaleplan.questions.asking import Question, Shape
from scaleplan.questions.registry import asks
from scaleplan.wording import field


class OfMeasurement(NamedTuple):
    """A plan with a layout, and what its steps took, or those of another layout on the same devices and stack."""

    plan_file: str | None = None
    set: tuple[str, ...] = ()
    step_s: float | None = None
    peak_bytes: int | None = None
    measured: str | None = None
    measured_at: tuple[str, ...] = ()
    start: str | None = None

    def check(self) -> None:
        """There is a plan and a measurement; raises UsageError."""
        if self.plan_file is None:
            raise UsageError("nothing to calibrate", hint="give a plan file with a layout: scaleplan calibrate plan.toml")
        if self.step_s is None and self.measured is None:
            raise UsageError("no measured step", hint=f"add {field('step_s')} 12.5s, or {field('measured')} log.csv")


QUESTION = Question(
    name="calibrate",
    asks=asks("calibrate"),
    subject=("plan_file",),
    headings={"Measured": ("step_s", "peak_bytes", "measured", "measured_at"), "Plan": ("set", "start")},
    shapes=(
        Shape(
            "calibrated",
            OfMeasurement,
            "a calibration",
            "calibrate.of_plan",
            "calibrate.results:Calibrated",
            together=(("step_s", "measured"), ("peak_bytes", "measured")),
        ),
    ),
    examples=(
        "scaleplan calibrate plan.toml --step-s 12.5s --peak-bytes 61GiB",
        "scaleplan calibrate plan.toml --measured log.csv -o stack.toml",
        "scaleplan calibrate plan.toml --measured run.log --measured-at layout=tp8 --start 2027-01-04",
    ),
    more="The plan names a layout. -o writes a stack for `[hardware] stack`, with which a measured layout takes its measured time.",
    charts=True,
)
