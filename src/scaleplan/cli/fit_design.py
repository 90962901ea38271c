"""`scaleplan fit --design BUDGET`: the next runs, what they would tell, and what they cost."""

from __future__ import annotations

import math

from scaleplan import library
from scaleplan.answer import Answer, Caution, Column, Line, Table, quantities
from scaleplan.chain.assumptions import price_of, rate_of, whole_run_remark
from scaleplan.chain.cost import device_hours_line, money_line
from scaleplan.chain.law_file import SOURCE
from scaleplan.cli.fit_answer import BEYOND, largest_compute
from scaleplan.errors import ScaleplanError
from scaleplan.laws.fitting.design import RATIOS, Ladder, next_runs
from scaleplan.laws.fitting.fit import Fit
from scaleplan.runs import RunTable

HALF_80 = 1.2816  # standard errors from the middle to either end of an 80 % interval


def designed(
    table: RunTable,
    fitted: Fit,
    budget_flops: float,
    target_flops: float | None,
    hardware: str | None,
    mfu: float | None,
    usd_per_device_hour: float | None,
) -> Answer:
    """The runs, each with its cost where hardware is given."""
    target = target_flops or BEYOND * largest_compute(table)
    try:
        ladder = next_runs(fitted, budget_flops, target)
    except ScaleplanError as error:
        raise error.located(table.file) from None
    lines, remarks = spread_lines(ladder), list[str]()
    if hardware is not None:
        more, remarks = cost_lines(budget_flops, hardware, mfu, usd_per_device_hour)
        lines += more
    rows = [
        {"n_params": n, "n_tokens": d, "tokens_per_param": d / n, "compute_flops": ladder.flops_per_run}
        for n, d in zip(ladder.n_params, ladder.n_tokens, strict=True)
    ]
    columns = [
        Column("n_params", "N", "params"),
        Column("n_tokens", "D", "tokens"),
        Column("tokens_per_param", "D/N", "tokens/param"),
        Column("compute_flops", "C", "FLOP"),
    ]
    result = {"runs": rows, **{line.key: line.value for line in lines}, "target_compute_flops": target, "n_rows": table.n_rows}
    largest = largest_compute(table)
    return Answer(
        "fit",
        {"runs": table.file, "design_flops": budget_flops, "compute_flops": target, "hardware": hardware},
        result,
        [Table(f"Runs to add for {budget_flops:.3g} FLOP", columns, rows), quantities(f"N_opt at {target:.3g} FLOP", lines)],
        lines,
        warnings=[far_warning(ladder, largest)] if ladder.flops_per_run > 10 * largest else [],
        notes=[
            f"Chosen among {RATIOS[0]:g} to {RATIOS[1]:g} tokens per parameter, by the covariance of the fit "
            f"to {table.n_rows} runs, no two of one size.",
            *remarks,
        ],
        more_sources=[SOURCE, fitted.shape.source],
    )


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


def cost_lines(flops: float, hardware: str, mfu: float | None, usd_per_device_hour: float | None) -> tuple[list[Line], list[str]]:
    """Device-hours and dollars of the whole ladder."""
    device, defaults = library.load("hardware", hardware), library.defaults()
    rate = rate_of(device, mfu, None, None, None, None, defaults)
    hours = device_hours_line(flops, rate)
    price, remarks = price_of(device, usd_per_device_hour, defaults)
    return [hours, *([money_line(hours, price)] if price else [])], whole_run_remark(rate) + remarks


def far_warning(ladder: Ladder, largest_flops: float) -> Caution:
    """The law that proposes the runs is itself extrapolated to them."""
    factor = ladder.flops_per_run / largest_flops
    return Caution(
        "extrapolation", f"the proposed runs are {factor:.3g} times the largest so far: the law is extrapolated to them", {"factor": factor}
    )
