"""Rates, batches and decays by optimizer against the numbers of their sources."""

from __future__ import annotations

import pytest

from scaleplan.chain.catalogue import load_law
from scaleplan.chain.hyperparameters import decay_time, disagreement, gain_over_adamw, hyperparameters, optimizers, run_point
from scaleplan.errors import NotSupported, UnknownName
from scaleplan.laws.optimizer_rules import beta2_at_batch, compute_ratio, decay_time_share, rate_at_batch, weight_decay


def named(point, name):
    return next(rule for rule in hyperparameters(point) if rule.law.name == name)


def test_muonh_at_the_run_it_was_used_for():
    """Width 2560, 1.007e13 tokens, batches of 33.55e6 tokens: 0.003732."""
    rule = named(run_point(1e11, 1.007e13, batch_tokens=33.55e6, d_model=2560), "marin2026-muonh")
    assert rule.learning_rate == pytest.approx(0.003732, rel=2e-3)
    assert rule.weight_decay is None


def test_muonh_without_a_width_says_what_it_needs():
    rule = named(run_point(1e9, 2e10), "marin2026-muonh")
    assert rule.learning_rate is None
    assert "needs" in rule.reasons["learning_rate"]


@pytest.mark.parametrize("i", range(5))
def test_moonlight_s_power_laws_pass_through_its_searched_optima(i):
    """Rates within 0.3 % and batches within 5 % of the five optima that were searched."""
    searched = load_law("moonlight2025-muon").data["searched"]
    rule = named(run_point(searched["n_params"][i], searched["n_tokens"][i]), "moonlight2025-muon")
    assert rule.learning_rate == pytest.approx(searched["learning_rate"][i], rel=3e-3)
    assert rule.batch_tokens == pytest.approx(8192 * searched["batch_size_seqs"][i], rel=0.05)


def test_deepseek_at_moonlight_s_ends():
    """Rates 1.20e-3 to 8.4e-4 and batches 0.61e6 to 1.53e6 tokens from 2.1e19 to 3.5e20 FLOP."""
    ends = [named(run_point(n, d), "deepseek2024") for n, d in ((3.99e8, 8.92e9), (1.5e9, 3.891e10))]
    assert [rule.learning_rate for rule in ends] == pytest.approx([1.20e-3, 8.4e-4], rel=0.01)
    assert [rule.batch_tokens for rule in ends] == pytest.approx([0.61e6, 1.53e6], rel=0.01)


def test_laws_disagree_about_the_batch():
    """At 1e9 parameters and 2e10 tokens: 0.44e6 (Step Law), 1.08e6 (DeepSeek), 1.6e6 (Porian), 1.41e6 (Moonlight)."""
    rules = hyperparameters(run_point(1e9, 2e10), "adamw")
    found = {rule.law.name: rule.batch_tokens for rule in rules if rule.batch_tokens}
    expected = {"steplaw2025": 0.44e6, "deepseek2024": 1.08e6, "porian2024": 1.6e6, "moonlight2025-adamw": 1.41e6}
    assert {name: found[name] for name in expected} == pytest.approx(expected, rel=0.02)
    spread = disagreement(rules, "batch_tokens")
    assert spread is not None
    assert spread.factor == pytest.approx(max(found.values()) / min(found.values()))


@pytest.mark.parametrize(("ratio", "tau"), [(20, 0.224), (80, 0.108), (200, 0.0664), (1000, 0.0284)])
def test_the_memory_of_weight_decay(ratio, tau):
    """tau = 1.084 (D / N)^-0.527 of the run."""
    assert decay_time(run_point(1e9, ratio * 1e9)) == pytest.approx(tau, rel=5e-3)


def test_weight_decay_is_linear_in_the_batch():
    assert weight_decay(2e6, 1e-3, 2e10, 0.2) == pytest.approx(2 * weight_decay(1e6, 1e-3, 2e10, 0.2))
    assert decay_time_share(1e6, 1e-3, 2e10, weight_decay(1e6, 1e-3, 2e10, 0.2)) == pytest.approx(0.2)


def test_the_rate_of_another_batch_is_its_own_inverse():
    assert rate_at_batch(rate_at_batch(1e-3, 1e6, 4e6), 4e6, 1e6) == pytest.approx(1e-3)


def test_no_rate_outside_its_range():
    """Kaplan's rate is silent above 1e10 parameters, and no rule of AdamW names more than 1e-2."""
    assert named(run_point(7e10, 1.4e12), "kaplan2020").learning_rate is None
    assert "above 1e+10" in named(run_point(7e10, 1.4e12), "kaplan2020").reasons["learning_rate"]
    for exponent in range(6, 14):
        rates = [rule.learning_rate for rule in hyperparameters(run_point(10**exponent, 20 * 10**exponent), "adamw")]
        assert all(0 < rate <= 1e-2 for rate in rates if rate is not None)


def test_the_gain_of_muon():
    """0.519 of AdamW's compute at 18 PF-days by its authors; tuned, 1.4 times fewer tokens at 1e8 and 1.1 at 1.2e9 parameters."""
    muon, adamw = (load_law(f"moonlight2025-{name}").rules["loss_of_compute"] for name in ("muon", "adamw"))
    for days, ratio in ((0.25, 0.44), (4, 0.49), (18, 0.519), (1e3, 0.61)):
        assert compute_ratio(muon, adamw, days * 8.64e19) == pytest.approx(ratio, abs=0.005)
    assert gain_over_adamw("muon", 1.2e9, 2.4e10).tuned == pytest.approx(1.1)
    small, large = gain_over_adamw("muon", 5e8, 1e10), gain_over_adamw("muon", 7e9, 1.4e11)
    assert small.low < small.high < 2.4
    assert large.untested
    assert large.tuned is None
    assert (large.low, large.high) == pytest.approx((1.1, 1 / 0.489), rel=0.02)
    with pytest.raises(NotSupported):
        gain_over_adamw("sgd", 1e9, 2e10)


def test_an_optimizer_without_a_rule_is_refused():
    assert {"adam", "adamw", "muon", "muonh"} == set(optimizers())
    with pytest.raises(UnknownName):
        hyperparameters(run_point(1e9, 2e10), "lion")


def test_beta2_keeps_its_half_life_in_tokens():
    """0.999 at batches of 131,072 tokens, never below 0.95 nor above 0.9999."""
    assert beta2_at_batch(131_072) == pytest.approx(0.999)
    assert (beta2_at_batch(1e9), beta2_at_batch(1.0)) == (0.95, 0.9999)
