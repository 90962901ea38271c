"""Models that must also be served."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from scaleplan.laws.forms import Additive
from scaleplan.laws.inference import Served

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
