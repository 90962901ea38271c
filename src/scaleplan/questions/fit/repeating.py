"""What a second and a tenth pass over the same tokens are worth, from the runs of the user."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from scaleplan.answer import Answer, Caution, Line, quantities
from scaleplan.chain.law_file import SOURCE, law_text
from scaleplan.errors import InputError
from scaleplan.laws.fitting.repeated import RepeatedFit, fit_repeated
from scaleplan.questions.fit.table import LOSSES, Runs, data_of, farthest_table, inputs_of, predictors, range_of, residual_rows, runs_of
from scaleplan.runs import RunTable

if TYPE_CHECKING:
    from scaleplan.questions.fit import OfRepeating

LABELS = {
    "e_nats": "E, irreducible loss",
    "r_d_star": "R_D*, repetitions of the data",
    "r_n_star": "R_N*, excess parameters",
}
MEANING = {
    "r_d_star": "repetition was worth next to nothing, or as much as new data, in these runs",
    "r_n_star": "no run has many more parameters than its data deserve",
}


class Solved(NamedTuple):
    """The runs, and the fit in two steps."""

    runs: Runs
    found: RepeatedFit

    @property
    def constants(self) -> dict[str, float]:
        """Those of fresh data, then those of repetition."""
        law = self.found.law
        return {**law.fresh._asdict(), "r_d_star": law.r_d_star, "r_n_star": law.r_n_star}


def solve(asked: OfRepeating) -> Solved:
    """E to beta from the runs that saw every token once, R_D* and R_N* from the others."""
    runs = runs_of(asked)
    try:
        return Solved(runs, fit_repeated(predictors(runs.table), runs.table.columns["loss"]))
    except InputError as error:
        raise error.located(runs.table.file) from None


def explain(asked: OfRepeating, solved: Solved) -> Answer:
    """Constants, residuals, and the law as a file."""
    table, found, constants = solved.runs.table, solved.found, solved.constants
    residuals = list(residual_rows(table, found.residuals))
    result = {
        "law": {"form": "repeating", **constants},
        "n_params_kind": solved.runs.n_kind,
        "intervals": None,
        "objective": found.fresh.objective + found.objective,
        "n_rows": table.n_rows,
        "n_rows_once": found.fresh.problem.n_rows,
        "n_starts": found.fresh.n_starts,
        "n_starts_agreeing": found.fresh.n_starts_agreeing,
        "range": range_of(table),
        "data": data_of(table),
        "residuals": residuals,
    }
    lines = [
        Line(f"law.{name}", LABELS.get(name, name), value, "nats" if name == "e_nats" else "", sources=[SOURCE], standing="fitted")
        for name, value in constants.items()
    ]
    return Answer(
        "fit",
        inputs_of(asked, solved.runs),
        result,
        [quantities("L = E + A / N'^alpha + B / D'^beta", lines), farthest_table(residuals, *LOSSES)],
        lines,
        warnings=[Caution("not-identified", f"{name} is at its bound: {MEANING[name]}", {"parameter": name}) for name in found.at_edge],
        notes=[*solved.runs.remarks, *how_made(table, found)],
        more_sources=[SOURCE, "muennighoff2023"],
        files={".toml": files_of(solved)},
    )


def how_made(table: RunTable, found: RepeatedFit) -> list[str]:
    """The two steps, and what is not there."""
    once = found.fresh.problem.n_rows
    return [
        f"E to beta come from the {once} runs that saw every token once, "
        f"R_D* and R_N* from the other {table.n_rows - once} (muennighoff2023).",
        "Intervals are not computed for this form.",
    ]


def files_of(solved: Solved) -> dict[str, str | None]:
    """A preset that `optimal` takes for repeated data."""
    table = solved.runs.table
    convention = {
        "n_params": solved.runs.n_kind,
        "n_tokens": "tokens seen, of which unique_tokens are different",
        "compute": "6 N D",
        "loss": "as in the table, nats per token",
        "tokenizer": "unknown",
    }
    runs = {"file": table.file, "sha256": table.digest, "n_rows": table.n_rows}
    blocks = {"loss": {"form": "repeating", **solved.constants}, "runs": runs}
    return {".toml": law_text(f"Fitted to {table.n_rows} runs with repeated data", convention, range_of(table), blocks), ".draws.csv": None}
