"""The forms ranked by their error on the largest runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from scaleplan.answer import Answer, Column, Table
from scaleplan.errors import InputError
from scaleplan.laws.fitting.compare import Ranking, rank
from scaleplan.questions.fit.table import Runs, predictors, runs_of
from scaleplan.units import show_count

if TYPE_CHECKING:
    from scaleplan.questions.fit import OfForms


class Solved(NamedTuple):
    """The runs and the ranking of the forms."""

    runs: Runs
    ranking: Ranking


def solve(asked: OfForms) -> Solved:
    """Every form that the columns allow, best first."""
    runs = runs_of(asked)
    table = runs.table
    try:
        ranking = rank(predictors(table), table.columns["loss"])
    except InputError as error:
        raise error.located(table.file) from None
    if not ranking.scores:
        raise ranking.refused[0][1].located(table.file)
    return Solved(runs, ranking)


COLUMNS = (
    Column("form", "form"),
    Column("n_constants", "constants", "int"),
    Column("held_out_error", "error held out", "fraction"),
    Column("held_out_bias", "bias held out", "fraction"),
    Column("fitted_error", "error fitted", "fraction"),
    Column("formula", "L"),
)


def explain(asked: OfForms, solved: Solved) -> Answer:
    """The ranking as a table."""
    table, ranking = solved.runs.table, solved.ranking
    rows = rows_of(ranking)
    notes = [
        *solved.runs.remarks,
        f"Fitted to {table.n_rows - len(ranking.held_out)} runs; judged on the {len(ranking.held_out)} of most compute, "
        f"{show_count(ranking.compute_from)} FLOP and up.",
        "Errors are medians of |log(law / loss)|; a positive bias overpredicts the loss.",
        *(f"`{shape.name}` was not fitted: {error.message}." for shape, error in ranking.refused),
    ]
    result = {
        "forms": rows,
        "best": rows[0]["form"],
        "n_rows": table.n_rows,
        "held_out_lines": [table.lines[row] for row in ranking.held_out],
    }
    cited = [score.shape.source for score in ranking.scores]
    return Answer(
        "fit",
        {"runs": table.file, "compare": asked.compare, "n_kind": solved.runs.n_kind},
        result,
        [Table("", COLUMNS, rows)],
        notes=notes,
        more_sources=cited,
    )


def rows_of(ranking: Ranking) -> list[dict[str, Any]]:
    """Each form that could be fitted, the best first."""
    return [
        {
            "form": score.shape.name,
            "formula": score.shape.formula,
            "n_constants": len(score.shape.parameters),
            "held_out_error": score.held_out_error,
            "held_out_bias": score.held_out_bias,
            "fitted_error": score.fitted_error,
        }
        for score in ranking.scores
    ]
