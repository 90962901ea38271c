"""The answer of `scaleplan memory` under a layout: phases of a step, what would free memory, inverse questions."""

from __future__ import annotations

import math
from typing import Any

from scaleplan.answer import Answer, Caution, Column, Line, Table
from scaleplan.chain.default_layout import Choice, fewest_for_training
from scaleplan.chain.levers import levers
from scaleplan.chain.memory import Setup, Wishes, training_setup
from scaleplan.chain.memory_inverse import Found, find
from scaleplan.cli.memory_tables import FORMULA_SOURCES, PARTS, Room
from scaleplan.machine.activations import Split, block_layers, layer_bytes
from scaleplan.machine.layout import Layout
from scaleplan.machine.memory import USABLE_SHARE, Phase, Stage, fits, stage_parameters, units_of
from scaleplan.machine.peak_interval import verdict as judged
from scaleplan.machine.pipeline import places
from scaleplan.machine.schedules import in_flight
from scaleplan.model.items import Bill
from scaleplan.units import counted, show_bytes


def by_phase(
    bill: Bill,
    layout: Layout,
    wishes: Wishes,
    room: Room | None,
    asked: dict[str, Any],
    inverse: str | None = None,
    choice: Choice | None = None,
) -> Answer:
    """Phases of a step on the fullest stage of a layout, what would free memory, and the answer of an inverse question."""
    setup = training_setup(bill, layout, wishes)
    worst = setup.worst()
    peak, phase = int(worst.peak_bytes), worst.peak_phase
    rows = [phase_row(one) for one in worst.phases]
    result: dict[str, Any] = {
        "activations": layout_activations(setup),
        "optimizer_bytes": rows[0]["optimizer_bytes"],
        "phases": rows,
        "stages": [
            {"stage": stage.name, "peak_bytes": int(stage.peak_bytes), "peak_phase": stage.peak_phase.phase} for stage in setup.stages()
        ],
        "layout": layout.spelled(),
        "simpler": [] if choice is None else [{**one._asdict(), "layout": one.layout.spelled()} for one in choice.simpler],
        "peak_stage": worst.name,
        "peak_phase": phase.phase,
        "peak_bytes": peak,
        "capacity_bytes": room and room[1],
        "fits": None if room is None else bool(fits(peak, room[1])),
        "intervals": {"peak_bytes": setup.peak_interval()._asdict()},
        "verdict": None if room is None else judged(setup.peak_interval(), room[1]),
        "left_bytes": None if room is None else int(USABLE_SHARE * room[1]) - peak,
        "n_devices": int(layout.n_devices),
        "global_batch_size_seqs": setup.global_batch_size_seqs,
        "levers": [lever._asdict() for lever in levers(setup, wishes)],
    }
    if inverse is not None and room is not None:
        result["inverse"] = find(inverse, bill, layout, wishes, room[1])._asdict()
    lines = phase_lines(setup, worst, result)
    return Answer(
        "memory",
        asked,
        result,
        [phases_table(rows, worst, layout), levers_table(result["levers"])],
        lines,
        warnings=[*cautions(setup), *beyond_the_model(bill, result.get("inverse"))],
        notes=[*simpler_notes(choice), *verdict(result, room), *inverse_notes(result.get("inverse"))],
        more_sources=[*FORMULA_SOURCES, *setup.run.stack.sources],
    )


def fewest_devices(bill: Bill, wishes: Wishes, room: Room, asked: dict[str, Any], n_per_node: int) -> Answer:
    """The fewest devices on which one of the usual layouts fits; the phases are those of that layout."""
    found = fewest_for_training(bill, wishes, room[1], n_per_node)
    choice = None if found is None else found[1]
    layout = Layout() if choice is None else choice.layout
    answer = by_phase(bill, layout, wishes, room, asked, None, choice)
    inverse = Found("n-devices", found and found[0], choice and choice.peak_bytes)._asdict()
    return answer._replace(result={**answer.result, "inverse": inverse}, notes=[*answer.notes, *inverse_notes(inverse)])


def simpler_notes(choice: Choice | None) -> list[str]:
    """The layout that was chosen, and by how much simpler ones do not fit."""
    if choice is None:
        return []
    nearest = [choice.simpler[0], *choice.simpler[1:][-2:]] if choice.simpler else []  # the simplest, and those that lack least
    lacks = "; ".join(f"{one.layout.spelled()} needs {show_bytes(one.lacks_bytes)} more" for one in nearest)
    return [f"No layout given: {choice.layout.spelled()}" + (f". {lacks}." if lacks else ", the simplest.")]


def phase_row(phase: Phase) -> dict[str, Any]:
    """A phase as whole bytes."""
    parts = {f"{part}_bytes": int(getattr(phase, f"{part}_bytes")) for part in (*PARTS, "other")}
    return {"phase": phase.phase, **parts, "total_bytes": sum(parts.values())}


def layout_activations(setup: Setup) -> dict[str, Any]:
    """Bytes of one layer and one micro-batch on one device, and outside the layers on the stage with the head."""
    run, layout = setup.run, setup.layout
    split = Split(layout.tp, layout.cp, layout.sequence_parallel)
    forward, loss, *_ = setup.stages()[-1].phases
    return {
        "per_layer_bytes": int(layer_bytes(block_layers(setup.bill)[0], run.how, run.batch, run.precision, split)),
        "outside_layers_bytes": int(loss.activations_bytes - forward.activations_bytes),
    }


def phase_lines(setup: Setup, worst: Stage, result: dict[str, Any]) -> list[Line]:
    """What the worst stage keeps, each phase as the sum of its parts, and the peak as the largest."""
    lines = kept_lines(setup, worst)
    for number, row in enumerate(result["phases"]):
        parts = {part: row[f"{part}_bytes"] for part in (*PARTS, "other")}
        label = f"{row['phase']}, {worst.name} stage"
        total = row["total_bytes"]
        lines.append(Line(f"phases.{number}.total_bytes", label, total, "bytes", " + ".join(parts), parts, FORMULA_SOURCES, "estimate"))
    totals = {row["phase"]: row["total_bytes"] for row in result["phases"]}
    lines.append(Line("peak_bytes", "peak", result["peak_bytes"], "bytes", f"max({', '.join(totals)})", totals, (), "estimate"))
    return lines


def kept_lines(setup: Setup, worst: Stage) -> list[Line]:
    """Weights, gradients and layers' activations of the worst stage from what is on it."""
    bill, layout, run = setup.bill, setup.layout, setup.run
    place = next(place for place in places(bill, layout, run.stack.placement) if place.name == worst.name)
    units, forward = units_of(bill, layout, run), worst.phases[0]
    held = stage_parameters(bill, units, place)
    lines = []
    for part, n_params, each, from_stage in (
        ("weights", held.params, run.precision.weight_bytes, 3),
        ("gradients", held.trainable, run.precision.gradient_bytes, 2),
    ):
        shards = (layout.n_shards or layout.replicas) if layout.zero_stage >= from_stage else 1
        inputs = {"n_params_on_stage": int(n_params), "bytes_per_param": each, "n_shards": int(shards)}
        value, formula = int(getattr(forward, f"{part}_bytes")), "ceil(n_params_on_stage * bytes_per_param / n_shards)"
        known = math.ceil(n_params * each / shards) == value
        lines.append(
            Line(
                f"phases.0.{part}_bytes", part, value, "bytes", formula if known else None, inputs if known else None, ("rajbhandari2020",)
            )
        )
    once = sum(count * units.kept[index] for index, count in place.counts)
    waiting = in_flight(place.stage, layout, run.n_micro_batches, run.schedule)
    inputs = {"bytes_of_the_layers": int(once), "micro_batches_waiting": waiting / layout.n_virtual_stages}
    value, formula = int(forward.activations_bytes), "bytes_of_the_layers * micro_batches_waiting"
    known = run.recompute_every == 1
    label = f"activations of the layers, {worst.name} stage"
    lines.append(
        Line(
            "phases.0.activations_bytes",
            label,
            value,
            "bytes",
            formula if known else None,
            inputs if known else None,
            ("korthikanti2022",),
            "estimate",
        )
    )
    return lines


def phases_table(rows: list[dict[str, Any]], worst: Stage, layout: Layout) -> Table:
    columns = [Column("phase", "phase"), *(Column(f"{part}_bytes", part, "bytes") for part in (*PARTS, "other", "total"))]
    return Table(f"One device of the {worst.name} stage, {layout.spelled()}", columns, rows)


def verdict(result: dict[str, Any], room: Room | None) -> list[str]:
    """Where the peak is, and whether it fits."""
    where = f"`{result['peak_phase']}` on the {result['peak_stage']} stage"
    notes = [f"The worst moment is {where}: {show_bytes(result['peak_bytes'])} on each of {counted(result['n_devices'], 'device')}."]
    if room is not None:
        left = result["left_bytes"]
        how = f"it fits with {show_bytes(left)} to spare" if result["fits"] else f"it does not fit: {show_bytes(-left)} too much"
        notes.append(f"Of {show_bytes(room[1])} on {room[0]}, {USABLE_SHARE:.0%} is used at most: {how}.")
    return notes


def levers_table(found: list[dict[str, Any]]) -> Table:
    """Changes that lower the peak, most first."""
    columns = [
        Column("change", "change"),
        Column("saved_bytes", "saves", "bytes"),
        Column("peak_bytes", "peak", "bytes"),
        Column("cost", "costs"),
    ]
    return Table("What would free memory", columns, found)


def inverse_notes(inverse: dict[str, Any] | None) -> list[str]:
    """The answer of an inverse question in a sentence."""
    if inverse is None:
        return []
    if inverse["value"] is None:
        return [f"No {inverse['quantity']} fits."]
    word = "fewest" if inverse["quantity"] == "n-devices" else "largest"
    return [f"The {word} {inverse['quantity']} that fits is {inverse['value']:,}: {show_bytes(inverse['peak_bytes'])} a device."]


def beyond_the_model(bill: Bill, inverse: dict[str, Any] | None) -> list[Caution]:
    """A length that the device holds and the model does not take."""
    most = bill.arch.max_seq_len
    if inverse is None or most is None or inverse["quantity"] != "seq-len" or (inverse["value"] or 0) <= most:
        return []
    message = f"a device holds {inverse['value']:,} tokens; the model takes sequences of at most {most:,}"
    return [Caution("extrapolation", message, {"factor": inverse["value"] / most})]


def cautions(setup: Setup) -> list[Caution]:
    """Schedules that are known from their papers only."""
    if setup.run.schedule in ("zb1p", "dualpipe"):
        message = f"the micro-batches that wait under `{setup.run.schedule}` are those of its paper's formula; no measured run was at hand"
        return [Caution("estimate", message)]
    return []
