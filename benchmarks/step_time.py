"""Fit the shares of step time on half of the measured layouts, score them on the other half, and with each source left out.

    python benchmarks/step_time.py score LAYOUT_RUNS.csv          # the presets against every bar; exits 1 when one is missed
    python benchmarks/step_time.py fit LAYOUT_RUNS.csv [--write]  # fits, scores with sources left out, and writes the presets

LAYOUT_RUNS.csv holds measured layouts with the columns named in `COLUMNS`, `step_s`, `healthy`, `source`. Tuned on: the 1st, 3rd, 5th,
... row of each source; the others only score. What is made small is the mean of |log(predicted / measured)|, a source of n rows weighing
sqrt(n), plus the squared distance from a prior for each constant: constants that the rows do not tell keep it.
"""

from __future__ import annotations

import math
import statistics
import sys
from pathlib import Path
from typing import Any

import numpy as np
from step_time_rows import (
    EAGER_TRAFFIC,
    Constant,
    Table,
    constants,
    left_out,
    logs,
    preset_values,
    priced,
    read,
    solve,
    tuning_rows,
)

from scaleplan.machine.uncertainty import half_width

# ------------------------------------------------------------------------------------------------------------------ scoring


def by_source(table: Table, errors: Any, rows: Any) -> dict[str, Any]:
    """Errors of some rows by source."""
    return {
        source: errors[rows & (table.sources == source)]
        for source in dict.fromkeys(table.sources)
        if np.any(rows & (table.sources == source))
    }


def medians_and_mean(table: Table, at: Any, rows: Any) -> tuple[float, float]:
    """Mean over sources of the source's median error, and the mean of rows, in percent."""
    errors = np.abs(np.expm1(at))
    return 100 * statistics.mean(float(np.median(e)) for e in by_source(table, errors, rows).values()), 100 * float(np.mean(errors[rows]))


def show(title: str, table: Table, at: Any, rows: Any) -> None:
    """Both figures, and by source."""
    medians, mean = medians_and_mean(table, at, rows)
    print(f"{title}: medians {medians:.2f} %, rows {mean:.2f} %")
    for source, e in by_source(table, at, rows).items():
        absolute = 100 * np.abs(np.expm1(e))
        found = f"median {np.median(absolute):5.1f}  mean {absolute.mean():5.1f}  largest {absolute.max():5.1f}"
        print(f"    {source:26} {len(e):4} rows  {found}  bias {100 * np.median(e):+5.1f}")


# ---------------------------------------------------------------------------------------------------------------- intervals

UNCERTAIN = ("base", "host", "exposed", "bubble", "nodes")


def uncertain(table: Table, every: list[Constant], x: Any) -> Any:
    """What is uncertain of each row: 1, share of the host, of exposed communication, of the bubble, nodes."""
    found = np.empty((len(table.rows), len(UNCERTAIN)))
    for one in table.groups:
        time = priced(one, every, x)
        columns = (1.0, time.u_host, time.exposed_s / time.step_s, time.bubble_s / time.step_s, time.u_nodes)
        found[one.rows] = np.stack([np.broadcast_to(c, len(one.rows)) for c in columns], axis=1)
    return found


def half_widths(misses: Any, features: Any, weights: Any) -> tuple[dict[str, float], dict[str, float]]:
    """Coefficients of the 10 and 90 % points of log(measured / predicted), none negative: quantile regression as a linear program."""
    from scipy.optimize import linprog

    n, k = features.shape
    found = []
    for target in (-misses, misses):
        cost = np.concatenate([np.zeros(k), 0.9 * weights, 0.1 * weights])
        solved = linprog(
            cost, A_eq=np.hstack([features, np.eye(n), -np.eye(n)]), b_eq=target, bounds=[(0.01, None)] + [(0, None)] * (k - 1 + 2 * n)
        )
        found.append({name: round(float(v), 4) for name, v in zip(UNCERTAIN, solved.x[:k], strict=True) if v >= 5e-4})
    return found[0], found[1]


def inside(misses: Any, features: Any, widths: tuple[dict[str, float], dict[str, float]]) -> Any:
    """Whether each row lies in its interval."""
    down, up = (features @ np.array([side.get(name, 0.0) for name in UNCERTAIN]) for side in widths)
    return (-down <= misses) & (misses <= up)


def widened(misses: Any, features: Any, widths: tuple[dict[str, float], dict[str, float]]) -> tuple[dict[str, float], dict[str, float]]:
    """The same widths times the least factor from 1 on that leaves 80 % of the rows inside."""
    factor = 1.0
    while True:
        wider = tuple({name: round(factor * value, 4) for name, value in side.items()} for side in widths)
        if np.mean(inside(misses, features, wider)) >= 0.8:
            return wider
        factor += 0.01


# ------------------------------------------------------------------------------------------------------------------ writing


def edit(path: Path, table: str, values: dict[str, float]) -> None:
    """Put numbers into one table of a TOML file, the rest of it untouched."""
    lines = path.read_text(encoding="utf-8").splitlines()
    start = next(i for i, line in enumerate(lines) if line.partition("  #")[0] == f"[{table}]")
    for name, value in values.items():
        text = f"{name} = {float(f'{value:.3g}')!r}"
        end = next((i for i in range(start + 1, len(lines)) if not lines[i].strip() or lines[i].startswith("[")), len(lines))
        place = next((i for i in range(start + 1, end) if lines[i].startswith(f"{name} =")), None)
        if place is None:
            lines.insert(end, text)
        else:
            lines[place] = text + "".join(lines[place].partition("  #")[1:])
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def write(every: list[Constant], x: Any, known: tuple[dict[str, float], ...], unknown: tuple[dict[str, float], ...]) -> None:
    """The fitted constants into the presets."""
    presets = Path(__file__).parents[1] / "presets"
    files = {"all": "efficiencies.toml", "generation": "efficiencies.toml"}
    places = {"latency_s": ("hardware/h100-sxm-efa.toml", "fabric"), "peak_share": ("hardware/h100-sxm-96gb.toml", "sustained")}
    for constant, value in zip(every, np.exp(x), strict=True):
        if constant.kind == "device":
            file, table = places[constant.name]
        elif constant.kind == "stack":
            file, table = f"stacks/{constant.owner}.toml", "time"
        else:
            file, table = files[constant.kind], "all" if constant.kind == "all" else f"generation.{constant.owner}"
        edit(presets / file, table, {constant.name: float(value)})
    eager = float(np.exp(x[[(c.owner, c.name) for c in every].index(("titan-compile", "fusion"))])) * EAGER_TRAFFIC
    for stack in ("titan-eager", "plain-torch", "transformers"):
        edit(presets / f"stacks/{stack}.toml", "time", {"fusion": eager})
    for kind, sides in (("known", known), ("unknown", unknown)):
        for side, widths in zip(("down", "up"), sides, strict=True):
            edit(presets / "efficiencies.toml", f"spread.{kind}.{side}", {name: widths.get(name, 0.0) for name in UNCERTAIN})


def fit(path: Path, *, writes: bool) -> None:
    """Fit on the tuning rows, score on the others and with sources left out, and perhaps write the presets."""
    table, every = read(path), constants()
    tuned = tuning_rows(table)
    x = solve(table, every, tuned, np.log([c.prior for c in every]))
    at = logs(table, every, x)
    show("tuned on these rows", table, at, tuned)
    show("rows that were not tuned on", table, at, ~tuned)
    gone = left_out(table, every, tuned, x)
    show("each source left out", table, gone, np.ones(len(tuned), bool))
    for constant, value in zip(every, np.exp(x), strict=True):
        print(f"{constant.kind:10} {constant.owner:14} {constant.name:20} {value:10.4g}   prior {constant.prior:.4g}")
    features = uncertain(table, every, x)
    even = np.array([1 / math.sqrt(np.sum(table.sources == source)) for source in table.sources])
    known = half_widths(-at, features, np.ones(len(at)))
    unknown = half_widths(-gone, features, even)
    wider = tuple({name: max(a.get(name, 0.0), b.get(name, 0.0)) for name in UNCERTAIN} for a, b in zip(unknown, known, strict=True))
    unknown = widened(-gone, features, wider)
    for title, misses, widths in (("known", -at, known), ("left out", -gone, unknown)):
        print(f"{title}: {np.mean(inside(misses, features, widths)):.3f} of the rows inside; {widths}")
    if writes:
        write(every, x, known, unknown)


# --------------------------------------------------------------------------------------------------------------------- bars

PEAKS = {"a100": 312e12, "a100-40": 312e12, "h100": 989.4e12, "h200": 989.4e12, "h100-96": 989.4e12, "h100-efa": 989.4e12}
FEW_ROWS, UNEVEN = 5, 1.3  # sources with fewer rows, or of a more even MFU, are not held against a constant MFU


class Bars:
    """Figures against their bars, printed; remembers whether one was missed."""

    def __init__(self) -> None:
        self.missed = 0

    def most(self, what: str, figure: float, bar: float, unit: str = "%") -> None:
        """A figure that must be at most its bar."""
        self.missed += figure > bar
        print(f"{'ok    ' if figure <= bar else 'MISSED'} {what}: {figure:.4g} {unit} (at most {bar:g})")


def score(path: Path) -> int:
    """The presets against every bar; the number of those that they miss."""
    table, every, bars = read(path), constants(), Bars()
    x, tuned = preset_values(every), tuning_rows(table)
    at, all_rows = logs(table, every, x), np.ones(len(tuned), bool)
    show("presets, all rows", table, at, all_rows)
    medians, mean = medians_and_mean(table, at, all_rows)
    bars.most("stack named: mean over sources of the median error", medians, 6)
    bars.most("stack named: mean of rows", mean, 9)
    bars.most("stack named: mean of the rows that were not tuned on", medians_and_mean(table, at, ~tuned)[1], 9)
    table_5 = 100 * np.abs(np.expm1(at[table.sources == "korthikanti-t5"]))
    bars.most("Korthikanti, Table 5: mean", float(table_5.mean()), 4)
    bars.most("Korthikanti, Table 5: largest", float(table_5.max()), 8)
    gone = left_out(table, every, tuned, x)
    show("each source left out", table, gone, all_rows)
    bars.most("source left out: mean over sources of the median error", medians_and_mean(table, gone, all_rows)[0], 8)
    intervals(table, every, x, at, bars)
    against_constant_mfu(table, at, bars)
    return bars.missed


def intervals(table: Table, every: list[Constant], x: Any, at: Any, bars: Bars) -> None:
    """Rows inside the 80 % interval, and its quantile loss against the best constant widths."""
    from scipy.stats import binom

    down, up = np.zeros(len(at)), np.zeros(len(at))
    for one in table.groups:
        time, spreads = priced(one, every, x), one.group.kernels.shares.spreads
        down[one.rows], up[one.rows] = half_width(time, spreads.down), half_width(time, spreads.up)
    held = int(np.sum((-down <= -at) & (-at <= up)))
    low, high = binom.ppf(0.025, len(at), 0.8), binom.ppf(0.975, len(at), 0.8)
    bars.most(
        f"80 % interval holds {held} of {len(at)} rows; beyond {low:.0f} to {high:.0f} by", max(0.0, low - held, held - high), 0, "rows"
    )
    constant = [np.full(len(at), width) for width in (-np.quantile(-at, 0.1), np.quantile(-at, 0.9))]
    bars.most("quantile loss over that of the best constant widths", pinball(-at, down, up) / pinball(-at, *constant), 1.02, "")


def pinball(misses: Any, down: Any, up: Any) -> float:
    """Mean quantile loss of the 10, 50 and 90 % points."""
    points = ((0.1, -down), (0.5, np.zeros(len(misses))), (0.9, up))
    return float(np.mean([np.maximum(level * (misses - point), (level - 1) * (misses - point)) for level, point in points]))


def against_constant_mfu(table: Table, at: Any, bars: Bars) -> None:
    """Sources of uneven MFU: the mean error against that of the constant MFU of the generation with the least error, in hindsight."""
    mfu = np.array([mfu_of(row, seconds) for row, seconds in zip(table.rows, table.step_s, strict=True)])
    generation = np.array([row["gpu"][0] for row in table.rows])
    share = np.array([1 / np.sum(table.sources == source) for source in table.sources])
    theirs = np.empty(len(mfu))
    for which in sorted(set(generation)):
        mine = generation == which
        best = min(
            np.quantile(mfu[mine], np.linspace(0.01, 0.99, 99)), key=lambda c: float(np.sum(share[mine] * np.abs(mfu[mine] / c - 1)))
        )
        theirs[mine] = np.abs(mfu[mine] / best - 1)
    for source in dict.fromkeys(table.sources):
        rows = table.sources == source
        if rows.sum() >= FEW_ROWS and np.quantile(mfu[rows], 0.9) > UNEVEN * np.quantile(mfu[rows], 0.1):
            bars.most(
                f"{source}: mean error, below that of a constant MFU", 100 * np.abs(np.expm1(at[rows])).mean(), 100 * theirs[rows].mean()
            )


def mfu_of(row: dict[str, str], seconds: float) -> float:
    """Measured MFU: 6 N + 12 L d s FLOP a token, over the dense peak."""
    h, n, a, kv, d, ff, v, s = (int(row[name]) for name in ("h", "L", "a", "kv", "dh", "ff", "V", "s"))
    layer = h * (a + 2 * kv) * d + a * d * h + (2 + int(row["gated"])) * h * ff
    peak = PEAKS[row["gpu"]] * (2 if row["dtype"] == "fp8" else 1)
    return float(int(row["gbs"]) * s * (6 * (n * layer + v * h) + 12 * n * s * a * d) / seconds / int(row["n"]) / peak)


def main() -> None:
    words = [word for word in sys.argv[1:] if not word.startswith("--")]
    if len(words) < 2 or words[0] not in ("fit", "score"):
        sys.exit(__doc__)
    if words[0] == "fit":
        fit(Path(words[1]), writes="--write" in sys.argv)
    else:
        sys.exit(1 if score(Path(words[1])) else 0)


if __name__ == "__main__":
    main()
