"""Fit the few memory constants of a software stack on half of the measured runs, and score them on the other half.

    python benchmarks/calibrate_memory.py RUNS.csv [STACK]

RUNS.csv holds measured layouts, one a row, with the columns named in `COLUMNS` and `mem_GiB`, `ran`, `stack`. Of the rows of the stack
(nanotron unless named), those with a measured peak and those that did not run are each split: the 1st, 3rd, 5th, ... are fitted on, the
others are scored. What is made small is the mean error of the peaks plus the share of rows whose verdict (fits, or not) is wrong. Four
constants are fitted, each a whole number with a meaning; everything else is counted:

    more_per_width   bytes for each token, layer and unit of width that kernels keep beyond the count
    waiting_bytes    bytes for each token and unit of width in whole tensors that wait for collectives, where there is no pipeline
    bytes_per_logit  bytes for each logit at the peak of the loss
    context_bytes    memory before the first tensor
"""

from __future__ import annotations

import csv
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scaleplan.chain.layout_pricing import price_rows
from scaleplan.chain.memory import stack_named
from scaleplan.machine.memory import USABLE_SHARE
from scaleplan.machine.stack import Stack

COLUMNS = {
    "d_model": "h", "n_layers": "L", "n_heads": "a", "n_kv_heads": "kv", "d_head": "dh", "d_ff": "ff", "gated": "gated", "n_vocab": "V",
    "tied": "tied", "seq_len": "s", "n_devices": "n", "tp": "tp", "pp": "pp", "cp": "cp", "dp": "dp", "ep": "ep", "n_virtual_stages": "vpp",
    "micro_batch_size_seqs": "mbs", "global_batch_size_seqs": "gbs", "sequence_parallel": "sp", "zero_stage": "zero",
}  # fmt: skip
FLAGS = ("gated", "tied", "sequence_parallel")
GIB = 2**30
CAPACITY_BYTES = 80 * GIB  # of the devices that they ran on
STEPS = {"more_per_width": 1, "waiting_bytes": 4, "bytes_per_logit": 1, "context_bytes": 30_000_000}


def read(path: Path, stack: str) -> list[dict[str, Any]]:
    """Rows of a stack in our words, with `measured` in bytes (None where it was not) and `ran`."""
    rows = []
    with path.open(newline="", encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            if row["stack"] == stack:
                values: dict[str, Any] = {ours: int(row[theirs]) for ours, theirs in COLUMNS.items()}
                values |= {name: bool(values[name]) for name in FLAGS}
                values |= {"hardware": "h100-sxm-efa", "precision": "bf16-mixed", "attention": "fa2", "recompute": "none", "stack": stack}
                measured = float(row["mem_GiB"]) * GIB if row["mem_GiB"] else None
                rows.append({"row": values, "measured": measured, "ran": row["ran"] == "1"})
    return rows


def peaks(rows: list[dict[str, Any]], stack: Stack) -> list[float]:
    """Predicted peak of each row; infinite where the layout is not legal."""
    found = [float("inf")] * len(rows)
    for tied in (False, True):
        of_kind = [i for i, row in enumerate(rows) if row["row"]["tied"] == tied]
        if of_kind:
            priced = price_rows([rows[i]["row"] for i in of_kind], stack)
            for i, peak, error in zip(of_kind, priced.peak_bytes, priced.error, strict=True):
                found[i] = float("inf") if error else float(peak)
    return found


def errors(rows: list[dict[str, Any]], stack: Stack) -> list[float]:
    """Relative errors of the peaks that were measured."""
    measured = [row for row in rows if row["measured"] is not None]
    return [abs(peak / row["measured"] - 1) for peak, row in zip(peaks(measured, stack), measured, strict=True)]


def verdicts(rows: list[dict[str, Any]], stack: Stack) -> list[bool]:
    """Whether each row is told right: fits if it ran, does not if it did not."""
    return [(peak <= USABLE_SHARE * CAPACITY_BYTES) == row["ran"] for peak, row in zip(peaks(rows, stack), rows, strict=True)]


def with_constants(stack: Stack, constants: dict[str, int]) -> Stack:
    """The stack with other values of the fitted constants."""
    keeping = stack.keeping._replace(more_per_width=constants["more_per_width"])
    others = {name: value for name, value in constants.items() if name != "more_per_width"}
    return stack._replace(keeping=keeping, **others)


def descend(start: dict[str, int], loss: Callable[[dict[str, int]], float]) -> dict[str, int]:
    """The constants of least loss: the best of all longer and shorter steps of one or two constants, until none helps."""
    best, least = start, loss(start)
    moves = [(name, sign * step * size) for name, step in STEPS.items() for size in (8, 2, 1) for sign in (-1, 1)]
    while True:
        pairs = [{name: best[name] + by} for name, by in moves]
        pairs += [{a: best[a] + by_a, b: best[b] + by_b} for a, by_a in moves for b, by_b in moves if a < b]
        tries = [best | changed for changed in pairs if min(changed.values()) >= 0]
        found = min(tries, key=loss)
        if loss(found) >= least:
            return best
        best, least = found, loss(found)


def report(name: str, rows: list[dict[str, Any]], stack: Stack) -> None:
    """Errors and verdicts of some rows."""
    found = errors(rows, stack)
    mean, median = 100 * statistics.mean(found), 100 * statistics.median(found)
    print(f"{name}: {len(found)} measured peaks, mean error {mean:.2f} %, median {median:.2f} %")
    for ran, of_those in ((True, "ran"), (False, "did not run")):
        right = verdicts([row for row in rows if row["ran"] == ran], stack)
        print(f"    of {len(right)} that {of_those}, {100 * statistics.mean(right):.1f} % are told so")


def main() -> None:
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    name = sys.argv[2] if len(sys.argv) > 2 else "nanotron"
    stack, rows = stack_named(name), read(Path(sys.argv[1]), name)
    kinds = [[row for row in rows if row["measured"] is not None], [row for row in rows if not row["ran"]]]
    fitted, held_out = ([row for kind in kinds for row in kind[half::2]] for half in (0, 1))

    def loss(tried: dict[str, int]) -> float:
        candidate = with_constants(stack, tried)
        return statistics.mean(errors(fitted, candidate)) + 1 - statistics.mean(verdicts(fitted, candidate))

    constants = descend({"more_per_width": 0, "waiting_bytes": 0, "bytes_per_logit": 8, "context_bytes": 0}, loss)
    print("fitted:", ", ".join(f"{key} = {value:_}" for key, value in constants.items()))
    report("rows fitted on", fitted, with_constants(stack, constants))
    report("rows held out", held_out, with_constants(stack, constants))
    report("rows held out, with the preset's constants", held_out, stack)


if __name__ == "__main__":
    main()
