"""The law of one form: constants with their intervals, how well they are determined, and the law as a file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from scaleplan.answer import INTERRUPTED, Answer
from scaleplan.chain.law_file import SOURCE
from scaleplan.errors import UsageError
from scaleplan.laws.fitting.bootstrap import bootstrap, parts, rounded, summary
from scaleplan.laws.fitting.fit import Fit
from scaleplan.laws.fitting.frontier import additive_law, allotment, estimates, quantities
from scaleplan.laws.fitting.influence import Influence, strongest_influence
from scaleplan.laws.fitting.newton import Minima
from scaleplan.laws.fitting.shapes import Array
from scaleplan.questions.asking import WATCH
from scaleplan.questions.fit.charts import charts_of
from scaleplan.questions.fit.law_files import files_of, law_block
from scaleplan.questions.fit.law_lines import constant_lines, constants_table, optimum_lines
from scaleplan.questions.fit.law_warnings import warnings_of
from scaleplan.questions.fit.table import (
    LOSSES,
    Runs,
    data_of,
    farthest_table,
    fit_runs,
    inputs_of,
    range_of,
    residual_rows,
    runs_of,
    target_of,
)
from scaleplan.runs import RunTable
from scaleplan.wording import field

if TYPE_CHECKING:
    from scaleplan.questions.fit import OfLaw


class Solved(NamedTuple):
    """The fit of a form, and its resamples.

    target       the budget whose optimum is shown
    draws        the constants of each resample, (n_draws, n_parameters); None where none was asked for
    n_asked      how many were asked for; fewer are there where the work was interrupted
    n_settled    how many ended at a minimum
    influence    the group of runs that moves a constant most
    """

    runs: Runs
    fitted: Fit
    target: float
    draws: Array | None
    n_asked: int
    n_settled: int
    interrupted: bool
    influence: Influence | None

    @property
    def n_draws(self) -> int:
        """Resamples that are there."""
        return 0 if self.draws is None else len(self.draws)


def solve(asked: OfLaw) -> Solved:
    """The fit, and its resamples where they are asked for."""
    import numpy as np

    runs = runs_of(asked)
    fitted = fit_runs(runs.table, asked.form)
    if asked.compute is not None and additive_law(fitted.shape, fitted.theta) is None:
        raise UsageError(
            f"{field('compute')}: {field('form')} {fitted.shape.name} has no optimum along compute", hint=f"leave out {field('compute')}"
        )
    done, interrupted = resampled(fitted, asked)
    draws = rounded(np.concatenate([part.theta for part in done])) if done else None
    settled = int(sum(part.settled.sum() for part in done))
    target = target_of(runs.table, asked.compute)
    return Solved(runs, fitted, target, draws, asked.bootstrap or 0, settled, interrupted, strongest_influence(fitted))


def resampled(fitted: Fit, asked: OfLaw) -> tuple[list[Minima], bool]:
    """The parts of the bootstrap that were done, and whether it was interrupted."""
    done: list[Minima] = []
    if asked.bootstrap is None:
        return done, False
    work = bootstrap(fitted.problem, fitted.theta, asked.bootstrap, asked.seed, asked.jobs)
    try:
        done.extend(WATCH.get()("resamples", work, parts(asked.bootstrap)))  # what has come is kept when an interrupt ends it
    except KeyboardInterrupt:
        if not done:
            raise
        return done, True
    return done, False


def explain(asked: OfLaw, solved: Solved) -> Answer:
    """Constants, optimum, residuals, and what they rest on."""
    table, fitted, draws, target = solved.runs.table, solved.fitted, solved.draws, solved.target
    found = intervals_of(fitted, draws, target) if draws is not None else None
    law = additive_law(fitted.shape, fitted.theta)
    optimum = {name: float(value) for name, value in allotment(law, target).items()} if law else {}
    residuals = list(residual_rows(table, fitted.residuals))
    lines = [*constant_lines(fitted, found), *optimum_lines(fitted, optimum, found, target)]
    return Answer(
        "fit",
        inputs_of(asked, solved.runs, n_resamples=solved.n_asked, seed=asked.seed, compute_flops=asked.compute),
        result_of(asked, solved, found, {"compute_flops": target, **optimum} if law else None) | {"residuals": residuals},
        [constants_table(fitted, lines, found), farthest_table(residuals, *LOSSES)],
        lines,
        charts=lambda: charts_of(table, fitted, draws, target),
        warnings=list(warnings_of(solved)),
        notes=[*solved.runs.remarks, *how_sure(asked, solved)],
        more_sources=[SOURCE, fitted.shape.source],
        files={".toml": files_of(solved.runs, fitted, draws)} if law_block(fitted) else {},
        exit_code=INTERRUPTED if solved.interrupted else 0,
    )


def result_of(asked: OfLaw, solved: Solved, found: dict[str, Any] | None, optimum: dict[str, Any] | None) -> dict[str, Any]:
    """The keys that other programs read, but for the residuals."""
    table, fitted, draws = solved.runs.table, solved.fitted, solved.draws
    resamples = {"n_asked": solved.n_asked, "n_done": solved.n_draws, "n_settled": solved.n_settled, "seed": asked.seed}
    return {
        "law": {"form": fitted.shape.name, **fitted.constants},
        "n_params_kind": solved.runs.n_kind,
        "covariance": covariance_of(fitted, draws),
        "intervals": found,
        "objective": fitted.objective,
        "n_rows": table.n_rows,
        "n_starts": fitted.n_starts,
        "n_starts_agreeing": fitted.n_starts_agreeing,
        "condition": fitted.condition,
        "standard_errors": fitted.standard_errors,
        "optimum": optimum,
        "bootstrap": resamples if draws is not None else None,
        "influence": influence_of(solved.influence, table),
        "range": range_of(table),
        "data": data_of(table),
    }


def intervals_of(fitted: Fit, draws: Array, target: float) -> dict[str, dict[str, Any]]:
    """Percentiles of every constant and of the optimum at the target."""
    return summary(quantities(fitted.shape, draws, target), estimates(fitted.shape, fitted.theta, target))


def covariance_of(fitted: Fit, draws: Array | None) -> dict[str, Any] | None:
    """Of the parameters, from the resamples or, without them, from the curvature; coefficients by their logarithms."""
    import numpy as np

    matrix = np.cov(draws, rowvar=False) if draws is not None and len(draws) > 1 else fitted.covariance
    if matrix is None or not np.isfinite(matrix).all():
        return None
    made = "resamples" if draws is not None and len(draws) > 1 else "curvature"
    return {"parameters": list(fitted.shape.parameters), "matrix": matrix.tolist(), "from": made}


def influence_of(pull: Influence | None, table: RunTable) -> dict[str, Any] | None:
    """The group of runs that pulls most."""
    if pull is None:
        return None
    lines = [table.lines[row] for row in pull.rows]
    return {
        "lines": lines,
        "parameter": pull.parameter,
        "with_all": pull.before,
        "without": pull.after,
        "standard_error": pull.standard_error,
    }


def how_sure(asked: OfLaw, solved: Solved) -> Iterator[str]:
    """What the numbers rest on."""
    table, fitted, draws = solved.runs.table, solved.fitted, solved.draws
    yield (
        f"{table.n_rows:,} runs; sum of Huber (delta {fitted.problem.delta:g}) on log loss {fitted.objective:.9g}; "
        f"{fitted.n_starts_agreeing} of {fitted.n_starts} starts end there; condition {fitted.condition:.1e}."
    )
    if draws is None:
        yield f"± is a standard error from the curvature; {field('bootstrap')} 4000 gives intervals."
    else:
        resamples = f"{len(draws):,} resamples of the runs (seed {asked.seed}), each refitted to its minimum"
        yield f"Intervals are bias-corrected percentiles of {resamples}; ± is their standard deviation."
