"""Steps against tokens."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.laws.minimum import place_of_least

from scaleplan.laws.batch import NormAtBatch, StepLoss, Tradeoff, from_run, from_steps, gradient_noise, min_compute

STEPS = StepLoss(6.5e13, 0.077, 2.1e3, 0.76)
CURVE = Tradeoff(min_tokens=1e10, min_steps=4e3)
positive = st.floats(1e-3, 1e3)


@given(positive)
def test_steps_and_tokens_lie_on_the_hyperbola(multiple):
    """(S / S_min - 1) (E / E_min - 1) = 1 at every batch, and E = B S."""
    size = multiple * CURVE.critical_batch
    steps, tokens = CURVE.steps(size), CURVE.tokens(size)
    assert (steps / CURVE.min_steps - 1) * (tokens / CURVE.min_tokens - 1) == pytest.approx(1)
    assert steps * size == pytest.approx(tokens)


def test_doubling_the_batch_at_the_critical_one_saves_a_quarter_of_the_steps():
    """From B_crit to 2 B_crit: 25 % fewer steps and 50 % more tokens, not half the steps."""
    size = CURVE.critical_batch
    assert CURVE.steps(2 * size) / CURVE.steps(size) == pytest.approx(0.75)
    assert CURVE.tokens(2 * size) / CURVE.tokens(size) == pytest.approx(1.5)


def test_far_below_the_critical_batch_doubling_halves_the_steps():
    """There, and only there, steps are inversely proportional to the batch."""
    size = CURVE.critical_batch / 1e6
    assert CURVE.steps(2 * size) / CURVE.steps(size) == pytest.approx(0.5, rel=1e-5)


def test_half_of_the_compute_at_the_critical_batch_would_do():
    """C_min = C / 2 at B = B_crit, so S_min = C / (6 N B_crit) is twice too many steps."""
    assert min_compute(1e21, 2e6, 2e6) == 5e20


@given(positive, positive)
def test_a_run_fixes_the_tradeoff_through_it(tokens, batch):
    """The curve through a run meets it at its batch, and is the same from its fewest steps."""
    curve = from_run(tokens, batch, 2.0)
    assert curve.tokens(batch) == pytest.approx(tokens)
    again = from_steps(curve.min_steps, curve.critical_batch)
    assert again.min_tokens == pytest.approx(curve.min_tokens)


def test_steps_to_a_loss_come_back():
    """S_min(N, L(N, S)) = S."""
    assert STEPS.min_steps(1e9, STEPS.loss(1e9, 1e5)) == pytest.approx(1e5)


def test_efficient_training_stops_a_tenth_above_the_converged_loss():
    """alpha_N / alpha_S = 10 % (kaplan2020, appendix B.2)."""
    assert STEPS.excess_at_optimum() == pytest.approx(0.10, abs=0.002)


def test_a_size_off_the_best_costs_a_fifth():
    """0.6 to 2.2 times the best size: at most 20 % more compute (kaplan2020, figure 12), and nothing at the best size."""
    assert STEPS.compute_of_size(1.0) == pytest.approx(1)
    assert 1.1 < STEPS.compute_of_size(0.6) <= 1.2
    assert STEPS.compute_of_size(2.2) == pytest.approx(1.2, abs=0.005)


@pytest.mark.parametrize("loss", [2.2, 3.0, 4.0])
def test_the_cheapest_run_to_a_loss_is_the_efficient_size(loss):
    """N S_min(N, L), searched by itself, is least where the converged loss is L / (1 + alpha_N / alpha_S); other sizes cost as said."""
    n_c, alpha_n, s_c, alpha_s = map(Decimal, STEPS)

    def cost(n: Decimal) -> Decimal:
        return n * s_c / (Decimal(loss) - (n_c / n) ** alpha_n) ** (1 / alpha_s)

    smallest = STEPS.n_c / loss ** (1 / STEPS.alpha_n)
    best = place_of_least(cost, smallest * 1.0001, smallest * 1e6)
    assert STEPS.converged(best) * (1 + STEPS.excess_at_optimum()) == pytest.approx(loss, rel=1e-9)
    for ratio in (0.6, 2.2, 10.0):
        assert float(cost(Decimal(ratio * best)) / cost(Decimal(best))) == pytest.approx(STEPS.compute_of_size(ratio), rel=1e-9)


def test_early_stopping_comes_no_earlier_than_the_overfit_says():
    """S_stop >= S_c / (L(N, D) - L(N, endless))^(1 / 0.76): 2100 steps for an overfit of one nat."""
    assert STEPS.stopping_steps(3.5, 2.5) == 2100


@given(st.floats(1, 1e4), st.floats(1e-3, 10))
def test_the_noise_scale_comes_back_from_the_norms_it_predicts(scale, gradient):
    """|G_B|^2 = |G|^2 (1 + B_simple / B) at two batch sizes gives back B_simple."""
    small, large = (gradient * (1 + scale / size) for size in (32, 512))
    assert gradient_noise(NormAtBatch(32, small), NormAtBatch(512, large)).noise_scale == pytest.approx(scale, rel=1e-6)
