"""Formats of served weights against what others measured, and what a checkpoint says of its own."""

from __future__ import annotations

import math
from typing import Any

import pytest

from scaleplan.errors import NotSupported, UnknownName
from scaleplan.machine.serving_formats import (
    SERVING_FORMATS,
    checkpoint_format,
    served_weights_bytes,
    serving_format,
    weight_bits,
    with_sparsity,
)
from scaleplan.model.bill import bill_of
from scaleplan.model.items import Weight
from scaleplan.model.shape import arch_of_shape
from scaleplan.model.sparsity import parse_sparsity
from scaleplan.model_files import read_model

LLAMA_8B = bill_of(read_model("llama-3.1-8b").arch)


@pytest.mark.parametrize(("kind", "bits"), [("q8_0", 8.5008), ("q6_k", 6.5633), ("q5_k_m", 5.7036), ("q4_k_m", 4.8944), ("q3_k_m", 3.9960)])
def test_kinds_of_llama_cpp(kind: str, bits: float):
    """Bits a weight of Llama 3.1 8B as llama.cpp's quantize README prints them, within 1 %."""
    found = 8 * served_weights_bytes(LLAMA_8B, serving_format(kind)) / LLAMA_8B.n_params()
    assert found == pytest.approx(bits, rel=0.01)


def test_double_quantisation_saves_what_qlora_says():
    """NF4 in blocks of 64: 4.5 bits a weight, 4.127 with the scales in 8 bits (dettmers2023 section 3)."""
    assert serving_format("nf4-single").bits_per_weight == 4.5
    assert serving_format("nf4").bits_per_weight == pytest.approx(4.127, abs=5e-4)


@pytest.mark.parametrize(("name", "bits"), [("mxfp8", 8.25), ("mxfp4", 4.25), ("nvfp4", 4.5), ("int4-g32", 4.625), ("int4", 4.15625)])
def test_groups_share_a_scale(name: str, bits: float):
    """A scale of 8 bits for 32 (MX) or 16 (NVFP4) numbers, 16 + 4 bits for a group of int4."""
    assert serving_format(name).bits_per_weight == bits


def test_spellings():
    """Kinds are written as people write them; training recipes serve in the type they compute in."""
    assert serving_format("Q4-K-M") is serving_format("q4_k_m")
    assert serving_format("gptq") is serving_format("int4")
    assert serving_format("bf16-mixed-16").name == "bf16"
    with pytest.raises(UnknownName):
        serving_format("q99")


@pytest.mark.parametrize(
    ("quantization", "bits"),
    [
        ({"quant_method": "gptq", "bits": 4, "group_size": 128}, 4.15625),
        ({"quant_method": "awq", "bits": 4, "group_size": 64}, 4.3125),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_use_double_quant": False}, 4.5),
        ({"quant_method": "fp8", "weight_block_size": [128, 128]}, 8 + 32 / 128**2),
        ({"quant_method": "mxfp4"}, 4.25),
        (
            {"quant_method": "compressed-tensors", "config_groups": {"group_0": {"weights": {"num_bits": 8, "type": "float"}}}},
            8 + 32 / 128**2,
        ),
    ],
)
def test_a_checkpoint_says_its_own_format(quantization: dict[str, Any], bits: float):
    """`quantization_config` of a Hugging Face config, as each method writes it."""
    stored = checkpoint_format({"quantization_config": quantization})
    assert stored is not None and stored.bits_per_weight == pytest.approx(bits)


def test_a_method_that_is_not_known_is_refused_by_name():
    """Weights of an unknown method are not guessed; a config without one has no format of its own."""
    assert checkpoint_format({"model_type": "llama"}) is None
    with pytest.raises(NotSupported, match="quip"):
        checkpoint_format({"quantization_config": {"quant_method": "quip"}})


# ------------------------------------------------------------------------------------------------------------- bits by hand

GGML_BLOCKS = {
    "q4_0": (32, 2 + 16), "q5_0": (32, 2 + 4 + 16), "q8_0": (32, 2 + 32), "q3_k": (256, 32 + 64 + 12 + 2),
    "q4_k": (256, 2 + 2 + 12 + 128), "q5_k": (256, 2 + 2 + 12 + 32 + 128), "q6_k": (256, 128 + 64 + 16 + 2),
}  # fmt: skip
"""Weights and bytes of a block in llama.cpp's `ggml-common.h`: scales, high bits, low bits."""
BLOCK = bill_of(arch_of_shape({"n_layers": 5, "d_model": 40, "n_heads": 4, "n_vocab": 101, "gated": True})).blocks()[0]


def bits(name: str, kind: str = "Q", n: int = 7 * 256, *, group: Any = "attention", place: Any = "block", **more: Any) -> Any:
    """Bits of one matrix of n numbers in a format."""
    return weight_bits(BLOCK._replace(place=place), Weight(kind, group, (n,), **more), serving_format(name))


def blocks(kind: str, n: int) -> int:
    """Bits of so many numbers in whole blocks of llama.cpp."""
    size, n_bytes = GGML_BLOCKS[kind]
    return -(-n // size) * n_bytes * 8


@pytest.mark.parametrize("kind", GGML_BLOCKS)
def test_blocks_of_llama_cpp(kind: str):
    assert bits(kind) == blocks(kind, 7 * 256)
    assert serving_format(kind).bits_per_weight == GGML_BLOCKS[kind][1] * 8 / GGML_BLOCKS[kind][0]


@pytest.mark.parametrize(
    ("kind", "table", "head"),
    [("q4_0", "q4_0", "q6_k"), ("q5_0", "q5_0", "q6_k"), ("q8_0", "q8_0", "q8_0"), ("q3_k_m", "q3_k", "q6_k"), ("q4_k", "q4_k", "q6_k"),
     ("q4_k_m", "q4_k", "q6_k"), ("q5_k_m", "q5_k", "q6_k"), ("q5_k_s", "q5_k", "q6_k"), ("q6_k", "q6_k", "q6_k")],
)  # fmt: skip
def test_llama_cpp_keeps_the_head_in_six_bits_and_the_table_like_the_matrices(kind: str, table: str, head: str):
    """A norm and a router stay in 16 bits."""
    assert bits(kind, group="token_embedding", place="embedding", matmul=False) == blocks(table, 1792)
    assert bits(kind, group="head_matrix", place="head") == blocks(head, 1792)
    assert bits(kind, group="router") == bits(kind, group="norm", matmul=False) == 16 * 1792


@pytest.mark.parametrize(("kind", "usual"), [("q4_k_m", "q4_k"), ("q5_k_m", "q5_k")])
@pytest.mark.parametrize("name", ["V", "down", "expert down", "shared expert down"])
def test_medium_kinds_keep_every_second_value_and_down_matrix_in_six_bits(kind: str, usual: str, name: str):
    assert bits(kind, name) == (blocks(usual, 1792) + blocks("q6_k", 1792)) / 2
    assert bits(kind, "output") == bits(kind, "gate") == blocks(usual, 1792)


@pytest.mark.parametrize(("name", "stored"), [("V", "q4_k"), ("output", "q4_k"), ("down", "q4_k"), ("Q", "q3_k"), ("up", "q3_k")])
def test_three_bits_keep_values_output_and_down_in_four(name: str, stored: str):
    assert bits("q3_k_m", name) == blocks(stored, 1792)


@pytest.mark.parametrize(
    ("name", "each", "size", "shared"),
    [("fp8", 8, 16384, 32), ("int8", 8, 128, 16), ("w8a8", 8, 128, 16), ("int4", 4, 128, 20), ("nf4-single", 4, 64, 32),
     ("nf4", 4, 16384, 256 * 8 + 32), ("mxfp8", 8, 32, 8), ("mxfp6", 6, 32, 8), ("nvfp4", 4, 16, 8), ("int4-g32", 4, 32, 20)],
)  # fmt: skip
@pytest.mark.parametrize("n", [1, 31, 32, 33, 49_153])
def test_every_started_group_pays_its_scale(name: str, each: int, size: int, shared: int, n: int):
    """Matrices of the layers alone: table, head, router and norm stay in 16 bits."""
    assert bits(name, n=n) == n * each + math.ceil(n / size) * shared
    for group, place in (("token_embedding", "embedding"), ("head_matrix", "head"), ("router", "block")):
        assert bits(name, n=n, group=group, place=place) == 16 * n


def test_mxfp4_stores_routed_experts_and_nothing_else():
    """As gpt-oss: 6 stored experts of 1000 numbers are 188 blocks of 32 with 8 bits each."""
    assert bits("mxfp4", n=1000, group="experts_routed", stored=6, used=2) == 4 * 6000 + 188 * 8
    assert bits("mxfp4", n=1000) == bits("mxfp4", n=1000, group="experts_shared") == 16_000


@pytest.mark.parametrize(("name", "each"), [("fp32", 32), ("bf16", 16), ("fp16", 16)])
def test_formats_without_groups_store_every_tensor_alike(name: str, each: int):
    assert [bits(name, n=37, group=group) for group in ("attention", "router", "norm")] == [37 * each] * 3
    assert serving_format(name).bits_per_weight == each


def test_bytes_of_all_weights_are_bits_of_every_copy_over_eight():
    """5 layers of 4 x 40 x 40 and 3 x 40 x 160 and two norms of 40 x 2, int4 in groups; a tied table of 101 x 40 and a norm in 16 bits."""
    words = {"n_layers": 5, "d_model": 40, "n_heads": 4, "d_ff": 160, "n_vocab": 101, "gated": True, "norm": "rms", "tied": True}
    a_layer = 4 * (4 * 1600 + 13 * 20) + 3 * (4 * 6400 + 50 * 20) + 2 * 40 * 16

    found = served_weights_bytes(bill_of(arch_of_shape(words)), serving_format("int4"))
    assert found == (5 * a_layer + 16 * (101 * 40 + 40)) / 8


# ------------------------------------------------------------------------------------------------------------------ sparse


def sparse(name: str, zeros: str, group: Any = "attention", **more: Any) -> Any:
    """Bits of matrices of 40 x 84 numbers without their zeros."""
    stored = with_sparsity(serving_format(name), parse_sparsity(zeros))
    return weight_bits(BLOCK, Weight("Q", group, (40, 84), **more), stored)


@pytest.mark.parametrize(
    ("name", "zeros", "expected"),
    [
        ("bf16", "2:4", 1680 * (16 + 2)),  # two bits say which of four
        ("bf16", "3:8", 1260 * (16 + 3)),
        ("int4", "2:4", 1680 * (4 + 2) + 27 * 20),
        ("fp8", "1:4", 840 * (8 + 2) + 32),
        ("bf16", "0.3", 2352 * 16 + 3360),  # a bit for every number
        ("int4", "0.3", 2352 * 4 + 3360 + 27 * 20),
        ("bf16", "0.05", 3360 * 16),  # 168 zeros of 16 bits are less than the mask
        ("int4", "0.2", 3360 * 4 + 27 * 20),
        ("fp32", "0.3", 2352 * 32 + 3360),
    ],
)
def test_zeros_are_not_stored_but_the_places_of_the_others_are(name: str, zeros: str, expected: int):
    """Sources: sparse24-layout, sparseml-compression."""
    assert sparse(name, zeros) == expected


def test_every_stored_expert_has_its_zeros_and_a_router_none():
    """Six experts in blocks of 32 with 8 bits; beside them mxfp4 keeps other matrices in 16 bits, without their zeros."""
    assert sparse("mxfp4", "2:4", "experts_routed", stored=6, used=2) == 6 * 1680 * (4 + 2) + 630 * 8
    assert sparse("mxfp4", "2:4") == 1680 * (16 + 2)
    assert sparse("mxfp4", "2:4", "router") == 3360 * 16


@pytest.mark.parametrize("name", ["q4_0", "q3_k_m", "q4_k_m"])
def test_formats_with_several_kinds_of_matrices_have_no_sparse_form(name: str):
    with pytest.raises(NotSupported, match="stores every weight"):
        with_sparsity(serving_format(name), parse_sparsity("2:4"))
    assert with_sparsity(serving_format(name), None) is serving_format(name)


# ------------------------------------------------------------------------------------------------------------------- names


@pytest.mark.parametrize("group", [1, 7, 2**20])
def test_a_group_may_have_any_size_up_to_a_million(group: int):
    assert serving_format(f"int4-g{group}").bits_per_weight == pytest.approx(4 + 20 / group)


@pytest.mark.parametrize("name", ["int4-g0", f"int4-g{2**20 + 1}", "bf16-g32", "q4_0-g32"])
def test_groups_that_a_format_cannot_have_are_refused(name: str):
    with pytest.raises(UnknownName):
        serving_format(name)


@pytest.mark.parametrize(
    ("typed", "name"),
    [("float32", "fp32"), ("tf32", "fp32"), ("amp_bf16", "bf16"), ("half", "fp16"), ("W8A16", "int8"), ("fp4", "nvfp4"), ("q4-k-s", "q4_k"),
     ("awq", "int4"), ("w4a16", "int4"), ("fp16-mixed-12", "fp16"), ("Q3_K_S", "q3_k"), ("fp8-deepseek", "fp8"), ("half-mixed", "fp16")],
)  # fmt: skip
def test_other_spellings(typed: str, name: str):
    assert serving_format(typed) is SERVING_FORMATS[name]


@pytest.mark.parametrize(
    ("quantization", "n_bits", "group", "shared"),
    [
        ({"quant_method": "awq"}, 4, None, 20),
        ({"quant_method": "awq", "w_bit": 8, "q_group_size": 32}, 8, 32, 24),
        ({"quant_method": "gptq", "bits": 3, "group_size": 1}, 3, 1, 19),
        ({"quant_method": "gptq", "bits": 2, "group_size": -1}, 2, None, 18),
        ({"quant_method": "gptq", "bits": 8, "group_size": 0}, 8, None, 24),
        ({"quant_method": "compressed-tensors", "config_groups": {"a": {"weights": {"num_bits": 4, "group_size": 64}}}}, 4, 64, 20),
    ],
)
def test_a_whole_number_format_has_a_scale_of_16_bits_and_a_zero(quantization: dict[str, Any], n_bits: int, group: int | None, shared: int):
    """A group of -1 or none is a whole column: its scale is under 0.01 bits a weight in columns of 4096."""
    stored = checkpoint_format({"quantization_config": quantization})
    assert stored is not None and (stored.bits, stored.group_bits) == (n_bits, shared)
    assert stored.group == group if group else n_bits < stored.bits_per_weight < n_bits + 0.01


@pytest.mark.parametrize(
    ("quantization", "name"),
    [
        ({"quant_method": "bitsandbytes", "load_in_8bit": True}, "int8"),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_use_double_quant": True}, "nf4"),
        ({"quant_method": "fbgemm_fp8"}, "fp8"),
        ({"quant_method": "compressed-tensors", "config_groups": {"a": {"weights": {"num_bits": 4, "type": "float"}}}}, "nvfp4"),
    ],
)
def test_methods_that_are_one_of_the_formats(quantization: dict[str, Any], name: str):
    assert checkpoint_format({"quantization_config": quantization}) is SERVING_FORMATS[name]


NO_GROUPS = {"quant_method": "compressed-tensors"}


@pytest.mark.parametrize("quantization", [{"quant_method": "gptq", "bits": 5}, NO_GROUPS, NO_GROUPS | {"config_groups": {}}])
def test_bits_that_are_not_known_are_refused(quantization: dict[str, Any]):
    with pytest.raises(NotSupported):
        checkpoint_format({"quantization_config": quantization})
