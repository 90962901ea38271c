"""Bounds on N, D and D / N."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaleplan.errors import InputError, UnknownName
from scaleplan.laws.constraints import Bounded, Bounds, bounds_of
from scaleplan.laws.forms import Additive

LAW = Additive(1.8172, 482.01, 2085.43, 0.3478, 0.3658)
budgets = st.floats(19, 25).map(lambda exponent: 10**exponent)


@given(budgets, st.floats(8, 12).map(lambda exponent: 10**exponent))
def test_a_bound_that_does_not_bind_changes_nothing(flops, most):
    """The best size stays, or is the bound where it lies beyond."""
    free = LAW.params_at_compute(flops)
    bounds = bounds_of([("n_params", True, most)])
    assert bounds is not None
    assert Bounded(LAW, bounds).params_at_compute(flops) == min(free, most)


@given(budgets, st.floats(1, 1000))
def test_a_fixed_ratio_is_kept(flops, ratio):
    """D / N is what was asked for, by compute and by loss."""
    bounds = bounds_of([], ratio)
    assert bounds is not None
    frontier = Bounded(LAW, bounds)
    n = frontier.params_at_compute(flops)
    assert frontier.tokens_at_compute(flops, n) / n == pytest.approx(ratio)
    n = frontier.params_at_loss(2.0)
    assert frontier.tokens_at_loss(n, 2.0) / n == pytest.approx(ratio, rel=1e-6)
    assert LAW.loss(n, ratio * n) == pytest.approx(2.0)


def test_a_small_model_pays_in_tokens():
    """A loss of 2.0 with at most 20e9 parameters: all of them, on more data, for more compute than the best 46.9e9."""
    bounds = bounds_of([("n_params", True, 20e9)])
    assert bounds is not None
    frontier = Bounded(LAW, bounds)
    n = frontier.params_at_loss(2.0)
    d = frontier.tokens_at_loss(n, 2.0)
    best = LAW.params_at_loss(2.0)
    assert n == 20e9
    assert LAW.loss(n, d) == pytest.approx(2.0)
    assert n * d > best * LAW.tokens_at_params(best)


def test_bounds_on_tokens_bind_through_the_budget():
    """At most 1e10 tokens of 1e21 FLOP: N = C / (6 D)."""
    bounds = bounds_of([("n_tokens", True, 1e10)])
    assert bounds is not None
    assert Bounded(LAW, bounds).params_at_compute(1e21) == pytest.approx(1e21 / 6e10)


@pytest.mark.parametrize(
    "limits", [[("n_params", True, 1e9), ("n_params", False, 1e10)], [("n_params", True, 1e9), ("n_tokens", True, 1e9)]]
)
def test_bounds_that_cross_are_refused(limits):
    """Nothing keeps to both."""
    bounds = bounds_of(limits)
    assert bounds is not None
    with pytest.raises(InputError, match="nothing keeps"):
        Bounded(LAW, bounds).params_at_compute(1e21)


def test_a_loss_out_of_reach_within_the_bounds():
    """1e9 parameters never reach 2.0: endless data leave 1.8172 + 482.01 / 1e9^0.3478 = 2.17."""
    bounds = bounds_of([("n_params", True, 1e9)])
    assert bounds is not None
    with pytest.raises(InputError, match="no amount of data"):
        Bounded(LAW, bounds).params_at_loss(2.0)


def test_only_known_quantities_have_bounds():
    """And no bound at all is None."""
    assert bounds_of([]) is None
    with pytest.raises(UnknownName, match="loss"):
        Bounds().narrowed("loss", True, 2.0)
