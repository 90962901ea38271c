"""The table of runs: read with its columns and units, N of the kind that is wanted, and what every fit shows of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from scaleplan import units
from scaleplan.answer import Column, Table
from scaleplan.errors import InputError, clipped
from scaleplan.laws.convention import NON_EMBEDDING, TOTAL, converted_params
from scaleplan.laws.fitting.fit import Fit, completed
from scaleplan.laws.fitting.fit import fit as fit_shape
from scaleplan.laws.fitting.shapes import Array, shape
from scaleplan.runs import RUNS, RunTable, Wanted, read_runs
from scaleplan.wording import field

if TYPE_CHECKING:
    from scaleplan.questions.fit import OfDesign, OfForms, OfLadder, OfLaw, OfRepeating, OfSlices

    Asked = OfForms | OfDesign | OfSlices | OfRepeating | OfLadder | OfLaw

KINDS = {"total": TOTAL, "non-embedding": NON_EMBEDDING}
USUAL_FORM = "additive"
BEYOND = 100  # times the largest run: the budget whose optimum is shown unless another is asked for
FARTHEST_SHOWN = 5
LOSSES = (
    Column("loss_nats", "loss", "nats"),
    Column("predicted_nats", "law", "nats"),
    Column("residual", "log(law / loss)", "fraction"),
)


class Runs(NamedTuple):
    """The runs, which N they have, and how they were read."""

    table: RunTable
    n_kind: str
    remarks: Sequence[str]


def runs_of(asked: Asked, wanted: Wanted = RUNS) -> Runs:
    """The table of a question, with N of the kind that is wanted."""
    scales = {name: factor(name, text) for name, text in assigned("unit", asked.unit).items()}
    table = read_runs(asked.runs, assigned("column", asked.column), scales, wanted)
    if "n_params" not in table.columns:
        return Runs(table, KINDS[asked.n_kind or "total"], [])
    heading = table.headings["n_params"]
    given = NON_EMBEDDING if "non" in heading.lower() and "emb" in heading.lower() else TOTAL
    kind = KINDS[asked.n_kind] if asked.n_kind else given
    if kind == given:
        return Runs(table, kind, [f"N is read from `{heading}` as {words(kind)} parameters."])
    converted = converted_params(table.columns["n_params"], given, kind)
    remark = f"N is read from `{heading}` as {words(given)} parameters and converted to {words(kind)} ones for a usual shape (pearce2024)."
    return Runs(table._replace(columns={**table.columns, "n_params": converted}), kind, [remark])


def assigned(name: str, texts: Sequence[str]) -> dict[str, str]:
    """What `NAME=VALUE` texts of a field say: name -> value."""
    found = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key.strip() or not value.strip():
            raise InputError(f"{field(name)}: `{clipped(text)}` is not of the form NAME=VALUE")
        found[key.strip()] = value.strip()
    return found


def factor(name: str, text: str) -> float:
    """What a column is to be multiplied with: `1e6`, `M`."""
    try:
        return float(units.amount(text if text[0].isdigit() else f"1{text}"))
    except InputError as error:
        error.message = f"{field('unit')} {name}: {error.message}"
        raise


def words(kind: str) -> str:
    """`non_embedding` -> `non-embedding`."""
    return kind.replace("_", "-")


def predictors(table: RunTable) -> dict[str, Array]:
    """Predictor columns."""
    return {name: values for name, values in table.columns.items() if name != "loss"}


def fit_runs(table: RunTable, form: str | None) -> Fit:
    """The fit of a form; a refusal names the file."""
    wanted = shape(form or USUAL_FORM)
    try:
        return fit_shape(wanted, predictors(table), table.columns["loss"])
    except InputError as error:
        raise error.located(table.file) from None


def largest_compute(table: RunTable) -> float:
    """Largest training compute of any run (1.0 if unknown)."""
    compute = completed(table.columns).get("compute_flops")
    return float(compute.max()) if compute is not None else 1.0


def target_of(table: RunTable, compute: float | None) -> float:
    """The budget whose optimum is asked for."""
    return compute if compute is not None else BEYOND * largest_compute(table)


def range_of(table: RunTable) -> dict[str, float]:
    """Least and most of each quantity of the runs, and of what follows from them."""
    found: dict[str, float] = {}
    for name, values in completed(table.columns).items():
        if name != "loss":
            found |= {f"{name}_min": float(values.min()), f"{name}_max": float(values.max())}
    return found


def data_of(table: RunTable) -> dict[str, Any]:
    """The file, its digest, and which of its columns were read."""
    return {"file": table.file, "sha256": table.digest, "columns": dict(table.headings)}


def inputs_of(asked: Asked, runs: Runs, **more: Any) -> dict[str, Any]:
    """What was asked of a law."""
    found = {"runs": runs.table.file, "form": getattr(asked, "form", None) or USUAL_FORM, "n_kind": runs.n_kind, **more}
    return {name: value for name, value in found.items() if value is not None}


def residual_rows(table: RunTable, residuals: Array) -> Iterator[dict[str, Any]]:
    """Each run beside the prediction of the law; the residual is log predicted - log observed."""
    import numpy as np

    loss = table.columns["loss"]
    for line, seen, residual in zip(table.lines, loss.tolist(), residuals.tolist(), strict=True):
        yield {"line": line, "loss_nats": seen, "predicted_nats": seen * float(np.exp(residual)), "residual": residual}


def farthest_table(residuals: Sequence[Mapping[str, Any]], *columns: Column) -> Table:
    """The rows that the law fits worst, under the columns of what was fitted."""
    rows = sorted(residuals, key=lambda row: -abs(row["residual"]))[:FARTHEST_SHOWN]
    return Table("Largest residuals", [Column("line", "line", "int"), *columns], rows)
