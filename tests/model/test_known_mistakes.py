"""Mistakes that calculators of this kind make, each with the number by hand that they miss."""

from __future__ import annotations

from typing import Any

import pytest

from scaleplan.model.bill import bill_of
from scaleplan.model.flops import Counting, count_flops
from scaleplan.model.items import Bill
from scaleplan.model.params import count_params
from scaleplan.model.shape import arch_of_shape
from scaleplan.model_files import read_model

LLAMA = {"gated": True, "norm": "rms", "tied": False, "n_vocab": 32_000}
SMALL = {"n_layers": 4, "d_model": 64, "n_heads": 8, "n_vocab": 1000}


def bill(**words: Any) -> Bill:
    return bill_of(arch_of_shape(words))


def preset(name: str) -> Bill:
    return bill_of(read_model(name).arch)


# ------------------------------------------------------------------------------------------------------------- parameters


def test_an_untied_head_is_counted():
    """Llama 3 8B keeps a second table of 128256 x 4096: 8.03e9 parameters, not 7.50e9."""
    assert count_params(preset("llama-3-8b")).n_params == 8_030_261_248
    assert count_params(preset("llama-3-8b")).n_params - 128_256 * 4096 == 7_504_924_672


def test_a_tied_head_is_counted_once():
    """GPT-2 has 124,439,808 parameters; with its table counted twice it would be 163,037,184."""
    found = count_params(preset("gpt2"))

    assert found.n_params == 124_439_808
    assert found.conventions["tied_head_counted_twice"] == 163_037_184


def test_rotary_positions_have_no_parameters():
    """Only a learned table costs s h parameters."""
    learned, rotary = (count_params(bill(**SMALL, n_positions=n)).n_params for n in (2048, 0))

    assert learned - rotary == 2048 * 64


def test_grouped_keys_shrink_the_projections():
    """K and V of Llama 2 70B have 8 of 64 heads: 2.25 d^2 weights of attention a layer, not 4 d^2."""
    found = count_params(preset("llama-2-70b"))

    assert found.groups["attention"] == 80 * (2 * 8192**2 + 2 * 8192 * 1024)


def test_the_inner_width_is_obeyed():
    """Llama 2 7B is 11008 wide inside and gated: 3 x 4096 x 11008 a layer, not 2 x 4 x 4096^2 and not 3 x 16384 x 4096."""
    assert count_params(preset("llama-2-7b")).groups["mlp_dense"] == 32 * 3 * 4096 * 11008


def test_a_gate_is_a_third_matrix_at_any_ratio():
    """Whether a feed-forward is gated is not guessed from its width."""
    for d_ff in (96, 172, 224, 256):
        assert count_params(bill(**SMALL, gated=True, d_ff=d_ff)).groups["mlp_dense"] == 4 * 3 * 64 * d_ff


def test_the_vocabulary_is_the_model_s_own():
    """Not 51,200 for everybody: the table has as many rows as it is told."""
    assert count_params(bill(**SMALL | {"n_vocab": 32_000})).n_embedding_params == 32_000 * 64


def test_layer_norms_of_attention_are_no_attention():
    """Norms are a group of their own, those of queries and keys too."""
    plain, normed = (count_params(bill(**SMALL, qk_norm=kind)) for kind in ("none", "head"))

    assert normed.groups["attention"] == plain.groups["attention"]
    assert normed.groups["norm"] - plain.groups["norm"] == 4 * 2 * 8


# ---------------------------------------------------------------------------------------------------------------- experts


def test_two_of_eight_experts_are_active():
    """Mixtral: 46.7e9 in all and 12.88e9 that a token passes; with one expert it would be 7.2e9."""
    found = count_params(preset("mixtral-8x7b"))

    assert (found.n_params, found.n_active_params) == (46_702_792_704, 12_879_925_248)


def test_flops_follow_the_experts_that_are_used():
    """Twice the experts a token passes are twice the FLOP of the experts; those that stay idle cost nothing."""
    moe = SMALL | {"gated": True, "d_ff_expert": 96}
    one, two, idle = (
        count_flops(bill(**moe, n_experts=n, n_experts_per_token=k), 10).groups["experts_routed"] for n, k in ((8, 1), (8, 2), (64, 2))
    )

    assert one == 10 * 4 * 2 * 3 * 64 * 96
    assert two == 2 * one
    assert idle == two


def test_attention_is_no_expert():
    """Active parameters are k of E of the experts and everything else in full, not k of E of the model."""
    found = count_params(bill(**SMALL, n_experts=8, n_experts_per_token=2, d_ff_expert=96))

    assert found.n_active_params > found.n_params * 2 / 8
    assert found.n_params - found.n_active_params == 4 * 6 * (2 * 64 * 96)


def test_dense_layers_among_experts_stay_dense():
    """Layers without experts keep their own feed-forward, whatever is routed in the others."""
    found = count_params(bill(**SMALL, n_experts=8, n_experts_per_token=1, d_ff_expert=96, d_ff=256, n_dense_layers=1, mlp_bias=False))

    assert found.groups["mlp_dense"] == 2 * 64 * 256
    assert found.groups["experts_routed"] == 3 * 8 * 2 * 64 * 96


def test_shared_experts_are_passed_by_every_token():
    """Two shared experts of 96 are active in full."""
    found = count_params(bill(**SMALL, gated=True, n_experts=8, n_experts_per_token=2, d_ff_expert=96, n_shared_experts=2))

    assert found.groups["experts_shared"] == 4 * 3 * 64 * 2 * 96
    assert found.n_params - found.n_active_params == 4 * 6 * 3 * 64 * 96


# ------------------------------------------------------------------------------------------------------------------- FLOP


def test_logits_are_trained_too():
    """The product with the vocabulary is trained like every other: GPT-2 needs 8.54e8 FLOP a token, not 7.0e8 as with logits once."""
    whole, without = (count_flops(preset("gpt2"), 1024, how=Counting(head=head)).training_flops for head in (True, False))

    assert whole - without == 3 * 2 * 1024 * 768 * 50_257
    assert whole / 1024 == pytest.approx(8.544e8, rel=1e-3)


def test_a_tied_head_costs_a_product():
    """Tying saves memory and no FLOP."""
    assert count_flops(bill(**SMALL, tied=True), 10) == count_flops(bill(**SMALL, tied=False), 10)


def test_attention_is_not_linear_in_length():
    """Scores and weighted sums are there: 4 L s^2 a d_head, four times as many for twice the tokens."""
    short, long = (count_flops(bill(**SMALL), n) for n in (512, 1024))

    assert long.linear_flops == 2 * short.linear_flops
    assert long.attention_flops == 4 * short.attention_flops == 4 * 1024**2 * 4 * 64


def test_causal_prefill_is_half_of_full():
    """Llama 3 8B reads 131,072 tokens with 9.0e15 FLOP of attention over the full square, and with half of that when causality is used."""
    full, causal = (count_flops(preset("llama-3-8b"), 131_072, how=Counting(causal=c)).attention_flops for c in (False, True))

    assert full == 4 * 131_072**2 * 32 * 4096
    assert causal / full == pytest.approx(0.5, rel=1e-5)


def test_the_inner_width_changes_the_flops():
    """11008 wide or 1 wide are not the same model."""
    wide, narrow = (count_flops(bill(n_layers=32, d_model=4096, n_heads=32, d_ff=n, **LLAMA), 10) for n in (11_008, 1))

    assert wide.linear_flops - narrow.linear_flops == 10 * 2 * 32 * 3 * 4096 * 11_007


def test_an_uneven_inner_width_is_not_rounded():
    """A width that is no multiple of d_model counts in full: 100 of 64."""
    assert count_flops(bill(**SMALL, d_ff=100), 1).groups["mlp_dense"] == 2 * 4 * 2 * 64 * 100


def test_heads_of_another_width_change_the_scores():
    """16 heads of 256 in a model of 3072 cost 4 s^2 4096, not 4 s^2 3072 (Gemma 7B)."""
    found = bill(n_layers=1, d_model=3072, n_heads=16, d_head=256, n_vocab=10)

    assert count_flops(found, 100).attention_flops == 4 * 100**2 * 4096


def test_shared_layers_cost_each_run():
    """They are few parameters and many FLOP: ALBERT base runs one layer twelve times."""
    once, twelve = (bill(**SMALL | {"n_layers": n}, n_shared_copies=1) for n in (1, 12))
    layers_once, layers_twelve = (count_flops(b, 100, how=Counting(head=False)).forward_flops for b in (once, twelve))

    assert count_params(once).n_params == count_params(twelve).n_params
    assert layers_twelve == 12 * layers_once


def test_the_head_of_a_decoder_sees_the_decoder_s_tokens():
    """Logits of T5 are for the summary, not for the article."""
    found = bill(**SMALL, n_encoder_layers=2)

    assert count_flops(found, 512, decoder_seq_len=114).groups["head_matrix"] == 2 * 114 * 64 * 1000
    more = count_flops(found, 512, decoder_seq_len=115).attention_flops - count_flops(found, 512, decoder_seq_len=114).attention_flops
    assert more == 4 * 4 * 64 * (115**2 - 114**2 + 512)
