"""The law seen without embeddings: why one article found N ~ C^0.73 where another found C^0.5."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from scaleplan.laws.convention import EMBEDDING_SCALE, total_params
from scaleplan.laws.forms import Additive
from scaleplan.laws.non_embedding import WithoutEmbeddings, growth_of_total, slope, spread_evenly

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


def test_the_law_seen_without_embeddings_by_hand():
    """N = 1e6 is 1e6 + 47491 x 100 parameters in all, which grow by (1e6 + 47491 x 100 / 3) / 5749100 of a per cent a per cent."""
    total, growth, d = 5_749_100, (1e6 + 4_749_100 / 3) / 5_749_100, 3e8
    best = (0.3658 * 2085.43 / (growth * 0.3478 * 482.01 / total**0.3478)) ** (1 / 0.3658)

    assert SEEN.loss(1e6, d) == pytest.approx(1.8172 + 482.01 / total**0.3478 + 2085.43 / d**0.3658)
    assert growth_of_total(1e6) == pytest.approx(growth)
    assert SEEN.tokens_at_params(1e6) == pytest.approx(best)
    assert SEEN.compute_at_params(1e6) == pytest.approx(6e6 * best)
    assert SEEN.balance(1e6, best) == pytest.approx(0, abs=1e-12)
    assert SEEN.balance(1e6, d) == pytest.approx(growth * 0.3478 * 482.01 / total**0.3478 - 0.3658 * 2085.43 / d**0.3658)


def test_sizes_lie_evenly():
    """Of 2, 6, 18, 54 each is three times the one before; from end to end by default too."""
    assert spread_evenly(2.0, 54.0, 4) == pytest.approx([2, 6, 18, 54])
    sizes = spread_evenly(3.0, 7e5)
    assert (sizes[0], sizes[-1]) == pytest.approx((3, 7e5))
    assert [math.log(b / a) for a, b in itertools.pairwise(sizes)] == pytest.approx(
        [math.log(7e5 / 3) / (len(sizes) - 1)] * (len(sizes) - 1)
    )


def test_the_exponent_of_the_loss_is_between_those_of_its_ends():
    """The slope of log L over log C flattens towards the floor, so a fit lies between the slopes at both ends; 2 % steps."""

    def local(n: float) -> float:
        pair = [n, 1.02 * n]
        losses = [SEEN.loss(one, SEEN.tokens_at_params(one)) for one in pair]
        return math.log(losses[1] / losses[0]) / math.log(SEEN.compute_at_params(pair[1]) / SEEN.compute_at_params(pair[0]))

    found = SEEN.loss_exponent_between(1e8, 1e11)
    assert local(1e8) < found < local(1e11) < 0
    assert found == pytest.approx(sum(local(10 ** (8 + i / 10)) for i in range(31)) / 31, rel=0.05)
