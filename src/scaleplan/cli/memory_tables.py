"""The answer of `scaleplan memory` without a layout: one device that holds everything, side by side by precision."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from scaleplan import library
from scaleplan.answer import Answer, Column, Line, Table
from scaleplan.chain.memory import Setup, Wishes, capacity_of, stack_named, training_setup
from scaleplan.machine.activations import block_layers, layer_bytes
from scaleplan.machine.layout import Layout
from scaleplan.machine.memory import USABLE_SHARE, fits, peak_activations
from scaleplan.machine.recipe import Precision, device_lacks, optimizer_bytes, optimizer_named
from scaleplan.machine.serving_formats import SERVING_FORMATS, served_weights_bytes
from scaleplan.machine.stack import Stack
from scaleplan.model.items import Bill
from scaleplan.units import show_bytes

SIDE_BY_SIDE = ("fp32", "fp16-mixed", "bf16-mixed", "fp8")
SERVED_IN = ("fp32", "bf16", "int8", "int4")
ROOM_ROWS = (("none", "eager"), ("selective", "eager"), ("none", "flash"), ("per-op", "flash"), ("full", "flash"))
"""Recomputation and attention kernel of the table of activations."""

PARTS = ("weights", "gradients", "optimizer", "activations")
FORMULA_SOURCES = ("korthikanti2022", "rajbhandari2020")
Room = tuple[str, int]


# ------------------------------------------------------------------------------------------------------------ by precision


def by_precision(bill: Bill, wishes: Wishes, precision: str | None, room: Room | None, asked: dict[str, Any]) -> Answer:
    """One device that holds everything: weights, gradients, optimizer and activations for each precision."""
    stack = stack_named(wishes.stack)
    names = SIDE_BY_SIDE if precision is None else (precision,)
    rows: list[dict[str, Any]] = []
    lines: list[Line] = []
    for number, name in enumerate(names):
        row = precision_row(bill, wishes._replace(precision=name), stack)
        rows.append(row if room is None else row | {"fits": bool(fits(row["total_bytes"] + stack.context_bytes, room[1]))})
        lines += precision_lines(bill, wishes._replace(precision=name), stack, row, f"precisions.{number}")
    kept = activations_of(bill, wishes, stack)
    served = [
        {"format": name, "bits_per_weight": bits(name), "weights_bytes": served_weights_bytes(bill, SERVING_FORMATS[name])}
        for name in SERVED_IN
    ]
    devices = devices_that_hold(bill, wishes, stack, names, room)
    result = {
        "precisions": rows,
        "activations": kept,
        "optimizer_bytes": optimizer_bytes(bill, optimizer_named(wishes.optimizer), stack.precision(wishes.precision)),
        "inference": served,
        "devices": devices,
    }
    tables = [precision_table(rows, wishes), activations_table(kept), serving_table(served), devices_table(devices, names)]
    lines += [served_line(bill, number, row) for number, row in enumerate(served)]
    notes = [
        f"Activations are those of a batch of {wishes.micro_batch_size_seqs:,} x {wishes.seq_len:,} tokens, stack `{stack.name}`, "
        f"recomputation `{wishes.recompute}`; --batch-size-seqs, --seq-len, --stack and --recompute give others.",
        f"A device fits what takes at most {USABLE_SHARE:.0%} of its memory, {show_bytes(stack.context_bytes)} of context included.",
    ]
    sources = [*FORMULA_SOURCES, *stack.sources]
    return Answer("memory", asked, result, tables, lines, notes=notes, more_sources=sources)


def precision_row(bill: Bill, wishes: Wishes, stack: Stack) -> dict[str, Any]:
    """Bytes of one precision on one device, without what the device itself takes."""
    setup = training_setup(bill, Layout(), wishes, stack)
    held = setup.stages()[0].phases[0]
    row = {
        "precision": wishes.precision,
        "weights_bytes": int(held.weights_bytes),
        "gradients_bytes": int(held.gradients_bytes),
        "optimizer_bytes": optimizer_bytes(bill, setup.run.formats.optimizer, setup.run.precision),
        "activations_bytes": all_activations(setup),
    }
    return row | {"total_bytes": sum(row[f"{part}_bytes"] for part in PARTS)}


def all_activations(setup: Setup) -> int:
    """What one micro-batch keeps on one device that holds the whole model, at the worst moment."""
    return int(peak_activations(setup.stages()[0]))


def outside_layers(setup: Setup) -> int:
    """What is kept outside the layers at the loss."""
    forward, loss, *_ = setup.stages()[0].phases
    return int(loss.activations_bytes - forward.activations_bytes)


def precision_lines(bill: Bill, wishes: Wishes, stack: Stack, row: dict[str, Any], key: str) -> Iterator[Line]:
    """Where the numbers of one precision come from."""
    precision: Precision = stack.precision(wishes.precision)
    n = bill.n_params()
    each = {"n_params": n, "bytes_per_param": row["weights_bytes"] / n}
    name = wishes.precision
    yield Line(
        f"{key}.weights_bytes", f"{name}: weights", row["weights_bytes"], "bytes", "n_params * bytes_per_param", each, precision.sources
    )
    trainable = {"n_trainable_params": bill.n_params(lambda w: w.trainable), "bytes_per_param": precision.gradient_bytes}
    formula = "n_trainable_params * bytes_per_param"
    yield Line(f"{key}.gradients_bytes", f"{name}: gradients", row["gradients_bytes"], "bytes", formula, trainable, precision.sources)
    per_param = {"n_params": n, "bytes_per_param": row["optimizer_bytes"] / n}
    yield Line(
        f"{key}.optimizer_bytes",
        f"{name}: {wishes.optimizer}",
        row["optimizer_bytes"],
        "bytes",
        "n_params * bytes_per_param",
        per_param,
        precision.sources,
    )
    layers = layer_parts(bill, wishes, stack)
    outside = row["activations_bytes"] - sum(layers)
    inputs = {"layers_bytes": layers, "outside_layers_bytes": outside}
    formula = "sum(layers_bytes) + outside_layers_bytes"
    label = f"{name}: activations"
    yield Line(f"{key}.activations_bytes", label, row["activations_bytes"], "bytes", formula, inputs, ("korthikanti2022",), "estimate")
    parts = {part: row[f"{part}_bytes"] for part in PARTS}
    yield Line(f"{key}.total_bytes", f"{name}: total", row["total_bytes"], "bytes", " + ".join(parts), parts)


def layer_parts(bill: Bill, wishes: Wishes, stack: Stack) -> list[int]:
    """Bytes that each kind of layer keeps, all its layers together."""
    setup = training_setup(bill, Layout(), wishes, stack)
    run = setup.run
    return [layer.runs * layer_bytes(layer, run.how, run.batch, run.precision) for layer in block_layers(bill)]


def activations_of(bill: Bill, wishes: Wishes, stack: Stack) -> dict[str, Any]:
    """Bytes of one layer (the first kind) and outside the layers, and of the whole model by recomputation."""
    setup = training_setup(bill, Layout(), wishes, stack)
    run, layers = setup.run, block_layers(bill)
    result: dict[str, Any] = {
        "per_layer_bytes": layer_bytes(layers[0], run.how, run.batch, run.precision),
        "outside_layers_bytes": outside_layers(setup),
    }
    if len(layers) > 1:
        result["kinds"] = [
            {"kind": layer.kind, "n_layers": layer.runs, "bytes": layer_bytes(layer, run.how, run.batch, run.precision)} for layer in layers
        ]
    result["by_recompute"] = [recompute_row(bill, wishes._replace(recompute=how, attention=kernel), stack) for how, kernel in ROOM_ROWS]
    return result


def recompute_row(bill: Bill, wishes: Wishes, stack: Stack) -> dict[str, Any]:
    """Activations of the whole model under one recomputation and attention kernel."""
    setup = training_setup(bill, Layout(), wishes, stack)
    per_layer = layer_bytes(block_layers(bill)[0], setup.run.how, setup.run.batch, setup.run.precision)
    return {
        "recompute": wishes.recompute,
        "attention": wishes.attention,
        "per_layer_bytes": per_layer,
        "activations_bytes": all_activations(setup),
    }


def bits(name: str) -> float:
    """Bits of a weight of the blocks, its share of the scales included."""
    return SERVING_FORMATS[name].bits_per_weight


def served_line(bill: Bill, number: int, row: dict[str, Any]) -> Line:
    """Weights while serving."""
    inputs = {"n_params": bill.n_params(), "mean_bits_per_weight": 8 * row["weights_bytes"] / bill.n_params()}
    source = ("frantar2022",) if row["format"] in ("int4", "int8") else ()
    return Line(
        f"inference.{number}.weights_bytes",
        f"{row['format']}: served weights",
        row["weights_bytes"],
        "bytes",
        "n_params * mean_bits_per_weight / 8",
        inputs,
        source,
    )


def devices_that_hold(bill: Bill, wishes: Wishes, stack: Stack, names: tuple[str, ...], room: Room | None) -> list[dict[str, Any]]:
    """Which devices hold training in each precision, and the weights served in each format; smallest first."""
    train = {name: precision_row(bill, wishes._replace(precision=name), stack)["total_bytes"] + stack.context_bytes for name in names}
    serve = {name: served_weights_bytes(bill, SERVING_FORMATS[name]) + stack.context_bytes for name in SERVED_IN}
    found = [(*room, {})] if room is not None else list(every_device())
    return [
        {
            "device": name,
            "capacity_bytes": capacity,
            "training": [
                kind for kind, size in train.items() if fits(size, capacity) and not (peaks and device_lacks(stack.precision(kind), peaks))
            ],
            "inference": [kind for kind, size in serve.items() if fits(size, capacity)],
        }
        for name, capacity, peaks in sorted(found, key=lambda device: (device[1], device[0]))
    ]


def every_device() -> Iterator[tuple[str, int, dict[str, Any]]]:
    """Name, memory and dense rates of every device preset."""
    for preset in library.all_of("hardware"):
        if "memory" in preset.data:
            yield preset.name, capacity_of(preset.data, preset.name), preset.data.get("peak_flops_per_s", {})


def precision_table(rows: list[dict[str, Any]], wishes: Wishes) -> Table:
    columns = [Column("precision", "precision"), *(Column(f"{part}_bytes", part, "bytes") for part in (*PARTS, "total"))]
    if rows and "fits" in rows[0]:
        columns.append(Column("fits", "fits"))
    return Table(f"Training with {wishes.optimizer} on one device", columns, rows)


def activations_table(kept: dict[str, Any]) -> Table:
    columns = [
        Column("recompute", "recomputation"),
        Column("attention", "attention"),
        Column("per_layer_bytes", "a layer", "bytes"),
        Column("activations_bytes", "all", "bytes"),
    ]
    return Table("Activations", columns, kept["by_recompute"])


def serving_table(served: list[dict[str, Any]]) -> Table:
    columns = [Column("format", "format"), Column("bits_per_weight", "bits a weight", ""), Column("weights_bytes", "weights", "bytes")]
    return Table("Weights while serving", columns, served)


def devices_table(devices: list[dict[str, Any]], names: tuple[str, ...]) -> Table:
    """Devices that hold the same share a row, from the smallest memory on."""
    groups: dict[Any, list[dict[str, Any]]] = {}
    for row in devices:
        groups.setdefault((*row["training"], "|", *row["inference"]), []).append(row)
    rows = [
        {
            "capacity_bytes": alike[0]["capacity_bytes"],
            "training": fitting(alike[0]["training"], names),
            "inference": fitting(alike[0]["inference"], SERVED_IN),
            "device": shortened([row["device"] for row in alike]),
        }
        for alike in groups.values()
    ]
    columns = [
        Column("capacity_bytes", "memory from", "bytes"),
        Column("training", "holds training in"),
        Column("inference", "and weights in"),
        Column("device", "devices"),
    ]
    return Table("One device", columns, rows)


def shortened(names: list[str], shown: int = 1) -> str:
    """The first name, the smallest device, and how many more there are."""
    more = len(names) - shown
    return ", ".join(names[:shown]) + (f" and {more} more" if more > 0 else "")


def fitting(found: list[str], among: tuple[str, ...]) -> str:
    """Names that fit, in few words."""
    return "all" if len(found) == len(among) else ", ".join(found) or "none"
