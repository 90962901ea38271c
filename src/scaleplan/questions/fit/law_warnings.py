"""What to be careful of in a fitted law."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from scaleplan.answer import Caution
from scaleplan.laws.fitting.fit import Fit, completed
from scaleplan.laws.fitting.influence import Influence
from scaleplan.runs import RunTable, duplicates
from scaleplan.units import three_digits

if TYPE_CHECKING:
    from scaleplan.questions.fit.law import Solved

NARROW = 10  # a column that spans less than this factor says little of its exponent
UNSURE = 0.5  # standard error of an exponent, relative to it, above which it is poorly known
NO_FLOOR = 1e-3  # of the least loss seen


def warnings_of(solved: Solved) -> Iterator[Caution]:
    """An interrupted bootstrap, runs that pull, constants that are poorly known, and runs that are there twice."""
    table, fitted, pull, n_draws = solved.runs.table, solved.fitted, solved.influence, solved.n_draws
    if solved.interrupted:
        message = f"interrupted after {n_draws:,} of {solved.n_asked:,} resamples: the intervals rest on those"
        yield Caution("partial", message, {"n_done": n_draws, "n_asked": solved.n_asked})
    if pull is not None and pull.notable:
        yield influence_warning(pull, table)
    if fitted.n_starts_agreeing < 2:
        yield Caution(
            "local-minimum",
            "only one start ends at the best minimum: there may be a better one",
            {"n_starts_agreeing": fitted.n_starts_agreeing},
        )
    yield from undetermined(table, fitted)
    if repeated := duplicates(table):
        first, again = repeated[0]
        message = (
            f"{len(repeated)} runs are in the table twice (line {again} repeats line {first}): "
            "each counts twice, and intervals come out too narrow"
        )
        yield Caution("duplicates", message, {"lines": [later for _, later in repeated]})


def influence_warning(pull: Influence, table: RunTable) -> Caution:
    """`dropping 5 of 245 rows moves beta from 0.453 to 0.373: outside its own interval`."""
    lines = [table.lines[row] for row in pull.rows]
    low, high = pull.after - 1.96 * pull.standard_error, pull.after + 1.96 * pull.standard_error
    rows = f"{len(lines)} of {table.n_rows} rows" if len(lines) > 1 else f"1 of {table.n_rows} rows"
    message = (
        f"dropping {rows} (line{'s' if len(lines) > 1 else ''} {', '.join(map(str, lines))}) moves {pull.parameter} from "
        f"{three_digits(pull.before)} to {three_digits(pull.after)}: outside its own 95 % interval, "
        f"{three_digits(low)} to {three_digits(high)}"
    )
    return Caution("influence", message, {"lines": lines, "parameter": pull.parameter, "with_all": pull.before, "without": pull.after})


def undetermined(table: RunTable, fitted: Fit) -> Iterator[Caution]:
    """Exponents that are poorly determined, and which runs would tell them."""
    errors = fitted.standard_errors
    spans = {name: float(values.max() / values.min()) for name, values in completed(table.columns).items() if name in fitted.shape.columns}
    narrowest = min(spans, key=lambda name: spans[name])
    advice = f"{narrowest} spans only {three_digits(spans[narrowest])}x; add runs over a wider range"
    if errors is None:
        yield Caution(
            "not-identified",
            f"parameters are poorly identified (condition number {fitted.condition:.0e}): {advice}",
            {"condition": fitted.condition},
        )
        return
    at = dict(zip(fitted.shape.parameters, fitted.theta.tolist(), strict=True))
    for name, error in errors.items():
        if not name.startswith("log_") and error > UNSURE * abs(at[name]):
            message = f"{name} is poorly determined: {three_digits(at[name])} ± {three_digits(error)}; {advice}"
            yield Caution("not-identified", message, {"parameter": name, "value": at[name], "standard_error": error})
    if spans[narrowest] < NARROW:
        yield Caution("narrow-range", advice, {"quantity": narrowest, "factor": spans[narrowest]})
    if fitted.constants.get("e_nats", 1.0) < NO_FLOOR * float(table.columns["loss"].min()):
        yield Caution(
            "no-floor", "the runs show no irreducible loss: E is zero, and the law extrapolates as pure powers; add larger runs", {}
        )
