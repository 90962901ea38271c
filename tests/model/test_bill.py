"""The bill of materials: what is stored, what is used, and in which order."""

from __future__ import annotations

import numpy as np
import pytest

from scaleplan.model.arch import Tensor, Tensors
from scaleplan.model.bill import bill_of
from scaleplan.model.flops import count_flops
from scaleplan.model.params import count_params
from scaleplan.model.shape import arch_of_shape

GPT = {"n_layers": 4, "d_model": 64, "n_heads": 4, "n_vocab": 1000, "n_positions": 128}
MOE = GPT | {"n_experts": 8, "n_experts_per_token": 2, "d_ff_expert": 96, "gated": True}


def count(**words):
    return count_params(bill_of(arch_of_shape(words)))


def test_a_tied_head_is_used_and_not_stored():
    """Tying leaves the parameters out of the count and the product in the FLOP."""
    tied, untied = (bill_of(arch_of_shape(GPT | {"tied": tied})) for tied in (True, False))

    assert untied.n_params() - tied.n_params() == 1000 * 64
    assert count_flops(untied, 128).linear_flops == count_flops(tied, 128).linear_flops


def test_layers_that_share_weights_keep_one_set_and_run_often():
    """Four runs of one layer have the parameters of one and the FLOP of four."""
    shared, apart, single = (bill_of(arch_of_shape(GPT | words)) for words in ({"n_shared_copies": 1}, {}, {"n_layers": 1}))

    assert shared.n_params() == single.n_params()
    assert count_flops(shared, 128).forward_flops == count_flops(apart, 128).forward_flops


def test_a_token_passes_k_of_e_experts():
    """Active parameters hold k experts of a layer, the router in full."""
    found = count(**MOE)

    idle = 4 * (8 - 2) * 3 * 64 * 96
    assert found.n_params - found.n_active_params == idle
    assert found.groups["router"] == 4 * 64 * 8


def test_routing_to_all_experts_activates_everything():
    """With k = E there is nothing idle."""
    found = count(**MOE | {"n_experts_per_token": 8})

    assert found.n_active_params == found.n_params


def test_a_bias_is_a_tensor_of_its_own():
    """The GPT block has six matrices or vectors in attention and feed-forward each with a bias: 4 d^2 + 4 d, 8 d^2 + 5 d."""
    found = count(**GPT)

    assert found.groups["attention"] == 4 * (4 * 64**2 + 4 * 64)
    assert found.groups["mlp_dense"] == 4 * (8 * 64**2 + 5 * 64)
    assert found.groups["norm"] == (4 * 2 + 1) * 2 * 64


def test_the_order_names_every_layer_that_a_token_passes():
    """Counts in the order add up to the runs of each kind."""
    words = GPT | {"mixer": ["mamba", "mamba", "attention", "mamba"]}
    bill = bill_of(arch_of_shape(words))

    for index, layer in enumerate(bill.layers):
        assert sum(n for kind, n in bill.order if kind == index) == layer.runs
    assert [bill.layers[kind].kind.rpartition(": ")[2] for kind, _ in bill.order[1:-2]] == [
        "mamba, feed-forward",
        "attention, feed-forward",
        "mamba, feed-forward",
    ]


def test_a_pattern_of_layers_is_the_sum_of_its_kinds():
    """Two layers of each kind have the parameters of one model of each, less what is outside the layers."""
    mixed = count(**GPT | {"mixer": ["attention", "mamba"]})
    attention, mamba = (count(**GPT | {"mixer": kind, "n_layers": 2}) for kind in ("attention", "mamba"))
    outside = count(**GPT | {"n_layers": 2}).n_params - 2 * (12 * 64**2 + 9 * 64 + 4 * 64)

    assert mixed.n_params == attention.n_params + mamba.n_params - outside


def test_cross_attention_makes_keys_of_the_encoder_tokens():
    """K and V of cross-attention run on the encoder's length: 4 d^2 FLOP a token and layer."""
    bill = bill_of(arch_of_shape(GPT | {"n_encoder_layers": 2, "attention_bias": "none", "mlp_bias": False}))
    short, long = (count_flops(bill, n, decoder_seq_len=16).linear_flops for n in (100, 101))

    encoder = 2 * 2 * 12 * 64**2
    assert long - short == encoder + 4 * 2 * 2 * 64**2


def test_arrays_count_like_numbers():
    """A sweep over arrays gives what counting one by one gives."""
    depths, widths = np.array([2, 4, 8]), np.array([64, 128, 256])
    words = MOE | {"n_dense_layers": 1}
    swept = count_params(bill_of(arch_of_shape(words | {"n_layers": depths, "d_model": widths, "n_heads": widths // 16})))

    for i, (depth, width) in enumerate(zip(depths, widths, strict=True)):
        one = count(**words | {"n_layers": int(depth), "d_model": int(width), "n_heads": int(width) // 16})
        assert swept.n_params[i] == one.n_params
        assert swept.n_active_params[i] == one.n_active_params
        assert swept.kaplan[i] == one.kaplan


def test_the_largest_sweep_does_not_overflow():
    """FLOP beyond 9.2e18 are floats in arrays, exact ints for one model."""
    words = {"n_layers": 126, "d_model": 16384, "n_heads": 128, "n_vocab": 128256}
    one = count_flops(bill_of(arch_of_shape(words)), 8192, batch_size_seqs=10**6).training_flops
    swept = count_flops(bill_of(arch_of_shape(words | {"n_layers": np.array([126])})), 8192, batch_size_seqs=10**6).training_flops

    assert one > 2**63
    assert swept[0] == pytest.approx(one, rel=1e-12)


def test_parts_and_groups_add_up():
    """Sum of parts, sum of groups and total are one number."""
    for words in (GPT, MOE, GPT | {"n_encoder_layers": 2}, GPT | {"d_embedding": 32}):
        found = count(**words)
        assert sum(part.n_params for part in found.parts) == sum(found.groups.values()) == found.n_params


def test_what_lies_outside_the_layers_is_there_once():
    """Tables, the last norm, a pooler, tensors of a family, the head and a tower: one run, one copy."""
    words = GPT | {"pooler": True, "n_extra_params": 77, "model_tensors": Tensors(Tensor("t", "other", (3, 5)))}
    outside = [layer for layer in bill_of(arch_of_shape(words)).layers if layer.place != "block"]

    assert {layer.kind: (layer.runs, layer.copies, layer.n_params) for layer in outside} == {
        "decoder embedding": (1, 1, 1000 * 64 + 128 * 64),
        "decoder final norm": (1, 1, 2 * 64),
        "decoder besides": (1, 1, 15),
        "pooler": (1, 1, 64 * 64 + 64),
        "head": (1, 1, 0),
        "extra": (1, 1, 77),
    }
