"""Rates, batches, decays and gains by optimizer, each worked out beside its source."""

from __future__ import annotations

import math

import numpy as np
import pytest

from scaleplan.laws.optimizer_rules import beta2_at_batch, compute_ratio, decay_time_share, gain_between, rate_at_batch, weight_decay
from scaleplan.laws.power import Power


def test_the_memory_of_weight_decay_is_counted_in_steps():
    """A weight shrinks by 1 - eta lambda a step, so it remembers 1 / (eta lambda) steps, of D / B in the run (bergsma2025)."""
    batch, rate, tokens, decay = 1.7e6, 2.3e-3, 5.9e10, 0.13
    kept = (1 - rate * decay) ** (1 / (rate * decay))  # after that many steps
    share = decay_time_share(batch, rate, tokens, decay)

    assert kept == pytest.approx(1 / math.e, rel=1e-3)
    assert share == pytest.approx((1 / (rate * decay)) / (tokens / batch))
    assert weight_decay(batch, rate, tokens, share) == pytest.approx(decay)


@pytest.mark.parametrize(("batch", "new", "factor"), [(3e5, 1.2e6, 2), (7e5, 6.3e6, 3), (5e5, 5e5 / 16, 1 / 4)])
def test_the_rate_grows_with_the_root_of_the_batch(batch, new, factor):
    """Four times the batch, twice the rate (malladi2022)."""
    assert rate_at_batch(3.1e-4, batch, new) == pytest.approx(3.1e-4 * factor)


@pytest.mark.parametrize("batch", [2**16, 2**17, 2**19, 3 * 2**17])
def test_beta2_forgets_by_tokens(batch):
    """0.999 a 131,072 tokens whatever the batch: after the same tokens as much of the old average is left."""
    tokens = 3 * 2**19
    assert beta2_at_batch(batch) ** (tokens / batch) == pytest.approx(0.999**12)


def test_beta2_keeps_to_its_ends():
    """0.9999 for tiny batches, 0.95 for huge ones."""
    assert beta2_at_batch(1.0) == 0.9999
    assert beta2_at_batch(1e9) == 0.95
    assert 0.95 < beta2_at_batch(6.7e6) < 0.951  # 0.999^51.1


def test_the_compute_of_another_optimizer_has_the_same_loss():
    """a C^-b of the fast at the share of the compute is that of the slow at all of it, with signs and shares all different."""
    share = compute_ratio(Power(2.3, {"compute_flops": -0.053}), Power(2.9, {"compute_flops": -0.059}), 170.0)
    assert 2.3 * (share * 170) ** -0.053 == pytest.approx(2.9 * 170**-0.059)


def test_a_gain_between_two_sizes_is_a_line_of_logarithms():
    """As numpy's interpolation of log gain over log N has it."""
    sizes, gains = [1.3e8, 1.7e9], [1.41, 1.09]
    wanted = [2e8, 5e8, 1.1e9]
    line = np.exp(np.interp(np.log(wanted), np.log(sizes), np.log(gains)))
    assert [gain_between(n, sizes, gains) for n in wanted] == pytest.approx(line.tolist())
