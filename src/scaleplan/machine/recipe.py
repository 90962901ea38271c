"""What training keeps for each parameter: number formats, master copies, gradients and optimizer states, as data.

A recipe is a number format of training; an optimizer says which states it keeps. Bytes here are of whole tensors: what
parallelism divides is `memory.py`'s business.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from scaleplan.errors import UnknownName
from scaleplan.model.items import Bill, Layer, Weight, total
from scaleplan.numeric import ceil_div, where

# -------------------------------------------------------------------------------------------------------- number formats


class Precision(NamedTuple):
    """Bytes that training keeps for a parameter, and of one activation.

    compute_bytes   of an activation that the matrix products work on
    residual_bytes  of one in the residual stream, which has the type of the weights
    weight_bytes    of the weight that the forward pass reads
    gradient_bytes  of all copies of its gradient
    master_bytes    of the copy that the optimizer updates, where it is not the weight itself
    moment_bytes    of one number of optimizer state
    counts_steps    whether each tensor keeps a step counter, as torch's own optimizers do
    """

    name: str
    meaning: str
    compute_bytes: int
    residual_bytes: int
    weight_bytes: int
    gradient_bytes: int
    moment_bytes: int
    master_bytes: int = 0
    counts_steps: bool = True

    @property
    def autocast(self) -> bool:
        """Whether weights are kept wider than the products work, so that each product makes a narrow copy."""
        return self.residual_bytes > self.compute_bytes


def _mixed(recipe: int, gradient_bytes: int, master_bytes: int, meaning: str) -> list[Precision]:
    """A recipe of mixed precision in both 16-bit types: 2-byte weights, fp32 moments."""
    return [
        Precision(f"{kind}-mixed-{recipe}", meaning, 2, 2, 2, gradient_bytes, 4, master_bytes, counts_steps=False)
        for kind in ("bf16", "fp16")
    ]


PRECISIONS: dict[str, Precision] = {
    precision.name: precision
    for precision in (
        Precision("fp32", "everything in 32 bits", 4, 4, 4, 4, 4),
        Precision("tf32", "kept in 32 bits, multiplied in 19", 4, 4, 4, 4, 4),
        Precision("bf16", "everything in bfloat16", 2, 2, 2, 2, 2),
        Precision("fp16", "everything in half precision", 2, 2, 2, 2, 2),
        Precision("bf16-autocast", "32-bit weights, 16-bit products", 2, 4, 4, 4, 4),
        *_mixed(12, 2, 0, "no 32-bit copy of the weights"),
        *_mixed(16, 2, 4, "a 32-bit copy of the weights"),
        *_mixed(18, 4, 4, "and gradients summed in 32 bits"),
        *_mixed(20, 6, 4, "and gradients kept in 16 and in 32 bits"),
        # deepseek2024-v3 section 3.3: 8-bit products; gradients and the master copy in 32 bits, both moments in 16
        Precision("fp8", "8-bit weights, 16-bit moments", 2, 2, 1, 4, 2, 4, counts_steps=False),
    )
}
RECIPES = (12, 16, 18, 20)
USUAL_RECIPE = 16
ALIASES = {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16", "half": "fp16", "amp_bf16": "bf16-autocast"}
OPEN_RECIPE = ("bf16-mixed", "fp16-mixed")
"""Names that leave the bytes of a parameter to the software stack."""


def precision_named(name: str, recipe: int = USUAL_RECIPE) -> Precision:
    """A precision by name; `bf16-mixed` and `fp16-mixed` stand for the recipe of the stack, and keep their name."""
    known = ALIASES.get(name, name)
    if known in OPEN_RECIPE:
        return PRECISIONS[f"{known}-{recipe}"]._replace(name=known)
    if known not in PRECISIONS:
        raise UnknownName("precision", name, [*PRECISIONS, *OPEN_RECIPE, *ALIASES])
    return PRECISIONS[known]


class Format(NamedTuple):
    """Bits of a weight while serving. Quantised weights share a scale (and a zero) in groups; other tensors stay in 16 bits.

    group  weights that share a scale; 0: every tensor is stored in `bits`
    """

    name: str
    bits: int
    group: int = 0
    group_bits: int = 0

    @property
    def bits_per_weight(self) -> float:
        """Of a quantised weight, its share of the scale included."""
        return self.bits + (self.group_bits / self.group if self.group else 0)


SERVING_FORMATS: dict[str, Format] = {
    made.name: made
    for made in (
        Format("fp32", 32),
        Format("bf16", 16),
        Format("fp16", 16),
        Format("fp8", 8, 128 * 128, 32),  # deepseek2024-v3: a 32-bit scale for each block of 128 x 128
        Format("int8", 8, 128, 16),
        Format("int4", 4, 128, 16 + 4),  # frantar2022 with groups of 128: a 16-bit scale and a 4-bit zero
    )
}


def serving_format(name: str) -> Format:
    """The format that weights are served in; training recipes serve in the type they compute in."""
    known = ALIASES.get(name, name).split("-", maxsplit=1)[0]
    known = "fp32" if known == "tf32" else known
    if known not in SERVING_FORMATS:
        raise UnknownName("number format of weights", name, SERVING_FORMATS)
    return SERVING_FORMATS[known]


CACHE_BYTES = {"fp32": 4, "bf16": 2, "fp16": 2, "fp8": 1, "int8": 1}
"""Bytes of one key or value in the cache."""


def cache_precision(name: str | None, weights: Format) -> Precision:
    """The type of keys and values: the one asked for, else that of the weights, or 16 bits beside quantised ones."""
    kept = name or ("bf16" if weights.group else weights.name)
    if kept not in CACHE_BYTES:
        raise UnknownName("number format of the cache", kept, CACHE_BYTES)
    return PRECISIONS["bf16"]._replace(name=kept, compute_bytes=CACHE_BYTES[kept])


def is_quantised(layer: Layer, weight: Weight) -> bool:
    """Whether a weight is stored in few bits: the matrices of the blocks; tables, head, router and norms keep 16 bits."""
    return layer.place == "block" and weight.matmul and weight.group != "router"


def weight_bits(layer: Layer, weight: Weight, stored: Format) -> Any:
    """Bits of all stored copies of one weight, each group with its scale."""
    if not stored.group:
        return weight.n_params * stored.bits
    if not is_quantised(layer, weight):
        return weight.n_params * 16
    return weight.n_params * stored.bits + ceil_div(weight.n_params, stored.group) * stored.group_bits


def served_weights_bytes(bill: Bill, stored: Format) -> Any:
    """Bytes of all weights as they are served."""
    return ceil_div(total(layer.copies * weight_bits(layer, weight, stored) for layer, weight in bill.weights()), 8)


# ------------------------------------------------------------------------------------------------------------- optimizers

BLOCK_8BIT = 256  # elements of a state that share a 32-bit scale (dettmers2021)
SMALLEST_8BIT = 4096  # tensors with fewer elements keep their states in 32 bits
MAP_8BIT_BYTES = 1024  # the code book of one state: 256 numbers of 32 bits, kept once


class Optimizer(NamedTuple):
    """The states that an optimizer keeps for each tensor.

    states        as large as the tensor, in the type of the moments
    wide_states   as large as the tensor, always in 32 bits
    block_states  as large as the tensor, in 8 bits by blocks
    factored      rows and columns of a matrix in place of the matrix: `moment` or `fp32`, the type they are kept in
    step_bytes    a counter for each tensor
    matrices      what it does with the matrices of the blocks, where that is another optimizer's name
    """

    name: str
    states: int = 0
    wide_states: int = 0
    block_states: int = 0
    factored: str | None = None
    step_bytes: int = 4
    matrices: str | None = None


OPTIMIZERS: dict[str, Optimizer] = {
    optimizer.name: optimizer
    for optimizer in (
        Optimizer("adamw", states=2),
        Optimizer("adamw-amsgrad", states=3),
        Optimizer("adam", states=2),
        Optimizer("sgd", step_bytes=0),
        Optimizer("sgd-momentum", states=1, step_bytes=0),
        Optimizer("lion", states=1, step_bytes=0),
        Optimizer("adafactor", factored="moment"),
        Optimizer("adafactor-transformers", factored="fp32"),
        Optimizer("adafactor-transformers-beta1", factored="fp32", wide_states=1),
        Optimizer("adamw-8bit", block_states=2, step_bytes=0),
        Optimizer("lion-8bit", block_states=1, step_bytes=0),
        Optimizer("momentum", states=1, step_bytes=0),
        Optimizer("muon", states=2, matrices="momentum"),
    )
}
"""`adafactor` is torch's; `muon` moves the matrices of the blocks by their momentum and everything else by AdamW."""

OPTIMIZER_NAMES = [name for name in OPTIMIZERS if name != "momentum"]


def optimizer_named(name: str) -> Optimizer:
    """An optimizer by name."""
    if name not in OPTIMIZER_NAMES:
        raise UnknownName("optimizer", name, OPTIMIZER_NAMES)
    return OPTIMIZERS[name]


def state_bytes(optimizer: Optimizer, precision: Precision, layer: Layer, weight: Weight) -> Any:
    """Bytes that the optimizer keeps for all stored copies of one weight, the master copy included.

        n (states moment + 4 wide_states + master) + step        a tensor of n elements
        (rows + columns) type                                    a factored matrix, in place of n type
        n + 4 ceil(n / 256)                                      a state in 8 bits; 4 n below 4096 elements

    Sources: torch's and bitsandbytes' optimizers (measured by tensor), dettmers2021 (blocks of 8-bit states).
    """
    if not weight.trainable:
        return 0
    if optimizer.matrices and layer.place == "block" and weight.matmul:
        optimizer = OPTIMIZERS[optimizer.matrices]
    n = weight.elements
    each = n * (optimizer.states * precision.moment_bytes + 4 * optimizer.wide_states + precision.master_bytes)
    if optimizer.factored:
        kept = total(weight.shape) if len(weight.shape) > 1 else n
        each = each + kept * (4 if optimizer.factored == "fp32" else precision.moment_bytes)
    if optimizer.block_states:
        each = each + optimizer.block_states * where(n >= SMALLEST_8BIT, n + 4 * ceil_div(n, BLOCK_8BIT), 4 * n)
    if precision.counts_steps:
        each = each + optimizer.step_bytes
    return weight.stored * each


def optimizer_bytes(bill: Bill, optimizer: Optimizer, precision: Precision) -> Any:
    """Bytes of all optimizer states and master copies of a model on one device."""
    states = total(layer.copies * state_bytes(optimizer, precision, layer, weight) for layer, weight in bill.weights())
    return states + optimizer.block_states * MAP_8BIT_BYTES
