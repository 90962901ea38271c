"""Lines of `memory` under a layout: each part of the fullest stage by its formula, each phase as the sum of its parts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from scaleplan.answer import Line, line
from scaleplan.chain.memory import Setup
from scaleplan.machine.held import Held
from scaleplan.machine.layout import SHARDS_GRADIENTS, SHARDS_OPTIMIZER, SHARDS_WEIGHTS
from scaleplan.machine.memory import Stage
from scaleplan.numeric import maximum
from scaleplan.questions.memory.lines import Term, gradients_term, over_ranks, together, weights_term
from scaleplan.questions.memory.setup import FORMULA_SOURCES, PARTS

ZERO_OF = {"weights": SHARDS_WEIGHTS, "gradients": SHARDS_GRADIENTS, "optimizer": SHARDS_OPTIMIZER}
"""The stage of ZeRO from which a part is divided."""
KEPT = {"forward": (), "loss": ("loss_bytes",), "backward": ("loss_gradient_bytes", "recomputed_bytes")}
"""What a phase keeps beside the layers' activations."""
STILL = ("context_bytes", "communicators_bytes", "buckets_bytes")
PASSING = ("gathered_bytes", "tp_buffers_bytes")


def phase_lines(run: Setup, worst: Stage, result: Mapping[str, Any]) -> list[Line]:
    """What the fullest stage keeps, each phase as the sum of its parts, and the peak as the largest."""
    lines = [*state_lines(run, worst, result), *activations_lines(run, result)]
    for number, row in enumerate(result["phases"]):
        parts = {f"{part}_bytes": row[f"{part}_bytes"] for part in (*PARTS, "other")}
        lines.append(other_line(run, result, number))
        label = f"{row['phase']}, {worst.name} stage"
        total = " + ".join(parts)
        key = f"phases.{number}.total_bytes"
        lines.append(line(key, label, row["total_bytes"], "bytes", total, sources=FORMULA_SOURCES, standing="estimate", **parts))
    totals = {row["phase"]: row["total_bytes"] for row in result["phases"]}
    peak = f"max({', '.join(totals)})"
    lines.append(line("peak_bytes", "peak", result["peak_bytes"], "bytes", peak, standing="estimate", **totals))
    return lines


# ------------------------------------------------------------------------------------------------------------------- state


def state_lines(run: Setup, worst: Stage, result: Mapping[str, Any]) -> Iterator[Line]:
    """Weights, gradients and optimizer states of the stage."""
    row, offload = result["phases"][0], run.run.offload
    for part in ZERO_OF:
        at_host = (part == "optimizer" and offload != "none") or (part == "weights" and row["weights_bytes"] == 0)
        key, label, value = f"phases.0.{part}_bytes", f"{part}, {worst.name} stage", row[f"{part}_bytes"]
        if at_host:
            yield line(key, f"{label} (in host memory)", value, "bytes")
            continue
        term = state_term(run, worst, part)
        yield line(key, label, value, "bytes", term.formula, sources=run.run.precision.sources, **term.inputs)


def state_term(run: Setup, worst: Stage, part: str) -> Term:
    """One part of the state: dense parameters, and experts over the ranks that ZeRO has left for them."""
    layout, held = run.layout, worst.parts.held
    dense = over_ranks(part_term(run, held.dense, part), layout.shards if layout.zero_stage >= ZERO_OF[part] else 1)
    if held.experts.params == 0:
        return dense
    ranks = maximum(1, layout.shards // layout.ep) if layout.zero_stage >= ZERO_OF[part] else 1
    return together(dense, over_ranks(part_term(run, held.experts, part, "expert_"), ranks, "expert_"))


def part_term(run: Setup, held: Held, part: str, kind: str = "") -> Term:
    """One part of the state of one kind of parameters before ZeRO divides it."""
    if part == "weights":
        return weights_term(held, run.run.formats, kind)
    if part == "gradients":
        return gradients_term(held, run.run.precision, kind)
    return Term(f"{kind}optimizer_state_bytes", {f"{kind}optimizer_state_bytes": held.states})


# ------------------------------------------------------------------------------------------------------------- activations


def activations_lines(run: Setup, result: Mapping[str, Any]) -> Iterator[Line]:
    """Activations of each phase: the layers' for all micro-batches in flight, and what the phase adds."""
    parts, phases = result["stage"], result["phases"]
    inputs = {name: parts[name] for name in ("micro_batch_bytes", "micro_batches_in_flight")}
    formula = " * ".join(inputs)
    if run.layout.n_virtual_stages > 1:
        formula = f"floor({formula} / n_virtual_stages)"
        inputs |= {"n_virtual_stages": run.layout.n_virtual_stages}
    cited: dict[str, Any] = {"sources": ("korthikanti2022",), "standing": "estimate"}
    yield from micro_batch_line(run, result)
    for number, row in enumerate(phases):
        if row["phase"] == "forward":
            label = "activations of the layers"
            yield line("phases.0.activations_bytes", label, row["activations_bytes"], "bytes", formula, **cited, **inputs)
        elif row["phase"] in KEPT:
            added = {name: parts[name] for name in KEPT[row["phase"]] if parts[name]}
            kept = {"layers_bytes": phases[0]["activations_bytes"], **added}
            key, label = f"phases.{number}.activations_bytes", f"activations, {row['phase']}"
            yield line(key, label, row["activations_bytes"], "bytes", " + ".join(kept), **cited, **kept)


def micro_batch_line(run: Setup, result: Mapping[str, Any]) -> Iterator[Line]:
    """What the layers of the stage keep for one micro-batch, where all layers are alike."""
    parts, kinds = result["stage"], result["activations"]["kinds"]
    if len(kinds) > 1:
        return
    inputs = {"n_layers": parts["n_layers"], "per_layer_bytes": kinds[0]["bytes"]}
    formula = "n_layers * per_layer_bytes"
    if run.run.how.recompute == "full" and run.run.recompute_every > 1:
        formula, inputs = f"ceil({formula} / recompute_every)", inputs | {"recompute_every": run.run.recompute_every}
    label = "activations of the layers, one micro-batch"
    cited = {"sources": ("korthikanti2022",), "standing": "estimate"}
    yield Line("stage.micro_batch_bytes", label, parts["micro_batch_bytes"], "bytes", formula, inputs, **cited)  # type: ignore[arg-type]  # mixed


# ------------------------------------------------------------------------------------------------------------------- other


def other_line(run: Setup, result: Mapping[str, Any], number: int) -> Line:
    """What a phase needs beside state and activations, and what the allocator holds beyond what passes."""
    row, parts = result["phases"][number], result["stage"]
    phase = row["phase"]
    still = {name: parts[name] for name in STILL if parts[name]}
    key, label, value = f"phases.{number}.other_bytes", f"other, {phase}", row["other_bytes"]
    if phase == "optimizer":
        return line(key, label, value, "bytes", " + ".join(still) or "0", standing="estimate", **still)
    names = (*PASSING, "unreduced_gradients_bytes") if phase == "backward" else PASSING
    passing = {name: parts[name] for name in names if parts[name]}
    formula, inputs = " + ".join([*still, *passing]), {**still, **passing}
    permille = round(1000 * run.run.stack.fragments)
    if permille:
        freed = " + ".join(["activations_bytes", *passing])
        formula = " + ".join([*([formula] if formula else []), f"floor({permille} * ({freed}) / 1000)"])
        inputs |= {"activations_bytes": row["activations_bytes"]}
    return line(key, label, value, "bytes", formula or "0", standing="estimate", **inputs)
