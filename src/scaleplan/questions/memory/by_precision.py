"""Training on one device that holds everything: each precision side by side, and which devices hold it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from scaleplan import library
from scaleplan.answer import Answer, Column, Line, Table, line
from scaleplan.chain.memory import Setup, Wishes, capacity_of, format_missing, stack_named, training_setup
from scaleplan.machine.activations import layer_bytes
from scaleplan.machine.layout import Layout
from scaleplan.machine.memory import USABLE_SHARE, Stage, peak_activations
from scaleplan.machine.peak_interval import verdict
from scaleplan.machine.recipe import optimizer_bytes
from scaleplan.machine.serving_formats import SERVING_FORMATS, served_weights_bytes
from scaleplan.model.adapters import adapted_bill
from scaleplan.model.items import Bill
from scaleplan.numeric import maximum
from scaleplan.questions.memory.lines import gradients_term, group_lines, optimizer_lines, served_line, tensors_line, weights_term
from scaleplan.questions.memory.setup import (
    FORMULA_SOURCES,
    PARTS,
    Device,
    completed,
    device_of,
    format_cautions,
    inputs_of,
    options_of,
    recipe_note,
)
from scaleplan.units import show_bytes
from scaleplan.wording import field

if TYPE_CHECKING:
    from scaleplan.questions.memory import ByPrecision

SIDE_BY_SIDE = ("fp32", "fp16-mixed", "bf16-mixed", "fp8")
SERVED_IN = ("fp32", "bf16", "int8", "int4")
RECOMPUTED = (("none", "eager"), ("selective", "eager"), ("none", "flash"), ("per-op", "flash"), ("full", "flash"))
"""Recomputation and attention kernel of the table of activations."""


class OneDevice(NamedTuple):
    """Training on one device: the run, its only stage, and the bytes of each part at the moment with most activations."""

    run: Setup
    stage: Stage
    weights_bytes: Any
    gradients_bytes: Any
    optimizer_bytes: Any
    layers_bytes: Any
    outside_layers_bytes: Any

    @property
    def activations_bytes(self) -> Any:
        """At the moment that has most of them."""
        return peak_activations(self.stage)

    @property
    def total_bytes(self) -> Any:
        """All parts, without what the device itself takes."""
        return self.weights_bytes + self.gradients_bytes + self.optimizer_bytes + self.activations_bytes

    @property
    def per_layer_bytes(self) -> Any:
        """What one layer of the first kind keeps for a micro-batch."""
        how = self.run.run
        return layer_bytes(self.run.bill.blocks()[0], how.how, how.batch, how.precision)


class Solved(NamedTuple):
    """Each precision, the usual one, the activations by recomputation, and the weights in each format of serving."""

    options: Wishes
    precisions: tuple[OneDevice, ...]
    usual: OneDevice
    recomputed: tuple[OneDevice, ...]
    served: dict[str, Any]


def solve(asked: ByPrecision) -> Solved:
    """Bytes of every part in every precision; sequence length and batch may be arrays."""
    options, bill = options_of(asked), adapted_bill(asked.model.arch, asked.lora)
    names = SIDE_BY_SIDE if asked.precision is None else (asked.precision,)
    found = {name: one_device(bill, options._replace(precision=name)) for name in names}
    usual = found.get(options.precision) or one_device(bill, options)
    again = tuple(one_device(bill, options._replace(recompute=how, attention=kernel, recompute_every=1)) for how, kernel in RECOMPUTED)
    served = {name: served_weights_bytes(bill, SERVING_FORMATS[name]) for name in SERVED_IN}
    return Solved(options, tuple(found.values()), usual, again, served)


def one_device(bill: Bill, options: Wishes) -> OneDevice:
    """Training on one device that holds the whole model."""
    run = training_setup(bill, Layout(), options)
    (stage,) = run.stages()
    parts = stage.parts
    outside = maximum(parts.loss, parts.loss_gradient + parts.recomputed)
    states = optimizer_bytes(bill, run.run.formats.optimizer, run.run.precision)
    return OneDevice(run, stage, parts.state.weights_bytes, parts.state.gradients_bytes, states, parts.layers, outside)


def explain(asked: ByPrecision, solved: Solved) -> Answer:
    """The answer for one model."""
    device, options, bill = device_of(asked), solved.options, solved.usual.run.bill
    stack = stack_named(options.stack)
    names = SIDE_BY_SIDE if asked.precision is None else (asked.precision,)
    rows = [row_of(name, one) for name, one in zip(names, solved.precisions, strict=True)]
    if device is not None:
        rows = [row | judged(one, device) for row, one in zip(rows, solved.precisions, strict=True)]
    served = [
        {"format": name, "bits_per_weight": SERVING_FORMATS[name].bits_per_weight, "weights_bytes": int(size)}
        for name, size in solved.served.items()
    ]
    devices = devices_that_hold(names, solved, served, device)
    kept = activations_of(solved)
    result = {
        "precisions": rows,
        "activations": kept,
        "optimizer_bytes": int(solved.usual.optimizer_bytes),
        "inference": served,
        "devices": devices,
    }
    answer = Answer(
        "memory",
        inputs_of(asked, **options._asdict()),
        result,
        [precision_table(rows, options), activations_table(kept), serving_table(served), devices_table(devices, names)],
        [*precisions_lines(bill, names, solved), *served_lines(bill, served)],
        notes=[*notes_of(options, stack.context_bytes, device), *recipe_note(options, solved.usual.run.run.precision)],
        more_sources=[*FORMULA_SOURCES, *stack.sources],
    )
    return completed(answer, asked, format_cautions(device, *(one.run.run.precision for one in solved.precisions)))


def judged(one: OneDevice, device: Device) -> dict[str, Any]:
    """Whether a device holds a precision: by the peak with all that the device itself takes, and by its interval.

    Unknown where the device has no arithmetic in it.
    """
    interval = one.run.peak_interval()
    if format_missing(device.data, one.run.run.precision) is not None:
        return {"fits": None, "verdict": None, "intervals": {"peak_bytes": interval._asdict()}}
    return {
        "fits": bool(device.room.holds(interval.p50)),
        "verdict": verdict(interval, device.capacity_bytes, device.usable_share),
        "intervals": {"peak_bytes": interval._asdict()},
    }


def notes_of(options: Wishes, context_bytes: int, device: Device | None) -> list[str]:
    """What the activations are of, and what fits."""
    step = f"batch of {options.micro_batch_size_seqs:,} x {options.seq_len:,} tokens, stack `{options.stack}`"
    share = USABLE_SHARE if device is None else device.usable_share
    others = ", ".join(field(name) for name in ("batch_size_seqs", "seq_len", "stack", "recompute"))
    return [
        f"Activations: {step}, recomputation `{options.recompute}`; override with {others}.",
        f'"Fits" means peak memory, {show_bytes(context_bytes)} of CUDA context included, is at most {share:.0%} of device memory.',
    ]


def row_of(name: str, one: OneDevice) -> dict[str, Any]:
    """One precision in `result.precisions`."""
    return {
        "precision": name,
        **{f"{part}_bytes": int(getattr(one, f"{part}_bytes")) for part in PARTS},
        "layers_bytes": int(one.layers_bytes),
        "outside_layers_bytes": int(one.outside_layers_bytes),
        "total_bytes": int(one.total_bytes),
        "peak_bytes": one.run.peak_bytes(),
    }


def activations_of(solved: Solved) -> dict[str, Any]:
    """Bytes of one layer (the first kind), outside the layers at the loss, of each kind, and of the model by recomputation."""
    usual = solved.usual
    how = usual.run.run
    return {
        "per_layer_bytes": int(usual.per_layer_bytes),
        "outside_layers_bytes": int(usual.stage.parts.loss),
        "kinds": [
            {"kind": layer.kind, "n_layers": layer.runs, "bytes": int(layer_bytes(layer, how.how, how.batch, how.precision))}
            for layer in usual.run.bill.blocks()
        ],
        "by_recompute": [
            {
                "recompute": recompute,
                "attention": kernel,
                "per_layer_bytes": int(one.per_layer_bytes),
                "activations_bytes": int(one.activations_bytes),
            }
            for (recompute, kernel), one in zip(RECOMPUTED, solved.recomputed, strict=True)
        ],
    }


# --------------------------------------------------------------------------------------------------------------------- lines


def precisions_lines(bill: Bill, names: Sequence[str], solved: Solved) -> Iterator[Line]:
    """Where the numbers of each precision come from."""
    if any(one.run.run.precision.counts_steps for one in solved.precisions):
        yield tensors_line(bill)
    for number, (name, one) in enumerate(zip(names, solved.precisions, strict=True)):
        yield from precision_lines(name, one, f"precisions.{number}")


def precision_lines(name: str, one: OneDevice, key: str) -> Iterator[Line]:
    """Where the numbers of one precision come from."""
    formats, held = one.run.run.formats, one.stage.parts.held
    precision, row = formats.precision, row_of(name, one)
    whole = held.dense.plus(held.experts)
    weights, gradients = weights_term(whole, formats), gradients_term(whole, precision)
    cited: dict[str, Any] = {"sources": precision.sources}
    yield line(f"{key}.weights_bytes", f"{name}: weights", row["weights_bytes"], "bytes", weights.formula, **cited, **weights.inputs)
    formula = gradients.formula
    yield line(f"{key}.gradients_bytes", f"{name}: gradients", row["gradients_bytes"], "bytes", formula, **cited, **gradients.inputs)
    label = f"{name}: {formats.optimizer.name}"
    yield from optimizer_lines(one.run.bill, formats.optimizer, precision, f"{key}.optimizer_bytes", label, row["optimizer_bytes"])
    kept = {part: row[part] for part in ("layers_bytes", "outside_layers_bytes")}
    yield estimate(f"{key}.activations_bytes", f"{name}: activations", row["activations_bytes"], kept, ("korthikanti2022",))
    yield estimate(f"{key}.total_bytes", f"{name}: total", row["total_bytes"], {f"{part}_bytes": row[f"{part}_bytes"] for part in PARTS})


def estimate(key: str, label: str, value: int, parts: dict[str, Any], sources: tuple[str, ...] = ()) -> Line:
    """A sum that is as sure as an estimate."""
    return line(key, label, value, "bytes", " + ".join(parts), sources=sources, standing="estimate", **parts)


def served_lines(bill: Bill, served: Sequence[dict[str, Any]]) -> Iterator[Line]:
    """Weights in each format of serving."""
    grouped = {(one.group): one for row in served if (one := SERVING_FORMATS[row["format"]]).group}
    for stored in grouped.values():
        yield from group_lines(bill, stored, "inference." if len(grouped) == 1 else f"inference.g{stored.group}.")
    for number, row in enumerate(served):
        label, stored = f"{row['format']}: weights while serving", SERVING_FORMATS[row["format"]]
        yield served_line(bill, stored, f"inference.{number}.weights_bytes", label, row["weights_bytes"])


# ------------------------------------------------------------------------------------------------------------------- devices


def devices_that_hold(
    names: Sequence[str], solved: Solved, served: Sequence[dict[str, Any]], device: Device | None
) -> list[dict[str, Any]]:
    """Which devices hold training in each precision that they compute in, and the weights in each format of serving; smallest first."""
    train = {name: (one.run.run.precision, one.run.peak_bytes()) for name, one in zip(names, solved.precisions, strict=True)}
    context = solved.usual.run.run.stack.context_bytes
    serve = {row["format"]: row["weights_bytes"] + context for row in served}
    found = [device] if device is not None else list(every_device())
    return [
        {
            "device": one.shown,
            "capacity_bytes": one.capacity_bytes,
            "training": [kind for kind, (how, size) in train.items() if one.room.holds(size) and format_missing(one.data, how) is None],
            "inference": [kind for kind, size in serve.items() if one.room.holds(size)],
        }
        for one in sorted(found, key=lambda one: (one.capacity_bytes, one.shown))
    ]


def every_device() -> Iterator[Device]:
    """Every device preset that says how much memory it has."""
    for preset in library.all_of("hardware"):
        if "memory" in preset.data:
            yield Device(preset.name, capacity_of(preset.data, preset.name), preset.data)


# -------------------------------------------------------------------------------------------------------------------- tables


def precision_table(rows: Sequence[dict[str, Any]], options: Wishes) -> Table:
    """Parts by precision, and whether they fit."""
    columns = [Column("precision", "precision"), *(Column(f"{part}_bytes", part, "bytes") for part in (*PARTS, "total"))]
    if rows and "fits" in rows[0]:
        columns += [Column("peak_bytes", "peak", "bytes"), Column("verdict", "verdict")]
    return Table(f"Training with {options.optimizer} on one device", columns, rows)


def activations_table(kept: dict[str, Any]) -> Table:
    """Activations by recomputation."""
    columns = [
        Column("recompute", "recomputation"),
        Column("attention", "attention"),
        Column("per_layer_bytes", "a layer", "bytes"),
        Column("activations_bytes", "all", "bytes"),
    ]
    return Table("Activations", columns, kept["by_recompute"])


def serving_table(served: Sequence[dict[str, Any]]) -> Table:
    """Weights by format of serving."""
    columns = [Column("format", "format"), Column("bits_per_weight", "bits a weight", ""), Column("weights_bytes", "weights", "bytes")]
    return Table("Weights while serving", columns, served)


def devices_table(devices: Sequence[dict[str, Any]], names: Sequence[str]) -> Table:
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


def shortened(names: Sequence[str], shown: int = 1) -> str:
    """The first name, the smallest device, and how many more there are."""
    more = len(names) - shown
    return ", ".join(names[:shown]) + (f" and {more} more" if more > 0 else "")


def fitting(found: Sequence[str], among: Sequence[str]) -> str:
    """Names that fit, in few words."""
    return "all" if len(found) == len(among) else ", ".join(found) or "none"
