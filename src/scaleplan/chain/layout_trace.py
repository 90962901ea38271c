"""A step of one layout as a timeline: every pass of every pipeline rank, and its memory as micro-batches come and go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from scaleplan.chain.layout_search import Asked, step_of
from scaleplan.machine.activations import Batch
from scaleplan.machine.layout import Layout
from scaleplan.machine.memory import Stage, Training, stages
from scaleplan.machine.pipeline import spread
from scaleplan.machine.roofline import Kernels, Ranks
from scaleplan.machine.schedules import PassTimes, Schedule
from scaleplan.machine.step_time import Step, StepTime, Sums, overlapped, stage_pass, step_time, sums_of
from scaleplan.machine.timeline import Seconds, Timeline, chrome_trace, even, of_stages, run_schedule
from scaleplan.machine.training_run import Run

BOTH_WAYS = ("zbv", "dualpipe")
"""Schedules that place stages on ranks in an order of their own: all ranks are taken as alike."""
AFTER = ("dp", "optimizer", "fixed")
"""Parts of a step that follow the last pass."""


def trace_of(asked: Asked, layout: Layout, micro: int, recompute: str, schedule: Schedule) -> dict[str, Any]:
    """The timeline of a legal layout in the format of Chrome's and Perfetto's viewers."""
    run, layout, step = step_of(asked, layout, micro, recompute, schedule)
    listed = layout if layout.stage_layers else layout._replace(stage_layers=spread(run.bill, layout, run.machine.stack.placement))
    kernels = run.machine.kernels
    time = step_time(run.bill, layout, step, kernels)
    sums = overlapped(sums_of(run.bill, Ranks(listed, micro, asked.seq_len, step.imbalance), kernels, step.how), schedule)
    pace = float(time.step_s / step_time(run.bill, layout, step, uncorrected(kernels)).step_s)
    ran = timeline_of(listed, step, sums, pace, hop_seconds(time, layout, step))
    held = held_by(run, listed, step)
    found = chrome_trace(ran, *held)
    return {**found, "traceEvents": [*found["traceEvents"], *after(ran, time, layout.pp)]}


def uncorrected(kernels: Kernels) -> Kernels:
    """Kernels without what measured steps told of a whole step."""
    stack = kernels.shares.stack._replace(pace=1.0, shapes=(), steps=())
    return kernels._replace(shares=kernels.shares._replace(stack=stack))


def timeline_of(layout: Layout, step: Step, sums: Sums, pace: float, hop_s: float) -> Timeline:
    """Every pass of every rank; `pace` is what a measured stack's passes take over what they were priced at."""
    passes = [stage_pass(seconds * pace, sums) for seconds in seconds_of(layout, sums)]
    seconds: Seconds = of_stages(passes)
    if step.schedule in BOTH_WAYS:
        whole = PassTimes(*(sum(each) / layout.pp for each in zip(*(one[:3] for one in passes), strict=True)))
        seconds = even(whole, 2 if step.schedule == "zbv" else 1)  # a rank has two of the 2 p stages of ZBV
    return run_schedule(step.schedule, int(layout.pp), int(layout.n_virtual_stages), int(step.n_micro_batches), seconds, hop_s)


def seconds_of(layout: Layout, sums: Sums) -> list[float]:
    """Seconds of a micro-batch on each virtual stage, both passes; the head is on the last."""
    each = sums.layers.total_s / sums.n_layers
    found = [float(count * each) for count in layout.stage_layers or ()]
    found[-1] += float(sums.head.total_s)
    return found


def hop_seconds(time: StepTime, layout: Layout, step: Step) -> float:
    """Exposed seconds of one transfer between stages."""
    hops = 2 * layout.n_virtual_stages * step.n_micro_batches
    return float(time.p2p_s) / float(hops) if layout.pp > 1 else 0.0


def held_by(run: Run, layout: Layout, step: Step) -> tuple[Sequence[float], Sequence[float]]:
    """Of each rank: bytes that stay through the passes, and bytes of one micro-batch in flight on one of its stages."""
    machine = run.machine
    training = Training(
        Batch(step.n_seqs, run.space.seq_len), step.n_micro_batches, machine.formats, machine.passes(step.how.recompute), machine.stack,
        step.schedule,
    )  # fmt: skip
    ranks: list[Stage] = stages(run.bill, layout, training)
    moving = [float(rank.parts.layers) / max(1.0, float(rank.parts.in_flight)) for rank in ranks]
    still = [float(rank.phases[0].total_bytes) - float(rank.parts.layers) for rank in ranks]
    return still, moving


def after(ran: Timeline, time: StepTime, pp: int) -> list[dict[str, Any]]:
    """What follows the passes, on every rank: exposed gradient reduction, optimizer, fixed time."""
    found: list[dict[str, Any]] = []
    start, parts = ran.step_s, time.parts()
    for name in AFTER:
        seconds = float(parts[name])
        found += [
            {"name": name, "cat": name, "ph": "X", "pid": rank, "tid": "compute", "ts": 1e6 * start, "dur": 1e6 * seconds}
            for rank in range(pp)
        ]
        start += seconds
    return found
