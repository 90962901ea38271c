"""`scaleplan optimal`: the laws side by side, from every side."""

from __future__ import annotations

import math

import pytest
from tests.formula import evaluate

DEFAULT = ["kaplan2020", "hoffmann2022-1", "hoffmann2022-2", "hoffmann2022-3", "besiroglu2024"]


def row(result, law):
    return next(row for row in result["laws"] if row["law"] == law)


def test_what_1e21_flop_buy(ask):
    """N of the five laws, by hand: Kaplan 1.3e9 (C / 2 / PF-day)^0.73, Hoffmann's tables, the two parametric fits."""
    result = ask("optimal", "--compute", "1e21")

    assert [row["law"] for row in result["laws"]] == DEFAULT
    found = {name: row(result, name)["n_params"] for name in DEFAULT}
    assert found == pytest.approx(dict(zip(DEFAULT, (4.683e9, 2.860e9, 2.817e9, 2.217e9, 2.778e9), strict=True)), rel=5e-4)
    assert result["recommended"] == "besiroglu2024"
    best = row(result, "besiroglu2024")
    assert (best["tokens_per_param"], best["loss_nats"]) == pytest.approx((21.6, 2.3055), rel=2e-3)


def test_each_law_counts_its_own_n(ask):
    """Kaplan's N leaves the embeddings out, Hoffmann's does not, and the rows say so."""
    result = ask("optimal", "--compute", "1e21")
    assert row(result, "kaplan2020")["n_params_kind"] == "non_embedding"
    assert row(result, "besiroglu2024")["n_params_kind"] == "total"


def test_one_kind_of_n_for_all(ask):
    """--n-kind total converts Kaplan's N by N + 47491 N^(1/3) and leaves the others alone."""
    own, total = ask("optimal", "--compute", "1e21"), ask("optimal", "--compute", "1e21", "--n-kind", "total")
    n = row(own, "kaplan2020")["n_params"]
    assert row(total, "kaplan2020")["n_params"] == pytest.approx(n + 47491 * n ** (1 / 3))
    assert {row["n_params_kind"] for row in total["laws"]} == {"total"}
    assert row(total, "besiroglu2024")["n_params"] == row(own, "besiroglu2024")["n_params"]


@pytest.mark.parametrize(
    ("budget", "published"),
    [("1e21", (2.52e9, 2.81e9, 3.14e9)), ("5.76e23", (57.5e9, 74.7e9, 98.6e9)), ("3.8e25", (452e9, 649e9, 954e9))],
)
def test_intervals_of_besiroglu(ask, budget, published):
    """10, 50 and 90 % of N over refits of resampled points (besiroglu2024, 4,000 of them), within 4 %."""
    found = row(ask("optimal", "--compute", budget), "besiroglu2024")["intervals"]["n_params"]
    assert tuple(found.values()) == pytest.approx(published, rel=0.04)


def test_interval_of_tokens_per_param_at_the_gopher_budget(ask):
    """9.9 to 29 tokens a parameter at 5.76e23 FLOP, within 6 %: constants varied one by one would give nonsense."""
    found = row(ask("optimal", "--compute", "5.76e23"), "besiroglu2024")["intervals"]["tokens_per_param"]
    assert tuple(found.values()) == pytest.approx((9.9, 17.2, 29.0), rel=0.06)


def test_no_draws_no_intervals(ask):
    """Kaplan printed no errors: null, not zero."""
    assert row(ask("optimal", "--compute", "1e21"), "kaplan2020")["intervals"] is None


def test_tenfold_compute_by_kaplan(ask):
    """N x5.37, D x1.86 by Table 6; the multipliers of B and S agree with the answers at two budgets, and with Table 6 to its digits."""
    found = row(ask("optimal", "--compute", "1e21"), "kaplan2020")["per_decade"]
    expected = {"n_params": 10**0.73, "n_tokens": 10**0.27, "critical_batch_tokens": 10**0.24, "n_steps": 10**0.03}
    here, there = (row(ask("optimal", "--compute", budget), "kaplan2020") for budget in ("1e21", "1e22"))
    assert found.pop("loss_nats") == pytest.approx(there["loss_nats"])
    assert found == pytest.approx({name: there[name] / here[name] for name in expected}, rel=1e-6)
    assert found == pytest.approx(expected, rel=5e-3)


def test_from_every_side_to_the_same_run(ask):
    """The N, the D and the loss of an optimum each lead back to its compute."""
    law = ("--law", "besiroglu2024")
    (start,) = ask("optimal", "--compute", "1e22", *law)["laws"]
    for flag, key in (("--tokens", "n_tokens"), ("--loss", "loss_nats")):
        (found,) = ask("optimal", flag, repr(start[key]), *law)["laws"]
        assert found["compute_flops"] == pytest.approx(1e22, rel=1e-6)
    (found,) = ask("optimal", "--n-params", str(round(start["n_params"])), *law)["laws"]
    assert found["compute_flops"] == pytest.approx(1e22, rel=1e-6)


def test_two_of_three_fix_the_third(ask):
    """70e9 parameters on 1.4e12 tokens: 5.88e23 FLOP and L(N, D) = E + A / N^alpha + B / D^beta."""
    (found,) = ask("optimal", "--n-params", "70B", "--tokens", "1.4T", "--law", "besiroglu2024")["laws"]
    assert found["compute_flops"] == pytest.approx(5.88e23)
    assert found["loss_nats"] == pytest.approx(1.8172 + 482.01 / 70e9**0.3478 + 2085.43 / 1.4e12**0.3658)
    assert found["per_decade"] is None


def test_scarce_data(ask):
    """25e9 different tokens at 1e22 FLOP: 7.02e9 parameters, 237e9 tokens, 9.5 epochs (muennighoff2023)."""
    (found,) = ask("optimal", "--compute", "1e22", "--unique-tokens", "25e9")["laws"]
    assert (found["n_params"], found["n_tokens"], found["epochs"]) == pytest.approx((7.022e9, 237.337e9, 9.4935), rel=0.005)


def test_serving_makes_the_model_smaller(ask):
    """The quality of a 13e9 model with 2e12 tokens to serve: 7e9 parameters (sardana2024), within 5 %."""
    (start,) = ask("optimal", "--n-params", "13e9", "--law", "hoffmann2022-3")["laws"]
    asked = ("optimal", "--loss", repr(start["loss_nats"]), "--inference-tokens", "2T", "--law", "hoffmann2022-3")
    (found,) = ask(*asked)["laws"]
    assert found["n_params"] == pytest.approx(7e9, rel=0.05)
    assert found["n_tokens"] / start["n_tokens"] == pytest.approx(2.1, rel=0.05)
    assert found["inference_flops"] == pytest.approx(2 * found["n_params"] * 2e12)


def test_outside_the_fitted_range_it_warns_with_the_factor(run):
    """Besiroglu's points end at 1.3e22 FLOP: 1e27 is 76,923 times beyond; 1e21 is inside."""
    far = run("optimal", "--compute", "1e27", "--law", "besiroglu2024")
    assert "76,900x" in far.stderr
    warnings = run("optimal", "--compute", "1e27", "--law", "besiroglu2024", "--json").document["warnings"]
    assert [w["factor"] for w in warnings if w["kind"] == "extrapolation"] == pytest.approx([1e27 / 1.3e22])
    near = run("optimal", "--compute", "1e21", "--law", "besiroglu2024", "--json").document["warnings"]
    assert not [w for w in near if w["kind"] == "extrapolation"]


def test_more_tokens_than_there_is_text(run):
    """1e30 FLOP deserve more than the 3e14 tokens of public text."""
    kinds = [w["kind"] for w in run("optimal", "--compute", "1e30", "--law", "besiroglu2024", "--json").document["warnings"]]
    assert "token-stock" in kinds


def test_a_law_of_ones_own(run, tmp_path):
    """A TOML file of a known form is a law like any other, with the draws beside it."""
    path = tmp_path / "mine.toml"
    path.write_text(
        'name = "mine"\n[convention]\nsource = "own-runs"\nn_params = "total"\n'
        '[loss]\nform = "additive"\ne_nats = 1.8172\na = 482.01\nb = 2085.43\nalpha = 0.3478\nbeta = 0.3658\n'
    )
    (tmp_path / "mine.draws.csv").write_text("e_nats,a,b,alpha,beta\n1.8172,482.01,2085.43,0.3478,0.3658\n")
    (found,) = run("optimal", "--compute", "1e21", "--law", path, "--json").result["laws"]
    assert found["n_params"] == pytest.approx(2.778e9, rel=1e-3)
    assert found["intervals"]["n_params"]["p10"] == pytest.approx(found["n_params"])


@pytest.mark.parametrize(
    ("args", "named"),
    [
        ((), "--compute"),
        (("--compute", "1e21", "--loss", "2"), "--loss"),
        (("--compute", "1e21", "--n-params", "1e9", "--tokens", "1e12"), "--tokens"),
        (("--loss", "1.5", "--law", "besiroglu2024"), "1.8172"),
        (("--loss", "1.8168", "--law", "besiroglu2024"), "1.8172"),
        (("--loss", "2.1", "--law", "hoffmann2022-1"), "hoffmann2022-1"),
        (("--compute", "1e23", "--unique-tokens", "1e9", "--law", "kaplan2020"), "kaplan2020"),
        (("--compute", "1e23", "--law", "steplaw2025"), "steplaw2025"),
        (("--compute", "1e21", "--law", "besiroglu2042"), "besiroglu2024"),
        (("--compute", "1e21", "--n-kind", "some"), "some"),
        (("--compute", "1e21", "--law", "busbridge2025"), "distilled"),
        (("--compute", "1e21", "--law", "lstm"), "no confirmed constants"),
    ],
)
def test_what_cannot_be_answered_is_refused(run, args, named):
    """Exit 2, nothing on stdout, and the reason with the flag, the law or the limit."""
    outcome = run("optimal", *args)
    assert (outcome.code, outcome.stdout) == (2, "")
    assert outcome.stderr.startswith("error:")
    assert named in outcome.stderr


def test_every_law_that_can_answer(run):
    """`all` is the whole catalogue; laws of batch sizes alone are left out, and the same bytes come twice."""
    first, second = (run("optimal", "--compute", "5.76e23", "--law", "all", "--json").stdout for _ in range(2))
    assert first == second
    assert "muennighoff2023" in first
    assert "steplaw2025" not in first


def test_laws_that_know_no_loss_are_named(run):
    """Asked for a loss, the default list answers where it can and says who cannot."""
    outcome = run("optimal", "--loss", "2.1")
    assert "Skipped hoffmann2022-1, hoffmann2022-2" in outcome.stdout


def test_a_model_that_must_fit(ask):
    """At most 13e9 parameters of 1e23 FLOP: 13e9, and the rest in tokens."""
    (found,) = ask("optimal", "--compute", "1e23", "--where", "n_params<=13B", "--law", "besiroglu2024")["laws"]
    assert found["n_params"] == 13e9
    assert found["n_tokens"] == pytest.approx(1e23 / 6 / 13e9)


def test_over_training_on_request(ask):
    """400 tokens per parameter of 1e22 FLOP: N = sqrt(C / 2400)."""
    (found,) = ask("optimal", "--compute", "1e22", "--tokens-per-param", "400", "--law", "besiroglu2024")["laws"]
    assert found["n_params"] == pytest.approx((1e22 / 2400) ** 0.5)
    (found,) = ask("optimal", "--n-params", "8B", "--tokens-per-param", "200", "--law", "besiroglu2024")["laws"]
    assert found["n_tokens"] == 1.6e12


def test_what_a_lower_loss_takes(run, ask):
    """5 % less than 7e9 parameters on 2e12 tokens have: out of reach for data alone, and the limit is told."""
    asked = ("optimal", "--n-params", "7B", "--tokens", "2T", "--loss-change", "-5%", "--law", "besiroglu2024")
    (found,) = ask(*asked)["loss_changes"]
    assert found["tokens_factor"] is None
    assert found["tokens_limit_nats"] == pytest.approx(1.8172 + 482.01 / 7e9**0.3478)
    assert f"{found['tokens_limit_nats']:.4f}" in run(*asked).stdout


def test_following_another_law_wastes_compute(ask):
    """The recommended law's best run reaches the loss of Kaplan's 4.7e9 parameters with less compute."""
    rows = ask("optimal", "--compute", "1e21")["laws"]
    wasted = {row["law"]: row["wasted_compute_fraction"] for row in rows}
    assert 0.05 < wasted["kaplan2020"] < 0.2
    assert wasted["besiroglu2024"] == pytest.approx(0, abs=1e-9)


def test_bounds_beside_two_fixed_quantities_are_refused(run):
    """There is nothing left to bound."""
    outcome = run("optimal", "--compute", "1e21", "--n-params", "1e9", "--where", "n_tokens<=1T")
    assert (outcome.code, outcome.stdout) == (2, "")


def test_what_else_kaplan_says_of_the_run(ask):
    """His own D of Table 6 beside C / (6 N), both of C_min = C / 2; the loss at a fixed batch is of the compute spent."""
    rules = row(ask("optimal", "--compute", "1.728e20"), "kaplan2020")["rules"]  # C_min is one PF-day
    assert rules["tokens_of_compute"] == pytest.approx(2e10)
    assert rules["steps_of_compute"] == pytest.approx(5.4e3)
    assert rules["loss_at_fixed_batch"] == pytest.approx((1.6e7 / 2) ** 0.057)


def test_training_in_eight_bits(run):
    """8 bits keep 0.950 x 0.973 x 0.9998 of the parameters (kumar2024): the loss of as many fewer, and marked an estimate."""
    document = run("optimal", "--n-params", "1e9", "--tokens", "2e10", "--law", "besiroglu2024", "--precision", "fp8", "--json").document
    share = (1 - math.exp(-8 / 2.6745)) * (1 - math.exp(-8 / 2.2102)) * (1 - math.exp(-8 / 0.9578))
    usual = (1 - math.exp(-16 / 2.6745)) * (1 - math.exp(-16 / 2.2102)) * (1 - math.exp(-16 / 0.9578))
    (found,) = document["result"]["laws"]
    assert found["loss_nats"] == pytest.approx(1.8172 + 482.01 / (1e9 * share / usual) ** 0.3478 + 2085.43 / 2e10**0.3658)
    assert "estimate" in [warning["kind"] for warning in document["warnings"]]


def test_bits_per_byte(ask):
    """The loss over ln 2 and the bytes of a token; nothing for a law that counts bytes itself."""
    rows = ask("optimal", "--compute", "1e21", "--bytes-per-token", "4.2", "--law", "besiroglu2024", "--law", "minicpm2024")["laws"]
    assert rows[0]["bits_per_byte"] == pytest.approx(rows[0]["loss_nats"] / math.log(2) / 4.2)
    assert rows[1]["bits_per_byte"] is None


@pytest.mark.parametrize(
    "asked",
    [
        ("--loss", "2.1"),
        ("--n-params", "7B"),
        ("--tokens", "1T"),
        ("--n-params", "7B", "--tokens", "1T", "--n-kind", "non-embedding"),
        ("--compute", "1e21", "--n-kind", "total"),
        ("--compute", "1e22", "--where", "n_params<=1B"),
        ("--compute", "1e21", "--inference-tokens", "1T"),
        ("--compute", "1e21", "--law", "all"),
    ],
    ids=" ".join,
)
def test_formulas_of_every_direction_give_their_values(run, asked):
    """From whichever side a budget comes, each formula of -v evaluates to its value."""
    for line in run("optimal", *asked, "-v", "--json").document["lines"]:
        if line["formula"]:
            assert evaluate(line["formula"], line["inputs"]) == pytest.approx(line["value"], rel=1e-9), line["key"]


def test_a_law_that_cannot_answer_leaves_the_others(run, ask):
    """Asked for two laws by name, the one below whose E the loss lies is named with the reason, and the other answers."""
    asked = ("optimal", "--loss", "1.0", "--law", "kaplan2020", "--law", "besiroglu2024")
    outcome = run(*asked)
    assert outcome.code == 0
    assert "besiroglu2024: no budget reaches a loss of 1 nats: it stays above 1.8172" in outcome.stderr
    assert [row["law"] for row in ask(*asked)["laws"]] == ["kaplan2020"]


def test_where_no_law_answers_each_says_why(run):
    """A loss below what every law can reach is refused with the floor of each, and the way out is a larger loss."""
    outcome = run("optimal", "--loss", "0.1")
    assert outcome.code == 2
    for reason in ("kaplan2020: answers with 8.18e+29 parameters", "above 1.69337", "above 1.8172"):
        assert reason in outcome.stderr
    assert "a larger --loss" in outcome.stderr


def test_a_run_worse_than_guessing_is_refused(run):
    """Ten FLOP buy no parameter by most laws, and by the other a loss above that of guessing among 32,000 tokens."""
    outcome = run("optimal", "--compute", "10", "--law", "hoffmann2022-3")
    assert outcome.code == 2
    assert "worse than guessing a token, 10.37 nats" in outcome.stderr
