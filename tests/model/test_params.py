"""Conventions of counting parameters, against numbers printed elsewhere."""

from __future__ import annotations

import pytest

from scaleplan.model.bill import bill_of
from scaleplan.model.params import count_params
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
