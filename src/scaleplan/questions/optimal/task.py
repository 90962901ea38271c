"""From N and D to the accuracy on a task, by two-step laws, published or of the user's own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from scaleplan.answer import Answer, Caution, Column, Interval, Line, Table, line
from scaleplan.chain import catalogue
from scaleplan.chain.tasks import ask_task
from scaleplan.errors import ScaleplanError
from scaleplan.laws.allocation import Question, allocate
from scaleplan.laws.downstream import FORMULAS, Forecast, Sigmoid
from scaleplan.library import citations
from scaleplan.questions.about_laws import LABELS
from scaleplan.questions.optimal.warnings import silences
from scaleplan.units import show_count, three_digits
from scaleplan.wording import field

if TYPE_CHECKING:
    from scaleplan.questions.optimal.beside import OfTask

KINDS_OF_N = {
    "total": "all parameters",
    "non_embedding": "parameters without tables and head",
    "without_input_embedding": "all parameters but the input embedding",
}
HELD = "The interval holds {}, not another data mix or prompt format."
OF_PUBLISHED = "misses on held-out larger runs and the noise of checkpoints"
OF_OWN = "what refits on resamples of the runs leave open, the scatter of the runs, and beyond them the miss on the largest size held out"


class Solved(NamedTuple):
    """The forecasts, and why other laws of the task have none."""

    forecasts: Sequence[Forecast]
    silent: Mapping[str, ScaleplanError]


def solve(asked: OfTask) -> Solved:
    """Every law of the task, at the N and D given or those of a budget."""
    n_params, tokens = asked.n_params, asked.tokens
    if asked.compute is not None:
        run = allocate(catalogue.load_law(catalogue.recommended()), Question(compute_flops=asked.compute))
        n_params, tokens = run.n_params, run.n_tokens
    assert n_params is not None, "checked in the request"
    assert tokens is not None, "checked in the request"
    return Solved(*ask_task(asked.task, n_params, tokens, asked.family))


def explain(asked: OfTask, solved: Solved) -> Answer:
    """One law a row, its accuracy with an 80 % interval."""
    rows = [row_of(one) for one in solved.forecasts]
    columns = [
        Column("task", "task"),
        Column("family", "models"),
        Column("n_params", "N", "params"),
        Column("n_tokens", "D", "tokens"),
        Column("accuracy", "accuracy", "fraction"),
        Column("interval", "80 % interval", "fraction"),
        Column("chance", "chance", "fraction"),
    ]
    shown = [{**row, "interval": Interval(**row["intervals"]["accuracy"])} for row in rows]
    inputs = {
        "task": asked.task,
        "n_params": asked.n_params,
        "n_tokens": asked.tokens,
        "compute_flops": asked.compute,
        "family": asked.family,
    }
    return Answer(
        "optimal",
        {name: value for name, value in inputs.items() if value is not None},
        {"forecasts": rows},
        [Table("", columns, shown)],
        [made for one in solved.forecasts for made in lines_of(one)],
        warnings=[caution for one in solved.forecasts for caution in cautions(one)],
        notes=list(notes_of(asked, solved)),
    )


def row_of(one: Forecast) -> dict[str, Any]:
    """One law in `result.forecasts`."""
    law = one.law
    return {
        "law": law.name,
        "task": law.task,
        "family": law.family,
        "n_params": one.n_params,
        "n_params_kind": law.n_kind,
        "n_tokens": one.n_tokens,
        "task_loss": one.task_loss,
        "task_loss_unit": str(law.data["convention"]["loss"]),
        "accuracy": one.accuracy,
        "chance": one.chance,
        "widest": one.widest,
        "standing": law.standing,
        "intervals": {"accuracy": {"p10": one.p10, "p50": one.accuracy, "p90": one.p90}},
    }


def lines_of(one: Forecast) -> Iterator[Line]:
    """Both steps."""
    law = one.law
    key, cited = f"forecasts.{law.name}", citations(law.data["convention"])
    run: dict[str, Any] = {"n_params": one.n_params, "n_tokens": one.n_tokens}
    unit = str(law.data["convention"]["loss"])
    yield line(
        f"{key}.task_loss",
        f"{law.name} loss of the task",
        one.task_loss,
        unit,
        FORMULAS["task_loss"],
        sources=cited,
        standing="fitted",
        **law.loss._asdict(),
        **run,
    )
    score = FORMULAS["sigmoid" if isinstance(law.score, Sigmoid) else "exponential"]
    interval = Interval(one.p10, one.accuracy, one.p90)
    constants = law.score._asdict()
    yield line(
        f"{key}.accuracy",
        f"{law.name} accuracy",
        one.accuracy,
        "fraction",
        score,
        sources=cited,
        standing="estimate",
        interval=interval,
        task_loss=one.task_loss,
        **constants,
    )


def cautions(one: Forecast) -> Iterator[Caution]:
    """Beyond the runs of the fit, and below guessing."""
    for name, factor in one.factors.items():
        message = (
            f"{one.law.name}: {LABELS[name]} = {show_count(getattr(one, name))} is {three_digits(factor)}x beyond the runs that were fitted"
        )
        yield Caution("extrapolation", message, {"law": one.law.name, "quantity": name, "factor": factor})
    if one.chance is not None and one.accuracy < one.chance:
        yield Caution("estimate", f"{one.law.name}: the forecast is below guessing, {one.chance:g}", {"law": one.law.name})


def notes_of(asked: OfTask, solved: Solved) -> Iterator[str]:
    """What N counts, where N and D come from, what the interval holds, and who is silent."""
    families: dict[str, list[str]] = {}
    for one in solved.forecasts:
        families.setdefault(one.law.n_kind, []).append(one.law.family)
    for kind, names in families.items():
        yield f"N counts {KINDS_OF_N.get(kind, kind)}; data and prompts are those of {', '.join(dict.fromkeys(names))} models."
    if asked.compute is not None:
        size, data = solved.forecasts[0].n_params, solved.forecasts[0].n_tokens
        yield f"N = {show_count(size)} and D = {show_count(data)}: what {catalogue.recommended()} makes of {field('compute')}."
    yield from dict.fromkeys(HELD.format(OF_OWN if one.law.draws else OF_PUBLISHED) for one in solved.forecasts)
    yield from silences(solved.silent)
