"""`scaleplan fit --form repeating`: what a second and a tenth pass over the same tokens are worth, from your own runs."""

from __future__ import annotations

from collections.abc import Sequence

from scaleplan.answer import Answer, Caution, Line, quantities
from scaleplan.chain.law_file import SOURCE, law_text
from scaleplan.cli.fit_answer import Asked, farthest_table, predictors, range_of, residual_rows
from scaleplan.errors import InputError
from scaleplan.laws.fitting.repeated import RepeatedFit, fit_repeated
from scaleplan.runs import RunTable

LABELS = {
    "e_nats": "E, irreducible loss",
    "r_d_star": "R_D*, repetitions of the data",
    "r_n_star": "R_N*, excess parameters",
}
MEANING = {
    "r_d_star": "repetition was worth next to nothing, or as much as new data, in these runs",
    "r_n_star": "no run has many more parameters than its data deserve",
}


def repeating(table: RunTable, asked: Asked, remarks: Sequence[str]) -> Answer:
    """Constants, residuals, and the law as a file."""
    try:
        found = fit_repeated(predictors(table), table.columns["loss"])
    except InputError as error:
        raise error.located(table.file) from None
    constants = {**found.law.fresh._asdict(), "r_d_star": found.law.r_d_star, "r_n_star": found.law.r_n_star}
    residuals = list(residual_rows(table, found.residuals))
    result = {
        "law": {"form": "repeating", **constants},
        "n_params_kind": asked.n_kind,
        "intervals": None,
        "objective": found.fresh.objective + found.objective,
        "n_rows": table.n_rows,
        "n_rows_once": found.fresh.problem.n_rows,
        "n_starts": found.fresh.n_starts,
        "n_starts_agreeing": found.fresh.n_starts_agreeing,
        "range": range_of(table),
        "data": {"file": table.file, "sha256": table.digest, "columns": dict(table.headings)},
        "residuals": residuals,
    }
    lines = [
        Line(f"law.{name}", LABELS.get(name, name), value, "nats" if name == "e_nats" else "", sources=[SOURCE], standing="fitted")
        for name, value in constants.items()
    ]
    title = "L = E + A / N'^alpha + B / D'^beta"
    return Answer(
        "fit",
        {"runs": table.file, **{name: value for name, value in asked._asdict().items() if value is not None}},
        result,
        [quantities(title, lines), farthest_table(residuals)],
        lines,
        warnings=[Caution("not-identified", f"{name} is at its bound: {MEANING[name]}", {"parameter": name}) for name in found.at_edge],
        notes=[*remarks, *how_made(table, found)],
        more_sources=[SOURCE, "muennighoff2023"],
        files={".toml": files_of(table, asked, constants)},
    )


def how_made(table: RunTable, found: RepeatedFit) -> list[str]:
    """The two steps, and what is not there."""
    once = found.fresh.problem.n_rows
    return [
        f"E to beta come from the {once} runs that saw every token once, "
        f"R_D* and R_N* from the other {table.n_rows - once} (muennighoff2023).",
        "Intervals are not computed for this form.",
    ]


def files_of(table: RunTable, asked: Asked, constants: dict[str, float]) -> dict[str, str | None]:
    """A preset that `optimal --unique-tokens` takes."""
    convention = {
        "n_params": asked.n_kind,
        "n_tokens": "tokens seen, of which unique_tokens are different",
        "compute": "6 N D",
        "loss": "as in the table, nats per token",
        "tokenizer": "unknown",
    }
    runs = {"file": table.file, "sha256": table.digest, "n_rows": table.n_rows}
    blocks = {"loss": {"form": "repeating", **constants}, "runs": runs}
    return {".toml": law_text(f"Fitted to {table.n_rows} runs with repeated data", convention, range_of(table), blocks), ".draws.csv": None}
