"""A batch that grows with the training."""

from __future__ import annotations

from itertools import pairwise

import pytest

from scaleplan.laws.batch import StepLoss
from scaleplan.laws.power import Power
from scaleplan.laws.schedule import growing_batch

LAW = StepLoss(6.5e13, 0.077, 2.1e3, 0.76)
CRITICAL = Power(2.1e8, {"loss_nats": -1 / 0.21})


def test_the_batch_grows_as_the_loss_falls():
    """Loss falls, B_crit and the batch rise, and both end at B_crit of the final loss, within the last stretch."""
    stretches = growing_batch(LAW, CRITICAL, 1e9, 2.6).stretches
    assert all(a.loss_nats > b.loss_nats and a.batch_tokens < b.batch_tokens for a, b in pairwise(stretches))
    assert stretches[-1].loss_nats == pytest.approx(2.6)
    assert stretches[-1].batch_tokens == pytest.approx(CRITICAL.at(loss_nats=2.6), rel=0.01)


def test_growing_saves_tokens_at_equal_steps():
    """The mean of a square root is at most the root of the mean: the constant batch of as many steps needs more tokens."""
    schedule = growing_batch(LAW, CRITICAL, 1e9, 2.6)
    assert 0 < schedule.saved_fraction < 0.5
    assert schedule.constant_batch * schedule.steps == pytest.approx(schedule.constant_tokens)


def test_a_batch_that_need_not_grow_saves_nothing():
    """Where B_crit does not depend on the loss, both are the same run: twice the fewest steps, twice the fewest tokens."""
    flat = growing_batch(LAW, Power(1e6, {"loss_nats": 0.0}), 1e9, 2.6)
    fewest = LAW.min_steps(1e9, 2.6) * 0.99
    assert flat.saved_fraction == pytest.approx(0, abs=1e-9)
    assert flat.steps == pytest.approx(2 * fewest)
    assert flat.tokens == pytest.approx(2 * fewest * 1e6)


def test_what_growing_saves_follows_from_the_spread_of_the_critical_batch():
    """(S / S_min - 1) (E / E_min - 1) falls from 1 to (mean of sqrt(B_crit))^2 / mean of B_crit: B = sqrt(r B_crit) by hand."""
    schedule = growing_batch(LAW, CRITICAL, 1e9, 2.6)
    steps, tokens = schedule.least.min_steps, schedule.least.min_tokens
    fewest = LAW.min_steps(1e9, 2.6)
    moments = [fewest * (0.01 + 0.99 * (i + 0.5) / 1000) for i in range(1000)]
    batches = [2.1e8 / (LAW.loss(1e9, s)) ** (1 / 0.21) for s in moments]
    gain = (sum(b**0.5 for b in batches) / 1000) ** 2 / (sum(batches) / 1000)

    assert (schedule.steps / steps - 1) * (schedule.tokens / tokens - 1) == pytest.approx(gain, rel=1e-3)
    at_equal_steps = (schedule.constant_tokens / tokens - 1) * (schedule.steps / steps - 1)
    assert at_equal_steps == pytest.approx(1)


def test_steps_saved_at_equal_tokens():
    """The constant batch of as many tokens lies on the trade-off of constant batches; growing beats it."""
    schedule = growing_batch(LAW, CRITICAL, 1e9, 2.6)
    constant_steps = schedule.steps / (1 - schedule.saved_steps_fraction)
    product = (constant_steps / schedule.least.min_steps - 1) * (schedule.tokens / schedule.least.min_tokens - 1)

    assert product == pytest.approx(1)
    assert schedule.saved_steps_fraction > 0


def test_each_stretch_against_an_integral():
    """From 1 % of the fewest steps on: ds steps cost (1 + B_crit / B) ds steps and (B + B_crit) ds tokens, B = sqrt(B_crit B_last).

    Sums of 20,000 midpoints, for a model, a loss and laws with constants of their own, at the middle and at the end.
    """
    law, n, target = StepLoss(7.3e13, 0.083, 2.9e3, 0.71), 6.1e8, 2.95
    schedule = growing_batch(law, Power(3.7e7, {"loss_nats": -3.3}), n, target)
    converged = (7.3e13 / n) ** 0.083
    fewest = 2.9e3 / (target - converged) ** (1 / 0.71)
    for stretch in (schedule.stretches[len(schedule.stretches) // 2], schedule.stretches[-1]):
        steps = tokens = counted = 0.0
        ds = (stretch.min_steps - 0.01 * fewest) / 20_000
        for i in range(20_000):
            loss = converged + (2.9e3 / (0.01 * fewest + (i + 0.5) * ds)) ** 0.71
            critical = 3.7e7 * loss**-3.3
            batch = (critical * 3.7e7 * target**-3.3) ** 0.5
            steps += (1 + critical / batch) * ds
            tokens += (batch + critical) * ds
            counted += critical * ds
        assert (stretch.steps, stretch.tokens) == pytest.approx((steps, tokens), rel=1e-3)
        assert stretch.loss_nats == pytest.approx(converged + (2.9e3 / stretch.min_steps) ** 0.71)
    assert schedule.stretches[-1].min_steps == pytest.approx(fewest)
    assert (schedule.steps, schedule.tokens) == pytest.approx((steps, tokens), rel=1e-3)
    assert schedule.least == pytest.approx((counted, 0.99 * fewest), rel=1e-3)
    last = schedule.stretches[-1]
    assert (last.critical_batch, last.batch_tokens) == pytest.approx((3.7e7 * target**-3.3,) * 2, rel=0.01)


def test_stretches_are_of_equal_length():
    """The first ends 1 / n of the way from 1 % to all of the fewest steps."""
    stretches = growing_batch(LAW, CRITICAL, 1e9, 2.6).stretches
    ends = [stretch.min_steps / LAW.min_steps(1e9, 2.6) for stretch in stretches]
    assert ends == pytest.approx([0.01 + 0.99 * (i + 1) / len(ends) for i in range(len(ends))])


def test_constant_batches_of_as_many_steps_or_tokens_by_hand():
    """S = S_min + E_min / B at the batch of as many steps, E = E_min + B S_min at that of as many tokens."""
    schedule = growing_batch(LAW, CRITICAL, 1e9, 2.6)
    tokens, steps = schedule.least
    batch = tokens / (schedule.steps - steps)
    assert schedule.constant_batch == pytest.approx(batch)
    assert schedule.constant_tokens == pytest.approx(tokens + batch * steps)
    assert 1 - schedule.saved_fraction == pytest.approx(schedule.tokens / (tokens + batch * steps))
    batch = (schedule.tokens - tokens) / steps
    assert 1 - schedule.saved_steps_fraction == pytest.approx(schedule.steps / (steps + tokens / batch))
