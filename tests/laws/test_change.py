"""What it takes to change a loss."""

from __future__ import annotations

import math

import numpy as np
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


def test_the_factors_by_hand():
    """5 % less than 1 + 64 / 80 + 27 / 30 = 2.7: each term, and both, less 0.135, as powers of what is left."""
    found = change_of(Additive(1.0, 64.0, 27.0, 0.5, 0.3), 6400, 30 ** (1 / 0.3), -0.05)
    assert found.target_nats == pytest.approx(2.565)
    assert found.params_factor == pytest.approx((0.8 / 0.665) ** 2)
    assert found.tokens_factor == pytest.approx((0.9 / 0.765) ** (1 / 0.3))
    assert found.compute_factor == pytest.approx((1.7 / 1.565) ** (2 + 1 / 0.3))
    assert (found.params_limit_nats, found.tokens_limit_nats) == pytest.approx((1.9, 1.8))


def test_a_term_that_would_have_to_vanish_has_no_factor():
    """1 + 1 / 2 + 1 / 2 less a quarter, half a nat, takes all of a term, exactly: endless N or D; in arrays NaN, as beyond."""
    law = Additive(1.0, 1.0, 1.0, 1.0, 1.0)
    found = change_of(law, 2.0, 2.0, -0.25)
    assert found.params_factor is None
    assert found.tokens_factor is None
    assert found.compute_factor == pytest.approx(4)
    some = change_of(law, np.array([2.0, 2.0]), np.array([2.0, 4.0]), -0.25)
    assert math.isnan(some.params_factor[0])
    assert some.params_factor[1] == pytest.approx(0.5 / (0.5 - 0.4375))
    assert np.isnan(some.tokens_factor).all()


def test_arrays_of_runs_are_changed_as_each_alone():
    """Three sizes at once, with exponents that are not one."""
    sizes, n_tokens = [7e8, 3e9, 2e10], 1.5e11
    together = change_of(LAW, np.array(sizes), n_tokens, -0.01)
    alone = [change_of(LAW, n, n_tokens, -0.01) for n in sizes]
    for name in ("params_factor", "tokens_factor", "compute_factor"):
        assert getattr(together, name).tolist() == pytest.approx([getattr(one, name) for one in alone])
