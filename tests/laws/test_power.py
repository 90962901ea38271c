"""Powers, the frontiers made of them, and formulas in words."""

from __future__ import annotations

import math

import pytest
from tests.formula import evaluate

from scaleplan.errors import InputError
from scaleplan.laws.forms import Additive, KaplanLoss
from scaleplan.laws.power import Logarithm, Power, PowerFrontier, frontier_of_params, frontier_of_tokens, power_of

LAW = Additive(1.8172, 482.01, 2085.43, 0.3478, 0.3658)
KAPLAN = frontier_of_params(
    Power(1.3e9, {"compute_flops": 0.73}, {"compute_flops": 8.64e19}),
    Power(1, {"compute_flops": -0.05}, {"compute_flops": 2.6784e28}),
)


def test_formulas_of_the_additive_law_in_words():
    """What `-v` prints evaluates to what the functions return."""
    n, d, flops = 7e9, 1.4e11, 5.88e21
    constants = LAW._asdict()
    assert evaluate(Additive.FORMULAS["loss_nats"], {**constants, "n_params": n, "n_tokens": d}) == pytest.approx(LAW.loss(n, d))
    assert evaluate(Additive.FORMULAS["params_at_compute"], {**constants, "compute_flops": flops}) == LAW.params_at_compute(flops)
    assert evaluate(Additive.FORMULAS["tokens_at_params"], {**constants, "n_params": n}) == LAW.tokens_at_params(n)
    assert evaluate(Additive.FORMULAS["params_at_tokens"], {**constants, "n_tokens": d}) == LAW.params_at_tokens(d)
    assert evaluate(Additive.FORMULAS["params_at_loss"], {**constants, "loss_nats": 2.0}) == LAW.params_at_loss(2.0)


def test_formulas_of_a_power_frontier_in_words():
    """The same for a frontier that is published without an L(N, D)."""
    along = KAPLAN.loss_of_compute
    constants = {"scale": KAPLAN.scale, "exponent": KAPLAN.exponent, "loss_unit": along.units["compute_flops"], "loss_exponent": -0.05}
    words = PowerFrontier.FORMULAS
    n = KAPLAN.params_at_compute(1e21)
    assert evaluate(words["params_at_compute"], {**constants, "compute_flops": 1e21}) == pytest.approx(n)
    assert evaluate(words["tokens_at_params"], {**constants, "n_params": n}) == pytest.approx(1e21 / 6 / n)
    assert evaluate(words["params_at_tokens"], {**constants, "n_tokens": 1e21 / 6 / n}) == pytest.approx(n)
    loss = KAPLAN.loss(n, 1e21 / 6 / n)
    assert evaluate(words["loss_nats"], {**constants, "compute_flops": 1e21}) == pytest.approx(loss)
    assert evaluate(words["params_at_loss"], {**constants, "loss_nats": loss}) == pytest.approx(n)


def test_the_formula_of_kaplans_loss_in_words():
    """L(N, D) of equation 1.5."""
    law = KaplanLoss(6.4e13, 1.8e13, 0.076, 0.103)
    assert evaluate(KaplanLoss.FORMULAS["loss_nats"], {**law._asdict(), "n_params": 1e9, "n_tokens": 2.29e10}) == law.loss(1e9, 2.29e10)


def test_a_power_of_tokens_is_a_power_of_params():
    """D = k C^b and N = C / (6 D) describe one frontier (DeepSeek's law of tokens)."""
    frontier = frontier_of_tokens(Power(5.8316, {"compute_flops": 0.4757}))
    n = frontier.params_at_compute(1e20)
    assert 1e20 / 6 / n == pytest.approx(5.8316 * 1e20**0.4757)
    assert frontier.tokens_at_params(n) == pytest.approx(1e20 / 6 / n)
    assert frontier.params_at_tokens(1e20 / 6 / n) == pytest.approx(n)
    assert frontier.loss(n, 1e11) is None


def test_a_power_can_be_solved_for_its_one_quantity():
    """The loss from B_crit is the inverse of B_crit from the loss; a formula in words evaluates to the value."""
    law = Power(2.1e8, {"loss_nats": -1 / 0.21})
    assert law.solve(law.at(loss_nats=2.5)) == pytest.approx(2.5)
    assert evaluate(law.formula(), law.constants() | {"loss_nats": 2.5}) == pytest.approx(law.at(loss_nats=2.5))
    shifted = Power(1, {"n_params": -0.24}, {"n_params": 80}, 3.12)
    assert shifted.at(n_params=80) == pytest.approx(4.12)
    assert evaluate(shifted.formula(), shifted.constants() | {"n_params": 1e8}) == pytest.approx(shifted.at(n_params=1e8))


def test_a_law_that_counts_sequences_gives_tokens():
    """0.00037 N^0.703 sequences of 2,048 tokens (porian2024) at 1e9 parameters: 1.61e6 tokens."""
    law = power_of({"scale": 0.00037, "n_params_exponent": 0.703, "value_unit": 2048})
    assert law.at(n_params=1e9, n_tokens=1e10) == pytest.approx(0.00037 * 1e9**0.703 * 2048)


def test_a_power_without_an_exponent_is_refused():
    """It would not depend on anything."""
    with pytest.raises(InputError, match="no exponent"):
        power_of({"scale": 2.0})


# Whole formulas, with constants that are all different.

SHIFTED = Power(3.7, {"n_params": -0.31, "n_tokens": 0.17}, {"n_params": 5e7}, 1.9)


def test_a_power_by_hand():
    """offset + scale x (N / unit)^x x D^y, from its parts, from a block, and in words."""
    by_hand = 1.9 + 3.7 * (3e9 / 5e7) ** -0.31 * 7e10**0.17
    block = {"scale": 3.7, "offset": 1.9, "n_params_exponent": -0.31, "n_params_unit": 5e7, "n_tokens_exponent": 0.17}
    known = {"n_params": 3e9, "n_tokens": 7e10}

    assert SHIFTED.at(**known, steps=3) == pytest.approx(by_hand)
    assert power_of(block) == SHIFTED
    assert power_of(block | {"value_unit": 4096}).at(**known) == pytest.approx(4096 * by_hand)
    assert power_of({"steps_exponent": 2.5}).at(steps=4) == 32
    assert evaluate(SHIFTED.formula(), SHIFTED.constants() | known) == pytest.approx(by_hand)
    assert SHIFTED.needs() == {"n_params", "n_tokens"}


def test_a_power_is_solved_with_its_unit_and_offset():
    """y = 1.9 + 3.7 (x / 6e7)^-0.31 at x = 2.2e9."""
    law = Power(3.7, {"n_params": -0.31}, {"n_params": 6e7}, 1.9)
    assert law.solve(1.9 + 3.7 * (2.2e9 / 6e7) ** -0.31) == pytest.approx(2.2e9)


def test_a_logarithm_by_hand():
    """offset + slope ln N, in words too."""
    law = Logarithm(0.0047, -0.00019)
    assert law.at(n_params=3e8, n_tokens=1) == pytest.approx(0.0047 - 0.00019 * math.log(3e8))
    assert evaluate(law.formula(), law.constants() | {"n_params": 3e8}) == pytest.approx(law.at(n_params=3e8))


def test_a_power_frontier_by_hand():
    """N = 0.11 C^0.47 and D = C / (6 N), and back from each of N, D and the loss; 6 N D on it has the loss of the budget."""
    along = Power(2.9, {"compute_flops": -0.061}, {"compute_flops": 4e17})
    frontier = PowerFrontier(0.11, 0.47, along)
    flops = 3.1e22
    n = 0.11 * flops**0.47
    d = flops / (6 * n)
    loss = 2.9 * (flops / 4e17) ** -0.061

    assert frontier.params_at_compute(flops) == pytest.approx(n)
    assert frontier.tokens_at_compute(flops, 3 * n) == pytest.approx(d / 3)
    assert frontier.tokens_at_params(n) == pytest.approx(d)
    assert frontier.tokens_at_loss(n, loss) == pytest.approx(d)
    assert frontier.params_at_tokens(d) == pytest.approx(n)
    assert frontier.params_at_loss(loss) == pytest.approx(n)
    assert frontier.loss(n, d) == pytest.approx(loss)


def test_frontiers_of_laws_in_another_unit():
    """N = 1.7e9 (C / 9e19)^0.59, and D = 4.3e9 (C / 9e19)^0.41 with N = C / (6 D); without a unit N = 0.13 C^0.47, D = 1.9 C^0.44."""
    flops, unit = 2.3e22, {"compute_flops": 9e19}
    of_params = frontier_of_params(Power(1.7e9, {"compute_flops": 0.59}, unit))
    of_tokens = frontier_of_tokens(Power(4.3e9, {"compute_flops": 0.41}, unit))
    assert of_params.params_at_compute(flops) == pytest.approx(1.7e9 * (2.3e22 / 9e19) ** 0.59)
    assert of_tokens.params_at_compute(flops) == pytest.approx(flops / 6 / (4.3e9 * (2.3e22 / 9e19) ** 0.41))
    assert frontier_of_params(Power(0.13, {"compute_flops": 0.47})).params_at_compute(flops) == pytest.approx(0.13 * flops**0.47)
    assert frontier_of_tokens(Power(1.9, {"compute_flops": 0.44})).params_at_compute(flops) == pytest.approx(flops**0.56 / (6 * 1.9))


@pytest.mark.parametrize("unit", [1, 2, 0.5])
def test_any_unit_is_told_in_words(unit):
    """3 (x / unit)^1.5 at 8 units, with a unit that may be 1 or nearly."""
    law = Power(3.0, {"steps": 1.5}, {"steps": unit})
    assert evaluate(law.formula(), law.constants() | {"steps": 8 * unit}) == pytest.approx(3 * 8**1.5)
