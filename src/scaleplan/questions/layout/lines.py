"""Each number of a layout with its formula."""

from __future__ import annotations

from typing import Any

from scaleplan.answer import Interval, Line, line
from scaleplan.chain.layout_search import Asked, run_of
from scaleplan.machine.search import Searched
from scaleplan.machine.training_run import Row
from scaleplan.model.flops import count_flops, recomputed_flops
from scaleplan.questions.layout.common import PARTS_ARE

NARAYANAN = ("narayanan2021",)
PART_SOURCES = {"dp": ("rajbhandari2020",), "bubble": NARAYANAN, "p2p": NARAYANAN, "tp": ("korthikanti2022",)}


def search_lines(found: Searched) -> list[Line]:
    """How many layouts were considered, and what became of them."""
    rejected = [line(f"rejected.{reason}", reason, n, "") for reason, n in found.rejected.items()]
    return [
        *rejected,
        line("n_fitting", "layouts that fit", found.n_fitting, ""),
        line(
            "n_considered", "layouts considered", found.n_considered, "", "n_fitting + sum(rejected)", n_fitting=found.n_fitting,
            rejected=list(found.rejected.values()),
        ),
    ]  # fmt: skip


def layout_lines(search: Asked, row: Row, before: str) -> list[Line]:
    """A step by part, utilisation and rate of one layout; `before` is its path in the result."""
    parts = [
        line(
            f"{before}parts.{name}", f"step: {name}, {what}", row.parts[name], "s", sources=PART_SOURCES.get(name, ()), standing="estimate"
        )
        for name, what in PARTS_ARE.items()
    ]
    step_s = row.step_s
    whole = line(
        f"{before}step_s", "step time", step_s, "s", "sum(parts)", standing="estimate",
        interval=Interval(row.step_s_p10, row.step_s, row.step_s_p90), parts=list(row.parts.values()),
    )  # fmt: skip
    peak = line(
        f"{before}peak_bytes", "peak memory", row.peak_bytes, "bytes", standing="estimate", sources=("korthikanti2022", "rajbhandari2020"),
        interval=Interval(row.peak_bytes_p10, row.peak_bytes, row.peak_bytes_p90),
    )  # fmt: skip
    return [*parts, whole, *rates(search, row, before), peak]


def rates(search: Asked, row: Row, before: str) -> list[Line]:
    """MFU, HFU and tokens a second, from the FLOP of the step."""
    run, n = run_of(search), int(row.layout.n_devices)
    on = run.machine.kernels
    count = count_flops(search.bill, search.seq_len, batch_size_seqs=1)
    batch = search.batch_seqs
    model = float(batch) * float(count.training_flops)
    hardware = model + float(batch) * float(recomputed_flops(count, row.recompute))
    peak = on.product_flops_per_s / on.device.sustained_share
    tokens: dict[str, Any] = {"global_batch_size_seqs": batch, "seq_len": search.seq_len, "step_s": row.step_s, "n_devices": n}
    shared: dict[str, Any] = {"step_s": row.step_s, "n_devices": n, "peak_flops_per_s": peak}
    formula = "global_batch_size_seqs * seq_len / step_s / n_devices"
    return [
        line(f"{before}peak_flops_per_s", "peak of a device", peak, "FLOP/s", standing="published"),
        line(
            f"{before}training_flops_per_sequence", "model FLOP of a sequence", float(count.training_flops), "FLOP", sources=("kaplan2020",)
        ),
        line(
            f"{before}step_flops", "model FLOP of a step", model, "FLOP", "global_batch_size_seqs * training_flops_per_sequence",
            global_batch_size_seqs=batch, training_flops_per_sequence=float(count.training_flops),
        ),
        line(f"{before}hardware_flops", "with what is computed twice", hardware, "FLOP", sources=("korthikanti2022",)),
        line(
            f"{before}mfu", "MFU", row.mfu, "fraction", "step_flops / (step_s * n_devices * peak_flops_per_s)", standing="estimate",
            step_flops=model, **shared,
        ),
        line(
            f"{before}hfu", "HFU", row.hfu, "fraction", "hardware_flops / (step_s * n_devices * peak_flops_per_s)", standing="estimate",
            hardware_flops=hardware, **shared,
        ),
        line(f"{before}tokens_per_s_per_device", "tokens a second and device", row.tokens_per_s_per_device, "tokens/s", formula,
             standing="estimate", **tokens),
    ]  # fmt: skip
