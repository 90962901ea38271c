"""N_opt against compute without a form for the loss: minima of slices of equal compute, or the envelope of all runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from scaleplan.answer import Answer, Axis, Caution, Chart, Column, Interval, Line, Series, Table, quantities
from scaleplan.chain.law_file import SOURCE, law_text
from scaleplan.errors import InputError
from scaleplan.laws.fitting.bootstrap import summary
from scaleplan.laws.fitting.fit import completed
from scaleplan.laws.fitting.isoflop import Growth, by_envelope, by_slices
from scaleplan.questions.fit.table import Runs, data_of, inputs_of, predictors, range_of, runs_of, target_of
from scaleplan.units import three_digits
from scaleplan.wording import field

if TYPE_CHECKING:
    from scaleplan.questions.fit import OfSlices

METHODS = {"isoflop": by_slices, "envelope": by_envelope}
TITLES = {"isoflop": "Slice minima", "envelope": "Envelope"}
MOST_SHOWN = 24


class Solved(NamedTuple):
    """The runs, N_opt against compute, and the budget whose optimum is shown."""

    runs: Runs
    growth: Growth
    target: float


def solve(asked: OfSlices) -> Solved:
    """The optimum at each budget, and the power through them."""
    runs = runs_of(asked)
    table = runs.table
    columns = completed(predictors(table))
    missing = next((name for name in ("n_params", "n_tokens") if name not in columns), None)
    if missing:
        raise InputError(f"has no column `{missing}`", hint=f"name it with {field('column')} {missing}=...", file=table.file)
    try:
        growth = METHODS[asked.form](columns, table.columns["loss"], asked.bootstrap or 0, asked.seed)
    except InputError as error:
        raise error.located(table.file) from None
    return Solved(runs, growth, target_of(table, asked.compute))


def explain(asked: OfSlices, solved: Solved) -> Answer:
    """Exponent and optimum, and the optima that they rest on."""
    growth, target = solved.growth, solved.target
    lines = lines_of(growth, target)
    return Answer(
        "fit",
        inputs_of(asked, solved.runs, n_resamples=asked.bootstrap or 0, seed=asked.seed, compute_flops=asked.compute),
        result_of(asked, solved, lines),
        [quantities("N_opt = scale C^exponent", lines), optima_table(asked.form, growth)],
        lines,
        charts=[chart_of(growth, target)],
        warnings=warnings_of(growth),
        notes=list(solved.runs.remarks),
        more_sources=[SOURCE, "hoffmann2022"],
        files={".toml": files_of(asked, solved)},
    )


def result_of(asked: OfSlices, solved: Solved, lines: list[Line]) -> dict[str, Any]:
    """The keys that other programs read."""
    growth, table = solved.growth, solved.runs.table
    return {
        "law": {"form": asked.form, "scale": growth.scale, "exponent": growth.exponent},
        "n_params_kind": solved.runs.n_kind,
        "intervals": intervals_of(growth) if growth.draws is not None else None,
        "n_rows": table.n_rows,
        "optima": [optimum._asdict() for optimum in growth.optima],
        "without_optimum": [refused._asdict() for refused in growth.refused],
        "optimum": {"compute_flops": solved.target, "n_params_at_target": lines[-1].value},
        "range": range_of(table),
        "data": data_of(table),
    }


def warnings_of(growth: Growth) -> list[Caution]:
    """Budgets whose runs show no minimum."""
    return [
        Caution(
            "no-minimum",
            f"{refused.n_runs} runs at {refused.compute_flops:.3g} FLOP are not used: {refused.reason}; {refused.advice}",
            refused._asdict(),
        )
        for refused in growth.refused
    ]


def intervals_of(growth: Growth) -> dict[str, Any]:
    """Percentiles of the two constants."""
    assert growth.draws is not None, "asked for with draws only"
    draws = {"scale": growth.draws[:, 0], "exponent": growth.draws[:, 1]}
    return summary(draws, {"scale": growth.scale, "exponent": growth.exponent})


def lines_of(growth: Growth, target: float) -> list[Line]:
    """The exponent and the size at the target."""
    draws = growth.draws
    exponents = interval_of(draws[:, 1].tolist()) if draws is not None else None
    sizes = interval_of((draws[:, 0] * target ** draws[:, 1]).tolist()) if draws is not None else None
    n_params = growth.scale * target**growth.exponent
    inputs = {"scale": growth.scale, "exponent": growth.exponent, "flops": target}
    return [
        Line("law.scale", "scale of N_opt = scale C^a", growth.scale, "", sources=[SOURCE], standing="fitted"),
        Line("law.exponent", "exponent of N_opt ~ C^a", growth.exponent, "", sources=[SOURCE], standing="fitted", interval=exponents),
        Line(
            "optimum.n_params_at_target",
            f"N_opt at {target:.3g} FLOP",
            n_params,
            "params",
            "scale * flops ** exponent",
            inputs,
            [SOURCE, "hoffmann2022"],
            "fitted",
            sizes,
        ),
    ]


def interval_of(values: list[float]) -> Interval | None:
    """10, 50 and 90 % points."""
    import numpy as np

    return Interval(*map(float, np.percentile(values, (10, 50, 90)))) if values else None


def optima_table(form: str, growth: Growth) -> Table:
    """The optimum of each budget; of an envelope an even selection."""
    step = max(1, len(growth.optima) // MOST_SHOWN)
    rows = [optimum._asdict() for optimum in growth.optima[::step]]
    columns = [Column("compute_flops", "C", "FLOP"), Column("n_params", "N_opt", "params"), Column("loss_nats", "loss", "nats")]
    if form == "isoflop":
        columns.append(Column("n_runs", "runs", "int"))
    low, high = growth.n_params_limits
    return Table(TITLES[form], columns, rows, [f"Sizes found span a factor of {three_digits(high / low)}."])


def chart_of(growth: Growth, target: float) -> Chart:
    """The optima and the power through them."""
    budgets = [optimum.compute_flops for optimum in growth.optima]
    found = Series("optima", budgets, [optimum.n_params for optimum in growth.optima])
    ends = [budgets[0], target]
    through = Series("power", ends, [growth.scale * flops**growth.exponent for flops in ends])
    return Chart("The best size", Axis("C", "FLOP"), Axis("N", "params"), [found, through])


def files_of(asked: OfSlices, solved: Solved) -> dict[str, str | None]:
    """A preset that allots N; it says nothing of the loss."""
    table, growth = solved.runs.table, solved.growth
    convention = {"n_params": solved.runs.n_kind, "n_tokens": "C / (6 N)", "compute": "6 N D", "loss": "none", "tokenizer": "unknown"}
    allocation = {"form": "power", "gives": "n_params", "scale": growth.scale, "compute_flops_exponent": growth.exponent}
    runs = {"file": table.file, "sha256": table.digest, "n_rows": table.n_rows}
    text = law_text(f"Optima of {table.n_rows} runs ({asked.form})", convention, range_of(table), {"allocation": allocation, "runs": runs})
    return {".toml": text, ".draws.csv": None}
