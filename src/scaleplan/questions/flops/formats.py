"""Training FLOP by the number format that the products work in; of int8 they are operations."""

from __future__ import annotations

from typing import Any

from scaleplan.answer import Line, line
from scaleplan.chain.compute import Compute, per_token
from scaleplan.machine.recipe import precision_named
from scaleplan.model.conventions import frozen_flops

WIDE = ("head_matrix", "head_transform", "router", "lora")
"""Groups of weights whose products stay in 16 bits in every recipe of narrow products."""


def format_lines(name: str | None, compute: Compute) -> list[Line]:
    """Training FLOP by the number format of the products: matrices of the layers in that of the recipe, all others in its activations'."""
    if name is None:
        return []
    precision = precision_named(name)
    batch, tokens = compute.batch, compute.batch_tokens
    wide = {4: "fp32", 2: "fp16" if precision.name.startswith("fp16") else "bf16"}[precision.compute_bytes]
    layers = batch.linear_flops - sum(batch.groups.get(group, 0) for group in WIDE)
    if precision.products is None:
        kept = "tf32" if precision.name == "tf32" else wide
        return [format_line(kept, batch.training_flops, "training_flops / n_tokens", training_flops=batch.training_flops, n_tokens=tokens)]
    times = 2 if frozen_flops(batch) else 3  # frozen matrices have no gradient
    inputs: dict[str, Any] = {"layers_flops": layers, "n_tokens": tokens}
    rest: dict[str, Any] = {"training_flops": batch.training_flops, **inputs}
    return [
        line("formats.layers_flops", "products of the layers' matrices, forward", layers, "FLOP"),
        format_line(precision.products, times * layers, f"{times} * layers_flops / n_tokens", **inputs),
        format_line(wide, batch.training_flops - times * layers, f"(training_flops - {times} * layers_flops) / n_tokens", **rest),
    ]


def format_line(number_format: str, flops: Any, formula: str, **inputs: Any) -> Line:
    """Training FLOP per token in one number format."""
    key, value = f"formats.{number_format}", per_token(flops, inputs["n_tokens"])
    return line(key, f"training, per token, products in {number_format}", value, "FLOP/token", formula, **inputs)


def formats_of(lines: list[Line]) -> list[dict[str, Any]] | None:
    """The number formats of the products; None where no precision was given."""
    found = [one for one in lines if one.key.startswith("formats.") and one.key != "formats.layers_flops"]
    return [{"number_format": one.key.partition(".")[2], "training_flops_per_token": one.value} for one in found] or None
