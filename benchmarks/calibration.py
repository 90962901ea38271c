"""One measured step corrects a stack: how far the stack's other layouts are off then, and whether their intervals still cover.

    python benchmarks/calibration.py score LAYOUT_RUNS.csv     # against the bars; exits 1 when one is missed
    python benchmarks/calibration.py spreads LAYOUT_RUNS.csv   # the spreads of the terms in presets/efficiencies.toml
    python benchmarks/calibration.py peaks                     # bias and scatter of peaks, and what one measured peak does to the others

LAYOUT_RUNS.csv holds measured layouts, as benchmarks/step_time.py reads it. Each row of a source in turn corrects the source's stack; the
others of that source and stack score. `known` starts from the presets, `left out` from constants fitted on the other sources.
"""

from __future__ import annotations

import math
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from step_time import Bars
from step_time_rows import (
    Constant,
    Measured,
    Shares,
    Table,
    constants,
    logs,
    measured_of,
    preset_values,
    priced_with,
    read,
    shares_of,
    tuning_rows,
    values_of,
    without_each,
)

from scaleplan.chain.step_time import efficiencies, spreads, term_spread
from scaleplan.errors import InputError
from scaleplan.machine.correction import TERMS, Correction, MeasuredStep, ProductShape, fitted, moved
from scaleplan.machine.efficiency import Learnt, Spreads, StackShares, paced
from scaleplan.machine.uncertainty import half_width

LARGE_MEGATRON = ("megatron-sc21-t1", "korthikanti-t5", "megascale-t2-mlm", "megatron-core-h100-weak", "megatron-bridge-fp8")
LEAST_ROWS, MOST_ROWS = 3, 100  # of a source and stack: with fewer there is nothing to score; of more so many correct it


class Score(NamedTuple):
    """One source and stack, each row in turn having corrected it: means over the others.

    before, after    error of the step's seconds
    held             share of the rows inside the 80 % interval, before and after
    width            half-width of the interval after over that before
    """

    source: str
    stack: str
    n_rows: int
    before: float
    after: float
    held_before: float
    held: float
    width: float


def units(table: Table) -> Iterator[tuple[str, str, list[int]]]:
    """Each source and stack with its rows."""
    kinds = dict.fromkeys((source, row["stack"]) for source, row in zip(table.sources, table.rows, strict=True))
    for source, stack in kinds:
        rows = [place for place, row in enumerate(table.rows) if (table.sources[place], row["stack"]) == (source, stack)]
        if len(rows) >= LEAST_ROWS:
            yield source, stack, rows


def correction_by(table: Table, place: int, every: list[Constant], x: Any) -> Correction:
    """The stack of a row, corrected by it."""
    alone = measured_of([0], [values_of(table.rows[place])])
    shares, columns = shares_of(alone, every, x), alone.group.columns

    def predict(stack: StackShares) -> list[float]:
        return [float(np.squeeze(priced_with(alone, moved_to(shares, stack)).step_s))]

    shape = ProductShape(*(float(np.squeeze(v)) for v in (alone.group.bill.arch.d_model, columns["tp"], tokens_of(alone))))
    step = MeasuredStep(float(table.step_s[place]), 0.0, shape)
    return fitted(shares.stack, shares.hardware, [step], predict, term_spread())


def tokens_of(one: Measured) -> Any:
    """Tokens of a micro-batch on a device."""
    columns = one.group.columns
    return columns["micro_batch_size_seqs"] * columns["seq_len"] / columns["cp"]


def moved_to(shares: Shares, stack: StackShares) -> Shares:
    """The shares under a corrected stack."""
    return shares._replace(hardware=paced(shares.hardware, stack), stack=stack)


class Others(NamedTuple):
    """Rows of a source and stack: log(measured / predicted), and half-widths of the interval below and above."""

    left: Any
    down: Any
    up: Any


def priced_rows(table: Table, rows: list[int], every: list[Constant], x: Any, base: Spreads, found: Correction | None = None) -> Others:
    """All rows of a source and stack, as they are or with a corrected stack."""
    left, down, up = (np.full(len(table.rows), np.nan) for _ in range(3))
    for one in table.groups:
        if not set(one.rows) & set(rows):
            continue
        shares = shares_of(one, every, x)
        time = priced_with(one, shares if found is None else moved_to(shares, found.shares))
        learnt: Learnt | None = None if found is None else found.learnt
        n = len(one.rows)
        left[one.rows] = np.log(table.step_s[one.rows] / np.broadcast_to(time.step_s, n))
        down[one.rows], up[one.rows] = (np.broadcast_to(half_width(time, side, learnt), n) for side in (base.down, base.up))
    return Others(left[rows], down[rows], up[rows])


def score_of(table: Table, unit: tuple[str, str, list[int]], every: list[Constant], x: Any) -> Score:
    """Each of the rows (evenly some of many) corrects the stack."""
    source, stack, rows = unit
    base = spreads(stack)
    plain = priced_rows(table, rows, every, x, base)
    inside = (-plain.down <= plain.left) & (plain.left <= plain.up)
    found = []
    for at in range(0, len(rows), -(-len(rows) // MOST_ROWS)):
        try:
            corrected = correction_by(table, rows[at], every, x)
        except InputError:  # a step more than a factor of 3 off corrects nothing
            continue
        others = np.arange(len(rows)) != at
        now = Others(*(each[others] for each in priced_rows(table, rows, every, x, base, corrected)))
        held = (-now.down <= now.left) & (now.left <= now.up)
        width = (now.down + now.up) / (plain.down + plain.up)[others]
        found.append((np.abs(np.expm1(-now.left)).mean(), held.mean(), width.mean()))
    after, held, width = (statistics.mean(float(one[place]) for one in found) for place in range(3))
    return Score(source, stack, len(rows), float(np.abs(np.expm1(-plain.left)).mean()), after, float(inside.mean()), held, width)


def show(title: str, scores: list[Score]) -> None:
    """A line a source and stack."""
    print(f"{title}: mean error without and with one row; share inside the 80 % interval before and after; width after over before")
    for one in scores:
        print(
            f"    {one.source:24} {one.stack:14} {one.n_rows:4} rows  {100 * one.before:5.1f} -> {100 * one.after:5.1f} %"
            f"   {one.held_before:.2f} -> {one.held:.2f}   x {one.width:.2f}"
        )


def even(scores: list[Score], what: str) -> float:
    """Mean over sources and stacks."""
    return statistics.mean(getattr(one, what) for one in scores)


def by_rows(scores: list[Score], what: str) -> float:
    """Mean over rows."""
    return sum(one.n_rows * getattr(one, what) for one in scores) / sum(one.n_rows for one in scores)


def score(table: Table) -> int:
    """The bars; how many are missed."""
    every, bars = constants(), Bars()
    x = preset_values(every)
    known = [score_of(table, unit, every, x) for unit in units(table)]
    show("known", known)
    without = without_each(table, every, tuning_rows(table), x)
    new = [score_of(table, unit, every, without[unit[0]]) for unit in units(table)]
    show("left out", new)
    large = [one for one in known if one.source in LARGE_MEGATRON]
    bars.most("one row corrects a stack: mean over sources of the mean error of the others", 100 * even(known, "after"), 6)
    bars.most("the same, large Megatron-style runs, mean of rows", 100 * by_rows(large, "after"), 4)
    bars.most("the same, source left out of the constants", 100 * even(new, "after"), 100 * even(new, "before"))
    for title, scores in (("known", known), ("left out", new)):
        bars.most(f"{title}: width of the interval after one row over that before", even(scores, "width"), 1, "")
        bars.most(f"{title}: outside the 80 % interval after one row", 100 * (1 - even(scores, "held")), 25)
    return bars.missed


# ----------------------------------------------------------------------------------------------------------------------- spreads

SUBSAMPLE, LARGEST_LOG = 120, 0.25  # rows of a source that count; errors beyond weigh like this one


def likely(table: Table) -> dict[str, float]:
    """Standard deviations of the terms, of shapes and of scatter that make the left-out errors most likely; sources weigh sqrt(rows)."""
    from scipy.optimize import minimize

    every = constants()
    without = without_each(table, every, tuning_rows(table), preset_values(every))
    samples = [sample_of(table, every, source, without[source]) for source in without if np.sum(table.sources == source) >= LEAST_ROWS]

    def unlikely(p: Any) -> float:
        variances, found = np.exp(2 * p), 0.0
        for errors, shares, alike in samples:
            covariance = shares * variances[: len(TERMS)] @ shares.T + variances[-2] * alike + variances[-1] * np.eye(len(errors))
            low = np.linalg.cholesky(covariance)
            z = np.linalg.solve(low, errors)
            found += float(0.5 * z @ z + np.log(np.diag(low)).sum()) / math.sqrt(len(errors))
        return found + 0.02 * float(np.sum((p - math.log(0.05)) ** 2))

    names = [*TERMS, "shape", "scatter"]
    solved = minimize(unlikely, np.log([0.05] * len(names)), method="L-BFGS-B", bounds=[(math.log(0.002), 0.0)] * len(names))
    return dict(zip(names, np.exp(solved.x).tolist(), strict=True))


def sample_of(table: Table, every: list[Constant], source: str, x: Any) -> tuple[Any, Any, Any]:
    """Of some rows of a source: errors, shares of the terms, and which share a shape."""
    rows = np.flatnonzero(table.sources == source)
    rows = rows[:: -(-len(rows) // SUBSAMPLE)]
    errors = np.clip(-logs(table, every, x), -LARGEST_LOG, LARGEST_LOG)[rows]
    slopes = np.ones((len(table.rows), len(TERMS)))
    for one in table.groups:
        if set(one.rows) & set(rows.tolist()):
            slopes[one.rows] = np.stack([slope_of(one, shares_of(one, every, x), term) for term in range(len(TERMS))], axis=1)
    keys = [(row["h"], row["tp"], int(row["mbs"]) * int(row["s"]) / int(row["cp"])) for row in table.rows]
    alike = np.array([[keys[a] == keys[b] for b in rows] for a in rows], float)
    return errors, slopes[rows], alike


def slope_of(one: Measured, shares: Shares, term: int, by: float = 0.05) -> Any:
    """Change of the logarithm of the steps with that of a term."""
    ends = []
    for log in (-by, by):
        stack = moved(shares.stack, [log if place == term else 0.0 for place in range(len(TERMS))])
        ends.append(np.log(np.broadcast_to(priced_with(one, moved_to(shares, stack)).step_s, len(one.rows))))
    return (ends[1] - ends[0]) / (2 * by)


def peaks() -> None:
    """Measured over predicted peaks by framework; mean error of the others when none, part or all of one peak's ratio corrects them."""
    from peak_intervals import of_layouts

    spread = efficiencies()["calibration"]
    part = spread["peak_bias"] ** 2 / (spread["peak_bias"] ** 2 + spread["peak_scatter"] ** 2)
    runs = list(of_layouts())
    for framework in dict.fromkeys(run.framework for run in runs):
        logs_of = np.array([run.own for run in runs if run.framework == framework])
        errors = [np.abs(np.expm1(weight * logs_of[:, None] - logs_of[None, :])).mean() for weight in (0.0, part, 1.0)]
        print(
            f"{framework}: {len(logs_of)} peaks, bias {logs_of.mean():+.3f}, scatter {logs_of.std():.3f}; mean error "
            f"{100 * errors[0]:.1f} %, with {part:.0%} of one ratio {100 * errors[1]:.1f} %, with all of it {100 * errors[2]:.1f} %"
        )


def main() -> None:
    if sys.argv[1:] == ["peaks"]:
        peaks()
        return
    if len(sys.argv) != 3 or sys.argv[1] not in ("score", "spreads"):
        sys.exit(__doc__)
    table = read(Path(sys.argv[2]))
    if sys.argv[1] == "score":
        sys.exit(1 if score(table) else 0)
    now = efficiencies()["calibration"]
    for name, value in likely(table).items():
        print(f"{name:14} {value:.3f}   preset {now[name]:.3g}")


if __name__ == "__main__":
    main()
