"""Few bits and few weights: effective parameters, and laws at one sparsity."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from scaleplan.chain.catalogue import load_law
from scaleplan.laws.forms import Additive
from scaleplan.laws.precision import Precision, best_bits, kept_share, precision_of, sparse_of, with_effective_share

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
