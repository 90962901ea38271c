"""What training keeps for each parameter: number formats, master copies, gradients and optimizer states, as data.

A recipe is a number format of training; an optimizer says which states it keeps. Bytes here are of whole tensors: what
parallelism divides is `memory.py`'s business.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from scaleplan.errors import UnknownName
from scaleplan.machine.serving_formats import Format
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
    copy_bits       bits of 32 numbers of a matrix of the layers in narrow copies, kept beside the weights
    input_bits      bits of 32 numbers that a product of the layers keeps as its input; None: as wide as other activations
    gate_narrow     the inputs of a gated activation are kept like those of products
    products        number format of the products, where it is narrower than the activations: fp8, mxfp8, int8, nvfp4
    sources         who describes the recipe
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
    copy_bits: int = 0
    input_bits: int | None = None
    gate_narrow: bool = False
    products: str | None = None
    sources: tuple[str, ...] = ("rajbhandari2020",)

    @property
    def product_bits(self) -> int:
        """Bits of a number in the products of the layers, scales aside."""
        return {"fp8": 8, "mxfp8": 8, "int8": 8, "nvfp4": 4}.get(self.products or "", 8 * min(self.compute_bytes, self.weight_bytes))

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
        # section 3.3: weights, inputs of products and of SwiGLU in 8 bits; gradients and master copy in 32, both moments in 16
        Precision(
            "fp8-deepseek",
            "8-bit weights, 16-bit moments, 8-bit inputs of products: DeepSeek-V3's",
            2,
            2,
            1,
            4,
            2,
            4,
            counts_steps=False,
            input_bits=8 * 32,
            gate_narrow=True,
            products="fp8",
            sources=("deepseek2024-v3",),
        ),
    )
}
USUAL_RECIPE = 16
ALIASES = {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16", "half": "fp16", "amp_bf16": "bf16-autocast"}
RECIPE_USERS = {
    12: "LLM Foundry with 16-bit weights alone",
    16: "PyTorch FSDP and DeepSpeed",
    18: "Megatron-LM and Megatron Core",
    20: "nanotron",
}
"""Whose mixed precision keeps so many bytes a parameter."""
OPEN_RECIPE = ("bf16-mixed", "fp16-mixed")
"""Names that leave the bytes of a parameter to the software stack."""

NARROW: dict[str, tuple[int, tuple[str, ...]]] = {
    "fp8": (8 * 32, ("micikevicius2022", "transformer-engine-2024")),
    "mxfp8": (8 * 32 + 8, ("transformer-engine-2024",)),
    "int8": (8 * 32, ("torchao-int8-training",)),
    "nvfp4": (4 * 32 + 16, ("nvfp4-2025", "transformer-engine-2024")),
}
"""Formats of products on top of a 16-bit recipe: bits of 32 numbers with their scales, and who describes training in them.

`fp8` has a scale a tensor, `int8` one a row, `mxfp8` one of 8 bits for 32 numbers, `nvfp4` one of 8 bits for 16."""
CAST_EACH_TIME = ("int8",)
"""Formats that are made anew in each product, from weights and inputs that stay in 16 bits, whatever the stack keeps in others."""


class Narrow(NamedTuple):
    """What a software stack keeps in a narrow format of products.

    weight_copies  narrow copies of each matrix that stay beside the 16-bit weights: one for the forward pass, one transposed
    saves_inputs   products keep their input in the narrow format rather than in 16 bits
    """

    weight_copies: int = 0
    saves_inputs: bool = False


KEEPS_NO_COPIES = Narrow()


def precision_named(name: str, recipe: int = USUAL_RECIPE, narrow: Narrow = KEEPS_NO_COPIES) -> Precision:
    """A precision by name; `bf16-mixed`, `fp16-mixed` and 8-bit products stand for the recipe of the stack, and keep their name."""
    known = ALIASES.get(name, name)
    if known in OPEN_RECIPE:
        return PRECISIONS[f"{known}-{recipe}"]._replace(name=known)
    if known in NARROW:
        return narrowed(known, PRECISIONS[f"bf16-mixed-{recipe}"], KEEPS_NO_COPIES if known in CAST_EACH_TIME else narrow)
    if known not in PRECISIONS:
        raise UnknownName("precision", name, [*PRECISIONS, *OPEN_RECIPE, *NARROW, *ALIASES])
    return PRECISIONS[known]


def narrowed(name: str, base: Precision, narrow: Narrow) -> Precision:
    """A 16-bit recipe whose products work in a narrower format: weights, master copy and moments stay."""
    bits, sources = NARROW[name]
    return base._replace(
        name=name,
        meaning=f"{base.meaning}; products of the layers in {name}",
        copy_bits=narrow.weight_copies * bits,
        input_bits=bits if narrow.saves_inputs else None,
        products=name,
        sources=sources,
    )


def device_lacks(precision: Precision, peaks: Mapping[str, Any]) -> str | None:
    """The number format of a precision that a device has no arithmetic for; None where it has all.

    peaks  the device's dense rates by format, as `peak_flops_per_s` of its preset lists them
    """
    needed = {"fp8": "fp8", "mxfp8": "fp8", "int8": "int8", "nvfp4": "fp4"}.get(precision.products or "")
    if needed is not None:
        return None if needed in peaks else (precision.products or needed)
    kind = precision.name.partition("-")[0]
    return kind if kind == "bf16" and "bf16" not in peaks else None


CACHE_BYTES = {"fp32": 4, "bf16": 2, "fp16": 2, "fp8": 1, "int8": 1}
"""Bytes of one key or value in the cache."""


def cache_precision(name: str | None, weights: Format) -> Precision:
    """The type of keys and values: the one asked for, else that of the weights, or 16 bits beside quantised ones."""
    kept = name or ("bf16" if weights.group else weights.name)
    if kept not in CACHE_BYTES:
        raise UnknownName("number format of the cache", kept, CACHE_BYTES)
    return PRECISIONS["bf16"]._replace(name=kept, compute_bytes=CACHE_BYTES[kept])


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
        (rows + columns) type                                    a factored matrix, in place of n type (a vector has rows alone)
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
        each = each + total(weight.shape) * (4 if optimizer.factored == "fp32" else precision.moment_bytes)
    if optimizer.block_states:
        each = each + optimizer.block_states * where(n >= SMALLEST_8BIT, n + 4 * ceil_div(n, BLOCK_8BIT), 4 * n)
    if precision.counts_steps:
        each = each + optimizer.step_bytes
    return weight.stored * each


def optimizer_bytes(bill: Bill, optimizer: Optimizer, precision: Precision) -> Any:
    """Bytes of all optimizer states and master copies of a model on one device."""
    states = total(layer.copies * state_bytes(optimizer, precision, layer, weight) for layer, weight in bill.weights())
    return states + optimizer.block_states * MAP_8BIT_BYTES
