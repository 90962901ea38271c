"""`scaleplan fit`: from a table to a law that `optimal` takes."""

from __future__ import annotations

import json
import math
import random
import tomllib

import pytest

import scaleplan as sp
from scaleplan.answer import checked
from scaleplan.questions.asking import WATCH

LAW = {"e_nats": 1.817218, "a": 477.826, "b": 2143.417, "alpha": 0.3473105, "beta": 0.3671724}


def table_of(rows, header="n_params,n_tokens,loss"):
    return header + "\n" + "".join(",".join(map(repr, row)) + "\n" for row in rows)


def loss_of(n, d):
    return LAW["e_nats"] + LAW["a"] / n ** LAW["alpha"] + LAW["b"] / d ** LAW["beta"]


def drawn(n_rows=60, noise=0.01, seed=7):
    """Runs of a known law."""
    chance = random.Random(seed)
    rows = []
    for _ in range(n_rows):
        n = math.exp(chance.uniform(math.log(5.7e7), math.log(1.6e10)))
        d = math.exp(chance.uniform(math.log(1.4e18), math.log(1.3e22))) / 6 / n
        rows.append((n, d, loss_of(n, d) * math.exp(chance.gauss(0, noise))))
    return rows


@pytest.fixture
def runs(tmp_path):
    """A table of sixty runs."""
    path = tmp_path / "runs.csv"
    path.write_text(table_of(drawn()))
    return path


def test_the_law_of_the_runs(ask, tmp_path):
    """Without noise: the constants, every run used, starts that agree, residuals of nothing."""
    path = tmp_path / "exact.csv"
    path.write_text(table_of(drawn(noise=0)))
    result = ask("fit", path)

    assert result["law"] == {"form": "additive", **{name: pytest.approx(value, rel=1e-5) for name, value in LAW.items()}}
    assert result["n_rows"] == len(result["residuals"]) == 60
    assert result["n_starts_agreeing"] >= 2
    assert max(abs(row["residual"]) for row in result["residuals"]) < 1e-9
    assert result["intervals"] is None


def test_intervals_come_with_resamples_and_the_same_seed(run, runs):
    """Percentiles in order, the truth inside, the same bytes twice and with more threads."""
    asked = ("fit", runs, "--bootstrap", "300", "--seed", "3", "--json")
    first = run(*asked)
    points = first.result["intervals"]["alpha"]

    assert points["p2_5"] < points["p10"] < points["p50"] < points["p90"] < points["p97_5"]
    assert points["p2_5"] < LAW["alpha"] < points["p97_5"]
    assert points["sd"] > 0
    assert run(*asked).stdout == first.stdout == run(*asked, "--jobs", "2").stdout


def test_optimal_takes_the_law_and_its_draws(run, ask, runs, tmp_path):
    """`-o my-law.toml` writes a preset and its draws; N_opt agrees with the fit, and has an interval."""
    law = tmp_path / "my-law.toml"
    written = run("fit", runs, "--bootstrap", "250", "--compute", "1e21", "-o", law)
    fitted = ask("fit", runs, "--compute", "1e21")["optimum"]["n_params_at_target"]
    (row,) = ask("optimal", "--compute", "1e21", "--law", law)["laws"]

    assert (written.code, written.stdout) == (0, "")
    assert row["law"] == "my-law"
    assert row["n_params"] == pytest.approx(fitted, rel=1e-9)
    assert row["intervals"]["n_params"]["p10"] < fitted < row["intervals"]["n_params"]["p90"]
    assert tomllib.loads(law.read_text())["runs"]["n_rows"] == 60


def test_draws_of_an_earlier_fit_are_not_left_beside_a_new_law(run, ask, runs, tmp_path):
    """Written again without resamples, the law has no intervals: the old table is gone."""
    law = tmp_path / "my-law.toml"
    run("fit", runs, "--bootstrap", "250", "-o", law)
    run("fit", runs, "-o", law)

    assert not law.with_name("my-law.draws.csv").exists()
    assert ask("optimal", "--compute", "1e21", "--law", law)["laws"][0]["intervals"] is None


def test_runs_that_pull_the_fit_are_named(run, tmp_path):
    """Runs on far fewer tokens with too high a loss: a warning of kind influence that names lines, the exponent and its two values."""
    chance = random.Random(4)
    rows = [(math.exp(chance.uniform(18, 23.5)), math.exp(chance.uniform(20.8, 26.4)), chance.gauss(0, 0.01)) for _ in range(200)]
    rows += [(n, d, 0.26) for n, d in ((1e8, 1.5e8), (3e8, 1.8e8), (6e8, 2.1e8), (1e9, 2.5e8), (2e9, 3e8))]
    path = tmp_path / "spoilt.csv"
    path.write_text(table_of([(n, d, loss_of(n, d) * math.exp(noise)) for n, d, noise in rows]))
    outcome = run("fit", path, "--json")
    (warning,) = (w for w in outcome.document["warnings"] if w["kind"] == "influence")

    assert set(warning["lines"]) <= {202, 203, 204, 205, 206}
    assert "of 205 rows" in warning["message"]
    assert "outside its own 95 % interval" in outcome.stderr


def test_non_embedding_parameters_are_kept_or_converted(ask, tmp_path):
    """The heading says which N the column counts; --n-kind total converts, and says so in the law."""
    path = tmp_path / "runs.csv"
    path.write_text(table_of(drawn(), "non_embedding_params,n_tokens,loss"))
    own, total = ask("fit", path), ask("fit", path, "--n-kind", "total")

    assert (own["n_params_kind"], total["n_params_kind"]) == ("non_embedding", "total")
    assert own["law"]["alpha"] < total["law"]["alpha"]  # the small models gain most parameters, so the loss falls faster with N


def test_forms_are_compared_on_the_largest_runs(ask, runs):
    """`--compare` ranks by the error on runs left out; a pure power of N does not win."""
    result = ask("fit", runs, "--compare")
    errors = [row["held_out_error"] for row in result["forms"]]

    assert errors == sorted(errors)
    assert result["best"] == result["forms"][0]["form"] != "power-n_params"
    assert len(result["held_out_lines"]) == 12


def test_next_runs_are_proposed_and_priced(ask, runs):
    """The ladder spends the budget; hours and dollars are those of `cost` for as much compute."""
    asked = ("--hardware", "h100-sxm", "--mfu", "0.4", "--usd-per-device-hour", "2")
    result = ask("fit", runs, "--design", "1e21", *asked)
    cost = ask("cost", "--compute", "1e21", *asked)

    assert sum(row["compute_flops"] for row in result["runs"]) == pytest.approx(1e21)
    assert result["interval_factor_after"] < result["interval_factor_before"]
    assert result["device_hours"] == pytest.approx(cost["device_hours"])
    assert result["usd"] == pytest.approx(cost["usd"])


def test_slices_and_their_law(run, ask, tmp_path):
    """`--form isoflop` on five budgets: the exponent of the law, and a file that `optimal` takes for N."""
    alpha, beta = LAW["alpha"], LAW["beta"]
    scale = (alpha * LAW["a"] / (beta * LAW["b"])) ** (1 / (alpha + beta))
    best = {c: scale * (c / 6) ** (beta / (alpha + beta)) for c in (1e19, 1e20, 3e20, 1e21, 3e21)}
    rows = [(n * f, c / 6 / n / f) for c, n in best.items() for f in (0.5, 0.7, 1.0, 1.4, 2.0)]
    path, law = tmp_path / "slices.csv", tmp_path / "slices.toml"
    path.write_text(table_of([(n, d, loss_of(n, d)) for n, d in rows]))
    result = ask("fit", path, "--form", "isoflop")
    run("fit", path, "--form", "isoflop", "-o", law)

    assert result["law"]["exponent"] == pytest.approx(beta / (alpha + beta), abs=1e-3)
    assert [optimum["n_runs"] for optimum in result["optima"]] == [5] * 5
    assert ask("optimal", "--compute", "1e21", "--law", law)["laws"][0]["n_params"] == pytest.approx(best[1e21], rel=0.01)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--form", "aditive"), "did you mean `additive`?"),
        (("--column", "loss"), "NAME=VALUE"),
        (("--column", "loss=lost"), "no column named `lost`"),
        (("--unit", "n_params=many"), "--unit n_params"),
        (("--bootstrap", "2M"), "more than 1000000"),
        (("--hardware", "h100-sxm"), "--hardware goes with --design"),
        (("--form", "power-sum"), "needs a column `n_steps`"),
        (("--form", "isoflop"), "budgets have a minimum among their runs"),
    ],
)
def test_a_question_without_a_meaning_is_refused(run, runs, more, said):
    """Exit 2, an error and the way out, nothing on stdout."""
    outcome = run("fit", runs, *more)

    assert (outcome.code, outcome.stdout) == (2, "")
    assert outcome.stderr.startswith("error:")
    assert said in outcome.stderr


def test_an_interrupted_bootstrap_is_reported_as_such(runs, run, monkeypatch, tmp_path):
    """Ctrl-C after the second part: exit 130; its resamples are kept, apart from a law that is there, and counted in a warning."""
    from scaleplan.laws.fitting import bootstrap

    whole = bootstrap.part

    def stopped(problem, theta, seed, number, size):
        if number == 2:
            raise KeyboardInterrupt
        return whole(problem, theta, seed, number, size)

    monkeypatch.setattr(bootstrap, "part", stopped)
    outcome = run("fit", runs, "--bootstrap", "1000", "--json")
    document = json.loads(outcome.stdout)

    assert outcome.code == 130
    assert document["result"]["bootstrap"] == {"n_asked": 1000, "n_done": 500, "n_settled": 500, "seed": 0}
    assert [warning["kind"] for warning in document["warnings"]] == ["partial"]
    (tmp_path / "law.toml").write_text("old")
    outcome = run("fit", runs, "--bootstrap", "1000", "-o", tmp_path / "law.toml")
    assert outcome.code == 130
    assert "law.partial.toml" in outcome.stderr
    assert (tmp_path / "law.toml").read_text() == "old"
    assert sorted(path.name for path in tmp_path.glob("*.toml")) == ["law.partial.toml", "law.toml"]


def test_lines_explain_the_optimum(run, runs):
    """With -v each figure of the optimum has arithmetic that gives it."""
    document = run("fit", runs, "-v", "--json").document
    computed = [line for line in document["lines"] if line["formula"]]

    assert len(computed) == 5
    for line in computed:
        assert eval(line["formula"], {}, dict(line["inputs"])) == pytest.approx(line["value"], rel=1e-9)


def test_charts_are_drawn(run, runs):
    """Curves of equal compute, residuals, and the best size with its extrapolation."""
    out = run("fit", runs, "--plot").stdout

    assert all(title in out for title in ("Loss along equal compute", "What the law leaves over", "The best size"))


def test_a_law_of_another_form_is_taken_too(run, ask, runs, tmp_path):
    """The over-training form is additive in N and D: `optimal` gives its loss; a form without an optimum is no preset."""
    law = tmp_path / "ours.toml"
    run("fit", runs, "--form", "over-training", "-o", law)
    constants = ask("fit", runs, "--form", "over-training")["law"]
    (row,) = ask("optimal", "--n-params", "1e9", "--tokens", "2e10", "--law", law)["laws"]
    eta = constants["eta"]
    reducible = (constants["a"] * 20**eta + constants["b"] * 20**-eta) * 1.2e20**-eta

    assert row["loss_nats"] == pytest.approx(constants["e_nats"] + reducible, rel=1e-9)
    assert "not a preset" in run("fit", runs, "--form", "kaplan", "-o", tmp_path / "kaplan.toml").stderr


def test_repeated_data_become_a_law(run, ask, tmp_path):
    """`--form repeating` on fresh and repeated runs: two more constants, and a file for `optimal --unique-tokens`."""
    rows = []
    for i, (n, d, _) in enumerate(drawn(80)):
        epochs = 1 if i % 2 else 2 + i / 4
        worth = d * (1 + 15 * (1 - math.exp(-(epochs - 1) / 15)))
        rows.append((n, d * epochs, d, loss_of(n, worth)))
    path, law = tmp_path / "repeated.csv", tmp_path / "repeated.toml"
    path.write_text(table_of(rows, "n_params,n_tokens,unique_tokens,loss"))
    result = ask("fit", path, "--form", "repeating")
    run("fit", path, "--form", "repeating", "-o", law)
    (row,) = ask("optimal", "--compute", "1e22", "--unique-tokens", "25B", "--law", law)["laws"]

    assert result["law"]["r_d_star"] == pytest.approx(15, rel=0.05)  # N counts in full here: R_N* is as large as it may be
    assert row["epochs"] > 1


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ({}, "law"),
        ({"bootstrap": 20, "seed": 1}, "law"),
        ({"compare": True}, "comparison"),
        ({"design": 1e21}, "design"),
        ({"design": 1e21, "hardware": "h100-sxm", "mfu": 0.4}, "design"),
    ],
)
def test_each_shape_names_itself_and_its_lines_compute(runs, given, kind):
    """`result.kind`, and every formula gives its value at its path in the result."""
    answer = sp.fit(runs, **given)

    assert answer.result["kind"] == kind
    for line in checked(answer.lines):
        try:
            assert answer[line.key] == line.value
        except KeyError:
            pytest.fail(line.key)


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ({"seed": 3}, "seed"),
        ({"compare": True, "bootstrap": 20}, "bootstrap"),
        ({"design": 1e21, "form": "isoflop"}, "form"),
        ({"design": 1e21, "mfu": 0.4}, "mfu"),
        ({"form": "repeating", "bootstrap": 20}, "bootstrap"),
        ({"form": "kaplan", "compute": 1e22}, "compute"),
        ({"n_kind": "both"}, "n_kind"),
        ({"bootstrap": 20, "jobs": 65}, "jobs"),
    ],
)
def test_what_has_no_use_is_refused_by_name(runs, given, names):
    """A seed without resamples, resamples of a ranking, slices without a covariance, a rate without a device, ..."""
    with pytest.raises(sp.ScaleplanError) as refused:
        sp.fit(runs, **given)
    assert names in str(refused.value)


def test_long_work_is_watched_by_who_asked(runs):
    """Whoever sets the watch sees what is done, part by part, and how large the parts are; the answer does not change."""
    seen = []

    def watch(what, items, sizes):
        for size, item in zip(sizes, items, strict=True):
            seen.append((what, size))
            yield item

    token = WATCH.set(watch)
    try:
        watched = sp.fit(runs, bootstrap=300, seed=2)
    finally:
        WATCH.reset(token)

    assert seen == [("resamples", 250), ("resamples", 50)]
    assert watched.to_json() == sp.fit(runs, bootstrap=300, seed=2).to_json()
