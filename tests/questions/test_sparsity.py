"""One meaning of `sparsity` and `int8` in every question: the layers' matrices, products that are skipped, bytes with their index."""

from __future__ import annotations

import math

import pytest
from scipy.optimize import minimize_scalar

import scaleplan as sp

# llama-3-8b by hand: 32 layers of 4096 x (4096 + 1024 + 1024 + 4096) attention and 3 x 4096 x 14336 feed-forward; 128,256 x 4096 twice
MATRICES = 32 * (4096 * (4096 + 1024 + 1024 + 4096) + 3 * 4096 * 14336)
HEAD = 128_256 * 4096
ALL = MATRICES + 2 * HEAD + (2 * 32 + 1) * 4096
LENGTH = 8192
SCORES = 4 * 32 * 4096 * LENGTH  # FLOP of a token, full square
A100 = 312e12


def test_half_of_the_matrices_in_every_question():
    """`params`, `flops` and `memory` leave out the same weights: half of the layers' matrices, not tables, head or norms."""
    params = sp.params("llama-3-8b", sparsity=0.5).result
    flops = sp.flops("llama-3-8b", sparsity=0.5).result
    memory = sp.memory("llama-3-8b", inference=True, sparsity=0.5).result

    assert params["n_pruned_params"] == MATRICES // 2
    assert flops["sparse"]["zero_flops"] == 2 * (MATRICES // 2) * LENGTH
    assert memory["weights_bytes"] == 2 * (ALL - MATRICES // 2) + MATRICES // 8


def test_flops_are_those_of_the_weights_that_are_left():
    """Forward and training without zeros; gradients of the weights stay dense where a device skips zeros of an operand alone."""
    found = sp.flops("llama-3-8b", sparsity="2:4", tokens=1e12).result
    sparse, left = found["sparse"], MATRICES // 2 + HEAD

    assert (sparse["share"], sparse["pattern"]) == (0.5, "2:4")
    assert sparse["forward_flops_per_token"] == 2 * left + SCORES
    assert sparse["training_flops_per_token"] == 3 * (2 * left + SCORES)
    assert sparse["skipped_training_flops_per_token"] == 6 * (MATRICES + HEAD) + 3 * SCORES - 2 * 2 * (MATRICES // 2)
    assert sparse["training_flops"] == sparse["training_flops_per_token"] * 1e12
    assert found["training_flops_per_token"] == 3 * (2 * (MATRICES + HEAD) + SCORES)  # the compute of dense weights stays


def test_frozen_sparse_weights_have_no_gradient():
    """Under LoRA zeros are left out of the forward pass and the gradients of inputs alone; adapters keep all of their weights."""
    plain, sparse = (sp.flops("llama-3-8b", lora="rank=8,targets=attention", **more).result for more in ({}, {"sparsity": 0.5}))
    saved = plain["training_flops_per_token"] - sparse["sparse"]["training_flops_per_token"]
    assert saved == 2 * 2 * (MATRICES // 2)


@pytest.mark.parametrize(
    ("given", "bits"),
    [
        ({"sparsity": "2:4"}, 16 / 2 + 2 / 2),  # two values of four, and two bits for the place of each
        ({"sparsity": "1:4"}, 16 / 4 + 2 / 4),
        ({"sparsity": "4:8"}, 16 / 2 + 3 / 2),
        ({"sparsity": 0.75}, 16 / 4 + 1),  # a bit for every weight
        ({"sparsity": 0.02}, 16),  # the whole matrix takes less than what is left with its mask
        ({"sparsity": "2:4", "precision": "int8"}, 8 / 2 + 2 / 2 + 16 / 128),
        ({"sparsity": "2:4", "precision": "int4"}, 4 / 2 + 2 / 2 + 20 / 128),
        ({"sparsity": 0.5, "precision": "fp32"}, 32 / 2 + 1),
    ],
)
def test_stored_bytes_hold_the_index(given, bits):
    """Bits of a weight of the layers' matrices while serving, scales of the groups included; all others stay in 16 (or 32)."""
    found = sp.memory("llama-3-8b", inference=True, **given).result
    others = 4 if given.get("precision") == "fp32" else 2
    assert found["weights_bytes"] == math.ceil(MATRICES * bits / 8) + others * (ALL - MATRICES)


def test_training_costs_dense_unless_the_device_skips_zeros():
    """Zeros anywhere cost what other weights do, and the answer says so; 2:4 saves two thirds of half of the layers' products."""
    asked = {"tokens": 1e12, "hardware": "a100-sxm-80gb", "mfu": 0.4}
    dense, anywhere, pattern = (sp.cost("llama-3-8b", **asked, **more) for more in ({}, {"sparsity": 0.5}, {"sparsity": "2:4"}))

    assert anywhere.result["device_hours"] == dense.result["device_hours"]
    assert any("zeros" in caution.message for caution in anywhere.warnings)
    saved = dense.result["training_flops"] - pattern.result["training_flops"]
    assert saved == pytest.approx(2 * 2 * (MATRICES // 2) * 1e12)
    assert pattern.result["device_hours"] == pytest.approx(pattern.result["training_flops"] / (0.4 * A100) / 3600)
    flops = sp.flops("llama-3-8b", sparsity="2:4", tokens=1e12)
    assert pattern.result["training_flops"] == pytest.approx(flops["sparse.skipped_training_flops"])


@pytest.mark.parametrize("device", ["mi250x", "v100-sxm-32gb", "tpu-v5p", "trainium2"])
def test_a_device_without_the_pattern_refuses(device):
    """Volta, CDNA2 and TPUs have no sparse products, Trainium2 another pattern: refused, naming devices that have it."""
    for ask in (
        lambda: sp.cost("llama-3-8b", tokens=1e12, hardware=device, sparsity="2:4"),
        lambda: sp.memory("llama-3-8b", inference=True, hardware=device, sparsity="2:4"),
    ):
        with pytest.raises(sp.ScaleplanError) as refused:
            ask()
        assert "2:4" in str(refused.value)
        assert "a100" in str(refused.value.hint)


@pytest.mark.parametrize(
    ("command", "given", "names"),
    [
        ("flops", {"sparsity": "4:2"}, "4:2"),
        ("flops", {"sparsity": 1}, "1"),
        ("flops", {"sparsity": "0:4"}, "0:4"),
        ("memory", {"sparsity": 0.5}, "inference"),
        ("memory", {"inference": True, "sparsity": 0.5, "precision": "q4_k_m"}, "q4_k_m"),
        ("cost", {"sparsity": 0.5, "tokens": 1e12, "hardware": "h100-sxm", "layout": "auto"}, "layout"),
        ("optimal", {"sparsity": 0.5, "compute": 1e21, "n_params": 1e9}, "compute"),
    ],
)
def test_what_says_nothing_is_refused(command, given, names):
    """Patterns that keep all or none, training bytes (pruned weights are kept dense), formats without a sparse form."""
    subject = () if command == "optimal" else ("llama-3-8b",)
    with pytest.raises(sp.ScaleplanError) as refused:
        getattr(sp, command)(*subject, **given)
    assert names in f"{refused.value} {refused.value.hint}"


def loss_of(n_left, n_tokens, sparsity):
    """T5 on C4 as frantar2023 prints it."""
    return (16.8 * (1 - sparsity) ** 0.722 + 45.0) * n_left**-0.245 + (6.9e8 / n_tokens) ** 0.203 + 0.651


@pytest.mark.parametrize("sparsity", [0.5, 0.875])
def test_the_best_sparse_model_of_a_budget(sparsity):
    """N of least loss along C = 6 N D, by a search over the printed formula: with zeros computed, skipped, and without zeros."""
    found = sp.optimal(compute=1e21, sparsity=sparsity).result

    def best(left, computed, share):
        """The size n of least loss: n `left` weights are left, and 6 n D `computed` FLOP are spent."""

        def loss(x):
            return loss_of(left * 10**x, 1e21 / 6 / (computed * 10**x), share)

        return 10 ** minimize_scalar(loss, bounds=(7, 12), method="bounded").x

    assert found["n_params"] == pytest.approx(best(1 - sparsity, 1, sparsity), rel=1e-3)
    assert found["skipped"]["n_nonzero"] == pytest.approx(best(1, 1, sparsity), rel=1e-3)
    assert found["dense"]["n_params"] == pytest.approx(best(1, 1, 0), rel=1e-3)
    assert found["loss_nats"] == pytest.approx(loss_of(found["n_nonzero"], found["n_tokens"], sparsity))
    assert found["skipped"]["loss_nats"] < found["dense"]["loss_nats"] < found["loss_nats"]


def test_int8_training_keeps_16_bit_weights():
    """torchao's int8 training casts at each product: memory is that of 16-bit mixed precision, on any stack."""
    for stack in ("usual", "mcore24"):
        wide, narrow = (sp.memory("llama-3-8b", precision=name, stack=stack).result["precisions"][0] for name in ("bf16-mixed", "int8"))
        assert {**narrow, "precision": ""} == {**wide, "precision": ""}


def test_int8_has_the_rate_of_the_device():
    """Products in int8 are counted at its peak: an A100 trains faster in it, a V100 has none and is refused."""
    asked = {"tokens": 1e12, "n_devices": 64, "layout": "auto"}
    wide, narrow = (sp.cost("llama-3-8b", hardware="a100-sxm-80gb", precision=name, **asked) for name in ("bf16-mixed", "int8"))
    assert 0.5 < narrow.result["device_hours"] / wide.result["device_hours"] < 0.9
    with pytest.raises(sp.ScaleplanError, match="int8"):
        sp.cost("llama-3-8b", hardware="v100-sxm-32gb", precision="int8", **asked)
    assert any("int8" in said.message for said in sp.memory("llama-3-8b", precision="int8", hardware="v100-sxm-32gb").warnings)


def test_w8a8_serves_at_the_int8_rate():
    """Weights and activations in int8 read a prompt faster than weights alone; decoding reads as many bytes; Volta refuses."""
    alone, both = (sp.serve("llama-3-8b", hardware="a100-sxm-80gb", precision=name).result for name in ("int8", "w8a8"))
    assert both["first_token_s"] < 0.8 * alone["first_token_s"]
    assert both["weights_bytes"] == alone["weights_bytes"]
    with pytest.raises(sp.ScaleplanError, match="int8"):
        sp.serve("llama-3-8b", hardware="v100-sxm-32gb", precision="w8a8")
    asked = {"inference": True, "precision": "w8a8", "hardware": "v100-sxm-32gb"}
    assert any("int8" in said.message for said in sp.memory("llama-3-8b", **asked).warnings)


def test_int8_counts_as_eight_bits_of_the_law():
    """`optimal --precision int8` is 8 bits of kumar2024, as fp8 is."""
    int8, fp8 = (sp.optimal(compute=1e21, precision=name, law="besiroglu2024").result["laws"][0] for name in ("int8", "fp8"))
    assert int8["n_params"] == fp8["n_params"]


@pytest.mark.parametrize("precision", ["int8", "fp8", "nvfp4"])
def test_flops_by_number_format(precision):
    """The layers' matrices are multiplied in the narrow format, head and attention in 16 bits; together they are the training FLOP."""
    found = sp.flops("llama-3-8b", precision=precision).result
    narrow, wide = (row["training_flops_per_token"] for row in found["formats"])
    assert narrow == 6 * MATRICES
    assert narrow + wide == found["training_flops_per_token"]
