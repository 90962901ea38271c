"""Spreads of inputs, and of what follows from them, against numpy and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest

from scaleplan.chain.spread import Spread, among, factors, interval_of, over, sum_of, times, within

WIDE, NARROW = Spread("mfu", 0.5, 2.0), Spread("pue", 0.95, 1.1)


def test_a_spread_has_the_points_it_was_given():
    """Its 10, 50 and 90 % points are the given ones, each side with its own width."""
    for low, high in ((0.55, 1.8), (0.9, 3.0), (1.0, 1.2)):
        assert interval_of(2.0, factors(Spread("grid", low, high))) == pytest.approx((2 * low, 2.0, 2 * high), rel=1e-3)


@pytest.mark.parametrize("votes", [(1.0, 3.0), (2.0, 2.5, 9.0), tuple(range(1, 20))])
def test_votes_have_their_own_quantiles(votes):
    """Prices of providers: the points interpolated between neighbours, as numpy has them."""
    middle = float(np.median(votes))
    spread = among("price", middle, votes)
    assert spread is not None
    assert interval_of(middle, factors(spread)) == pytest.approx(tuple(np.quantile(votes, [0.1, 0.5, 0.9])), rel=2e-3)


def test_the_ends_of_votes_are_between_them():
    """Five prices 1, 2, 2, 2, 6 about 2: the 10 % point lies 0.4 of the way to the second, the 90 % point 0.6 of the way to the last."""
    spread = among("price", 2.0, [1, 2, 2, 2, 6])
    assert spread.ends() == pytest.approx((0.7, 1.0, 2.2))
    assert within("mfu", 0.4, 0.3, 0.6).ends() == pytest.approx((0.75, 1.0, 1.5))


def test_what_does_not_vary_has_no_spread():
    """One vote, votes that agree, and points that coincide."""
    assert among("price", 2.0, [2.0]) is None and among("price", 2.0, [2.0, 2.0]) is None
    assert within("pue", 1.1, 1.1, 1.1) is None
    assert interval_of(3.0, None) is None and times(None, None) is None and sum_of((1.0, None), (2.0, None)) is None


def test_widths_of_independent_inputs_add_in_squares():
    """Log-normal inputs: the log width of a product is the root of the sum of squares, to 2 %."""
    other = Spread("grid", 1 / 1.5, 1.5)
    found = interval_of(1.0, times(factors(WIDE), factors(other)))
    assert found is not None
    assert math.log(found.p90 / found.p10) == pytest.approx(math.hypot(math.log(4), math.log(2.25)), rel=0.02)


def test_an_input_that_two_quantities_share_moves_both():
    """A quantity over itself is known exactly; its reciprocal has the points turned around."""
    draws = factors(WIDE)
    assert times(draws, over(draws)) == pytest.approx([1.0] * 1000)
    assert interval_of(1.0, over(draws)) == pytest.approx((0.5, 1.0, 2.0), rel=1e-4)


def test_a_sum_is_spread_by_its_parts():
    """Draws of a sum are the sum of the draws, over the central sum."""
    found = sum_of((600.0, factors(NARROW)), (300.0, factors(WIDE)), (100.0, None))
    expected = (600 * np.array(factors(NARROW)) + 300 * np.array(factors(WIDE)) + 100) / 1000
    assert found == pytest.approx(expected.tolist())


def test_a_sum_of_nothing_has_an_interval_of_nothing():
    """Clean electricity emits nothing, whatever the energy."""
    found = sum_of((0.0, factors(NARROW)), (0.0, factors(WIDE)), (0.0, None))
    assert interval_of(0.0, found) == (0.0, 0.0, 0.0)
