"""Kaplan's frontier in closed form, against a search, and the point where it breaks."""

from __future__ import annotations

from decimal import Decimal

import pytest
from tests.laws.minimum import place_of_least

from scaleplan.chain.catalogue import load_law
from scaleplan.laws.batch import step_loss_of
from scaleplan.laws.efficient import EfficientFrontier, contradiction
from scaleplan.laws.power import Power, power_of
from scaleplan.units import PF_DAY_FLOPS

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


def test_the_trends_break_near_ten_thousand_petaflop_days():
    """C* ~ 1e4 PF-days, N* ~ 1e12, D* ~ 1e12 tokens, L* ~ 1.7 nats, each within the factor of ten that the article allows."""
    along, of_tokens = KAPLAN.rules["loss_of_compute"], KAPLAN.rules["loss_of_tokens"]
    assert isinstance(along, Power)
    assert isinstance(of_tokens, Power)
    sizes = power_of(KAPLAN.data["allocation"])
    found = contradiction(sizes, along, of_tokens)
    n = sizes.at(compute_flops=found)

    assert found / PF_DAY_FLOPS == pytest.approx(1.67e4, rel=5e-3)  # by hand: ln C = 0.23673 / (0.05 - 0.095 * 0.27)
    assert 1e11 < n < 1e13
    assert 1e11 < 2 * found / (6 * n) < 1e13
    assert along.at(compute_flops=found) == pytest.approx(1.7, abs=0.1)
    assert of_tokens.at(n_tokens=2 * found / (6 * n)) == pytest.approx(along.at(compute_flops=found), rel=1e-9)
