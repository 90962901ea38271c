"""Repeated data: limits, monotony, and the authors' own test values."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from scaleplan.laws.forms import Additive
from scaleplan.laws.repetition import Repeating, geometric, marginal, saturated

FRESH = Additive(1.8691436784054858, 520.8249516599187, 1487.716093782861, 0.3526596, 0.3526596)
LAW = Repeating(FRESH, 15.387756, 5.309743)
sizes = st.floats(7, 12).map(lambda exponent: 10**exponent)


@pytest.mark.parametrize(("n", "d", "loss"), [(6.34e9, 242e9, 2.2256440889984477), (8.67e9, 178e9, 2.2269634075087867)])
def test_the_values_of_the_authors_readme(n, d, loss):
    """Loss of two models on 25e9 different tokens, to all digits of muennighoff2023's repository."""
    assert LAW.on(25e9).loss(n, d) == pytest.approx(loss, rel=1e-12)


@given(st.floats(1, 1000))
def test_repeated_tokens_are_worth_less_than_fresh_ones(passes):
    """D' is at most D, at least one pass, and never more than U (1 + R*)."""
    worth = saturated(passes, 1.0, 15.387756)
    assert 1.0 <= worth <= min(passes, 1 + 15.387756) + 1e-12


@given(st.floats(1.01, 50))
def test_the_marginal_value_is_the_slope(amount):
    """d log U' / d log U by finite difference."""
    step = 1e-6
    rise = saturated(amount * (1 + step), 1.0, 5.3) / saturated(amount, 1.0, 5.3) - 1
    assert marginal(amount, 1.0, 5.3) == pytest.approx(rise / step, rel=1e-4)


def test_enough_data_leave_the_law_as_it_was():
    """With more different tokens than the budget can see, the optimum is that of the additive law."""
    assert LAW.on(1e15).params_at_compute(1e21) == pytest.approx(FRESH.params_at_compute(1e21), rel=1e-9)
    assert LAW.on(1e15).epochs(1e12) == 1


@pytest.mark.parametrize("unique_tokens", [1e9, 2.5e10, 1e11])
def test_the_optimum_is_a_minimum(unique_tokens):
    """The root of the balance is where a minimiser of another house finds the least loss."""
    frontier = LAW.on(unique_tokens)
    found = minimize_scalar(lambda x: frontier.loss(10**x, 1e22 / 6 / 10**x), bounds=(8, 12), method="bounded", options={"xatol": 1e-10})
    assert frontier.params_at_compute(1e22) == pytest.approx(10**found.x, rel=1e-4)


def test_scarce_data_ask_for_more_passes_before_more_parameters():
    """At 1e22 FLOP on 25e9 tokens: 7.0e9 parameters and 9.5 passes, where fresh data would have had 9.2e9 parameters."""
    n = LAW.on(25e9).params_at_compute(1e22)
    assert n == pytest.approx(7.022e9, rel=0.005)
    assert n < FRESH.params_at_compute(1e22)


@given(sizes, sizes)
def test_less_different_data_never_helps(n, d):
    """The loss rises when part of the tokens are repetitions."""
    assert LAW.on(d / 10).loss(n, d) >= LAW.on(d).loss(n, d) - 1e-12


def test_inverse_directions_come_back():
    """The D that N deserves leads back to N, also where data repeat."""
    frontier = LAW.on(25e9)
    d = frontier.tokens_at_params(7e9)
    assert frontier.params_at_tokens(d) == pytest.approx(7e9, rel=1e-6)
    assert frontier.params_at_loss(frontier.loss(7e9, d)) == pytest.approx(7e9, rel=1e-4)


# Whole formulas, with constants that are all different.

OTHER = Repeating(Additive(1.7, 510.0, 1300.0, 0.34, 0.29), 13.7, 4.9)


def worth(amount: float, base: float, star: float) -> float:
    return base + base * star * (1 - math.exp(-(amount / base - 1) / star))


def best_params(tokens: float) -> float:
    """Where 0.34 A / N^0.34 is 0.29 B / D^0.29: as much saved by 1 % more of either."""
    return (0.34 * 510 / (0.29 * 1300 / tokens**0.29)) ** (1 / 0.34)


@pytest.mark.parametrize(("passes", "size"), [(7.3, 2.6), (7.3, 0.4), (0.6, 2.6)])
def test_the_loss_of_repeated_data_by_hand(passes, size):
    """D' and N' of equations 5, 6, 16 and 17: data repeated or not, a model larger or smaller than its data deserve."""
    unique = 3e9
    tokens, n = passes * unique, size * best_params(min(passes, 1) * unique)
    frontier = OTHER.on(unique)
    d_worth = worth(tokens, unique, 13.7) if passes > 1 else tokens
    n_worth = worth(n, best_params(min(passes, 1) * unique), 4.9) if size > 1 else n

    assert frontier.epochs(tokens) == pytest.approx(max(passes, 1))
    assert frontier.effective_tokens(tokens) == pytest.approx(d_worth)
    assert frontier.effective_params(n, tokens) == pytest.approx(n_worth)
    assert frontier.loss(n, tokens) == pytest.approx(1.7 + 510 / n_worth**0.34 + 1300 / d_worth**0.29)


@pytest.mark.parametrize(("passes", "size"), [(7.3, 2.6), (7.3, 0.4)])
def test_savings_are_slopes_of_the_loss(passes, size):
    """-dL / d log N and -dL / d log D, by differences of the loss."""
    frontier = OTHER.on(3e9)
    n, d, step = size * best_params(3e9), passes * 3e9, 1e-5
    by_params = (frontier.loss(n * (1 - step), d) - frontier.loss(n * (1 + step), d)) / (2 * step)
    by_tokens = (frontier.loss(n, d * (1 - step)) - frontier.loss(n, d * (1 + step))) / (2 * step)
    assert frontier.savings(n, d) == pytest.approx((by_params, by_tokens), rel=1e-6)


def test_passes_as_a_series():
    """Each whole pass worth (1 - x) of the one before: 1 + (1 - x) + (1 - x)^2 + ..., of which endless ones are 1 / x = 1 + R*."""
    lost = OTHER.lost_per_pass
    assert geometric(7, lost) == pytest.approx(math.fsum((1 - lost) ** i for i in range(7)))
    assert OTHER.most_worth == pytest.approx(14.7)
    assert math.fsum((1 - lost) ** i for i in range(2000)) == pytest.approx(OTHER.most_worth)


def test_the_data_terms_of_two_worths():
    """B / 3^0.29 over B / 5^0.29."""
    assert OTHER.data_term_ratio(3.0, 5.0) == pytest.approx((1300 / 3**0.29) / (1300 / 5**0.29))
