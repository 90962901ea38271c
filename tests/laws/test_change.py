"""What it takes to change a loss."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaleplan.laws.change import change_of
from scaleplan.laws.forms import Additive

LAW = Additive(1.8172, 482.01, 2085.43, 0.3478, 0.3658)


@given(st.floats(-0.2, 0.2))
def test_the_factors_lead_to_the_target(relative):
    """N, or D, times its factor has the target loss; so has the best run of the compute times its factor."""
    n, d = 7e9, 1.5e11
    change = change_of(LAW, n, d, relative)
    assert change.target_nats == pytest.approx((1 + relative) * LAW.loss(n, d))
    if change.params_factor is not None:
        assert LAW.loss(n * change.params_factor, d) == pytest.approx(change.target_nats)
    if change.tokens_factor is not None:
        assert LAW.loss(n, d * change.tokens_factor) == pytest.approx(change.target_nats)
    if change.compute_factor is not None:
        here = LAW.params_at_loss(LAW.loss(n, d))
        start = 6 * here * LAW.tokens_at_params(here)
        assert LAW.least_loss(start * change.compute_factor) == pytest.approx(change.target_nats)


def test_what_no_amount_reaches_has_no_factor():
    """Below E + B / D^beta no number of parameters helps, and the limit is told."""
    change = change_of(LAW, 7e9, 1.5e11, -0.09)
    assert change.params_factor is None
    assert change.params_limit_nats == pytest.approx(1.8172 + 2085.43 / 1.5e11**0.3658)
    assert change.target_nats < change.params_limit_nats
    assert change_of(LAW, 7e9, 1.5e11, -0.5).compute_factor is None


def test_double_the_parameters_of_kaplans_first_law():
    """L(N) ~ N^-0.076: twice the parameters leave 0.949 of the loss, `0.95` as printed."""
    law = Additive(0.0, 1.0, 1e-30, 0.076, 1.0)
    assert change_of(law, 1e9, 1e12, 2**-0.076 - 1).params_factor == pytest.approx(2)
