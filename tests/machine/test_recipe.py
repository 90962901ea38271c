"""Bytes of a parameter by number format and optimizer, against torch's own tensors and against recipes by hand."""

from __future__ import annotations

import pytest
from tests.cases import published_rows

from scaleplan.errors import UnknownName
from scaleplan.machine.held import Formats, parameters_of, state_of
from scaleplan.machine.layout import Layout
from scaleplan.machine.recipe import (
    CACHE_BYTES,
    NARROW,
    OPTIMIZER_NAMES,
    PRECISIONS,
    RECIPE_USERS,
    Narrow,
    cache_precision,
    device_lacks,
    optimizer_bytes,
    optimizer_named,
    precision_named,
    state_bytes,
)
from scaleplan.machine.serving_formats import served_weights_bytes, serving_format
from scaleplan.model.bill import bill_of
from scaleplan.model.items import Bill, Layer, Weight
from scaleplan.model.shape import arch_of_shape


def measured_states() -> list[dict[str, str]]:
    """Optimizer states that were measured tensor by tensor."""
    return published_rows("optimizer_states.csv")


def bill_of_row(row: dict[str, str]) -> Bill:
    """The small model that a row was measured on."""
    words: dict[str, object] = {key: int(row[key]) for key in ("n_layers", "d_model", "n_heads", "n_kv_heads", "d_ff", "n_vocab")}
    if row["kind"] == "gpt2":
        words |= {"n_positions": int(row["n_positions"]), "fused_qkv": True}
    else:
        words |= {"gated": True, "norm": "rms", "tied": False, "qk_norm": "head" if row["kind"] == "qwen3" else "none"}
    return bill_of(arch_of_shape(words))


@pytest.mark.parametrize("row", measured_states(), ids=lambda row: f"{row['kind']}-{row['precision']}-{row['implementation']}")
def test_optimizer_states_are_those_of_the_real_optimizers(row: dict[str, str]):
    """State bytes equal those that torch, transformers and bitsandbytes hold after one step."""
    found = optimizer_bytes(bill_of_row(row), optimizer_named(row["optimizer"]), precision_named(row["precision"]))

    assert found == int(row["state_bytes"])


@pytest.mark.parametrize("kind", ["bf16", "fp16"])
@pytest.mark.parametrize("recipe", RECIPE_USERS)
def test_a_mixed_recipe_is_named_by_its_bytes(kind: str, recipe: int):
    """Weights, gradients, master copy and two moments of a recipe add up to the number in its name."""
    p = PRECISIONS[f"{kind}-mixed-{recipe}"]

    assert p.weight_bytes + p.gradient_bytes + p.master_bytes + 2 * p.moment_bytes == recipe


def test_an_open_recipe_is_that_of_the_stack():
    """`bf16-mixed` keeps its name and takes the bytes of the recipe it is given."""
    assert precision_named("bf16-mixed", 20) == PRECISIONS["bf16-mixed-20"]._replace(name="bf16-mixed")


def test_an_unknown_precision_names_a_near_one():
    """`fp13` is refused and a name like it is offered."""
    with pytest.raises(UnknownName, match="fp13") as refused:
        precision_named("fp13")
    assert refused.value.hint is not None and "fp1" in refused.value.hint


def test_four_bits_cost_more_than_four_bits():
    """In groups of 128, a 16-bit scale and a 4-bit zero make 4.15625 bits a weight; tables and norms stay in 16 bits."""
    bill = bill_of(arch_of_shape({"n_layers": 1, "d_model": 128, "n_heads": 2, "n_vocab": 1000, "gated": True, "norm": "rms", "d_ff": 256}))
    in_blocks = 4 * 128 * 128 + 3 * 128 * 256
    others = 1000 * 128 + 3 * 128

    assert serving_format("int4").bits_per_weight == 4.15625
    assert served_weights_bytes(bill, serving_format("int4")) == in_blocks * 4.15625 / 8 + 2 * others


def test_frozen_weights_have_no_states():
    """Only trainable weights have optimizer states."""
    row = measured_states()[0]
    bill = bill_of_row(row)
    frozen = bill._replace(
        layers=tuple(layer._replace(weights=tuple(w._replace(trainable=False) for w in layer.weights)) for layer in bill.layers)
    )

    assert optimizer_bytes(frozen, optimizer_named("adamw"), precision_named("fp32")) == 0


def test_muon_keeps_one_state_of_the_matrices():
    """Matrices of the blocks have one state, everything else has AdamW's two (fp32: 4 bytes each)."""
    bill = bill_of(arch_of_shape({"n_layers": 2, "d_model": 64, "n_heads": 4, "n_vocab": 100, "gated": True, "norm": "rms", "d_ff": 128}))
    matrices = 2 * (4 * 64 * 64 + 3 * 64 * 128)
    others = bill.n_params() - matrices
    n_other_tensors = 1 + 2 * 2 + 1  # table, two norms a layer, the last norm

    assert optimizer_bytes(bill, optimizer_named("muon"), precision_named("fp32")) == 4 * matrices + 8 * others + 4 * n_other_tensors


NARROW_STACK = Narrow(weight_copies=2, saves_inputs=True)
MATRICES = 2 * (2 * 128 * 128 + 2 * 128 * 64 + 3 * 128 * 256)  # two layers: Q and output, K and V of half the heads, gate, up and down


@pytest.mark.parametrize(("name", "bits"), [("fp8", 8), ("mxfp8", 8.25), ("nvfp4", 4.5)])
def test_products_in_few_bits_keep_the_recipe_of_the_stack(name: str, bits: float):
    """Weights, gradients, master copy and moments are those of the 16-bit recipe; two narrow copies of each matrix come on top."""
    for recipe in RECIPE_USERS:
        plain, narrow = precision_named("bf16-mixed", recipe), precision_named(name, recipe, NARROW_STACK)
        assert narrow[4:9] == plain[4:9] and narrow.copy_bits == 2 * 32 * bits and narrow.input_bits == 32 * bits
        assert precision_named(name, recipe).copy_bits == 0

    words = {"n_layers": 2, "d_model": 128, "n_heads": 4, "n_kv_heads": 2, "n_vocab": 1000, "gated": True, "norm": "rms", "d_ff": 256}
    bill, sizes = bill_of(arch_of_shape(words)), []
    for precision in (precision_named("bf16-mixed"), precision_named(name, 16, NARROW_STACK)):
        formats = Formats(precision, optimizer_named("adamw"))
        held = [parameters_of(layer, Layout(), formats).times(layer.runs) for layer in bill.layers]
        sizes.append(sum(state_of(one, Layout(), formats).weights_bytes for one in held))
    assert sizes[1] - sizes[0] == MATRICES * 2 * bits / 8


def test_deepseek_keeps_thirteen_bytes():
    """Weights in 8 bits, gradients and master copy in 32, two moments in 16 (deepseek2024-v3 section 3.3)."""
    p = precision_named("fp8-deepseek")
    assert (p.weight_bytes, p.gradient_bytes, p.master_bytes, 2 * p.moment_bytes) == (1, 4, 4, 4)


def test_what_a_device_has_no_arithmetic_for():
    """A V100 lacks bf16, an A100 fp8, an H100 nvfp4; what a device has is not reported."""
    v100, a100, h100 = {"fp16": 1.0}, {"bf16": 1.0, "fp16": 1.0}, {"bf16": 1.0, "fp8": 1.0}
    asked = ("bf16-mixed", "fp16-mixed-16", "fp8", "mxfp8", "nvfp4", "fp8-deepseek", "fp32")
    found = {name: [device_lacks(precision_named(p), peaks) for p in asked] for name, peaks in (("v", v100), ("a", a100), ("h", h100))}
    assert found["v"] == ["bf16", None, "fp8", "mxfp8", "nvfp4", "fp8", None]
    assert found["a"] == [None, None, "fp8", "mxfp8", "nvfp4", "fp8", None]
    assert found["h"] == [None, None, None, None, "nvfp4", None, None]


# ----------------------------------------------------------------------------------------------------------- whole tables

FP32, HALF = 4, 2
RECIPES: dict[str, tuple[int, ...]] = {
    # compute, residual, weight, gradients, moment, master
    "fp32": (FP32, FP32, FP32, FP32, FP32, 0),
    "tf32": (FP32, FP32, FP32, FP32, FP32, 0),
    "bf16": (HALF, HALF, HALF, HALF, HALF, 0),
    "fp16": (HALF, HALF, HALF, HALF, HALF, 0),
    "bf16-autocast": (HALF, FP32, FP32, FP32, FP32, 0),
    "fp8-deepseek": (HALF, HALF, 1, FP32, HALF, FP32),
} | {
    f"{kind}-mixed-{recipe}": (HALF, HALF, HALF, gradients, FP32, master)
    for kind in ("bf16", "fp16")
    for recipe, gradients, master in ((12, HALF, 0), (16, HALF, FP32), (18, FP32, FP32), (20, HALF + FP32, FP32))
}


@pytest.mark.parametrize("name", PRECISIONS)
def test_a_precision_keeps_the_types_that_it_says(name: str):
    """torch's own types; rajbhandari2020 section 3.1 (2 + 2 + 12), Megatron's fp32 gradients, deepseek2024-v3 section 3.3."""
    p = precision_named(name)

    assert (p.compute_bytes, p.residual_bytes, p.weight_bytes, p.gradient_bytes, p.moment_bytes, p.master_bytes) == RECIPES[name]
    assert p.counts_steps is ("mixed" not in name and name != "fp8-deepseek")
    assert (p.copy_bits, p.input_bits) == (0, 32 * 8 if name == "fp8-deepseek" else None)
    assert p.autocast is (name == "bf16-autocast")
    assert p.product_bits == {"fp8-deepseek": 8}.get(name, 8 * RECIPES[name][0])


def test_the_usual_recipe_has_sixteen_bytes():
    """That of rajbhandari2020."""
    assert precision_named("bf16-mixed") == PRECISIONS["bf16-mixed-16"]._replace(name="bf16-mixed")
    assert list(RECIPE_USERS) == [12, 16, 18, 20]


@pytest.mark.parametrize(
    ("name", "bits", "scale_bits", "numbers"), [("fp8", 8, 0, 1), ("int8", 8, 0, 1), ("mxfp8", 8, 8, 32), ("nvfp4", 4, 8, 16)]
)
def test_narrow_formats_have_scales(name: str, bits: int, scale_bits: int, numbers: int):
    """32 numbers and their scales: one of 8 bits for 32 numbers (OCP MX) or for 16 (NVFP4), none that counts for a tensor or a row."""
    assert NARROW[name][0] == 32 * bits + 32 // numbers * scale_bits
    assert precision_named(name).product_bits == bits
    assert precision_named("int8", 16, Narrow(weight_copies=2, saves_inputs=True))[9:11] == (0, None)


@pytest.mark.parametrize(("name", "size"), [("fp32", 4), ("bf16", 2), ("fp16", 2), ("fp8", 1), ("int8", 1)])
def test_a_cached_number_has_the_size_of_its_type(name: str, size: int):
    """Keys and values of any type that the cache may have; beside weights in groups they have 16 bits."""
    assert cache_precision(name, serving_format("int4")).compute_bytes == size and len(CACHE_BYTES) == 5
    assert cache_precision(None, serving_format("int4")).compute_bytes == 2


N, ROWS, COLUMNS = 101 * 97, 101, 97
STATES: dict[str, float] = {
    # bytes of one matrix of a block beside its master copy, moments of 4 bytes, no step counters
    "adamw": 2 * 4 * N,
    "adamw-amsgrad": 3 * 4 * N,
    "adam": 2 * 4 * N,
    "sgd": 0,
    "sgd-momentum": 4 * N,
    "lion": 4 * N,
    "adafactor": 4 * (ROWS + COLUMNS),
    "adafactor-transformers": 4 * (ROWS + COLUMNS),
    "adafactor-transformers-beta1": 4 * (ROWS + COLUMNS) + 4 * N,
    "adamw-8bit": 2 * (N + 4 * 39),  # 39 blocks of 256
    "lion-8bit": N + 4 * 39,
    "muon": 4 * N,
}
STEPS = {name: 0 if "8bit" in name or "sgd" in name or name in ("lion", "muon") else 4 for name in STATES}


def layer_of(*weights: Weight) -> Layer:
    return Layer("x", "block", "decoder", runs=5, copies=3, d_model=64, weights=weights)


@pytest.mark.parametrize("name", OPTIMIZER_NAMES)
def test_the_state_of_one_matrix_by_hand(name: str):
    """Seven experts of 101 x 97: master copies and moments of the 16-byte recipe; in 16 bits moments, never wide ones, are half; steps."""
    weight = Weight("m", "experts_routed", (ROWS, COLUMNS), stored=7, used=2)
    found = {p: state_bytes(optimizer_named(name), precision_named(p), layer_of(weight), weight) for p in ("bf16-mixed-16", "fp32", "bf16")}
    wide = 0 if name not in ("adafactor-transformers", "adafactor-transformers-beta1") else STATES[name]
    narrow = STATES[name] if "8bit" in name else wide if wide else STATES[name] / 2

    assert found["bf16-mixed-16"] == 7 * (4 * N + STATES[name])
    assert found["fp32"] == 7 * (STATES[name] + STEPS[name])
    assert found["bf16"] == 7 * (narrow + STEPS[name])


@pytest.mark.parametrize(("n", "size"), [(4095, 4 * 4095), (4096, 4096 + 4 * 16), (4097, 4097 + 4 * 17)])
def test_small_tensors_keep_their_states_in_32_bits(n: int, size: int):
    """Below 4,096 elements; from there on a byte each and a scale for every 256 begun (bitsandbytes, dettmers2021)."""
    vector = Weight("v", "norm", (n,), matmul=False)
    assert state_bytes(optimizer_named("lion-8bit"), precision_named("bf16"), layer_of(vector), vector) == size


def test_a_factored_vector_is_kept_whole():
    """Adafactor factors matrices alone (shazeer2018): 53 numbers of a vector, 4 bytes each, and a counter."""
    vector = Weight("v", "norm", (53,), matmul=False)
    assert state_bytes(optimizer_named("adafactor"), precision_named("fp32"), layer_of(vector), vector) == 4 * 53 + 4


@pytest.mark.parametrize(("name", "books"), [("adamw-8bit", 2), ("lion-8bit", 1), ("adamw", 0)])
def test_a_code_book_is_kept_once_for_each_state(name: str, books: int):
    """256 numbers of 32 bits for each state in 8 bits, however many tensors; each of three copies of a layer has its states."""
    words = {"n_layers": 7, "d_model": 66, "n_heads": 3, "n_vocab": 97, "n_shared_copies": 3}
    bill, optimizer, precision = bill_of(arch_of_shape(words)), optimizer_named(name), precision_named("bf16")
    each = sum(layer.copies * state_bytes(optimizer, precision, layer, w) for layer in bill.layers for w in layer.weights)

    assert [layer.copies for layer in bill.blocks()] == [3]
    assert optimizer_bytes(bill, optimizer, precision) == each + books * 256 * 4
