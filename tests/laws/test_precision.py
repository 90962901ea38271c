"""Few bits and few weights: effective parameters, and laws at one sparsity."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from scaleplan.chain.catalogue import load_law
from scaleplan.laws.forms import Additive
from scaleplan.laws.precision import Precision, Sparse, best_bits, in_bits, kept_share, precision_of, sparse_of, with_effective_share

LAW = Additive(1.8172, 482.01, 2085.43, 0.3478, 0.3658)
PRECISION = precision_of(load_law("kumar2024").data["precision"])


@given(st.floats(0.1, 64), st.floats(0.5, 5))
def test_more_bits_keep_more_parameters(bits: float, gamma: float):
    """The share rises from none to all."""
    assert 0 < kept_share(bits, gamma) <= kept_share(2 * bits, gamma) <= 1
    assert kept_share(0, gamma) == 0


def test_the_three_shares_multiply():
    """Weights, activations and cache each keep their own share; at 16 bits nearly all is kept."""
    each = [kept_share(8, gamma) for gamma in PRECISION]

    assert PRECISION.effective_share(8, 8, 8) == pytest.approx(math.prod(each))
    assert PRECISION.effective_share(16, 16, 16) > 0.99


@given(st.floats(0.05, 1), st.floats(1e6, 1e12), st.floats(1e8, 1e13))
def test_a_law_of_effective_parameters_is_a_law_of_all(share: float, n_params: float, n_tokens: float):
    """L(share N, D) of the one is L(N, D) of the other."""
    assert with_effective_share(LAW, share).loss(n_params, n_tokens) == pytest.approx(LAW.loss(share * n_params, n_tokens), rel=1e-12)


def test_best_bits_are_where_a_minimiser_finds_them():
    """(1 - exp(-u))^3 / u, the effective parameters that a budget buys, is largest there."""
    found = minimize_scalar(lambda u: -((1 - math.exp(-u)) ** 3) / u, bounds=(0.1, 20), method="bounded", options={"xatol": 1e-9})
    assert best_bits(Precision(1.0, 1.0, 1.0)) == pytest.approx(found.x, rel=1e-6)


@pytest.mark.parametrize("name", ["frantar2023-t5", "frantar2023-vit"])
def test_sparser_weights_need_fewer_of_them(name: str):
    """With as many weights that are not zero, a sparser model has the lower loss: the zeros were chosen."""
    law = sparse_of(load_law(name).data["loss"])
    losses = [law.at(sparsity).loss(1e8, 1e11) for sparsity in (0, 0.5, 0.75, 0.875)]

    assert losses == sorted(losses, reverse=True)
    assert law.at(0).a == pytest.approx(law.a_s + law.c_s)


def test_shares_of_different_bits_by_hand():
    """(1 - e^(-5/2)) (1 - e^(-7/3)) (1 - e^(-11/4)) of weights, activations and cache."""
    found = Precision(2.0, 3.0, 4.0).effective_share(5, 7, 11)
    assert found == pytest.approx((1 - math.exp(-5 / 2)) * (1 - math.exp(-7 / 3)) * (1 - math.exp(-11 / 4)))


@pytest.mark.parametrize(("usual", "gammas"), [(16, (2.7, 2.2, 0.96)), (11, (5.1, 3.3, 1.7))])
def test_best_bits_of_three_different_tensors(usual, gammas):
    """(1 - e^(-P/a)) (1 - e^(-P/b)) (1 - e^(-P/c)) / P is largest there, by a search of its own."""
    found = minimize_scalar(
        lambda bits: -math.prod(1 - math.exp(-bits / gamma) for gamma in gammas) / bits,
        bounds=(0.1, 5 * usual), method="bounded", options={"xatol": 1e-9},
    )  # fmt: skip
    assert best_bits(Precision(*gammas)) == pytest.approx(found.x, rel=1e-6)


@pytest.mark.parametrize("usual", [None, 11])
def test_a_law_of_runs_in_16_bits_for_training_in_6(usual):
    """N counts for its share at 6 bits over that at 16 (or at those of its runs): for the law, its frontier and each of its draws."""
    law = load_law("besiroglu2024")
    kept = [math.prod(1 - math.exp(-bits / gamma) for gamma in PRECISION) for bits in (6, usual or 16)]
    found = in_bits(law, PRECISION, 6, usual) if usual else in_bits(law, PRECISION, 6)
    seen = 7e9 * kept[0] / kept[1]

    assert found.additive.loss(7e9, 3e11) == pytest.approx(law.additive.loss(seen, 3e11), rel=1e-12)
    assert found.frontier == found.loss
    assert len(found.draws) == len(law.draws)
    for draw, before in list(zip(found.draws, law.draws, strict=True))[:3]:
        assert draw.loss(7e9, 3e11) == pytest.approx(before.loss(seen, 3e11), rel=1e-12)


def test_a_sparse_law_by_hand():
    """(a_S (1 - S)^b_S + c_S) N^-b_N + (a_D / D)^b_D + c at S = 3/4."""
    law = Sparse(a_s=17.0, b_s=0.7, c_s=0.65, b_n=0.245, a_d=6.9e8, b_d=0.203, c=0.61)
    by_hand = (17 * 0.25**0.7 + 0.65) * 3e8**-0.245 + (6.9e8 / 5e10) ** 0.203 + 0.61
    assert law.at(0.75).loss(3e8, 5e10) == pytest.approx(by_hand)
