"""Measured peaks of training runs as setups that `memory` prices: what calibration and intervals of peaks are made from.

Two files of measurements: LAYOUTS (layout_runs.csv, a measured layout a row) and RUNS (runs_dev.csv, published runs). Both say the shape
of a model, its layout and the bytes that a device needed at most.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from scaleplan.chain.layout_table import row_values
from scaleplan.chain.memory import Setup, Wishes, training_setup
from scaleplan.errors import ScaleplanError
from scaleplan.machine.layout import parse_layout
from scaleplan.machine.stack import Stack
from scaleplan.model.bill import bill_of
from scaleplan.model.shape import arch_of_shape

GIB = 2**30
SHARED = Path(os.environ.get("SCALEPLAN_MEASUREMENTS", Path(__file__).parents[2] / "shared"))
LAYOUT_COLUMNS = {
    "d_model": "h", "n_layers": "L", "n_heads": "a", "n_kv_heads": "kv", "d_head": "dh", "d_ff": "ff", "gated": "gated", "n_vocab": "V",
    "tied": "tied", "seq_len": "s", "n_devices": "n", "tp": "tp", "pp": "pp", "cp": "cp", "dp": "dp", "ep": "ep", "n_virtual_stages": "vpp",
    "micro_batch_size_seqs": "mbs", "global_batch_size_seqs": "gbs", "sequence_parallel": "sp", "zero_stage": "zero", "stack": "stack",
}  # fmt: skip
DEVICES = {"a100": "a100-sxm-80gb", "a100-40": "a100-sxm-40gb", "h100-96": "h100-sxm-96gb", "h100-efa": "h100-sxm-efa", "h200": "h200-sxm"}
CAPACITY_GIB = {"a100-sxm-80gb": 80, "h100-sxm-96gb": 96, "h100-sxm-efa": 80, "h200-sxm": 141}
STACKS = {"Megatron-DeepSpeed": "megatron21", "Megatron-LM": "megatron22"}
ZERO = {"none": 0, "zero0": 0, "zero1": 1, "zero2": 2}
NEEDED = ("n_layers", "d_model", "n_heads", "d_ff", "vocab", "seq_len", "tp", "pp", "dp", "micro_batch", "global_batch_seqs")


class Measured(NamedTuple):
    """One run: what it was, and the bytes that its fullest device needed (None where it ran out of memory).

    source  who measured it; runs of one source share their errors
    cell    the model and the number of devices: runs of one cell share them even more
    """

    source: str
    cell: str
    stack: str
    hardware: str
    words: dict[str, object]
    layout: str
    wishes: Wishes
    bytes: float | None
    ran: bool

    def setup(self, stack: Stack) -> Setup:
        """The run on a stack, priced as a question asks for it."""
        return training_setup(bill_of(arch_of_shape(self.words)), parse_layout(self.layout), self.wishes, stack)

    def peak(self, stack: Stack) -> float | None:
        """The predicted peak; None where the layout is refused."""
        try:
            return float(self.setup(stack).peak_bytes())
        except ScaleplanError:
            return None


def layout_runs(path: Path = SHARED / "data" / "layout_runs.csv", *, failed: bool = False) -> Iterator[dict[str, object]]:
    """Rows of measured layouts in the words of a table of layouts, with `measured_bytes`, `source` and `cell`."""
    with path.open(newline="", encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            if row["mem_GiB"] or (failed and row["ran"] == "0"):
                cells = {ours: row[theirs] for ours, theirs in LAYOUT_COLUMNS.items()}
                words = {"hardware": DEVICES.get(row["gpu"], row["gpu"]), "attention": {"unfused": "eager"}.get(row["attn"], row["attn"])}
                words["recompute"] = {"sac": "per-op"}.get(row["recompute"], row["recompute"])
                words["precision"] = {"bf16": "bf16-mixed"}.get(row["dtype"], row["dtype"])
                measured = float(row["mem_GiB"]) * GIB if row["mem_GiB"] else None
                yield {
                    **row_values(cells | words),
                    "measured_bytes": measured,
                    "ran": row["ran"] == "1",
                    "source": row["source"].removesuffix("-failed"),
                    "cell": f"{row['source']} {row['model']} {row['n']}",
                }


def published_runs(path: Path = SHARED / "facts" / "runs_dev.csv") -> Iterator[Measured]:
    """Published runs with a whole shape and layout and a measured peak, or known to have run out of memory.

    Left out: shapes that do not have the size that they name, and peaks that were computed.
    """
    with path.open(newline="", encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            if not (row["mem_bytes_per_accel"] or row["oom"] == "1") or not all(row[name] for name in NEEDED):
                continue
            if not 0.5 < 12 * float(row["n_layers"]) * float(row["d_model"]) ** 2 / float(row["n_params"] or "nan") < 2:
                continue
            if row["framework"] == "Megatron-LM" and row["oom"] != "1":
                continue
            yield published(row)


def published(row: dict[str, str]) -> Measured:
    """One published run: torchtitan's models are Llamas, the others GPTs with layer norm and biases."""
    titan = row["framework"] == "torchtitan"
    eager = "eager" in row["notes"]
    hardware = "h100-sxm-96gb" if titan and row["hardware"] == "h100-sxm" else row["hardware"]
    recompute = "per-op" if titan and row["recompute"].startswith("selective") else row["recompute"].split(" ")[0]
    out_of_memory = row["oom"] == "1"
    return Measured(
        source=row["framework"],
        cell=f"{row['framework']} {row['model']} {row['n_accel']}",
        stack=STACKS.get(row["framework"], "titan-eager" if titan and eager else "titan-compile" if titan else "mcore24"),
        hardware=hardware,
        words=shape(row, titan=titan),
        layout=layout(row, titan=titan),
        wishes=Wishes(
            precision="fp8" if row["precision"].startswith("fp8") else "bf16-mixed",
            recompute=recompute,
            seq_len=int(row["seq_len"]),
            micro_batch_size_seqs=int(row["micro_batch"]),
            global_batch_size_seqs=int(row["global_batch_seqs"]),
        ),
        bytes=None if out_of_memory else float(row["mem_bytes_per_accel"]),
        ran=not out_of_memory,
    )


def shape(row: dict[str, str], *, titan: bool) -> dict[str, object]:
    """The words of the model."""
    words: dict[str, object] = {
        "n_layers": int(row["n_layers"]), "d_model": int(row["d_model"]), "n_heads": int(row["n_heads"]),
        "n_kv_heads": int(row["n_kv_heads"] or row["n_heads"]), "d_ff": int(row["d_ff"]), "n_vocab": int(row["vocab"]),
    }  # fmt: skip
    if titan:
        return words | {"gated": True, "norm": "rms", "tied": False}
    return words | {"n_positions": int(row["seq_len"])}


def layout(row: dict[str, str], *, titan: bool) -> str:
    """The layout as it is typed."""
    parts = [f"{part}{row[part]}" for part in ("tp", "pp", "cp", "dp") if row[part] and row[part] != "1"] or ["dp1"]
    parts += [f"vpp{row['vpp']}"] if (row["vpp"] or "1") != "1" else []
    parts += ["sp"] if "sequence" in row["recompute"] or (titan and row["tp"] != "1") else []
    zero = ZERO.get(row["sharding"].split(" ")[0], 3)
    return ",".join([*parts, *([f"zero{zero}"] if zero else [])])
