"""The answer of `scaleplan fit`: constants with their intervals, how well they are determined, and the law as a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from scaleplan.answer import Answer, Caution, Column, Interval, Line, Row, Table
from scaleplan.chain.law_file import SOURCE, draws_text, law_text
from scaleplan.cli.fit_charts import charts_of
from scaleplan.laws.fitting.bootstrap import rounded, summary
from scaleplan.laws.fitting.fit import Fit, completed
from scaleplan.laws.fitting.frontier import additive_law, allotment, estimates, quantities
from scaleplan.laws.fitting.influence import Pull, strongest_pull
from scaleplan.laws.fitting.newton import Minima
from scaleplan.laws.fitting.shapes import Array
from scaleplan.runs import RunTable, duplicates
from scaleplan.units import three_digits

BEYOND = 100  # times the largest run: the budget whose optimum is shown unless another is asked for
FARTHEST_SHOWN = 5
NARROW = 10  # a column that spans less than this factor says little of its exponent
UNSURE = 0.5  # standard error of an exponent, relative to it, above which it is hardly known
NO_FLOOR = 1e-3  # of the least loss seen
LABELS = {
    "e_nats": ("E, irreducible loss", "nats"),
    "n_opt_exponent": ("exponent of N_opt ~ C^a", ""),
    "n_params_at_target": ("N_opt at {}", "params"),
    "n_tokens_at_target": ("D_opt at {}", "tokens"),
    "tokens_per_param_at_target": ("D/N at {}", "tokens/param"),
    "loss_nats_at_target": ("loss at {}", "nats"),
}


class Asked(NamedTuple):
    """What was asked for."""

    form: str
    n_kind: str
    n_resamples: int
    seed: int
    compute_flops: float | None


def answer_of(table: RunTable, fitted: Fit, parts: Sequence[Minima], asked: Asked, remarks: Sequence[str], *, interrupted: bool) -> Answer:
    """Everything about one fit."""
    import numpy as np

    target = asked.compute_flops or BEYOND * largest_compute(table)
    draws = rounded(np.concatenate([part.theta for part in parts])) if parts else None
    found = intervals_of(fitted, draws, target) if draws is not None else None
    settled = int(sum(part.settled.sum() for part in parts))
    pull = strongest_pull(fitted)
    law = additive_law(fitted.shape, fitted.theta)
    optimum = {name: float(value) for name, value in allotment(law, target).items()} if law else {}
    residuals = list(residual_rows(table, fitted.residuals))
    result = {
        "law": {"form": fitted.shape.name, **fitted.constants},
        "n_params_kind": asked.n_kind,
        "covariance": covariance_of(fitted, draws),
        "intervals": found,
        "objective": fitted.objective,
        "n_rows": table.n_rows,
        "n_starts": fitted.n_starts,
        "n_starts_agreeing": fitted.n_starts_agreeing,
        "condition": fitted.condition,
        "standard_errors": fitted.standard_errors,
        "optimum": {"compute_flops": target, **optimum} if law else None,
        "bootstrap": {"n_asked": asked.n_resamples, "n_done": len(draws), "n_settled": settled, "seed": asked.seed}
        if draws is not None
        else None,
        "influence": influence_of(pull, table),
        "range": range_of(table),
        "data": {"file": table.file, "sha256": table.digest, "columns": dict(table.headings)},
        "residuals": residuals,
    }
    lines = [*constant_lines(fitted, found), *optimum_lines(fitted, optimum, found, target)]
    return Answer(
        "fit",
        {"runs": table.file, **{name: value for name, value in asked._asdict().items() if value is not None}},
        result,
        [constants_table(fitted, lines, found), farthest_table(residuals)],
        lines,
        charts=charts_of(table, fitted, draws, target),
        warnings=list(warnings_of(table, fitted, pull, asked, len(draws) if draws is not None else 0, interrupted=interrupted)),
        notes=[*remarks, *how_sure(table, fitted, asked, draws)],
        more_sources=[SOURCE, fitted.shape.source],
        files={".toml": files_of(table, fitted, draws, asked)} if law_block(fitted) else {},
    )


# What was found.


def predictors(table: RunTable) -> dict[str, Array]:
    """The columns from which the loss is to be foretold."""
    return {name: values for name, values in table.columns.items() if name != "loss"}


def largest_compute(table: RunTable) -> float:
    """Of any run; without N and D nothing is known of it."""
    compute = completed(table.columns).get("compute_flops")
    return float(compute.max()) if compute is not None else 1.0


def range_of(table: RunTable) -> dict[str, float]:
    """Where the runs lie: the least and most of each quantity, and of what follows from them."""
    found: dict[str, float] = {}
    for name, values in completed(table.columns).items():
        if name != "loss":
            found |= {f"{name}_min": float(values.min()), f"{name}_max": float(values.max())}
    return found


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


def residual_rows(table: RunTable, residuals: Array) -> Iterator[dict[str, Any]]:
    """Each run beside what the law says of it; the residual is log predicted - log observed."""
    import numpy as np

    loss = table.columns["loss"]
    for line, seen, residual in zip(table.lines, loss.tolist(), residuals.tolist(), strict=True):
        yield {"line": line, "loss_nats": seen, "predicted_nats": seen * float(np.exp(residual)), "residual": residual}


def influence_of(pull: Pull | None, table: RunTable) -> dict[str, Any] | None:
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


# Lines and tables.


def constant_lines(fitted: Fit, found: Mapping[str, Any] | None) -> Iterator[Line]:
    for name, value in fitted.constants.items():
        label, unit = LABELS.get(name, (name, ""))
        yield Line(f"law.{name}", label, value, unit, sources=[SOURCE], standing="fitted", interval=interval(found, name))


def optimum_lines(fitted: Fit, optimum: Mapping[str, float], found: Mapping[str, Any] | None, target: float) -> Iterator[Line]:
    """The optimum at the target, each with the arithmetic that gives it."""
    law = additive_law(fitted.shape, fitted.theta)
    if law is None:
        return
    formulas = {
        "n_opt_exponent": "beta / (alpha + beta)",
        "n_params_at_target": law.FORMULAS["params_at_compute"],
        "n_tokens_at_target": "compute_flops / 6 / n_params",
        "tokens_per_param_at_target": "n_tokens / n_params",
        "loss_nats_at_target": law.FORMULAS["loss_nats"],
    }
    known = {name: float(value) for name, value in law._asdict().items()} | {"compute_flops": target}
    known |= {"n_params": optimum["n_params_at_target"], "n_tokens": optimum["n_tokens_at_target"]}
    for name, formula in formulas.items():
        label, unit = LABELS[name]
        inputs = {key: value for key, value in known.items() if key in names_in(formula)}
        yield Line(
            f"optimum.{name}",
            label.format(f"{target:.3g} FLOP"),
            optimum[name],
            unit,
            formula,
            inputs,
            [SOURCE, "hoffmann2022"],
            "fitted",
            interval(found, name),
        )


def names_in(formula: str) -> set[str]:
    """The names that a formula uses."""
    return set("".join(c if c.isalnum() or c == "_" else " " for c in formula).split())


def interval(found: Mapping[str, Any] | None, name: str) -> Interval | None:
    points = found.get(name) if found else None
    return Interval(points["p10"], points["p50"], points["p90"]) if points else None


def constants_table(fitted: Fit, lines: Sequence[Line], found: Mapping[str, Any] | None) -> Table:
    """Constants and optimum, each with 80 % and 95 % interval; standard errors where there are no resamples."""
    errors = fitted.standard_errors or {}
    rows: list[Row] = []
    for line in lines:
        name = line.key.rpartition(".")[2]
        points = found.get(name) if found else None
        rows.append(
            {
                "quantity": line.label,
                "key": line.key,
                "value": line.value,
                "unit": line.unit,
                "interval": line.interval,
                "wide": Interval(points["p2_5"], points["p50"], points["p97_5"]) if points else None,
                "standard_error": points["sd"] if points else error_of(name, line.value, errors),
            }
        )
    columns = [Column("key", "", "hidden"), Column("quantity", ""), Column("value", "value", "own"), Column("standard_error", "±", "own")]
    if found:
        columns += [Column("interval", "80 % interval", "own"), Column("wide", "95 % interval", "own")]
    return Table(f"L = {fitted.shape.formula}", columns, rows)


def error_of(name: str, value: float, errors: Mapping[str, float]) -> float | None:
    """The standard error of a constant; of a coefficient from that of its logarithm."""
    if name in errors:
        return errors[name]
    return value * errors[f"log_{name}"] if f"log_{name}" in errors else None


def farthest_table(residuals: Sequence[Mapping[str, Any]]) -> Table:
    """The runs that the law fits worst."""
    rows = sorted(residuals, key=lambda row: -abs(row["residual"]))[:FARTHEST_SHOWN]
    columns = [
        Column("line", "line", "int"),
        Column("loss_nats", "loss", "nats"),
        Column("predicted_nats", "law", "nats"),
        Column("residual", "log(law / loss)", "fraction"),
    ]
    return Table("Farthest from the law", columns, rows)


def how_sure(table: RunTable, fitted: Fit, asked: Asked, draws: Array | None) -> Iterator[str]:
    """What the numbers rest on."""
    yield (
        f"{table.n_rows:,} runs; sum of Huber (delta {fitted.problem.delta:g}) on log loss {fitted.objective:.9g}; "
        f"{fitted.n_starts_agreeing} of {fitted.n_starts} starts end there; condition {fitted.condition:.1e}."
    )
    if draws is None:
        yield "± is a standard error from the curvature; `--bootstrap 4000` gives intervals."
    else:
        resamples = f"{len(draws):,} resamples of the runs (seed {asked.seed}), each refitted to its minimum"
        yield f"Intervals are bias-corrected percentiles of {resamples}; ± is their standard deviation."


# Warnings.


def warnings_of(table: RunTable, fitted: Fit, pull: Pull | None, asked: Asked, n_draws: int, *, interrupted: bool) -> Iterator[Caution]:
    if interrupted:
        message = f"interrupted after {n_draws:,} of {asked.n_resamples:,} resamples: the intervals rest on those"
        yield Caution("partial", message, {"n_done": n_draws, "n_asked": asked.n_resamples})
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


def influence_warning(pull: Pull, table: RunTable) -> Caution:
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
    """Exponents that are hardly known, and which runs would tell them."""
    errors = fitted.standard_errors
    spans = {name: float(values.max() / values.min()) for name, values in completed(table.columns).items() if name in fitted.shape.columns}
    narrowest = min(spans, key=lambda name: spans[name])
    advice = f"{narrowest} spans only a factor of {three_digits(spans[narrowest])}: add runs that widen it"
    if errors is None:
        yield Caution(
            "not-identified",
            f"the runs hardly tell the constants apart (condition {fitted.condition:.0e}); {advice}",
            {"condition": fitted.condition},
        )
        return
    at = dict(zip(fitted.shape.parameters, fitted.theta.tolist(), strict=True))
    for name, error in errors.items():
        if not name.startswith("log_") and error > UNSURE * abs(at[name]):
            message = f"{name} is hardly known: {three_digits(at[name])} ± {three_digits(error)}; {advice}"
            yield Caution("not-identified", message, {"parameter": name, "value": at[name], "standard_error": error})
    if spans[narrowest] < NARROW:
        yield Caution("narrow-range", advice, {"quantity": narrowest, "factor": spans[narrowest]})
    if fitted.constants.get("e_nats", 1.0) < NO_FLOOR * float(table.columns["loss"].min()):
        yield Caution(
            "no-floor", "the runs show no irreducible loss: E is zero, and the law extrapolates as pure powers; add larger runs", {}
        )


# The law as files.


def law_block(fitted: Fit) -> dict[str, Any] | None:
    """The `[loss]` of the preset; None for a form that `optimal` does not know."""
    if fitted.shape.name in ("additive", "over-training"):
        return {"form": fitted.shape.name, **fitted.constants}
    law = additive_law(fitted.shape, fitted.theta)
    return {"form": "additive", **law._asdict()} if law else None


def usable(fitted: Fit, draws: Array) -> Array:
    """The draws that have an optimum: all constants finite and above zero."""
    import numpy as np

    with np.errstate(all="ignore"):
        constants = np.array(additive_law(fitted.shape, draws))
    kept: Array = draws[(np.isfinite(constants) & (constants > 0)).all(axis=0)]
    return kept


def files_of(table: RunTable, fitted: Fit, draws: Array | None, asked: Asked) -> dict[str, str | None]:
    """The preset and the draws that belong to it."""
    import numpy as np

    block = law_block(fitted) or {}
    convention = {
        "n_params": asked.n_kind,
        "n_tokens": "as in the table",
        "compute": "6 N D",
        "loss": "as in the table, nats per token",
        "tokenizer": "unknown",
    }
    runs = {"file": table.file, "sha256": table.digest, "n_rows": table.n_rows, "objective": fitted.objective}
    text = law_text(f"Fitted to {table.n_rows} runs", convention, range_of(table), {"loss": block, "runs": runs})
    law = additive_law(fitted.shape, usable(fitted, draws)) if draws is not None and block.get("form") == "additive" else None
    return {
        ".toml": text,
        ".draws.csv": draws_text({name: np.asarray(values).tolist() for name, values in law._asdict().items()}) if law else None,
    }
