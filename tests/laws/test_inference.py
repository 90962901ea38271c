"""Models that must also be served."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from scaleplan.laws.forms import Additive
from scaleplan.laws.inference import Served
from scaleplan.laws.repetition import Repeating

LAW = Additive(1.6933736809989528, 406.4010175194737, 410.7228269450398, 0.33917084, 0.2849083)
served_tokens = st.floats(9, 15).map(lambda exponent: 10**exponent)


def tokens_for(n: float, loss: float) -> float:
    return (LAW.b / (loss - LAW.e_nats - LAW.a / n**LAW.alpha)) ** (1 / LAW.beta)


@given(served_tokens)
def test_the_condition_finds_the_least_total(served):
    """6 N D + 2 N I at a fixed loss is least where the balance says, by a minimiser that knows nothing of it."""
    loss = LAW.least_loss(1e22)
    smallest = (LAW.a / (loss - LAW.e_nats)) ** (1 / LAW.alpha)

    def total(share: float) -> float:
        n = smallest / share
        return 6 * n * tokens_for(n, loss) + 2 * n * served

    found = minimize_scalar(total, bounds=(1e-6, 1 - 1e-9), method="bounded", options={"xatol": 1e-12})
    frontier = Served(LAW, served)
    n = frontier.params_at_loss(loss)
    assert frontier.total_flops(n, frontier.tokens_at_params(n)) == pytest.approx(found.fun, rel=1e-6)


def test_without_inference_it_is_the_law_itself():
    """Serving nothing changes nothing."""
    assert Served(LAW, 0).params_at_loss(2.0) == pytest.approx(LAW.params_at_loss(2.0), rel=1e-9)


@given(served_tokens, st.floats(1.1, 100))
def test_more_serving_means_a_smaller_model_on_more_tokens(served, factor):
    """N falls and D rises with the tokens to be served, at the same loss."""
    less, more = Served(LAW, served), Served(LAW, served * factor)
    small, large = more.params_at_loss(2.0), less.params_at_loss(2.0)
    assert small < large
    assert more.tokens_at_params(small) > less.tokens_at_params(large)


def test_a_budget_pays_for_training_and_inference():
    """With --compute the total is the budget: 6 N D + 2 N I = C."""
    frontier = Served(LAW, 2e12)
    n = frontier.params_at_compute(1e23)
    assert frontier.total_flops(n, frontier.tokens_at_compute(1e23, n)) == pytest.approx(1e23)
    assert frontier.tokens_at_compute(1e23, n) == pytest.approx(frontier.tokens_at_params(n), rel=1e-9)


def test_serving_by_hand():
    """At D = 3e11, I = 5e11: N costs 1 + 5 / 9 times what training alone costs; 6 N D + 2 N I, and D from what is left."""
    frontier, n, d = Served(LAW, 5e11), 7e9, 3e11
    assert frontier.burden(d) == pytest.approx(14 / 9)
    assert frontier.total_flops(n, d) == pytest.approx(6 * n * d + 2 * n * 5e11)
    assert frontier.tokens_at_compute(6 * n * d + 2 * n * 5e11, n) == pytest.approx(d)
    assert frontier.loss(n, d) == LAW.loss(n, d)
    by_params, by_tokens = 0.33917084 * LAW.a / n**0.33917084, 0.2849083 * LAW.b / d**0.2849083
    assert frontier.balance(n, d) == pytest.approx(by_params / (14 / 9) - by_tokens)
    best = frontier.params_at_tokens(d)
    assert 0.33917084 * LAW.a / best**0.33917084 == pytest.approx(14 / 9 * by_tokens)


@pytest.mark.parametrize("law", [LAW, Repeating(LAW, 15.4, 5.3).on(4e10)], ids=["fresh", "repeated"])
def test_the_best_run_of_a_total_budget(law):
    """Of all N with 6 N D + 2 N I = C, a minimiser of the loss finds the same; of repeated data too."""
    flops, served = 3e22, 7e11
    most = flops / (2 * served)  # all of it to serve

    def at(share: float) -> float:
        n = share * most
        return law.loss(n, (flops / n - 2 * served) / 6)

    found = minimize_scalar(at, bounds=(1e-3, 0.99), method="bounded", options={"xatol": 1e-10})
    assert Served(law, served).params_at_compute(flops) == pytest.approx(found.x * most, rel=1e-4)
