"""Bytes of a parameter by number format and optimizer, against torch's own tensors and against recipes by hand."""

from __future__ import annotations

import pytest
from tests.cases import published_rows

from scaleplan.errors import UnknownName
from scaleplan.machine.held import Formats, parameters_of, state_of
from scaleplan.machine.layout import Layout
from scaleplan.machine.recipe import PRECISIONS, RECIPE_USERS, Narrow, device_lacks, optimizer_bytes, optimizer_named, precision_named
from scaleplan.machine.serving_formats import served_weights_bytes, serving_format
from scaleplan.model.bill import bill_of
from scaleplan.model.items import Bill
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
