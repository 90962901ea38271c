"""The next runs that a budget buys, what they would tell, and what they cost."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from scaleplan import library
from scaleplan.answer import Answer, Caution, Column, Line, Table, quantities
from scaleplan.chain.cost_given import costing, price_sentence, rate_sentence
from scaleplan.chain.law_file import SOURCE
from scaleplan.chain.run_cost import Input, run_cost
from scaleplan.errors import ScaleplanError
from scaleplan.laws.fitting.design import RATIOS, Ladder, next_runs
from scaleplan.laws.fitting.fit import Fit
from scaleplan.questions.cost.lines import cost_lines as quantity_lines
from scaleplan.questions.fit.table import Runs, fit_runs, inputs_of, largest_compute, runs_of, target_of

if TYPE_CHECKING:
    from scaleplan.questions.fit import OfDesign

HALF_80 = 1.2816  # standard errors from the middle to either end of an 80 % interval
FAR = 10  # times the largest run so far: proposed runs beyond it rest on an extrapolation
PRICED = ("device_hours", "usd")


class Solved(NamedTuple):
    """The fit so far, the budget whose optimum is to be narrowed, and the proposed runs."""

    runs: Runs
    fitted: Fit
    target: float
    ladder: Ladder


def solve(asked: OfDesign) -> Solved:
    """The runs that narrow N_opt at the target most."""
    runs = runs_of(asked)
    fitted, target = fit_runs(runs.table, asked.form), target_of(runs.table, asked.compute)
    try:
        return Solved(runs, fitted, target, next_runs(fitted, asked.design, target))
    except ScaleplanError as error:
        raise error.located(runs.table.file) from None


def explain(asked: OfDesign, solved: Solved) -> Answer:
    """The runs, each with its cost where hardware is given."""
    table, ladder, target = solved.runs.table, solved.ladder, solved.target
    lines = spread_lines(ladder)
    costs, remarks = cost_lines(asked)
    lines += costs
    rows = [
        {"n_params": n, "n_tokens": d, "tokens_per_param": d / n, "compute_flops": ladder.flops_per_run}
        for n, d in zip(ladder.n_params, ladder.n_tokens, strict=True)
    ]
    inputs = inputs_of(
        asked, solved.runs, design_flops=asked.design, compute_flops=asked.compute, hardware=asked.hardware, mfu=asked.mfu,
        usd_per_device_hour=asked.usd_per_device_hour,
    )  # fmt: skip
    return Answer(
        "fit",
        inputs,
        result_of(solved, rows, lines),
        [runs_table(asked, rows), quantities(f"N_opt at {target:.3g} FLOP", lines)],
        lines,
        warnings=far_warnings(ladder, largest_compute(table)),
        notes=[
            *solved.runs.remarks,
            f"Chosen among {RATIOS[0]:g} to {RATIOS[1]:g} tokens per parameter, by the covariance of the fit "
            f"to {table.n_rows} runs, no two of one size.",
            *remarks,
        ],
        more_sources=[SOURCE, solved.fitted.shape.source],
    )


def result_of(solved: Solved, rows: list[dict[str, Any]], lines: list[Line]) -> dict[str, Any]:
    """The keys that other programs read."""
    values: dict[str, Any] = dict.fromkeys(PRICED) | {line.key: line.value for line in lines}
    return {"runs": rows, **values, "target_compute_flops": solved.target, "n_rows": solved.runs.table.n_rows}


def runs_table(asked: OfDesign, rows: list[dict[str, Any]]) -> Table:
    """The proposed runs."""
    columns = [
        Column("n_params", "N", "params"),
        Column("n_tokens", "D", "tokens"),
        Column("tokens_per_param", "D/N", "tokens/param"),
        Column("compute_flops", "C", "FLOP"),
    ]
    return Table(f"Runs to add for {asked.design:.3g} FLOP", columns, rows)


def spread_lines(ladder: Ladder) -> list[Line]:
    """How wide the 80 % interval of N_opt is, now and then, as the factor from its low to its high end."""
    return [
        Line(
            f"interval_factor_{when}",
            f"80 % interval of N_opt, high / low, {label}",
            math.exp(2 * HALF_80 * sd),
            "x",
            "exp(2 * z * sd)",
            {"z": HALF_80, "sd": sd},
            [SOURCE],
            "estimate",
        )
        for when, label, sd in (("before", "now", ladder.sd_before), ("after", "with these runs", ladder.sd_after))
    ]


def cost_lines(asked: OfDesign) -> tuple[list[Line], list[str]]:
    """Device-hours and dollars of the whole ladder, where a device is given."""
    if asked.hardware is None:
        return [], []
    device, given = library.load("hardware", asked.hardware), {"mfu": asked.mfu, "usd_per_device_hour": asked.usd_per_device_hour}
    found = costing(given, device, library.defaults(), training_flops=Input(asked.design))
    lines = [one for one in quantity_lines(found.inputs, run_cost(found.inputs)) if one.key in PRICED]
    said = [rate_sentence(found), "" if asked.usd_per_device_hour is not None else price_sentence(found.quote, device.name)]
    return lines, [sentence for sentence in said if sentence]


def far_warnings(ladder: Ladder, largest_flops: float) -> list[Caution]:
    """The law that proposes the runs is itself extrapolated to them."""
    factor = ladder.flops_per_run / largest_flops
    if factor <= FAR:
        return []
    message = f"the proposed runs are {factor:.3g}x the largest run so far: the law is extrapolated to them"
    return [Caution("extrapolation", message, {"factor": factor})]
