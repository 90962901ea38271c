"""What a layout is priced for, and all figures of one layout."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from scaleplan.answer import Interval
from scaleplan.machine.activations import Batch
from scaleplan.machine.candidates import Candidates, How, Space
from scaleplan.machine.held import Formats
from scaleplan.machine.layer_time import Passes
from scaleplan.machine.layout import Layout
from scaleplan.machine.memory import USABLE_SHARE, Room, Training, stages
from scaleplan.machine.offload import Offload
from scaleplan.machine.peak_interval import PeakErrors, peak_interval, verdict
from scaleplan.machine.roofline import Kernels
from scaleplan.machine.stack import Stack
from scaleplan.machine.step_time import Step, Utilisation, step_time, utilisation
from scaleplan.machine.uncertainty import interval
from scaleplan.model.items import Bill
from scaleplan.model.passes import Pass
from scaleplan.numeric import maximum


class Machine(NamedTuple):
    """What a run is trained on and with.

    passes        how a forward pass runs under a recomputation, for memory
    errors        of predicted peaks, for the verdict of memory
    usable_share  of a device's memory
    """

    kernels: Kernels
    stack: Stack
    formats: Formats
    passes: Callable[[str], Pass]
    errors: PeakErrors
    usable_share: float = USABLE_SHARE

    @property
    def room(self) -> Room:
        """Memory of one device."""
        return Room(self.kernels.device.capacity_bytes, self.usable_share)


class Row(NamedTuple):
    """One layout with its figures."""

    layout: Layout
    micro_batch_size_seqs: int
    recompute: str
    step_s: float
    step_s_p10: float
    step_s_p90: float
    mfu: float
    hfu: float
    tokens_per_s_per_device: float
    peak_bytes: int
    peak_bytes_p10: int
    peak_bytes_p90: int
    verdict: str
    fits: bool
    parts: dict[str, float]
    offload: Offload = "none"
    tp_overlap: bool = False


class Run(NamedTuple):
    """A model, its run and what it runs on.

    imbalance     tokens of the busiest device's experts over the mean
    tile_overlap  tensor parallel collectives are hidden behind the tiles of products
    """

    bill: Bill
    space: Space
    machine: Machine
    imbalance: float = 1.0
    tile_overlap: bool = False

    def n_micro_batches(self, some: Candidates) -> Any:
        """Of one pipeline in a step."""
        return maximum(1, self.space.global_batch_size_seqs // (some.dp * some.micro_batch_size_seqs))

    def step(self, some: Candidates, how: How) -> Step:
        """A step of each candidate, for time."""
        rounds, passes = self.n_micro_batches(some), Passes(how.recompute, self.tile_overlap)
        return Step(some.micro_batch_size_seqs, self.space.seq_len, rounds, passes, imbalance=self.imbalance, offload=how.offload)

    def training(self, some: Candidates, how: How) -> Training:
        """The same, for memory."""
        return Training(
            batch=Batch(some.micro_batch_size_seqs, self.space.seq_len),
            n_micro_batches=self.n_micro_batches(some),
            formats=self.machine.formats,
            how=self.machine.passes(how.recompute),
            stack=self.machine.stack,
            offload=how.offload,
        )


def explained(run: Run, layout: Layout, step: Step) -> Row:
    """Any layout with its figures, whether it fits or not."""
    machine, space = run.machine, run.space
    time = step_time(run.bill, layout, step, machine.kernels)
    used: Utilisation = utilisation(run.bill, step, layout, machine.kernels, time.step_s)
    training = Training(
        Batch(step.n_seqs, space.seq_len), step.n_micro_batches, machine.formats, machine.passes(step.how.recompute), machine.stack,
        step.schedule, step.offload,
    )  # fmt: skip
    peak = max(int(stage.peak_bytes) for stage in stages(run.bill, layout, training))
    held: Interval = peak_interval(peak, layout, machine.errors)
    low, _, high = interval(time, machine.kernels.shares.spreads)
    tokens = layout.dp * step.n_micro_batches * step.n_seqs * space.seq_len
    return Row(
        layout=layout,
        micro_batch_size_seqs=int(step.n_seqs),
        recompute=step.how.recompute,
        step_s=float(time.step_s),
        step_s_p10=float(low),
        step_s_p90=float(high),
        mfu=float(used.mfu),
        hfu=float(used.hfu),
        tokens_per_s_per_device=tokens / float(time.step_s) / layout.n_devices,
        peak_bytes=peak,
        peak_bytes_p10=int(held.p10),
        peak_bytes_p90=int(held.p90),
        verdict=str(verdict(held, *machine.room)),
        fits=bool(machine.room.holds(peak)),
        parts={name: float(seconds) for name, seconds in time.parts().items()},
        offload=step.offload,
        tp_overlap=bool(step.how.tile_overlap),
    )
