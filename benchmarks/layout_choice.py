"""Pick a layout for each model and device count among those that were tried, and see what was lost.

    python benchmarks/layout_choice.py LAYOUT_RUNS.csv

Sources that also list layouts without a result are judged: among all tried, those that fit are ranked by predicted throughput; one without
a result counts as none. Bars: throughput lost by the first, median 3 % and mean at 8 to 64 devices 8 %; one of the first five within 5 % of
the best in 90 % of the pairs; no pick without a result. 512 devices are shown, not judged. Exits 1 when one is missed.
"""

from __future__ import annotations

import csv
import statistics
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from step_time import Bars
from step_time_rows import kinds_of

from scaleplan.chain.layout_pricing import price_rows
from scaleplan.chain.memory import stack_named

MOST, SMALL = 511, 64

Row = dict[str, str]
Shares = list[float]


def tried(path: Path) -> list[Row]:
    """Rows of sources that list what gave no result."""
    with path.open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    sources = {row["source"].removesuffix("-failed") for row in rows if row["ran"] == "0"}
    return [row for row in rows if row["source"].removesuffix("-failed") in sources]


def predicted(rows: list[Row]) -> Any:
    """Tokens a second of every row; 0 where it does not fit."""
    found = np.zeros(len(rows))
    for places, values in kinds_of(rows):
        priced = price_rows(values, stack_named(values[0]["stack"]))
        tokens = np.array([int(rows[place]["gbs"]) * int(rows[place]["s"]) for place in places])
        found[places] = np.where(priced.fits & (priced.error == ""), tokens / priced.step_s, 0.0)
    return found


def shares(rows: list[Row]) -> dict[tuple[str, int], Shares]:
    """For each model and device count: measured throughput in the order of the prediction, over the best measured."""
    rates, pairs = predicted(rows), defaultdict(list)
    for row, rate in zip(rows, rates, strict=True):
        pairs[row["model"], int(row["n"])].append((rate, float(row["tok_s_gpu"]) if row["ran"] == "1" else 0.0))
    found = {}
    for pair, some in sorted(pairs.items()):
        best = max(measured for _, measured in some)
        ranked = sorted(((rate, measured) for rate, measured in some if rate), reverse=True)
        if best:
            found[pair] = [measured / best for _, measured in ranked] or [0.0]
    return found


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    every, bars = shares(tried(Path(sys.argv[1]))), Bars()
    for (model, n), some in every.items():
        print(f"    {model:10} on {n:4}: the first loses {100 * (1 - some[0]):5.1f} %, the best of five {100 * (1 - max(some[:5])):5.1f} %")
    judged = {pair: some for pair, some in every.items() if pair[1] <= MOST}
    lost = {pair: 100 * (1 - some[0]) for pair, some in judged.items()}
    bars.most("lost by the first, median", statistics.median(lost.values()), 3)
    bars.most("lost by the first at 8 to 64 devices, mean", statistics.mean(v for (_, n), v in lost.items() if n <= SMALL), 8)
    bars.most(
        "pairs without a layout within 5 % of the best among five",
        100 * statistics.mean(max(some[:5]) < 0.95 for some in judged.values()),
        10,
    )
    bars.most("picks without a result", sum(not some[0] for some in judged.values()), 0, "picks")
    sys.exit(1 if bars.missed else 0)


if __name__ == "__main__":
    main()
