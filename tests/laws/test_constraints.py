"""Bounds on N, D and D / N."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from scaleplan.errors import InputError, UnknownName
from scaleplan.laws.constraints import Bounded, Bounds, bounds_of, params_of
from scaleplan.laws.forms import Additive
from scaleplan.laws.search import LARGEST

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


BUDGET = 7.3e21  # the best size without bounds: 1.1e10 parameters, 1.1e11 tokens, 10 a parameter


def free_run() -> tuple[float, float]:
    """N and D of least loss at the budget, by search."""
    found = minimize_scalar(lambda x: loss(10**x, BUDGET / 6 / 10**x), bounds=(8, 12), method="bounded", options={"xatol": 1e-12})
    return 10**found.x, BUDGET / 6 / 10**found.x


def loss(n: float, d: float) -> float:
    return 1.8172 + 482.01 / n**0.3478 + 2085.43 / d**0.3658


@pytest.mark.parametrize(
    ("quantity", "at_most", "bound", "n"),
    [
        ("n_params", True, 3.1e9, 3.1e9),
        ("n_params", False, 9.7e10, 9.7e10),
        ("n_tokens", True, 1.3e10, BUDGET / 6 / 1.3e10),
        ("n_tokens", False, 1.7e12, BUDGET / 6 / 1.7e12),
        ("tokens_per_param", True, 2.3, (BUDGET / 6 / 2.3) ** 0.5),
        ("tokens_per_param", False, 190.0, (BUDGET / 6 / 190) ** 0.5),
    ],
)
def test_each_bound_along_a_budget(quantity, at_most, bound, n):
    """The best run lies on a bound that it would break, where N D = C / 6 meets it; turned round, the same bound leaves the best run."""
    bounds, turned = bounds_of([(quantity, at_most, bound)]), bounds_of([(quantity, not at_most, bound)])
    assert bounds is not None
    assert turned is not None
    assert Bounded(LAW, bounds).params_at_compute(BUDGET) == pytest.approx(n, rel=1e-12)
    assert Bounded(LAW, turned).params_at_compute(BUDGET) == pytest.approx(free_run()[0], rel=1e-4)


@pytest.mark.parametrize("quantity", ["n_params", "n_tokens", "tokens_per_param"])
@pytest.mark.parametrize(("at_most", "factor"), [(True, 0.61), (False, 1.37)])
def test_each_bound_along_a_loss(quantity, at_most, factor):
    """The cheapest run to a loss, off its best by a bound: on the bound, of the loss, and dearer by what a search finds."""
    target = 2.03
    best = LAW.params_at_loss(target)
    at_best = {"n_params": best, "n_tokens": LAW.tokens_at_params(best), "tokens_per_param": LAW.tokens_at_params(best) / best}
    bound = factor * at_best[quantity]
    bounds, turned = bounds_of([(quantity, at_most, bound)]), bounds_of([(quantity, not at_most, bound)])
    assert bounds is not None
    assert turned is not None
    frontier = Bounded(LAW, bounds)
    n = frontier.params_at_loss(target)
    d = frontier.tokens_at_loss(n, target)

    assert {"n_params": n, "n_tokens": d, "tokens_per_param": d / n}[quantity] == pytest.approx(bound, rel=1e-9)
    assert loss(n, d) == pytest.approx(target, rel=1e-12)
    assert Bounded(LAW, turned).params_at_loss(target) == pytest.approx(best, rel=1e-12)


def test_arrays_are_answered_as_each_alone():
    """Budgets and losses in arrays, with a bound on tokens that binds for some; NaN where a number would be refused."""
    bounds = bounds_of([("n_tokens", True, 2.7e11), ("n_params", True, 8e10)])
    assert bounds is not None
    frontier = Bounded(LAW, bounds)
    budgets, losses = [1e20, 1e23], [2.4, 2.1, 2.04]
    assert frontier.params_at_compute(np.array(budgets)) == pytest.approx([frontier.params_at_compute(c) for c in budgets])
    assert math.isnan(frontier.params_at_compute(np.array([1e20, 1e24]))[1])
    found = frontier.params_at_loss(np.array([*losses, 1.93]))
    assert found[:3] == pytest.approx([frontier.params_at_loss(one) for one in losses], rel=1e-9)
    assert math.isnan(found[3])


SIMPLE = Additive(1.0, 64.0, 8.0, 1.0, 1.0)  # 1 + 64 / N + 8 / D: to 3 nats 32 parameters need endless data, 4 tokens endless parameters


@pytest.mark.parametrize("limit", [("n_params", True, 32.0), ("n_params", True, 31.0), ("n_tokens", True, 4.0), ("n_tokens", True, 3.0)])
def test_what_only_endless_data_or_parameters_reach_is_refused(limit):
    """At the very edge as below it."""
    bounds = bounds_of([limit])
    assert bounds is not None
    with pytest.raises(InputError):
        Bounded(SIMPLE, bounds).params_at_loss(3.0)


def test_params_of_a_loss_on_given_tokens():
    """64 / N = 3 - 1 - 8 / D: at 5 tokens 160 parameters; at 4 or fewer more than there are, in arrays too."""
    assert params_of(SIMPLE, 3.0, 5.0) == pytest.approx(160)
    assert params_of(SIMPLE, 3.0, 4.0) == params_of(SIMPLE, 3.0, 3.0) >= 1e40
    assert params_of(LAW, 2.03, 3.3e11) == pytest.approx((482.01 / (2.03 - 1.8172 - 2085.43 / 3.3e11**0.3658)) ** (1 / 0.3478))
    assert params_of(SIMPLE, np.array([3.0, 3.0, 2.8]), np.array([5.0, 4.0, 4.0])).tolist()[:2] == pytest.approx([160, LARGEST])
    power = Additive(1.0, 64.0, 8.0, 0.5, 1.0)  # 64 / sqrt(N) = 2 - 8 / 5: N = 160^2
    assert params_of(power, np.array([3.0]), np.array([5.0])) == pytest.approx([25600])


def test_a_tiny_ratio_is_kept():
    """A fixed ratio far below any sensible one is no ratio at the edge of the search."""
    bounds = bounds_of([], 1e-9)
    assert bounds is not None
    assert Bounded(LAW, bounds).params_at_compute(BUDGET) == pytest.approx((BUDGET / 6 / 1e-9) ** 0.5)


def test_the_tighter_of_two_bounds_holds():
    """Of two upper or two lower bounds on one quantity, in either order."""
    both = bounds_of([("n_tokens", True, 7.0), ("n_tokens", True, 5.0), ("n_tokens", False, 2.0), ("n_tokens", False, 3.0)])
    turned = bounds_of([("n_tokens", True, 5.0), ("n_tokens", True, 7.0), ("n_tokens", False, 3.0), ("n_tokens", False, 2.0)])
    assert both is not None
    assert turned is not None
    assert both.n_tokens == turned.n_tokens == (3.0, 5.0)
