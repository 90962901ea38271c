"""Closed forms of articles against the bill of materials, which adds up tensor by tensor, and against printed numbers."""

from __future__ import annotations

from typing import Any

import pytest

from scaleplan.machine.activations import Batch, layer_bytes
from scaleplan.machine.recipe import precision_named
from scaleplan.model import closed_forms
from scaleplan.model.bill import bill_of
from scaleplan.model.flops import Counting, count_flops
from scaleplan.model.items import Bill
from scaleplan.model.params import count_params
from scaleplan.model.passes import Keeping, Pass
from scaleplan.model.shape import arch_of_shape

L, D, HEADS, V, S = 5, 21, 3, 1009, 13


def bill(**words: Any) -> Bill:
    return bill_of(arch_of_shape({"n_layers": L, "d_model": D, "n_heads": HEADS, "n_vocab": V} | words))


def test_megatron_params_are_those_of_a_plain_gpt_but_for_the_last_norm():
    """Matrices, biases, norms and both tables, tensor by tensor; 145.6B in table 1 of narayanan2021."""
    assert closed_forms.megatron_params(L, D, V, S) == bill(n_positions=S).n_params() - 2 * D
    assert closed_forms.megatron_params(80, 12288, 51200, 2048) == pytest.approx(145.6e9, rel=1e-3)


def test_every_layer_forward_twice_is_the_recomputing_megatron():
    """Forward, forward again and twice in the backward pass: the layers four times, the head, which is not recomputed, three times."""
    count = count_flops(bill(n_positions=S), S)
    head = count.groups["head_matrix"]

    assert closed_forms.megatron_recompute_flops(L, D, V, S) * S == 4 * (count.forward_flops - head) + 3 * head


def test_chinchilla_has_a_fifth_projection():
    """The matrices of a block with a projection of relative positions, and one table (hoffmann2022 table A9: 251M)."""
    found = bill(relative_projection=True, attention_bias="none", mlp_bias=False, d_head=11, d_ff=43, norm="rms")
    norms = (2 * L + 1) * D

    assert closed_forms.chinchilla_params(L, D, 43, HEADS, 11, V) == found.n_params() - norms
    assert closed_forms.chinchilla_params(16, 1024, 4096, 16, 64, 32000) == pytest.approx(251e6, rel=1e-3)


def test_deepseek_leaves_the_vocabulary_out():
    """M of a token is the training FLOP of the plain block's layers (deepseek2024 equation 2)."""
    count = count_flops(bill(), S, how=Counting(head=False))

    assert closed_forms.deepseek_flops_per_token(L, D, S) * S == count.training_flops


def test_kaplan_counts_the_matrices_of_the_layers():
    """Four of d d and two of d 4 d (kaplan2020 equation 2.1)."""
    assert closed_forms.kaplan_params(L, D) == count_params(bill()).kaplan == L * (4 * D * D + 2 * D * 4 * D)


@pytest.mark.parametrize("recompute", ["none", "selective"])
def test_the_activations_of_korthikanti(recompute: str):
    """Tensor by tensor in 16 bits with dropout; selective recomputation saves the attention square alone."""
    how = Pass(Keeping(norm_stats_bytes=0), fused_attention=False, dropout=True, recompute=recompute)
    kept = layer_bytes(bill().blocks()[0], how, Batch(7, S), precision_named("bf16"))
    saved = 0 if recompute == "none" else S * 7 * closed_forms.score_activation_bytes(S, HEADS)

    assert kept == closed_forms.layer_activation_bytes(S, 7, D, HEADS) - saved


@pytest.mark.parametrize(("d_model", "percent"), [(12288, 2.7), (20480, 1.6)])
def test_selective_recomputation_of_gpt_3_and_of_530b(d_model: int, percent: float):
    """korthikanti2022 section 5 prints 2.7 % and 1.6 % more FLOP at 2048 tokens, the fractions s / 6h rounded down."""
    assert 0 <= 100 * closed_forms.selective_recompute_fraction(2048, d_model) - percent < 0.1
