"""The accuracy on a task from a ladder of the user's models: the loss of the task by N and D, and its map to the accuracy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from scaleplan.answer import Answer, Caution, Column, Interval, Line, Table
from scaleplan.chain.law_file import MOST_DRAWS, SOURCE, draws_text, law_text
from scaleplan.errors import InputError
from scaleplan.laws.downstream import FARTHEST_ONE_TASK, draw_columns
from scaleplan.laws.fitting.bootstrap import summary
from scaleplan.laws.fitting.ladder import RESAMPLES, Ladder, LadderFit, fit_ladder
from scaleplan.laws.fitting.shapes import Array
from scaleplan.questions.fit.table import Runs, data_of, farthest_table, inputs_of, range_of, runs_of
from scaleplan.runs import LADDER_RUNS
from scaleplan.units import show_count
from scaleplan.wording import field, question

if TYPE_CHECKING:
    from scaleplan.questions.fit import OfLadder

LOSS, SCORE = ("e", "a", "b", "alpha", "beta"), ("a", "l0", "k", "b")
LABELS = {
    "task_loss.e": "E, irreducible loss of the task",
    "task_loss.a": "A",
    "task_loss.b": "B",
    "task_loss.alpha": "alpha",
    "task_loss.beta": "beta",
    "score.a": "a, accuracy lost at a large loss",
    "score.l0": "l0, loss at the middle of the map",
    "score.k": "k, slope of the map",
    "score.b": "b, accuracy at no loss",
}
ACCURACIES = (
    Column("accuracy", "accuracy", "fraction"),
    Column("predicted_accuracy", "law", "fraction"),
    Column("residual", "law - accuracy", "fraction"),
)
UNNAMED = "own-task"
FAMILY = "own-models"
FEWEST_DRAWS = 20  # resamples that must tell a law, for an 80 % interval


class Solved(NamedTuple):
    """The rows, the ladder in them, and its fit."""

    runs: Runs
    ladder: Ladder
    fitted: LadderFit
    n_asked: int

    @property
    def constants(self) -> dict[str, float]:
        """Those of both steps, by key."""
        law = self.fitted.law
        return {f"task_loss.{key}": float(value) for key, value in zip(LOSS, law.loss, strict=True)} | {
            f"score.{key}": float(value) for key, value in zip(SCORE, law.score, strict=True)
        }


def solve(asked: OfLadder) -> Solved:
    """Both steps, and their refits on resamples of the runs."""
    runs = runs_of(asked, LADDER_RUNS)
    columns, n_asked = runs.table.columns, asked.bootstrap or RESAMPLES
    n, d, loss, accuracy = (columns[name] for name in ("n_params", "n_tokens", "task_loss", "accuracy"))
    ladder = Ladder(n, d, loss, accuracy, run_of_rows(columns))
    try:
        fitted = fit_ladder(ladder, asked.task or UNNAMED, asked.family or FAMILY, asked.seed, n_asked)
    except InputError as error:
        raise error.located(runs.table.file) from None
    if len(fitted.law.draws) < FEWEST_DRAWS:
        problem = f"{len(fitted.law.draws)} of {n_asked} resamples tell a law: too few for an interval"
        raise InputError(problem, hint=f"more runs, or {field('bootstrap')} above {n_asked}").located(runs.table.file)
    return Solved(runs, ladder, fitted, n_asked)


def run_of_rows(columns: Mapping[str, Array]) -> Array:
    """Which run each row is of: as its column says, else each row is a run."""
    import numpy as np

    return columns["run"] if "run" in columns else np.arange(float(len(columns["n_params"])))


def explain(asked: OfLadder, solved: Solved) -> Answer:
    """Constants of both steps, how the largest size is forecast by the others, and the law as a file."""
    table, law = solved.runs.table, solved.fitted.law
    intervals, residuals = intervals_of(solved), list(residual_rows(solved))
    lines = [constant_line(name, value, intervals) for name, value in solved.constants.items()]
    lines.append(Line("noise_sd", "scatter of an accuracy about the map", law.noise_sd, "fraction", sources=[SOURCE], standing="fitted"))
    result = {
        "task": law.task,
        "family": law.family,
        "n_params_kind": solved.runs.n_kind,
        "task_loss": {"form": "additive", **{key: solved.constants[f"task_loss.{key}"] for key in LOSS}},
        "score": {"form": "sigmoid", **{key: solved.constants[f"score.{key}"] for key in SCORE}},
        "intervals": intervals,
        "noise_sd": law.noise_sd,
        "held_out": held_out_of(solved.fitted),
        "n_rows": table.n_rows,
        "n_runs": len(set(solved.ladder.run.tolist())),
        "n_sizes": len(set(solved.ladder.n_params.tolist())),
        "bootstrap": {"n_asked": solved.n_asked, "n_done": solved.n_asked, "n_settled": len(law.draws), "seed": asked.seed},
        "range": dict(law.limits),
        "data": data_of(table),
        "residuals": residuals,
    }
    return Answer(
        "fit",
        inputs_of(asked, solved.runs, task=law.task, family=law.family, n_resamples=solved.n_asked, seed=asked.seed),
        result,
        [constants_table(lines), farthest_table(residuals, *ACCURACIES)],
        lines,
        warnings=list(warnings_of(solved)),
        notes=[*solved.runs.remarks, *notes_of(solved)],
        more_sources=[SOURCE, "bhagia2024"],
        files={".toml": files_of(solved)},
    )


def constant_line(name: str, value: float, intervals: Mapping[str, Any]) -> Line:
    """One constant with its interval."""
    points = intervals.get(name)
    interval = Interval(points["p10"], points["p50"], points["p90"]) if points else None
    return Line(name, LABELS[name], value, "", sources=[SOURCE], standing="fitted", interval=interval)


def intervals_of(solved: Solved) -> dict[str, dict[str, Any]]:
    """Percentiles of every constant over the refits."""
    import numpy as np

    rows = np.array([(*loss, *score) for loss, score in solved.fitted.law.draws], float)
    return summary(dict(zip(solved.constants, rows.T, strict=True)), solved.constants)


def held_out_of(fitted: LadderFit) -> dict[str, Any] | None:
    """The largest size by a fit of the others; None where those tell no law."""
    checked, mean = fitted.law.checked, fitted.held_out_error
    if mean is None:
        return None
    misses = [told - seen for told, seen in zip(checked["forecast"], checked["measured"], strict=True)]
    square = sum(miss**2 for miss in misses) / len(misses)
    return {"n_params": checked["n_params"][0], "n_rows": len(misses), "mean_error": mean, "rms_error": square**0.5}


def residual_rows(solved: Solved) -> Iterator[dict[str, Any]]:
    """Each row beside the accuracy that both steps give it."""
    law, ladder = solved.fitted.law, solved.ladder
    told = law.score.accuracy(law.loss.loss(ladder.n_params, ladder.n_tokens)).tolist()
    for line, seen, predicted in zip(solved.runs.table.lines, ladder.accuracy.tolist(), told, strict=True):
        yield {"line": line, "accuracy": seen, "predicted_accuracy": predicted, "residual": predicted - seen}


def constants_table(lines: Sequence[Line]) -> Table:
    """Constants with their intervals."""
    rows = [{"key": one.key, "quantity": one.label, "value": one.value, "unit": one.unit, "interval": one.interval} for one in lines]
    columns = [Column("key", "", "hidden"), Column("quantity", ""), Column("value", "value", "own")]
    title = "L = E + A / N^alpha + B / D^beta; accuracy = a / (1 + exp(-k (L - l0))) + b"
    return Table(title, [*columns, Column("interval", "80 % interval", "own")], rows)


def warnings_of(solved: Solved) -> Iterator[Caution]:
    """Refits that told no law."""
    n_settled = len(solved.fitted.law.draws)
    if n_settled < 0.9 * solved.n_asked:
        message = f"{solved.n_asked - n_settled} of {solved.n_asked} resamples tell no law: the runs hardly identify the constants"
        yield Caution("not-identified", message, {"n_settled": n_settled})


def notes_of(solved: Solved) -> Iterator[str]:
    """What the numbers rest on, how the largest size was forecast, and how to ask for an accuracy."""
    table, held, law = solved.runs.table, held_out_of(solved.fitted), solved.fitted.law
    n_runs, n_sizes = (len(set(column.tolist())) for column in (solved.ladder.run, solved.ladder.n_params))
    yield (
        f"{table.n_rows} rows of {n_runs} runs and {n_sizes} sizes; the loss is read from `{table.headings['task_loss']}`. "
        f"Intervals are percentiles of {len(law.draws)} refits on resamples of the runs."
    )
    if held is not None:
        yield (
            f"Held out: a fit of the smaller sizes is {100 * held['mean_error']:+.2g} points off at N = {show_count(held['n_params'])} "
            f"({held['n_rows']} rows). Forecasts beyond the ladder carry that error too."
        )
    asking = question("optimal", task="my-task.toml", n_params="7B", tokens="1T")
    yield f"Saved as my-task.toml, it answers {asking}, up to {FARTHEST_ONE_TASK:g} times beyond these runs."


def files_of(solved: Solved) -> dict[str, str | None]:
    """The task law as a preset, and the draws that belong to it."""
    import math

    law, table, constants = solved.fitted.law, solved.runs.table, solved.constants
    logs = {f"log_{name}": math.log(constants[f"task_loss.{name}"]) for name in ("a", "b")}
    convention = {
        "n_params": solved.runs.n_kind,
        "n_tokens": "as in the table",
        "loss": f"`{table.headings['task_loss']}` of the table",
        "tokenizer": "unknown",
    }
    loss = {"form": "additive", **logs, **{name: constants[f"task_loss.{name}"] for name in ("alpha", "beta", "e")}}
    blocks: dict[str, Any] = {
        "loss": loss,
        "score": {"form": "sigmoid", **{name: constants[f"score.{name}"] for name in SCORE}},
        "spread": {"noise_sd": law.noise_sd, "least_half_width": law.half_width},
    }
    if law.checked:
        blocks["checked"] = {name: list(values) for name, values in law.checked.items()}
    title = f"{law.task}, fitted to a ladder of {table.n_rows} rows"
    text = law_text(title, convention, range_of_ladder(solved), blocks, {"task": law.task, "family": law.family})
    return {".toml": text, ".draws.csv": draws_text(draw_columns(law.draws[:MOST_DRAWS]))}


def range_of_ladder(solved: Solved) -> dict[str, float]:
    """Least and most N and D of the ladder."""
    return {name: value for name, value in range_of(solved.runs.table).items() if name.startswith(("n_params_m", "n_tokens_m"))}
