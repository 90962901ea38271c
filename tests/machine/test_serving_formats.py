"""Formats of served weights against what others measured, and what a checkpoint says of its own."""

from __future__ import annotations

from typing import Any

import pytest

from scaleplan.errors import NotSupported, UnknownName
from scaleplan.machine.serving_formats import checkpoint_format, served_weights_bytes, serving_format
from scaleplan.model.bill import bill_of
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
