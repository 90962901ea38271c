"""Kaplan's frontier in closed form, against a search."""

from __future__ import annotations

from decimal import Decimal

import pytest
from tests.laws.minimum import place_of_least

from scaleplan.chain.catalogue import load_law
from scaleplan.laws.batch import StepLoss, step_loss_of
from scaleplan.laws.efficient import EfficientFrontier, efficient_frontier
from scaleplan.laws.power import Power

KAPLAN = load_law("kaplan2020")
FRONTIER = EfficientFrontier(step_loss_of(KAPLAN.data["loss_of_steps"]), 2.1e8, 0.21)


@pytest.mark.parametrize("loss", [2.0, 2.5, 3.5])
def test_the_closed_frontier_is_the_least_compute(loss: float):
    """6 N B_crit S_min to a loss, searched over N, is least at the closed N and equals the closed C_min."""
    n_c, alpha_n, s_c, alpha_s = map(Decimal, FRONTIER.steps)
    batch = Decimal("2.1e8") / Decimal(loss) ** (1 / Decimal("0.21"))

    def compute(n: Decimal) -> Decimal:
        return 6 * n * batch * s_c / (Decimal(loss) - (n_c / n) ** alpha_n) ** (1 / alpha_s)

    smallest = FRONTIER.steps.n_c / loss ** (1 / FRONTIER.steps.alpha_n)
    best = place_of_least(compute, smallest * 1.0001, smallest * 1e6)
    least = float(compute(Decimal(best)))

    assert FRONTIER.params_at_loss(loss) == pytest.approx(best, rel=1e-9)
    assert FRONTIER.loss(least) == pytest.approx(loss, rel=1e-9)
    assert FRONTIER.params_at_compute(least) == pytest.approx(best, rel=1e-8)


def test_the_exponents_are_those_of_the_empirical_frontier():
    """L ~ C^-0.052 (appendix B.1 has 0.052; fitted to runs it is 0.050), N ~ C^0.68 against the fitted 0.73."""
    assert FRONTIER.exponent == pytest.approx(0.052, abs=5e-4)
    assert FRONTIER.exponent / FRONTIER.steps.alpha_n == pytest.approx(0.68, abs=5e-3)


def test_the_constants_come_from_the_law_of_the_batch():
    """B* and alpha_B are those of B_crit(L)."""
    rule = KAPLAN.rules["critical_batch"]
    assert isinstance(rule, Power)
    found = efficient_frontier(FRONTIER.steps, rule)
    assert (found.batch_scale, found.alpha_b) == pytest.approx((2.1e8, 0.21))


def test_the_scale_by_hand():
    """C_c = 6 N_c B* S_c (1 + r)^(1 / alpha_S + 1 / alpha_N) r^(-1 / alpha_S), r = alpha_N / alpha_S, with constants of our own."""
    frontier = EfficientFrontier(StepLoss(7e12, 0.09, 3e3, 0.6), 5e7, 0.25)
    r = 0.09 / 0.6
    scale = 6 * 7e12 * 5e7 * 3e3 * (1 + r) ** (1 / 0.6 + 1 / 0.09) * r ** (-1 / 0.6)
    exponent = 1 / (1 / 0.6 + 1 / 0.25 + 1 / 0.09)

    assert frontier.scale == pytest.approx(scale)
    assert frontier.exponent == pytest.approx(exponent)
    assert frontier.loss(1e22) == pytest.approx((scale / 1e22) ** exponent)
    assert frontier.params_at_compute(1e22) == pytest.approx(7e12 * (1e22 / scale) ** (exponent / 0.09) * (1 + r) ** (1 / 0.09))
