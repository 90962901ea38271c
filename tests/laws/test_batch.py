"""Steps against tokens."""

from __future__ import annotations

from decimal import Decimal
from statistics import NormalDist, fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.laws.minimum import place_of_least

from scaleplan.errors import InputError
from scaleplan.laws.batch import (
    NormAtBatch,
    StepLoss,
    Tradeoff,
    compute_exponent,
    doubling_speedup,
    from_run,
    from_steps,
    gradient_noise,
    min_compute,
    norm_at_batch,
)

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


# Whole formulas, with constants that are all different.

PLAIN = StepLoss(n_c=7.3e13, alpha_n=0.083, s_c=2.9e3, alpha_s=0.71)


def test_the_tradeoff_by_hand():
    """3e9 tokens and 5e3 steps at least: B_crit = 6e5; at B = 2e5 four times the steps and 4/3 of the tokens; 6 N E FLOP."""
    curve = Tradeoff(3e9, 5e3)
    assert curve.critical_batch == pytest.approx(6e5)
    assert curve.steps(2e5) == pytest.approx(2e4)
    assert curve.tokens(2e5) == pytest.approx(4e9)
    assert curve.flops(2e5, 7e8) == pytest.approx(6 * 7e8 * 4e9)
    assert from_run(4e9, 2e5, 6e5) == pytest.approx(curve)
    assert from_steps(5e3, 6e5) == pytest.approx(curve)
    assert min_compute(8.4e19, 2e5, 6e5) == pytest.approx(6.3e19)


@pytest.mark.parametrize("share", [0.3, 0.7, 2.9])
def test_doubling_devices_speeds_up_by_the_ratio_of_steps(share):
    """Steps before over steps after, as the trade-off counts them; never more than two."""
    before, after = (CURVE.steps(factor * CURVE.critical_batch) for factor in (share, 2 * share))
    assert doubling_speedup(share) == pytest.approx(before / after)
    assert 1 < doubling_speedup(share) < 2


def test_the_loss_of_steps_by_hand():
    """Equation 5.6, its inverse in S, and equation 5.7 for an overfit of 0.13 nats."""
    n, steps = 3.1e8, 4.7e4
    converged, transient = (7.3e13 / n) ** 0.083, (2.9e3 / steps) ** 0.71
    assert PLAIN.converged(n) == pytest.approx(converged)
    assert PLAIN.loss(n, steps) == pytest.approx(converged + transient)
    assert PLAIN.min_steps(n, converged + transient) == pytest.approx(steps)
    assert PLAIN.stopping_steps(2.77, 2.64) == pytest.approx(2.9e3 * 0.13 ** (-1 / 0.71))


def test_the_efficient_size_has_the_least_product_of_size_and_steps():
    """d log (N S) / d log N = 0 where L is 1 + alpha_N / alpha_S times the converged loss, by differences of N S."""
    n = PLAIN.params_at_loss(2.9)
    below, at, above = (size * PLAIN.min_steps(size, 2.9) for size in (n / 1.001, n, n * 1.001))
    assert PLAIN.converged(n) * (1 + 0.083 / 0.71) == pytest.approx(2.9)
    assert at < min(below, above)
    for ratio in (0.57, 3.3):
        steps = PLAIN.min_steps(ratio * n, 2.9) / PLAIN.min_steps(n, 2.9)
        assert PLAIN.steps_of_size(ratio) == pytest.approx(steps)
        assert PLAIN.compute_of_size(ratio) == pytest.approx(ratio * steps)


@pytest.mark.parametrize("excess", [0.013, 0.05, 0.31])
def test_training_closer_to_convergence_by_hand(excess):
    """To one loss, the size that ends an `excess` above its converged loss against the efficient one: N, and N S (appendix B.3)."""
    target = 3.07

    def size_and_steps(above: float) -> tuple[float, float]:
        converged = target / (1 + above)
        return 7.3e13 / converged ** (1 / 0.083), 2.9e3 / (target - converged) ** (1 / 0.71)

    (n, steps), (n_best, steps_best) = size_and_steps(excess), size_and_steps(0.083 / 0.71)
    assert PLAIN.params_of_excess(excess) == pytest.approx(n_best / n)
    assert PLAIN.compute_of_excess(excess) == pytest.approx(n_best * steps_best / (n * steps))


def test_the_exponent_of_compute_is_that_of_the_product():
    """Each of S, B and N a power of the loss: C = L^-(1/x + 1/y + 1/z), so L = C^-(that inverted) (equation 6.4)."""
    loss = 0.7
    compute = loss ** (-1 / 0.71) * loss ** (-1 / 0.23) * loss ** (-1 / 0.083)
    assert compute ** -compute_exponent(0.71, 0.23, 0.083) == pytest.approx(loss)


def test_the_noise_of_a_gradient_by_simulation():
    """Means of 3 and of 12 samples with mean 2 and variance 5, as squared norms: 4 + 5 / B each (mccandlish2018 A.1)."""
    found = gradient_noise(NormAtBatch(3, 4 + 5 / 3), NormAtBatch(12, 4 + 5 / 12))
    assert found == pytest.approx((4, 5))
    assert found.noise_scale == pytest.approx(1.25)
    samples = NormalDist(2, 5**0.5).samples(60_000, seed=3)
    norms = [fmean(fmean(samples[i : i + size]) ** 2 for i in range(0, 60_000, size)) for size in (3, 12)]
    drawn = gradient_noise(NormAtBatch(3, norms[0]), NormAtBatch(12, norms[1]))
    assert drawn == pytest.approx((4, 5), rel=0.05)


@pytest.mark.parametrize(("small", "large"), [((3, 4.0), (12, 1.0)), ((3, 4.0), (12, 4.0)), ((3, 4.0), (12, 0.9)), ((3, 4.0), (12, 4.1))])
def test_norms_of_pure_noise_or_of_none_tell_no_scale(small, large):
    """A norm that falls as 1 / B has no gradient in it, one that does not fall has no noise; exactly there and beyond."""
    with pytest.raises(InputError, match="cannot be those"):
        gradient_noise(NormAtBatch(*small), NormAtBatch(*large))


def test_a_norm_in_words():
    """BATCH=NORM2; none of them zero, negative, endless or missing."""
    assert norm_at_batch("48=0.37") == (48.0, 0.37)
    for text in ("0=0.37", "48=0", "-48=0.37", "48=inf", "inf=0.37", "48", "a=b", "48=nan"):
        with pytest.raises(InputError, match="BATCH=NORM2"):
            norm_at_batch(text)
