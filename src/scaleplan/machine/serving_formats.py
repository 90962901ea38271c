"""How many bits a weight takes while serving: the formats that people have, as data, and how a checkpoint says which is its own.

A quantised format stores weights in groups that share a scale (and perhaps a zero). Formats differ in which tensors they leave in
16 bits: most quantise the matrices of the layers only, llama.cpp's kinds quantise tables and head as well and give some matrices more bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from scaleplan.errors import NotSupported, UnknownName
from scaleplan.model.items import Bill, Layer, Weight, pruned_elements, total
from scaleplan.model.sparsity import Sparsity
from scaleplan.numeric import ceil_div, minimum
from scaleplan.wording import field


class Format(NamedTuple):
    """Bits of a weight while serving. Quantised weights share a scale (and a zero) in groups; other tensors stay in 16 bits.

    group       weights that share a scale; 0: every tensor is stored in `bits`
    group_bits  bits of what a group shares
    head        format of the head and of a tied table, where they are quantised too; None: 16 bits
    table       format of the token table, where it is quantised too; None: 16 bits
    wide        (matrices, format): matrices that another format stores
    half_wide   (matrices, format): matrices of which every second layer is stored in another format
    experts     only routed experts are quantised
    products    number format that products work in, activations included; None: weights are widened where the device lacks theirs
    sparsity    the zeros of the matrices of the layers are not stored; None: all weights are
    """

    name: str
    bits: int
    group: int = 0
    group_bits: int = 0
    head: str | None = None
    table: str | None = None
    wide: tuple[tuple[str, ...], str] | None = None
    half_wide: tuple[tuple[str, ...], str] | None = None
    experts: bool = False
    products: str | None = None
    sparsity: Sparsity | None = None
    source: str = ""

    @property
    def bits_per_weight(self) -> float:
        """Of a quantised weight of the usual kind, its share of the scale included."""
        return self.bits + (self.group_bits / self.group if self.group else 0)


VALUES_AND_DOWN = ("V", "down", "expert down", "shared expert down")
VALUES_OUTPUT_AND_DOWN = (*VALUES_AND_DOWN, "output")
LLAMA_CPP = "llama-cpp-quantize"


def _k_quant(name: str, bits: int, shared: int, **more: Any) -> Format:
    """A llama.cpp kind in super-blocks of 256 weights: the head in q6_k, the table like the other matrices."""
    return Format(name, bits, 256, shared, head="q6_k", table=name, source=LLAMA_CPP, **more)


SERVING_FORMATS: dict[str, Format] = {
    made.name: made
    for made in (
        Format("fp32", 32),
        Format("bf16", 16),
        Format("fp16", 16),
        Format("fp8", 8, 128 * 128, 32, source="deepseek2024-v3"),  # a 32-bit scale for each block of 128 x 128
        Format("int8", 8, 128, 16, source="frantar2022"),
        Format("w8a8", 8, 128, 16, products="int8", source="compressed-tensors"),  # activations in 8 bits, too
        Format("int4", 4, 128, 16 + 4, source="frantar2022"),  # groups of 128: a 16-bit scale and a 4-bit zero
        # dettmers2023: blocks of 64 with a 32-bit scale; double quantisation keeps it in 8 bits, and 32 bits for 256 of them
        Format("nf4", 4, 64 * 256, 8 * 256 + 32, source="dettmers2023"),
        Format("nf4-single", 4, 64, 32, source="dettmers2023"),
        Format("mxfp8", 8, 32, 8, source="ocp-mx-2023"),  # an 8-bit exponent for each block of 32
        Format("mxfp6", 6, 32, 8, source="ocp-mx-2023"),
        Format("mxfp4", 4, 32, 8, experts=True, source="ocp-mx-2023"),  # as gpt-oss stores its experts
        Format("nvfp4", 4, 16, 8, source="nvfp4-2025"),  # an 8-bit scale for each block of 16
        Format("q8_0", 8, 32, 16, head="q8_0", table="q8_0", source=LLAMA_CPP),
        Format("q5_0", 5, 32, 16, head="q6_k", table="q5_0", source=LLAMA_CPP),
        Format("q4_0", 4, 32, 16, head="q6_k", table="q4_0", source=LLAMA_CPP),
        _k_quant("q6_k", 6, 144),
        _k_quant("q5_k_m", 5, 128, half_wide=(VALUES_AND_DOWN, "q6_k")),
        _k_quant("q5_k", 5, 128),
        _k_quant("q4_k_m", 4, 128, half_wide=(VALUES_AND_DOWN, "q6_k")),
        _k_quant("q4_k", 4, 128),
        _k_quant("q3_k_m", 3, 112, wide=(VALUES_OUTPUT_AND_DOWN, "q4_k")),
        _k_quant("q3_k", 3, 112),
    )
}
FORMAT_ALIASES = {
    "float32": "fp32", "tf32": "fp32", "bfloat16": "bf16", "float16": "fp16", "half": "fp16", "amp_bf16": "bf16",
    "gptq": "int4", "awq": "int4", "w4a16": "int4", "w8a16": "int8", "fp4": "nvfp4",
    "q4_k_s": "q4_k", "q5_k_s": "q5_k", "q3_k_s": "q3_k",
}  # fmt: skip
MOST_GROUP = 2**20
NAME_IT = f"name the format: {field('precision')} int4"


def serving_format(name: str) -> Format:
    """The format that weights are served in; training recipes serve in the type they compute in.

    `int4-g32` is int4 with groups of 32; llama.cpp's kinds may be written with dashes (`q4-k-m`) or in capitals.
    """
    lower = name.lower()
    known = FORMAT_ALIASES.get(lower, lower)
    known = known.replace("-", "_") if known.replace("-", "_") in {**SERVING_FORMATS, **FORMAT_ALIASES} else known
    known = FORMAT_ALIASES.get(known, known)
    base, _, group = known.partition("-g")
    if group.isdecimal() and base in SERVING_FORMATS:
        return with_group(SERVING_FORMATS[base], int(group), name)
    recipe = known.partition("-")[0]
    known = known if known in SERVING_FORMATS else FORMAT_ALIASES.get(recipe, recipe)
    if known not in SERVING_FORMATS:
        raise UnknownName("number format of weights", name, SERVING_FORMATS)
    return SERVING_FORMATS[known]


def with_group(stored: Format, group: int, name: str) -> Format:
    """The same format with another group size."""
    if not stored.group or stored.head or not 1 <= group <= MOST_GROUP:
        raise UnknownName("number format of weights", name, SERVING_FORMATS)
    return stored._replace(name=f"{stored.name}-g{group}", group=group)


def is_quantised(layer: Layer, weight: Weight) -> bool:
    """Whether a weight is a matrix of the blocks: tables, head, router and norms are not."""
    return layer.place == "block" and weight.matmul and weight.group != "router"


def weight_bits(layer: Layer, weight: Weight, stored: Format) -> Any:
    """Bits of all stored copies of one weight, each group with its scale."""
    kind = stored_as(layer, weight, stored)
    if stored.sparsity is not None and is_quantised(layer, weight):
        return sparse_bits(layer, weight, kind, stored)
    if kind is None:
        return weight.n_params * (16 if stored.group else stored.bits)
    if stored.half_wide and layer.place == "block" and weight.name in stored.half_wide[0]:
        other = SERVING_FORMATS[stored.half_wide[1]]
        return ceil_div(grouped_bits(weight.n_params, kind) + grouped_bits(weight.n_params, other), 2)
    return grouped_bits(weight.n_params, kind)


def sparse_bits(layer: Layer, weight: Weight, kind: Format | None, stored: Format) -> Any:
    """Bits of a matrix whose zeros are not stored, or of the whole where that is less.

        kept (bits + index_bits) + groups group_bits     index_bits for the place of each kept weight in its group of a pattern
        kept bits + n + groups group_bits                a bit for every weight, where zeros may be anywhere

    Sources: sparse24-layout (patterns), sparseml-compression (bit masks).
    """
    sparsity = stored.sparsity
    assert sparsity is not None, "asked where there is one"
    n, value_bits = weight.n_params, 16 if stored.group else stored.bits
    kept = n - weight.stored * pruned_elements(layer, weight, sparsity.share)
    index = kept * sparsity.index_bits if sparsity.group else n
    whole = n * value_bits if kind is None else grouped_bits(n, kind)
    left = whole - (n - kept) * (value_bits if kind is None else kind.bits)
    return minimum(whole, left + index)


def with_sparsity(stored: Format, sparsity: Sparsity | None) -> Format:
    """The format without the zeros of sparse weights; NotSupported for one whose matrices have several formats."""
    if sparsity is None:
        return stored
    if stored.head or stored.wide or stored.half_wide:
        known = f"{field('precision')} bf16, fp8, int8, int4"
        raise NotSupported(f"`{stored.name}` stores every weight: it has no sparse form", hint=known)
    return stored._replace(sparsity=sparsity)


def stored_as(layer: Layer, weight: Weight, stored: Format) -> Format | None:
    """The format that this weight of a model is kept in; None: 16 bits, or what everything is kept in."""
    if not stored.group:
        return None
    if is_quantised(layer, weight):
        if stored.experts and weight.group != "experts_routed":
            return None
        return SERVING_FORMATS[stored.wide[1]] if stored.wide and weight.name in stored.wide[0] else stored
    name = {"token_embedding": stored.table, "head_matrix": stored.head}.get(weight.group)
    return None if name is None else SERVING_FORMATS[name]


def grouped_bits(n: Any, stored: Format) -> Any:
    """Bits of so many weights and of what their groups share."""
    return n * stored.bits + ceil_div(n, stored.group) * stored.group_bits


def served_weights_bytes(bill: Bill, stored: Format) -> Any:
    """Bytes of all weights as they are served."""
    return ceil_div(total(layer.copies * weight_bits(layer, weight, stored) for layer, weight in bill.weights()), 8)


# ------------------------------------------------------------------------------------------------- what a checkpoint says


def checkpoint_format(config: Mapping[str, Any]) -> Format | None:
    """The format that a checkpoint's own `quantization_config` describes; None where it has none.

    Raises NotSupported, naming the method, for one that is not known: its weights are not guessed.
    """
    found = config.get("quantization_config") or config.get("compression_config")
    if not isinstance(found, Mapping):
        return None
    method = str(found.get("quant_method", "")).lower()
    group = found.get("group_size", found.get("q_group_size"))
    if method in ("gptq", "awq"):
        return of_bits(found.get("bits", found.get("w_bit", 4)), group, method)
    if method == "bitsandbytes":
        return of_bitsandbytes(found)
    if method in ("fp8", "fbgemm_fp8"):
        return SERVING_FORMATS["fp8"]
    if method == "mxfp4":
        return SERVING_FORMATS["mxfp4"]
    if method in ("compressed-tensors", "compressed_tensors"):
        return of_compressed_tensors(found)
    raise NotSupported(f"`quantization_config` has the method `{method or '?'}`, which is not known", hint=NAME_IT)


def of_bits(bits: Any, group: Any, method: str) -> Format:
    """Whole-number formats with a scale and a zero a group."""
    if bits not in (2, 3, 4, 8):
        raise NotSupported(f"`quantization_config` has {bits} bits under `{method}`", hint=NAME_IT)
    size = int(group) if isinstance(group, int) and group > 0 else MOST_GROUP  # -1: a group a column, under 0.01 bits a weight
    return Format(f"{method}-{bits}bit", int(bits), size, 16 + int(bits), source="frantar2022")


def of_bitsandbytes(found: Mapping[str, Any]) -> Format:
    """8 bits with a scale a row, or 4 bits in blocks of 64, their scales quantised once more or not."""
    if not found.get("load_in_4bit"):
        return SERVING_FORMATS["int8"]
    return SERVING_FORMATS["nf4" if found.get("bnb_4bit_use_double_quant") else "nf4-single"]


def of_compressed_tensors(found: Mapping[str, Any]) -> Format:
    """The first group of weights that the config lists."""
    groups = found.get("config_groups")
    first: Any = next(iter(groups.values()), {}) if isinstance(groups, Mapping) else {}
    weights = first.get("weights") if isinstance(first, Mapping) else None
    if not isinstance(weights, Mapping):
        raise NotSupported("`quantization_config` lists no group of weights", hint=NAME_IT)
    bits, group = weights.get("num_bits"), weights.get("group_size")
    if weights.get("type") == "float":
        return SERVING_FORMATS["nvfp4" if bits == 4 else "fp8"]
    return of_bits(bits, group, "compressed-tensors")
