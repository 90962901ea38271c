"""Conventions of counting parameters, against numbers printed elsewhere."""

from __future__ import annotations

import pytest

from scaleplan.model.bill import bill_of
from scaleplan.model.params import count_params
from scaleplan.model.shape import arch_of_shape
from scaleplan.model_files import read_model


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


@pytest.mark.parametrize(
    ("name", "expected", "tolerance"),
    [
        ("gpt2", 124_439_808, 0),
        ("gpt2-xl", 1_557_611_200, 0),
        ("gpt2-large", 774_030_080, 0),
        ("llama-2-70b", 68_976_648_192, 0),
        ("llama-3.1-405b", 405_853_388_800, 0),
        ("mixtral-8x7b", 46_702_792_704, 0),
        ("t5-11b", 11_307_321_344, 0),
        ("gpt3-175b", 174.6e9, 1e-3),
        ("palm-540b", 540.35e9, 1e-4),
        ("mt-nlg-530b", 529.6e9, 1e-4),
        ("gopher-280b", 280e9, 2e-3),
        ("chinchilla-70b", 70e9, 2e-3),
    ],
)
def test_published_totals(name: str, expected: float, tolerance: float):
    """Presets have the sizes that their papers and checkpoints print."""
    assert count_params(bill_of(read_model(name).arch)).n_params == pytest.approx(expected, rel=tolerance)


def test_presets_are_the_released_configs(published_totals: dict[str, int]):
    """Every preset whose config was built elsewhere has its exact total."""
    from scaleplan import library

    shared = set(library.names("models")) & set(published_totals)
    assert len(shared) > 30
    for name in shared:
        assert count_params(bill_of(read_model(name).arch)).n_params == published_totals[name], name


@pytest.fixture
def published_totals() -> dict[str, int]:
    import csv
    from pathlib import Path

    with (Path(__file__).parents[1] / "published" / "architectures.csv").open(encoding="utf-8", newline="") as lines:
        return {row["name"]: int(row["total_params"]) for row in csv.DictReader(lines)}


def test_an_lstm_has_eight_d_squared_weights_a_layer():
    """Four gates of the input and of the state before, and two biases of each."""
    found = count(n_layers=3, d_model=100, n_vocab=50, mixer="lstm", tied=False)

    assert found.groups["mixer"] == 3 * (8 * 100**2 + 8 * 100)
    assert found.n_params == found.groups["mixer"] + 2 * 50 * 100


def test_a_tower_may_be_added_as_a_number():
    """Extra parameters are in the total and in no other group."""
    plain, more = (count(n_layers=2, d_model=64, n_heads=2, n_vocab=100, n_extra_params=n) for n in (0, 304_000_000))

    assert more.n_params - plain.n_params == more.groups["other"] == 304_000_000
