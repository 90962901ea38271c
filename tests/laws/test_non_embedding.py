"""The law seen without embeddings: why one article found N ~ C^0.73 where another found C^0.5."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from scaleplan.laws.convention import EMBEDDING_SCALE, total_params
from scaleplan.laws.forms import Additive
from scaleplan.laws.non_embedding import WithoutEmbeddings, growth_of_total, slope

LAW = Additive(1.8172, 482.01, 2085.43, 0.3478, 0.3658)
SEEN = WithoutEmbeddings(LAW)
sizes = st.floats(3, 12).map(lambda exponent: 10**exponent)


@settings(deadline=None)
@given(sizes)
def test_the_optimum_is_the_least_loss(n_params: float):
    """Of all sizes at the compute for which N is best, a minimiser that sees the loss alone finds N."""
    flops = SEEN.compute_at_params(n_params)
    found = minimize_scalar(
        lambda x: SEEN.loss(n_params * 10**x, flops / 6 / n_params / 10**x), bounds=(-1, 1), method="bounded", options={"xatol": 1e-10}
    )
    assert 10**found.x == pytest.approx(1, rel=1e-4)
    assert SEEN.params_at_compute(flops) == pytest.approx(n_params, rel=1e-9)


@given(sizes)
def test_the_local_exponent_is_that_of_the_article(n_params: float):
    """1 / g with g = 1 - (1 / beta) (y + w / 9) / (y + w / 3) + ((1 + alpha) / beta) (y + w / 3) / (y + w), y = N^(2/3) (pearce2024)."""
    y, w = n_params ** (2 / 3), EMBEDDING_SCALE
    g = 1 - (y + w / 9) / (y + w / 3) / LAW.beta + (1 + LAW.alpha) / LAW.beta * (y + w / 3) / (y + w)
    near = [n_params * 0.999, n_params * 1.001]

    assert slope([SEEN.compute_at_params(n) for n in near], near) == pytest.approx(1 / g, rel=1e-5)


def test_large_models_show_the_exponent_of_the_law():
    """Embeddings vanish beside 1e15 parameters: there N ~ C^(beta / (alpha + beta)) again; among small ones it looks like 0.78."""
    assert SEEN.exponent_between(1e15, 1e18) == pytest.approx(LAW.exponent, rel=1e-3)
    assert SEEN.exponent_between(768, 1.5e9) == pytest.approx(0.78, rel=0.02)


@given(sizes)
def test_growth_of_the_total_is_a_slope(n_params: float):
    """d log N_T / d log N, by two points."""
    step = [n_params * 0.9999, n_params * 1.0001]
    assert slope(step, [total_params(n) for n in step]) == pytest.approx(growth_of_total(n_params), rel=1e-6)
