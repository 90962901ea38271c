"""Training under a layout: phases of a step on the fullest stage, what would free memory, and inverse questions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from scaleplan.answer import Answer, Caution, Column, Table
from scaleplan.chain.default_layout import Choice, fewest_for_training, training_layout
from scaleplan.chain.levers import levers
from scaleplan.chain.memory import Setup, Wishes, layout_on, training_setup
from scaleplan.chain.memory_inverse import Found, find
from scaleplan.machine.activations import Split, block_layers, layer_bytes
from scaleplan.machine.layout import Layout
from scaleplan.machine.memory import USABLE_SHARE, Phase, Stage, fits
from scaleplan.machine.peak_interval import PeakInterval
from scaleplan.machine.peak_interval import verdict as verdict_of
from scaleplan.machine.pipeline import places
from scaleplan.model.adapters import adapted_bill
from scaleplan.model.items import Bill
from scaleplan.numeric import maximum
from scaleplan.questions.memory.layout_lines import phase_lines
from scaleplan.questions.memory.setup import (
    FORMULA_SOURCES,
    NAMES,
    PARTS,
    Device,
    completed,
    device_of,
    format_cautions,
    inputs_of,
    inverse_tables,
    options_of,
)
from scaleplan.units import counted, show_bytes
from scaleplan.wording import field

if TYPE_CHECKING:
    from scaleplan.questions.memory import ByLayout

OF_PAPERS = ("zb1p", "dualpipe")
"""Schedules whose micro-batches in flight no measured run was at hand for."""


class Solved(NamedTuple):
    """The run, the stages that can be the fullest, the peak with its interval, and the answer of an inverse question.

    choice  the layout that was chosen where none was given, and the simpler ones that do not fit
    """

    options: Wishes
    run: Setup
    stages: list[Stage]
    peak_bytes: Any
    interval: PeakInterval
    device: Device | None
    inverse: Found | None
    choice: Choice | None


def solve(asked: ByLayout) -> Solved:
    """Bytes by phase under a layout; the degrees of the layout, the sequence length and the batch may be arrays."""
    options, bill = options_of(asked), adapted_bill(asked.model.arch, asked.lora)
    device = device_of(asked.hardware, asked.capacity)
    layout, choice, inverse = placed(asked, bill, options, device)
    run = training_setup(bill, layout, options)
    stages = run.stages()
    peak: Any = 0
    for stage in stages:
        peak = maximum(peak, stage.peak_bytes)
    quantity = asked.largest or asked.fewest
    if quantity and device and inverse is None:
        inverse = find(quantity, bill, layout, options, device.capacity_bytes)
    return Solved(options, run, stages, peak, run.peak_interval(), device, inverse, choice)


def placed(asked: ByLayout, bill: Bill, options: Wishes, device: Device | None) -> tuple[Layout, Choice | None, Found | None]:
    """The layout that was given; else the simplest that fits on so many devices, or on the fewest."""
    if asked.layout is not None or device is None:
        return layout_on(asked.layout, asked.n_devices), None, None
    if asked.fewest is not None:
        found = fewest_for_training(bill, options, device.capacity_bytes, device.n_per_node)
        if found is None:
            return Layout(), None, Found(asked.fewest, None, None)
        return found[1].layout, found[1], Found(asked.fewest, found[0], found[1].peak_bytes)
    if asked.n_devices is not None:
        choice = training_layout(bill, asked.n_devices, options, device.capacity_bytes, device.n_per_node)
        return choice.layout, choice, None
    return Layout(), None, None


def explain(asked: ByLayout, solved: Solved) -> Answer:
    """The answer for one layout."""
    run, layout = solved.run, solved.run.layout
    worst = max(solved.stages, key=lambda stage: stage.peak_bytes)
    result = result_of(solved, worst)
    tables = [
        *inverse_tables(result.get("inverse")),
        phases_table(result["phases"], worst, layout),
        savings_table(result["levers"]),
        parts_table(result["stage"]),
    ]
    answer = Answer(
        "memory",
        inputs_of(asked, **solved.options._asdict(), layout=layout.spelled()),
        result,
        tables,
        phase_lines(run, worst, result),
        warnings=[*schedule_cautions(run), *beyond_the_model(run.bill, solved.inverse)],
        notes=[*choice_notes(solved.choice), *verdict_notes(result, solved.device)],
        more_sources=[*FORMULA_SOURCES, *run.run.stack.sources],
    )
    return completed(answer, asked, format_cautions(solved.device, run.run.precision))


def result_of(solved: Solved, worst: Stage) -> dict[str, Any]:
    """The keys that other programs read."""
    run, peak = solved.run, int(solved.peak_bytes)
    capacity = None if solved.device is None else solved.device.capacity_bytes
    rows = [phase_row(one) for one in worst.phases]
    result = {
        "layout": run.layout.spelled(),
        "simpler": [] if solved.choice is None else [{**one._asdict(), "layout": one.layout.spelled()} for one in solved.choice.simpler],
        "n_devices": int(run.layout.n_devices),
        "global_batch_size_seqs": run.global_batch_size_seqs,
        "peak_bytes": peak,
        "peak_stage": worst.name,
        "peak_phase": worst.peak_phase.phase,
        "capacity_bytes": capacity,
        "fits": None if capacity is None else bool(fits(peak, capacity)),
        "verdict": None if capacity is None else verdict_of(solved.interval, capacity),
        "left_bytes": None if capacity is None else int(USABLE_SHARE * capacity) - peak,
        "intervals": {"peak_bytes": solved.interval._asdict()},
        "phases": rows,
        "stages": [
            {"stage": stage.name, "peak_bytes": int(stage.peak_bytes), "peak_phase": stage.peak_phase.phase} for stage in solved.stages
        ],
        "stage": parts_of(run, worst),
        "optimizer_bytes": rows[0]["optimizer_bytes"],
        "activations": activations_of(run, solved.stages),
        "levers": [one._asdict() for one in levers(run, solved.options)],
    }
    return result | ({} if solved.inverse is None else {"inverse": solved.inverse._asdict()})


def phase_row(phase: Phase) -> dict[str, Any]:
    """A phase as whole bytes."""
    parts = {f"{part}_bytes": int(getattr(phase, f"{part}_bytes")) for part in (*PARTS, "other")}
    return {"phase": phase.phase, **parts, "total_bytes": sum(parts.values())}


def parts_of(run: Setup, worst: Stage) -> dict[str, int]:
    """What the bytes of the fullest stage are made of."""
    parts = worst.parts
    place = next(place for place in places(run.bill, run.layout, run.run.stack.placement) if place.name == worst.name)
    found = {
        "n_layers": sum(count for _, count in place.counts),
        "n_params": parts.held.params,
        "n_trainable_params": parts.held.trainable,
        "n_expert_params": parts.held.experts.params,
        "optimizer_state_bytes": parts.held.dense.states,
        "expert_optimizer_state_bytes": parts.held.experts.states,
        "micro_batch_bytes": parts.micro_batch,
        "micro_batches_in_flight": parts.in_flight,
        "loss_bytes": parts.loss,
        "loss_gradient_bytes": parts.loss_gradient,
        "recomputed_bytes": parts.recomputed,
        "gathered_bytes": parts.gathered,
        "unreduced_gradients_bytes": parts.unreduced,
        "tp_buffers_bytes": parts.tp_buffers,
        "context_bytes": parts.context,
        "communicators_bytes": parts.communicators,
        "buckets_bytes": parts.buckets,
    }
    return {name: int(value) for name, value in found.items()}


def activations_of(run: Setup, stages: list[Stage]) -> dict[str, Any]:
    """Bytes of one layer and one micro-batch on one device, and outside the layers on the stage with the head."""
    how, layout = run.run, run.layout
    split = Split(layout.tp, layout.cp, layout.sequence_parallel)
    kinds = [
        {"kind": layer.kind, "n_layers": layer.runs, "bytes": int(layer_bytes(layer, how.how, how.batch, how.precision, split))}
        for layer in block_layers(run.bill)
    ]
    return {"per_layer_bytes": kinds[0]["bytes"], "outside_layers_bytes": int(stages[-1].parts.loss), "kinds": kinds}


# -------------------------------------------------------------------------------------------------------------------- views


def phases_table(rows: list[dict[str, Any]], worst: Stage, layout: Layout) -> Table:
    """Each phase with its parts."""
    columns = [Column("phase", "phase"), *(Column(f"{part}_bytes", part, "bytes") for part in (*PARTS, "other", "total"))]
    return Table(f"One device of the {worst.name} stage, {layout.spelled()}", columns, rows)


def savings_table(found: list[dict[str, Any]]) -> Table:
    """Changes that lower the peak, most first."""
    columns = [
        Column("change", "change"),
        Column("saved_bytes", "saves", "bytes"),
        Column("peak_bytes", "peak", "bytes"),
        Column("cost", "costs"),
    ]
    return Table("What would free memory", columns, found)


def parts_table(parts: dict[str, int]) -> Table:
    """What the stage is made of, shown where numbers are explained."""
    rows = [
        {"part": name.removesuffix("_bytes").replace("_", " "), "value": value, "unit": "bytes" if name.endswith("_bytes") else "int"}
        for name, value in parts.items()
        if value
    ]
    return Table("Parts of that stage", [Column("part", "part"), Column("value", "value", "own")], rows, detail=True)


def choice_notes(choice: Choice | None) -> list[str]:
    """The layout that was chosen, and by how much simpler ones do not fit."""
    if choice is None:
        return []
    nearest = [choice.simpler[0], *choice.simpler[1:][-2:]] if choice.simpler else []  # the simplest, and those that lack least
    lacks = "; ".join(f"{one.layout.spelled()} needs {show_bytes(one.lacks_bytes)} more" for one in nearest)
    return [f"No {field('layout')}: using {choice.layout.spelled()}" + (f". {lacks}." if lacks else ", the simplest.")]


def verdict_notes(result: dict[str, Any], device: Device | None) -> list[str]:
    """Where the peak is, and whether it fits."""
    stage = f", on the {result['peak_stage']} pipeline stage" if len(result["stages"]) > 1 else ""
    where = f"{NAMES[result['peak_phase']]}{stage}"
    peak = show_bytes(result["peak_bytes"])
    notes = [f"Peak memory: {peak} per device, {where} ({counted(result['n_devices'], 'device')})."]
    if device is None:
        return notes
    left, most = result["left_bytes"], show_bytes(int(USABLE_SHARE * device.capacity_bytes))
    usable = f"{peak} of {most} usable ({USABLE_SHARE:.0%} of {show_bytes(device.capacity_bytes)})"
    if result["fits"]:
        notes.append(f"Fits {device.shown}: {usable}, {show_bytes(left)} headroom.")
    else:
        notes.append(f"Does not fit {device.shown}: {usable}, {show_bytes(-left)} too much.")
    return notes


def beyond_the_model(bill: Bill, inverse: Found | None) -> list[Caution]:
    """A length that the device holds and the model does not take."""
    most = bill.arch.max_seq_len
    if inverse is None or most is None or inverse.quantity != "seq-len" or (inverse.value or 0) <= most:
        return []
    message = f"a device holds {inverse.value:,} tokens; the model takes sequences of at most {most:,}"
    return [Caution("extrapolation", message, {"factor": (inverse.value or 0) / most})]


def schedule_cautions(run: Setup) -> list[Caution]:
    """Schedules that are known from their papers only."""
    if run.run.schedule not in OF_PAPERS:
        return []
    message = f"in-flight micro-batches for {run.run.schedule} follow the paper's formula; not validated against measurements"
    return [Caution("estimate", message)]
