"""Fit the kernel launches that tensor parallelism costs nanotron where a pipeline spans nodes, on its slow runs as on the others.

    python benchmarks/step_time_pipelines.py LAYOUT_RUNS.csv [--write]

Runs of nanotron with pp above 1 and tp from 2 to 8 (a node) on 16 to 256 devices, also those below half of the best rate of their model and
device count: a layer takes some 2.6 ms for each further tensor parallel rank whatever the model (1.3 to 80B) and the micro-batch, which is
host time. Tuned on the 1st, 3rd, 5th, ... of them; made small is the median of |log(predicted / measured)|. Exits 1 when the median error
of the others is above 20 %, or above half of that without the term.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from step_time import edit
from step_time_rows import Table, read

from scaleplan.machine.step_time import step_time

FEWEST, MOST = 16, 256  # devices: more than a node; beyond, the cluster's runs are slow whatever the layout
NODE = 8  # beyond it, collectives also wait for the network
STACK = "nanotron"
BAR = 0.20


def logs(table: Table, launches: float) -> Any:
    """log(predicted / measured) of the rows of the stack; others 0."""
    found = np.zeros(len(table.rows))
    for one in table.groups:
        if one.group.stack.name == STACK:
            on = one.group.kernels
            shares = on.shares._replace(stack=on.shares.stack._replace(pipeline_launches=launches))
            time = step_time(one.group.bill, one.group.layout, one.group.step(one.recompute), on._replace(shares=shares))
            found[one.rows] = np.log(np.broadcast_to(time.step_s, len(one.rows)) / table.step_s[one.rows])
    return found


def chosen(table: Table) -> Any:
    """Rows with both kinds of parallelism on several nodes, tensor parallelism within one."""
    return np.array(
        [
            row["stack"] == STACK and 1 < int(row["tp"]) <= NODE and int(row["pp"]) > 1 and FEWEST <= int(row["n"]) <= MOST
            for row in table.rows
        ]
    )


def best(table: Table, rows: Any) -> float:
    """Launches of least median error on some rows: a few runs are 2, 5 or 20 times slower again."""
    grid = np.arange(0.0, 30.5, 0.5)
    return float(min(grid, key=lambda launches: np.median(np.abs(logs(table, launches)[rows]))))


def median(at: Any, rows: Any) -> float:
    """Median error of some rows."""
    return float(np.median(np.abs(np.expm1(at[rows]))))


def main() -> None:
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    table = read(Path(sys.argv[1]), healthy=False)
    rows = chosen(table)
    tuned = rows & (np.cumsum(rows) % 2 == 1)
    launches = best(table, tuned)
    without, at = logs(table, 0.0), logs(table, launches)
    print(f"pipeline_launches {launches:g}, of {tuned.sum()} rows")
    for title, some in (("tuned on", tuned), ("not tuned on", rows & ~tuned)):
        print(f"{title}: median error {100 * median(at, some):.1f} %, without the term {100 * median(without, some):.1f} %")
    models = np.array([row["model"] for row in table.rows])
    for model in sorted(set(models[rows])):
        mine = rows & (models == model)
        left_out = best(table, rows & ~mine)
        error = median(logs(table, left_out), mine)
        print(f"    {model} left out: {left_out:g}, median error {100 * error:.1f} %, without the term {100 * median(without, mine):.1f} %")
    if "--write" in sys.argv:
        edit(Path(__file__).parents[1] / f"presets/stacks/{STACK}.toml", "time", {"pipeline_launches": launches})
    others = rows & ~tuned
    sys.exit(1 if median(at, others) > min(BAR, median(without, others) / 2) else 0)


if __name__ == "__main__":
    main()
