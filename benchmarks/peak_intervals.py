"""How far measured peaks are from predicted ones, by stack and kind of layout: makes and checks presets/peak_errors.toml.

    python benchmarks/peak_intervals.py [--write]

Runs of one cell (a model on a number of devices) share their errors, so that every cell weighs the same, and so does every framework
where several are pooled. Runs that ran out of memory count as measured at what the device has: they needed at least that.

    own      a stack with at least LEAST_RUNS measured peaks: its own errors, by kind of layout where a kind has LEAST_OF_KIND
    others   every other stack: the least 10 % point and the largest 90 % point of all frameworks, each predicted by its own stack,
             so that at least 80 % of the runs of every framework lie inside
    usual    the default stack likewise, on every framework with the bias that a calibration on the other frameworks would have left;
             where a peak was measured as what the device had lost (ALLOCATED ones leave out context, communicators and fragments)

Exits non-zero when a bar of accuracy is missed.
"""

from __future__ import annotations

import json
import math
import statistics
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from measured_peaks import CAPACITY_GIB, GIB, layout_runs, published_runs

from scaleplan.chain.layout_pricing import price_rows
from scaleplan.chain.memory import stack_named
from scaleplan.machine.layout import parse_layout
from scaleplan.machine.memory import USABLE_SHARE
from scaleplan.machine.peak_interval import KINDS, kind_number

FILE = Path(__file__).parents[1] / "presets" / "peak_errors.toml"
LEAST_RUNS, LEAST_OF_KIND = 10, 60
FRAMEWORK = {"nanotron-ultrascale": "nanotron", "torchtitan": "torchtitan"}
SOURCES = {"nanotron": "ultrascale-playbook", "torchtitan": "torchtitan", "Megatron-DeepSpeed": "bigscience-logbook"}
ALLOCATED = ("nanotron",)  # frameworks whose peaks are of allocated tensors alone
NOT_PRICED = ("measured_bytes", "ran", "source", "cell")


class Run(NamedTuple):
    """A measured run and what two stacks say of it: log(measured / predicted) of its own stack and of the default one."""

    framework: str
    cell: str
    stack: str
    kind: str
    own: float
    usual: float
    out_of_memory: bool = False


def of_layouts() -> Iterable[Run]:
    """Rows of measured layouts, priced as tables of layouts are."""
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = defaultdict(list)
    for row in layout_runs():
        groups[tuple(row[name] for name in ("tied", "gated", "recompute", "attention", "precision", "stack"))].append(row)
    for rows in groups.values():
        priced = [{name: value for name, value in row.items() if name not in NOT_PRICED} for row in rows]
        peaks = [price_rows(priced, stack_named(name)).peak_bytes for name in (rows[0]["stack"], "usual")]
        for row, own, usual in zip(rows, *peaks, strict=True):
            framework = next((f for word, f in FRAMEWORK.items() if row["source"].startswith(word)), row["source"])
            kind = KINDS[kind_number(parse_layout(f"tp{row['tp']},pp{row['pp']},cp{row['cp']},dp{row['dp']}"))]
            errors = (math.log(row["measured_bytes"] / peak) for peak in (own, usual))
            yield Run(framework, row["cell"], row["stack"], kind, *errors)


def of_publications() -> Iterable[Run]:
    """Published runs that no table of layouts holds; an out-of-memory run needed all that the device has, or what is predicted if more."""
    for run in published_runs():
        if run.source not in SOURCES or run.source == "torchtitan":  # computed ones; and those that the table of layouts has as well
            continue
        peaks = [run.peak(stack_named(name)) for name in (run.stack, "usual")]
        if None in peaks:
            continue
        at_least = CAPACITY_GIB[run.hardware] * GIB
        errors = [math.log((run.bytes or max(at_least, peak)) / peak) for peak in peaks if peak]
        yield Run(run.source, run.cell, run.stack, KINDS[kind_number(parse_layout(run.layout))], *errors, not run.ran)


# --------------------------------------------------------------------------------------------------------------- quantiles


def quantile(weighted: list[tuple[float, float]], q: float) -> float:
    """The smallest value with at least a share q of the weight at or below it."""
    in_all, passed = sum(weight for _, weight in weighted), 0.0
    for value, weight in sorted(weighted):
        passed += weight
        if passed >= q * in_all * (1 - 1e-12):
            return value
    raise AssertionError("a quantile of nothing")


def by_cell(values: Iterable[tuple[str, float]]) -> list[tuple[float, float]]:
    """Values with weights, so that every cell weighs the same."""
    cells: dict[str, list[float]] = defaultdict(list)
    for cell, value in values:
        cells[cell].append(value)
    return [(value, 1 / len(some)) for some in cells.values() for value in some]


def points(values: list[tuple[str, float]]) -> tuple[float, float]:
    """The 10 and 90 % points of errors by cell, with the margin that a share of so few cells needs to hold for the next one."""
    n = max(len({cell for cell, _ in values}), 10)
    weighted = by_cell(values)
    return quantile(weighted, 0.1 - 0.1 / n), quantile(weighted, 0.9 + 0.9 / n)


def row_of(low: float, high: float, runs: list[Run]) -> dict[str, Any]:
    """Factors of the predicted peak, which is the middle: one is below 1, the other above it."""
    factors = {"p10": round(math.exp(min(low, -0.005)), 3), "p90": round(math.exp(max(high, 0.005)), 3)}
    cited = sorted({SOURCES[run.framework] for run in runs})
    return {**factors, "n_runs": len(runs), "n_cells": len({run.cell for run in runs}), "source": cited}


def table(runs: list[Run]) -> dict[str, dict[str, dict[str, Any]]]:
    """Stack -> kind of layout (or `all`) -> factors."""
    made: dict[str, dict[str, dict[str, Any]]] = {}
    for stack in sorted({run.stack for run in runs}):
        own = [run for run in runs if run.stack == stack]
        if len(own) >= LEAST_RUNS:
            kinds = {"all": own} | {kind: [r for r in own if r.kind == kind] for kind in KINDS}
            made[stack] = {kind: of_runs(some) for kind, some in kinds.items() if kind == "all" or len(some) >= LEAST_OF_KIND}
    shift = bias_left(runs)
    made["others"] = {"all": of_frameworks(runs, lambda run: run.own)}
    made["usual"] = {"all": of_frameworks([r for r in runs if r.framework in shift], lambda run: run.usual - shift[run.framework])}
    return made


def of_runs(runs: list[Run]) -> dict[str, Any]:
    """Factors of one stack's own runs."""
    return row_of(*points([(run.cell, run.own) for run in runs]), runs)


def of_frameworks(runs: list[Run], error: Callable[[Run], float]) -> dict[str, Any]:
    """Factors that hold at least 80 % of the runs of every framework."""
    found = [points([(r.cell, error(r)) for r in runs if r.framework == name]) for name in sorted({r.framework for r in runs})]
    return row_of(min(low for low, _ in found), max(high for _, high in found), runs)


def medians(runs: list[Run]) -> dict[str, float]:
    """Median log error of the default stack by framework, of runs that were measured."""
    errors: dict[str, list[float]] = defaultdict(list)
    for run in runs:
        if not run.out_of_memory and run.framework not in ALLOCATED:
            errors[run.framework].append(run.usual)
    return {name: statistics.median(values) for name, values in errors.items()}


def bias_left(runs: list[Run]) -> dict[str, float]:
    """The bias of the default stack on the other frameworks: what a calibration without this one would have corrected by."""
    found = medians(runs)
    return {name: statistics.mean(value for other, value in found.items() if other != name) for name in found}


# ------------------------------------------------------------------------------------------------------------------- checks


def checks(runs: list[Run], made: Mapping[str, Any]) -> list[str]:
    """The bars that are missed."""
    missed = []
    found = medians(runs)
    print("default stack, median log(measured / predicted):", {name: round(value, 3) for name, value in found.items()})
    if abs(statistics.mean(found.values())) > 0.1:
        missed.append("the default stack is biased by more than 10 % on the mean framework")
    for name in found:
        some = [run for run in runs if run.framework == name and not run.out_of_memory]
        factors = [factors_of(made, run.stack, run.kind) for run in some]
        inside = [math.log(f["p10"]) <= run.own <= math.log(f["p90"]) for f, run in zip(factors, some, strict=True)]
        print(f"{name}: {len(some)} measured peaks, {100 * statistics.mean(inside):.0f} % inside p10 to p90 at their stack")
    return missed + out_of_memory(made)


def out_of_memory(made: Mapping[str, Any]) -> list[str]:
    """Runs that ran out of memory and that an interval calls `fits`."""
    missed = []
    for run in published_runs():
        for name in ("usual", run.stack):
            peak = None if run.ran else run.peak(stack_named(name))
            if peak is not None:
                high = factors_of(made, name, KINDS[kind_number(parse_layout(run.layout))])["p90"] * peak / GIB
                print(f"out of memory: {run.cell} {run.layout}, stack {name}: {peak / GIB:.1f} GiB, p90 {high:.1f}")
                if high <= USABLE_SHARE * CAPACITY_GIB[run.hardware]:
                    missed.append(f"{run.cell} {run.layout} ran out of memory and fits by stack {name}")
    return missed


def factors_of(made: Mapping[str, Any], stack: str, kind: str) -> Any:
    """The factors that a run's interval is made of."""
    kinds = made.get(stack, made["others"])
    return kinds.get(kind, kinds["all"])


def written(made: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    """The table as a preset."""
    lines = [
        "# Measured over predicted peak memory at 10 and 90 %, by stack and kind of layout; made by benchmarks/peak_intervals.py.",
        "# `others` is every stack without measured peaks of its own, `all` every kind of layout that a stack does not list.",
    ]
    for stack, kinds in made.items():
        for kind, row in kinds.items():
            lines += ["", f"[{stack}.{kind}]"]
            lines += [f"{key} = {json.dumps(value)}" for key, value in row.items()]
            lines.append('date = "2026-11-30"')
    return "\n".join(lines) + "\n"


def main() -> None:
    runs = [*of_layouts(), *of_publications()]
    made = table(runs)
    for stack, kinds in made.items():
        for kind, row in kinds.items():
            print(f"{stack} {kind}: {row['p10']} to {row['p90']} ({row['n_runs']} runs, {row['n_cells']} cells)")
    if "--write" in sys.argv:
        FILE.write_text(written(made), encoding="utf-8")
    missed = checks(runs, made)
    if FILE.read_text(encoding="utf-8") != written(made):
        missed.append(f"{FILE.name} is not what these runs make; run with --write")
    print(*missed, sep="\n")
    sys.exit(bool(missed))


if __name__ == "__main__":
    main()
