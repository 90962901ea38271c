"""A question asked over a grid of values: a row a point, streamed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from scaleplan.errors import InputError, UsageError
from scaleplan.questions.asking import Question, Shape
from scaleplan.questions.fields import field_named, shown_object, text_of
from scaleplan.questions.registry import NAMES, asks
from scaleplan.wording import field, question

NOT_SWEPT = ("check", "diff", "presets", "sweep", "calibrate", "fit")
"""Commands whose answers are no numbers of a point."""


class OverGrid(NamedTuple):
    """A question, and the values that some of its fields take.

    command  the question; a plan file is asked with `plan`
    asked    its other fields, as they were given
    """

    command: str | None = None
    asked: Mapping[str, Any] = {}
    over: tuple[str, ...] = ()
    part: tuple[int, int] | None = None
    engine: str | None = None
    scheduler: str | None = None

    def check(self) -> None:
        """There is a question and a grid; raises UsageError."""
        if self.command is None:
            example = question("sweep", "optimal", over="compute=1e18:1e26:log:100")
            raise UsageError("nothing to sweep", hint=f"give a plan file or a command: `{example}`")
        if not self.over:
            raise UsageError("no values to sweep over", hint=f"add {field('over')} tokens=1e11:1e13:log:50")
        if self.engine == "dask" and self.scheduler is None:
            raise UsageError(f"{field('engine')} dask needs {field('scheduler')}", hint=f"add {field('scheduler')} tcp://host:8786")
        if self.scheduler is not None and self.engine != "dask":
            raise UsageError(f"{field('scheduler')} needs {field('engine')} dask", hint=f"add {field('engine')} dask")


QUESTION = Question(
    name="sweep",
    asks=asks("sweep"),
    subject=("swept",),
    headings={"Grid": ("over", "set", "part"), "Where it runs": ("engine", "scheduler")},
    shapes=(Shape("sweep", OverGrid, "a sweep", "sweep.table", "sweep.results:Swept"),),
    examples=(
        "scaleplan sweep optimal --over compute=1e18:1e26:log:9 --law hoffmann2022-3",
        "scaleplan sweep cost llama-3-8b --tokens 1T --hardware h100-sxm --over n_devices=64,128,256",
        "scaleplan sweep plan.toml --over tokens=1e11:1e13:log:1000 --over n_devices=8,16,32 -o grid.csv",
        "scaleplan sweep plan.toml --over tokens=1e11:1e13:log:50 --part 3/16 -o part-3.csv",
    ),
    more="The subject is a plan file, or a command, whose own flags follow it. The last grid given varies fastest. An "
    "interrupted sweep with -o continues when the same command is given again.",
    formats=("csv", "jsonl"),
    borrows="sweep:borrowed",
)


def borrowed(given: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a sweep: what is not one of its own belongs to the question that is swept."""
    own = {name: given[name] for name in ("over", "part", "engine", "scheduler") if given.get(name) is not None}
    if isinstance(own.get("over"), Mapping):
        own["over"] = [f"{key}={spelled_values(values)}" for key, values in own["over"].items()]
    rest = {
        name: value for name, value in given.items() if name not in own and name != "swept" and value is not None and value is not False
    }
    subject = given.get("swept")
    if subject is None:
        return own | {"asked": rest} if rest else own
    subject = text_of(field_named("swept"), subject)
    if subject not in NAMES:
        return own | {"command": "plan", "asked": rest | {"plan_file": subject}}
    if subject in NOT_SWEPT:
        raise UsageError(f"`{subject}` has no numbers to sweep", hint="sweep a plan file or one of " + ", ".join(swept_names()))
    return own | {"command": subject, "asked": rest}


def swept_names() -> list[str]:
    """The commands that can be swept."""
    return [name for name in NAMES if name not in NOT_SWEPT]


def spelled_values(values: Any) -> str:
    """The values of one grid as a range is written: a range itself, numbers, names, or one value."""
    if isinstance(values, str):
        return values
    try:
        return ",".join(one if isinstance(one, str) else repr(one) for one in (values if isinstance(values, Iterable) else [values]))
    except ValueError:  # a whole number of thousands of digits
        raise InputError(f"{field('over')}: `{shown_object(values)}` is no range") from None
