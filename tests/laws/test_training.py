"""The loss along a run, stopping on limited data, and the point at which Kaplan's laws contradict each other."""

from __future__ import annotations

from itertools import pairwise

import pytest

from scaleplan.laws.batch import StepLoss
from scaleplan.laws.forms import KaplanLoss
from scaleplan.laws.power import Power
from scaleplan.laws.training import ENDLESS, contradiction_flops, moment, stopping_steps

PF_DAY_FLOPS = 8.64e19
ALONG = StepLoss(6.5e13, 0.077, 2.1e3, 0.76)
JOINT = KaplanLoss(6.4e13, 1.8e13, 0.076, 0.103)
CRITICAL = Power(2.1e8, {"loss_nats": -1 / 0.21})
LOSS_OF_COMPUTE = Power(1, {"compute_flops": -0.050}, {"compute_flops": 3.1e8 * PF_DAY_FLOPS})
LOSS_OF_TOKENS = Power(1, {"n_tokens": -0.095}, {"n_tokens": 5.4e13})


def test_a_moment_is_consistent():
    """Loss, steps and batch belong together: L = L(N, S / 2) and D = S x B_crit(L)."""
    found = moment(ALONG, CRITICAL, 1e9, 2e10)

    assert found.loss_nats == pytest.approx((6.5e13 / 1e9) ** 0.077 + (2.1e3 / found.min_steps) ** 0.76)
    assert found.steps == pytest.approx(2 * found.min_steps)
    assert found.steps * 2.1e8 / found.loss_nats ** (1 / 0.21) == pytest.approx(2e10)


def test_the_loss_falls_towards_that_of_endless_training():
    """More tokens, less loss, never below (N_c / N)^alpha_N."""
    losses = [moment(ALONG, CRITICAL, 1e9, tokens).loss_nats for tokens in (1e8, 1e9, 1e10, 1e11, 1e15)]

    assert all(before > after for before, after in pairwise(losses))
    assert losses[-1] == pytest.approx((6.5e13 / 1e9) ** 0.077, rel=1e-3)


def test_stopping_by_hand():
    """Equation 5.7 with both losses written out, for 1e9 parameters on 2e10 tokens."""
    endless = (6.4e13 / 1e9) ** 0.076
    limited = ((6.4e13 / 1e9) ** (0.076 / 0.103) + 1.8e13 / 2e10) ** 0.103

    assert JOINT.loss(1e9, ENDLESS) == pytest.approx(endless)
    assert stopping_steps(ALONG, JOINT, 1e9, 2e10) == pytest.approx(2100 / (limited - endless) ** (1 / 0.76))


def test_more_data_put_off_the_stop():
    """The more there is to learn, the later one must stop."""
    stops = [stopping_steps(ALONG, JOINT, 1e9, tokens) for tokens in (1e8, 1e9, 1e10, 1e11)]
    assert all(before < after for before, after in pairwise(stops))


@pytest.mark.parametrize(("scale", "exponent", "pf_days"), [(2e10, 0.27, 1.12e4), (4e10, 0.26, 1.1e5)])
def test_the_contradiction_by_hand(scale, exponent, pf_days):
    """The article says 1e4 PF-days and is uncertain by a factor of ten: the tokens of its Table 6 give 1.1e4, those of eq. 6.7 1.1e5."""
    tokens = Power(scale, {"compute_flops": exponent}, {"compute_flops": PF_DAY_FLOPS})
    flops = contradiction_flops(LOSS_OF_COMPUTE, LOSS_OF_TOKENS, tokens)

    assert flops / PF_DAY_FLOPS == pytest.approx(pf_days, rel=0.05)
    assert LOSS_OF_COMPUTE.at(compute_flops=flops) == pytest.approx(LOSS_OF_TOKENS.at(n_tokens=tokens.at(compute_flops=flops)))


@pytest.mark.parametrize("batch", [1.3e5, 2.9e6])
def test_a_moment_at_a_batch_of_its_own(batch):
    """Steps are D / B, of which S / (1 + B_crit(L) / B) count; the loss is that of those steps (equations 5.4 and 5.6)."""
    n, d = 7.1e8, 1.9e10
    found = moment(ALONG, CRITICAL, n, d, batch)
    critical = 2.1e8 / found.loss_nats ** (1 / 0.21)
    fewest = d / batch / (1 + critical / batch)

    assert found.n_tokens == d
    assert found.steps == pytest.approx(d / batch)
    assert found.min_steps == pytest.approx(fewest)
    assert found.loss_nats == pytest.approx((6.5e13 / n) ** 0.077 + (2.1e3 / fewest) ** 0.76)


def test_the_contradiction_of_powers_without_rounding():
    """(C_c / C)^x = (D_c / (k C^y))^z has one C: (D_c^z / (k^z C_c^x))^(1 / (y z - x))."""
    x, y, z, c_c, d_c, k = 0.053, 0.29, 0.097, 3.7e27, 5.9e13, 0.31
    flops = contradiction_flops(Power(c_c**x, {"compute_flops": -x}), Power(d_c**z, {"n_tokens": -z}), Power(k, {"compute_flops": y}))
    assert flops == pytest.approx((d_c**z / (k**z * c_c**x)) ** (1 / (y * z - x)), rel=1e-9)
