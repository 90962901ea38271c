"""`scaleplan batch`: critical batch, steps against tokens, suggestions."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize(("loss", "tokens"), [("3", 1.12e6), ("2.5", 2.67e6), ("2.4", 3.25e6), ("2.2", 4.92e6)])
def test_the_critical_batch_depends_on_the_loss(ask, loss, tokens):
    """2.1e8 / L^(1 / 0.21): "about 2e6 tokens" is one point of it (kaplan2020)."""
    assert ask("batch", "--loss", loss)["critical_batch_tokens"] == pytest.approx(tokens, rel=5e-3)


def test_on_the_frontier_the_parts_are_consistent(ask):
    """From a loss alone: C_min = 6 N B_crit S_min within the rounding of Kaplan's Table 6 (its own product is 2.5 % off)."""
    found = ask("batch", "--loss", "2.5")
    product = 6 * found["n_params"] * found["critical_batch_tokens"] * found["min_steps"]
    assert product == pytest.approx(found["min_compute_flops"], rel=0.05)


def test_the_tradeoff_around_the_critical_batch(ask):
    """Every row lies on (S / S_min - 1)(E / E_min - 1) = 1, and costs 6 N E."""
    found = ask("batch", "--n-params", "1e9", "--tokens", "2e10")
    for row in found["tradeoff"]:
        assert (row["steps"] / found["min_steps"] - 1) * (row["tokens"] / found["min_tokens"] - 1) == pytest.approx(1)
        assert row["flops"] == pytest.approx(6e9 * row["tokens"])
    at_critical = next(row for row in found["tradeoff"] if row["critical_batches"] == pytest.approx(1))
    assert at_critical["tokens"] == pytest.approx(2e10)


def test_suggestions_disagree(ask):
    """At 1e9 parameters and 2e10 tokens: 0.44e6 (Step Law), 1.08e6 (DeepSeek), 1.6e6 tokens (Porian)."""
    found = {row["law"]: row for row in ask("batch", "--n-params", "1e9", "--tokens", "2e10")["suggestions"]}
    batches = [found[law]["batch_tokens"] for law in ("steplaw2025", "deepseek2024", "porian2024")]
    assert batches == pytest.approx([0.44e6, 1.08e6, 1.61e6], rel=0.01)
    assert found["bjorck2024"]["batch_tokens"] is None
    assert found["bjorck2024"]["learning_rate"] == pytest.approx(1.55e-3 * 20**-0.32)


def test_a_batch_of_ones_own(ask):
    """At B = B_crit both waste as much again: 100 % more tokens, 100 % more steps than the fewest."""
    critical = ask("batch", "--loss", "2.5")["critical_batch_tokens"]
    found = ask("batch", "--loss", "2.5", "--batch-size-tokens", str(round(critical)))
    assert (found["extra_tokens_fraction"], found["extra_steps_fraction"]) == pytest.approx((1, 1), rel=1e-6)


def test_a_size_that_never_reaches_the_loss(run):
    """1e9 parameters stay above (6.5e13 / 1e9)^0.077 = 2.3474 nats by Kaplan's L(N, S): 2.0 is refused with the floor."""
    outcome = run("batch", "--loss", "2.0", "--n-params", "1e9")
    assert outcome.code == 2
    assert "2.3474" in outcome.stderr


@pytest.mark.parametrize(
    "args", [(), ("--n-params", "1e9"), ("--loss", "-1"), ("--loss", "2.5", "--law", "kaplan2020", "--law", "besiroglu2024")]
)
def test_without_a_loss_there_is_no_answer(run, args):
    """A loss, or N and D and one law to tell it."""
    outcome = run("batch", *args)
    assert (outcome.code, outcome.stdout) == (2, "")


def test_a_growing_batch(ask):
    """1e9 parameters to 2.6 nats: the batch ends at B_crit of 2.6, and saves tokens at equal steps."""
    found = ask("batch", "--loss", "2.6", "--n-params", "1e9", "--schedule")["schedule"]
    assert found["stretches"][-1]["batch_tokens"] == pytest.approx(2.1e8 / 2.6 ** (1 / 0.21), rel=0.01)
    assert 0 < found["saved_tokens_fraction"] < 0.5
    assert found["constant_tokens"] == pytest.approx(found["constant_batch_tokens"] * found["steps"])


def test_time_where_devices_grow_with_the_batch(ask):
    """A step of 1.2 s: steps x 1.2 s; doubling the devices at B_crit divides the time by 4/3."""
    rows = ask("batch", "--loss", "2.5", "--step-s", "1.2s")["tradeoff"]
    at_critical = next(row for row in rows if row["critical_batches"] == pytest.approx(1))
    assert at_critical["wall_s"] == pytest.approx(1.2 * at_critical["steps"])
    assert at_critical["doubling_speedup"] == pytest.approx(4 / 3)


def test_where_doubling_devices_stops_paying(ask):
    """At B_crit / sqrt(2) a doubling divides the time by sqrt(2) and multiplies the compute by as much; below it pays, above not."""
    found = ask("batch", "--loss", "2.5", "--step-s", "1.2s")
    turn = found["last_doubling_batch_tokens"] / found["critical_batch_tokens"]

    def faster(ratio):
        return (1 + 1 / ratio) / (1 + 0.5 / ratio)

    def dearer(ratio):
        return (1 + 2 * ratio) / (1 + ratio)

    assert faster(turn) == pytest.approx(dearer(turn)) == pytest.approx(2**0.5)
    assert faster(turn / 2) > dearer(turn / 2)
    assert faster(turn * 2) < dearer(turn * 2)
    assert found["fastest_wall_s"] == pytest.approx(1.2 * found["min_steps"])
    assert found["cheapest_flops"] == pytest.approx(6 * found["n_params"] * found["min_tokens"])


def test_noise_scale_of_two_norms(ask):
    """Squared norms of 0.041 at 32 and 0.0028 at 512: 5,147 (mccandlish2018's estimator by hand)."""
    found = ask("batch", "--gradient-norm2", "512=0.0028", "--gradient-norm2", "32=0.041")
    assert found["noise_scale"] == pytest.approx(5147, rel=1e-4)


@pytest.mark.parametrize(
    "norms", [("32=0.041",), ("32=0.041", "32=0.04"), ("32=0.041", "512=0.05"), ("32", "512=0.05"), ("32=0.041", "512=nan")]
)
def test_norms_that_say_nothing_are_refused(run, norms):
    """Two batch sizes, the larger with the smaller norm."""
    outcome = run("batch", *(arg for norm in norms for arg in ("--gradient-norm2", norm)))
    assert (outcome.code, outcome.stdout) == (2, "")
    assert "a bug" not in outcome.stderr


def test_a_loss_beyond_the_measured_one_is_doubted(run):
    """Kaplan's largest models reached about 2.3 nats; below it the factor is said, at 2.5 nothing is."""
    (warning,) = run("batch", "--loss", "1.5", "--json").document["warnings"]

    assert warning["kind"] == "extrapolation"
    assert warning["factor"] == pytest.approx((2.3037 / 1.5) ** (1 / 0.21), rel=0.01)
    assert run("batch", "--loss", "2.5", "--json").document["warnings"] == []


def test_a_loss_worse_than_guessing_is_refused(run):
    """ln 50257 = 10.82 nats is the loss of a model that knows nothing."""
    outcome = run("batch", "--loss", "100")

    assert outcome.code == 2
    assert "10.82" in outcome.stderr
