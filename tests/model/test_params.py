"""Conventions of counting parameters, against numbers printed elsewhere."""

from __future__ import annotations

import pytest

from scaleplan.model.bill import bill_of
from scaleplan.model.params import count_params, kaplan_params
from scaleplan.model.shape import arch_of_shape


def count(**words):
    return count_params(bill_of(arch_of_shape(words)))


@pytest.mark.parametrize(("n_layers", "d_model", "expected"), [(36, 1280, 707_788_800), (207, 768, 1_465_122_816), (1, 8, 768)])
def test_kaplan_counts_twelve_l_d_squared(n_layers: int, d_model: int, expected: int):
    """12 n_layer d_model^2 for the usual shape (kaplan2020 eq 2.1)."""
    assert count(n_layers=n_layers, d_model=d_model, n_heads=1, n_vocab=50257).kaplan == expected


@pytest.mark.parametrize(("n_layers", "d_model", "expected"), [(40, 6144, 18.4497e9), (80, 12288, 145.622e9), (105, 20480, 529.601e9)])
def test_megatron_equation_2(n_layers: int, d_model: int, expected: float):
    """12 l h^2 (1 + 13/12h + (V + s)/12lh) with V 51200 and s 2048 (narayanan2021 table 1), within the last norm it leaves out."""
    found = count(n_layers=n_layers, d_model=d_model, n_heads=d_model // 128, n_vocab=51200, n_positions=2048).n_params

    formula = 12 * n_layers * d_model**2 + 13 * n_layers * d_model + (51200 + 2048) * d_model
    assert found == formula + 2 * d_model
    assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("d_model", "d_ff", "d_head", "n_heads", "n_layers", "millions"),
    [
        (512, 2048, 64, 8, 8, 44),
        (1024, 4096, 64, 16, 16, 251),
        (1792, 7168, 128, 14, 23, 1018),
        (2560, 10240, 128, 20, 34, 2980),
        (3584, 14336, 128, 28, 40, 6796),
        (4608, 18432, 128, 36, 44, 12295),
        (5120, 20480, 128, 40, 47, 16183),
    ],
)
def test_models_of_the_chinchilla_table(d_model: int, d_ff: int, d_head: int, n_heads: int, n_layers: int, millions: int):
    """Table A9 of hoffmann2022, with a projection of relative positions and one table of 32,000 tokens."""
    found = count(
        n_layers=n_layers, d_model=d_model, n_heads=n_heads, d_head=d_head, d_ff=d_ff, n_vocab=32000, norm="rms",
        attention_bias="none", mlp_bias=False, relative_projection=True,
    )  # fmt: skip

    assert found.n_params == pytest.approx(millions * 1e6, rel=0.02)


def test_an_lstm_has_eight_d_squared_weights_a_layer():
    """Four gates of the input and of the state before, and two biases of each."""
    found = count(n_layers=3, d_model=100, n_vocab=50, mixer="lstm", tied=False)

    assert found.groups["mixer"] == 3 * (8 * 100**2 + 8 * 100)
    assert found.n_params == found.groups["mixer"] + 2 * 50 * 100


def test_a_tower_may_be_added_as_a_number():
    """Extra parameters are in the total and in no other group."""
    plain, more = (count(n_layers=2, d_model=64, n_heads=2, n_vocab=100, n_extra_params=n) for n in (0, 304_000_000))

    assert more.n_params - plain.n_params == more.groups["other"] == 304_000_000


@pytest.mark.parametrize(
    ("words", "blocks"),
    [
        ({}, 3 * 2 * 24 * (2 * 30 + 44)),
        ({"n_experts": 7, "n_experts_per_token": 2, "d_ff_expert": 11}, 3 * 2 * 24 * (2 * 30 + 7 * 11)),
        ({"n_experts": 7, "n_experts_per_token": 2, "d_ff_expert": 11, "d_ff_shared": 13}, 3 * 2 * 24 * (2 * 30 + 7 * 11 + 13)),
        ({"n_experts": 7, "n_experts_per_token": 2, "d_ff_expert": 11, "feed_forward": "both"}, 3 * 2 * 24 * (2 * 30 + 44 + 7 * 11)),
        ({"n_encoder_layers": 5}, 3 * 2 * 24 * (4 * 30 + 44) + 5 * 2 * 24 * (2 * 30 + 44)),
        ({"n_encoder_layers": 5, "feed_forward": "none"}, 3 * 2 * 24 * 4 * 30 + 5 * 2 * 24 * 2 * 30),
    ],
)
def test_kaplan_by_hand(words: dict[str, object], blocks: int):
    """2 d (2 d_attn + d_ff) a layer, d_ff of all experts, cross-attention as attention: heads of 5 x 6, a width of 24."""
    assert count(n_layers=3, d_model=24, n_heads=5, d_head=6, d_ff=44, n_vocab=101, **words).kaplan == blocks


def test_kaplan_of_the_experts_that_a_token_passes():
    """2 of 7."""
    words = {"n_layers": 3, "d_model": 24, "n_heads": 5, "d_head": 6, "n_experts": 7, "n_experts_per_token": 2, "d_ff_expert": 11}
    layer = next(layer for layer in bill_of(arch_of_shape({**words, "n_vocab": 101, "d_ff_shared": 13})).blocks())

    assert kaplan_params(layer, used=True) == 2 * 24 * (2 * 30 + 2 * 11 + 13)


def test_how_often_a_part_is_kept():
    """7 experts in each of 3 layers, or in one set of weights that all layers share."""
    words = {"n_layers": 3, "d_model": 24, "n_heads": 4, "n_experts": 7, "n_experts_per_token": 2, "d_ff_expert": 11, "n_vocab": 101}
    for copies, shared in ((3, {}), (1, {"n_shared_copies": 1})):
        parts = {part.name.rpartition(": ")[2]: part for part in count(**words, **shared).parts}

        assert (parts["expert up"].count, parts["Q"].count) == (copies * 7, copies)
        assert (parts["expert up"].n_params, parts["expert up"].n_active_params) == (copies * 7 * 24 * 11, copies * 2 * 24 * 11)
