"""`batch`: critical batch, steps against tokens, suggestions."""

from __future__ import annotations

import numpy as np
import pytest

import scaleplan as sp
from scaleplan.answer import checked
from scaleplan.questions.batch import OfLoss
from scaleplan.questions.batch.tradeoff import solve


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
    """Every row lies on (S / S_min - 1)(E / E_min - 1) = 1, and costs 6 N E; one row is the run that was given."""
    found = ask("batch", "--n-params", "1e9", "--tokens", "2e10")
    for row in found["tradeoff"]:
        assert (row["steps"] / found["min_steps"] - 1) * (row["tokens"] / found["min_tokens"] - 1) == pytest.approx(1)
        assert row["flops"] == pytest.approx(6e9 * row["tokens"])
    of_run = next(row for row in found["tradeoff"] if row["batch_tokens"] == found["batch_size_tokens"])
    assert (of_run["tokens"], of_run["steps"]) == pytest.approx((2e10, 2e10 / found["batch_size_tokens"]))


@pytest.mark.parametrize(
    ("given", "basis"),
    [({"batch_size_tokens": 2**20}, "given"), ({"law": "kaplan2020"}, "stated"), ({"law": "muennighoff2023"}, "assumed")],
)
def test_a_run_says_which_batch_it_counts(given, basis):
    """The batch given, that of the law's runs, or B_crit; E_min = D / (1 + B / B_crit) in each case."""
    found = sp.batch(n_params=1e9, tokens=2e10, **given).result

    assert found["batch_basis"] == basis
    assert found["min_tokens"] == pytest.approx(2e10 / (1 + found["batch_size_tokens"] / found["critical_batch_tokens"]))


def test_the_loss_of_a_run_leads_back_to_its_curve():
    """Kaplan's loss of a run, asked as a loss of that size, gives the same least of steps and tokens."""
    run = sp.batch(n_params=1e9, tokens=2e10, law="kaplan2020").result
    back = sp.batch(loss=run["loss_nats"], n_params=1e9).result

    assert [back[key] for key in ("min_steps", "min_tokens", "critical_batch_tokens")] == pytest.approx(
        [run[key] for key in ("min_steps", "min_tokens", "critical_batch_tokens")], rel=1e-6
    )


def test_a_learning_rate_ends_where_its_rule_ends():
    """Kaplan's rate breaks down above 1e10 parameters: null, and the reason."""
    rows = {row["law"]: row for row in sp.batch(n_params=2e10, tokens=4e11).result["suggestions"]}

    assert rows["kaplan2020"]["learning_rate"] is None
    assert "1e+10" in rows["kaplan2020"]["unanswered"]["learning_rate"]


ARRAYS = [
    {"loss": (2.4, 2.5, 3.0)},
    {"loss": (2.6, 2.7, 2.8), "n_params": (1e9, 2e9, 3e9), "schedule": True},
    {"n_params": (1e9, 2e9, 3e9), "tokens": (2e10, 2e10, 4e10)},
    {"n_params": (1e9, 2e9, 3e9), "tokens": (2e10, 2e10, 4e10), "law": ("kaplan2020",), "batch_size_tokens": (2**19, 2**20, 2**21)},
]


@pytest.mark.parametrize("given", ARRAYS, ids="-".join)
def test_arrays_are_solved_like_numbers(given):
    """The curve of three questions at once is that of each."""
    words = {key: value for key, value in given.items() if key in ("law", "schedule")}
    numbers = {key: value for key, value in given.items() if key not in words}
    at_once = solve(OfLoss(**{key: np.array(value) for key, value in numbers.items()}, **words))

    for place in range(3):
        alone = solve(OfLoss(**{key: value[place] for key, value in numbers.items()}, **words))
        assert at_once.found.loss_nats[place] == pytest.approx(alone.found.loss_nats, rel=1e-12)
        assert at_once.found.curve.min_tokens[place] == pytest.approx(alone.found.curve.min_tokens, rel=1e-12)
        if alone.advice is None:
            continue
        for many, one in zip(at_once.advice.rules, alone.advice.rules, strict=True):
            for name in ("batch_tokens", "learning_rate", "rate_at_given", "weight_decay"):
                value = getattr(one, name)
                assert value is None or getattr(many, name)[place] == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ({"loss": 2.5, "law": "hoffmann2022-3"}, "law"),
        ({"loss": 2.5, "tokens": 1e11}, "tokens"),
        ({"loss": 2.7, "n_params": 1e9, "tokens": 1e11, "batch_size_tokens": 2**20}, "batch_size_tokens"),
        ({"gradient_norm2": ["32=0.041", "512=0.0028"], "loss": 2.5}, "loss"),
        ({"gradient_norm2": ["32=0.041", "512=0.0028"], "schedule": True}, "schedule"),
    ],
)
def test_what_has_no_use_is_refused_by_name(given, names):
    """A law beside a loss, tokens without a size, four of three quantities, a loss beside measured norms."""
    with pytest.raises(sp.ScaleplanError) as refused:
        sp.batch(**given)
    assert names in str(refused.value)


@pytest.mark.parametrize(
    "given",
    [
        {"loss": 2.5, "step_s": 1.2},
        {"loss": 2.6, "n_params": 1e9, "schedule": True},
        {"n_params": 1e9, "tokens": 2e10},
        {"loss": 2.7, "n_params": 1e9, "tokens": 1e11},
        {"gradient_norm2": ["32=0.041", "512=0.0028"]},
    ],
)
def test_every_number_of_a_table_has_a_line(given):
    """The lines hold what the result holds, and each formula gives its value."""
    answer = sp.batch(**given)
    lines = {line.key: line.value for line in checked(answer.lines)}

    for key, value in answer.result.items():
        if isinstance(value, float | int):
            assert lines[key] == value
    for place, row in enumerate(answer.result.get("tradeoff", [])):
        assert {key: lines[f"tradeoff.{place}.{key}"] for key in row} == row


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


@pytest.mark.parametrize("more", [(), ("--tokens", "20B", "--schedule")])
def test_a_size_that_never_reaches_the_loss(run, more):
    """1e9 parameters stay above (6.5e13 / 1e9)^0.077 = 2.3474 nats by Kaplan's L(N, S): 2.0 is refused with the floor."""
    outcome = run("batch", "--loss", "2.0", "--n-params", "1e9", *more)
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


@pytest.mark.parametrize("loss", ["1e-30", "1e-18"])
def test_what_overflows_is_refused(run, loss):
    """6.5e13 (1.1 / 1e-30)^(1 / 0.077) is about 1e404 parameters: more than a float holds; 1e248 of them times their tokens is too."""
    outcome = run("batch", "--loss", loss)
    assert (outcome.code, outcome.stdout) == (2, "")
    assert outcome.stderr.startswith("error: ") and "1.8e308" in outcome.stderr and "bug" not in outcome.stderr


def test_a_loss_worse_than_guessing_is_refused(run):
    """ln 50257 = 10.82 nats is the loss of a model that knows nothing."""
    outcome = run("batch", "--loss", "100")

    assert outcome.code == 2
    assert "10.82" in outcome.stderr


def test_a_run_of_steps_and_batch():
    """1e9 parameters after S steps at batch B: L(N, S_min) with S_min = S / (1 + B_crit / B), C_min = C / (1 + B / B_crit) (kaplan2020)."""
    found = sp.batch(n_params=1e9, n_steps=50_000, batch_size_tokens=2**19).result
    ratio = 2**19 / found["critical_batch_tokens"]
    told = (6.5e13 / 1e9) ** 0.077 + (2.1e3 / found["min_steps"]) ** 0.76

    assert found["loss_law"] == "kaplan2020"
    assert found["loss_nats"] == pytest.approx(told, rel=1e-9)
    assert found["min_steps"] == pytest.approx(50_000 / (1 + 1 / ratio))
    assert found["cheapest_flops"] == pytest.approx(6e9 * 50_000 * 2**19 / (1 + ratio))


def test_rules_by_optimizer():
    """Muon's rules alone where Muon is asked for, with its gain as an interval; weight decay is AdamW's, linear in the batch."""
    muon = sp.batch(n_params=1e9, tokens=2e10, optimizer="muon").result
    adamw, double = (sp.batch(n_params=1e9, tokens=2e10, optimizer="adamw", batch_size_tokens=b).result for b in (2**20, 2**21))

    assert {row["optimizer"] for row in muon["suggestions"]} == {"muon"}
    assert muon["optimizer_gain"]["low"] < 1.2 < muon["optimizer_gain"]["high"]
    assert all(row["weight_decay"] is None for row in muon["suggestions"])
    for one, two in zip(adamw["suggestions"], double["suggestions"], strict=True):
        if one["learning_rate"] is not None and one["learning_rate_at_batch"] is not None:
            assert two["learning_rate_at_batch"] / one["learning_rate_at_batch"] == pytest.approx(2**0.5)
            assert two["weight_decay"] / one["weight_decay"] == pytest.approx(2**0.5)  # B / rate, and the rate grows as sqrt(B)


def test_rules_disagree_and_it_is_said():
    """0.44e6 to 1.6e6 tokens at 1e9 parameters and 2e10 tokens, a factor of 3.6; tau = 0.224 at 20 tokens a parameter (bergsma2025)."""
    found = sp.batch(n_params=1e9, tokens=2e10).result

    assert found["disagreement"]["batch_tokens"]["factor"] == pytest.approx(1.61 / 0.442, rel=0.01)
    assert found["weight_decay_time"] == pytest.approx(0.224, rel=5e-3)


def test_muonh_wants_a_width():
    """18.31 T^-0.395 d^-0.150 sqrt(b): 0.003732 at 1.007e13 tokens, width 2,560 and 33.55e6 tokens a batch (marin-5951)."""
    without = sp.batch(n_params=1e11, tokens=1.007e13, optimizer="muonh", batch_size_tokens=33_550_000).result["suggestions"][0]
    row = sp.batch(n_params=1e11, tokens=1.007e13, optimizer="muonh", batch_size_tokens=33_550_000, d_model=2560).result["suggestions"][0]

    assert without["learning_rate"] is None
    assert "d_model" in without["unanswered"]["learning_rate"]
    assert row["learning_rate"] == pytest.approx(0.003732, rel=2e-3)


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ({"loss": 2.5, "optimizer": "muon"}, "optimizer"),
        ({"n_params": 1e9, "tokens": 2e10, "optimizer": "sgdm"}, "optimizer"),
        ({"n_params": 1e9, "n_steps": 1000}, "batch_size_tokens"),
        ({"n_params": 1e9, "tokens": 2e10, "d_model": 2048}, "batch_size_tokens"),
        ({"n_params": 1e9, "tokens": 2e10, "d_model": 2048, "batch_size_tokens": 2**20, "optimizer": "adamw"}, "d_model"),
        ({"n_params": 1e9, "n_steps": 1000, "tokens": 1e9, "batch_size_tokens": 2**20}, "n_steps"),
        ({"loss": 2.5, "n_params": 1e9, "n_steps": 1000, "batch_size_tokens": 2**20}, "n_steps"),
    ],
)
def test_half_a_run_is_refused(given, names):
    """An optimizer without a run, an unknown one, steps without a batch, steps beside tokens or a loss."""
    with pytest.raises(sp.ScaleplanError) as refused:
        sp.batch(**given)
    assert names in f"{refused.value} {refused.value.hint}"
