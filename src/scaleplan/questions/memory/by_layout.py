"""Training under a layout: phases of a step on the fullest stage, what would free memory, and inverse questions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from scaleplan.answer import Answer, Caution, Column, Interval, Table
from scaleplan.chain.levers import levers
from scaleplan.chain.memory import Setup, Wishes, layout_on, training_setup
from scaleplan.machine.activations import Split, layer_bytes
from scaleplan.machine.layout import Layout
from scaleplan.machine.memory import Phase, Stage, fullest, offloaded_bytes
from scaleplan.machine.peak_interval import verdict as verdict_of
from scaleplan.machine.pipeline import places
from scaleplan.model.adapters import adapted_bill
from scaleplan.model.items import Bill
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
    recipe_note,
)
from scaleplan.questions.run_file import unused_notes
from scaleplan.units import counted, show_bytes
from scaleplan.wording import field

if TYPE_CHECKING:
    from scaleplan.chain.default_layout import Choice
    from scaleplan.chain.memory_inverse import Found
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
    interval: Interval
    device: Device | None
    inverse: Found | None
    choice: Choice | None


class Placed(NamedTuple):
    """What is priced: model, step and layout, at the answer of an inverse question where one was asked."""

    bill: Bill
    options: Wishes
    layout: Layout
    choice: Choice | None = None
    inverse: Found | None = None


def solve(asked: ByLayout) -> Solved:
    """Bytes by phase under a layout; the degrees of the layout, the sequence length and the batch may be arrays."""
    options, bill = options_of(asked), adapted_bill(asked.model.arch, asked.lora)
    device = device_of(asked)
    there = placed(asked, bill, options, device)
    run = training_setup(there.bill, there.layout, there.options)
    stages = run.stages()
    peak = fullest(stages)
    return Solved(there.options, run, stages, peak, run.peak_interval(), device, there.inverse, there.choice)


def placed(asked: ByLayout, bill: Bill, options: Wishes, device: Device | None) -> Placed:
    """The layout that was given; else the fastest that fits on so many devices, or the fewest; at the answer of an inverse question."""
    inverse = asked.largest is not None or asked.fewest is not None
    if device is None or (not inverse and (asked.layout is not None or asked.n_devices is None)):
        return Placed(bill, options, given_layout(asked))
    from scaleplan.questions.memory.searched import searched  # what searches layouts is not needed for one that was given

    return searched(asked, bill, options, device)


def given_layout(asked: ByLayout) -> Layout:
    """The layout with the layers of its stages, where they were given."""
    layout = layout_on(asked.layout, asked.n_devices)
    return layout if asked.stage_layers is None else layout._replace(stage_layers=tuple(asked.stage_layers))


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
        notes=[
            *unused_notes(asked.from_file),
            *choice_notes(solved.choice),
            *verdict_notes(result, solved.device),
            *step_notes(solved),
            *recipe_note(solved.options, run.run.precision),
        ],
        more_sources=[*FORMULA_SOURCES, *run.run.stack.sources],
    )
    return completed(answer, asked, format_cautions(solved.device, run.run.precision))


def result_of(solved: Solved, worst: Stage) -> dict[str, Any]:
    """The keys that other programs read."""
    run, peak = solved.run, int(solved.peak_bytes)
    room = None if solved.device is None else solved.device.room
    rows = [phase_row(one) for one in worst.phases]
    result = {
        "layout": run.layout.spelled(),
        "simpler": [] if solved.choice is None else [{**one._asdict(), "layout": one.layout.spelled()} for one in solved.choice.simpler],
        "n_devices": int(run.layout.n_devices),
        "global_batch_size_seqs": run.global_batch_size_seqs,
        "micro_batch_size_seqs": int(run.run.batch.n_seqs),
        "n_accumulation_steps": int(run.run.n_micro_batches),
        "peak_bytes": peak,
        "peak_stage": worst.name,
        "peak_phase": worst.peak_phase.phase,
        "capacity_bytes": None if room is None else room.capacity_bytes,
        "fits": None if room is None else bool(room.holds(peak)),
        "verdict": None if room is None else verdict_of(solved.interval, room.capacity_bytes, room.usable_share),
        "left_bytes": None if room is None else room.usable_bytes - peak,
        "intervals": {"peak_bytes": solved.interval._asdict()},
        "phases": rows,
        "stages": [
            {"stage": stage.name, "peak_bytes": int(stage.peak_bytes), "peak_phase": stage.peak_phase.phase} for stage in solved.stages
        ],
        "stage": parts_of(run, worst),
        "optimizer_bytes": rows[0]["optimizer_bytes"],
        "host_bytes": int(offloaded_bytes(run.bill, run.layout, run.run)),
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
        for layer in run.bill.blocks()
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
    why = "which lacks least" if not choice.fits else "the simplest that fits" if choice.step_s is None else "the fastest that fits"
    time = "" if choice.step_s is None else f" ({choice.step_s:.3g} s a step)"
    return [f"No {field('layout')}: using {choice.layout.spelled()}, {why}{time}." + (f" Simpler: {lacks}." if lacks else "")]


def step_notes(solved: Solved) -> list[str]:
    """What a step consists of, and what the host keeps."""
    run, options = solved.run, solved.options
    replicas, micro, rounds = int(run.layout.dp), int(run.run.batch.n_seqs), int(run.run.n_micro_batches)
    assumed = "" if options.global_batch_size_seqs is not None else f" (assumed; override with {field('global_batch_size_seqs')})"
    parts = f"{counted(replicas, 'replica')} x {micro:,} a micro-batch x {counted(rounds, 'accumulation step')}"
    notes = [f"Step: {counted(run.global_batch_size_seqs, 'sequence')} = {parts}{assumed}."]
    if options.offload != "none":
        host = int(offloaded_bytes(run.bill, run.layout, run.run))
        notes.append(f"Host memory: {show_bytes(host)} for each device ({field('offload')} {options.offload}).")
    return notes


def verdict_notes(result: dict[str, Any], device: Device | None) -> list[str]:
    """Where the peak is, how sure it is, and whether it fits."""
    stage = f", on the {result['peak_stage']} pipeline stage" if len(result["stages"]) > 1 else ""
    where = f"{NAMES[result['peak_phase']]}{stage}"
    peak, interval = show_bytes(result["peak_bytes"]), result["intervals"]["peak_bytes"]
    spread = f"80 % interval {show_bytes(int(interval['p10']))} to {show_bytes(int(interval['p90']))}"
    notes = [f"Peak memory: {peak} per device ({spread}), {where} ({counted(result['n_devices'], 'device')})."]
    return notes if device is None else [*notes, verdict_note(result, device)]


def verdict_note(result: dict[str, Any], device: Device) -> str:
    """The verdict in a sentence."""
    left = result["left_bytes"]
    room = f"{show_bytes(left)} headroom" if left >= 0 else f"{show_bytes(-left)} too much"
    median = "" if result["verdict"] != "unsure" else f"; the median {'fits' if result['fits'] else 'does not fit'}"
    word = {"fits": "Fits", "unsure": "Unsure whether it fits", "does not fit": "Does not fit"}[result["verdict"]]
    return f"{word} {device.shown}: {show_bytes(result['peak_bytes'])} of {device.usable}, {room}{median}."


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
