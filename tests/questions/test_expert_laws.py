"""`scaleplan optimal --n-experts E --n-experts-per-token K`: active and total size of a mixture by the laws that know experts."""

from __future__ import annotations

import pytest
from tests.formula import evaluate

EIGHT = ("--n-experts", "8", "--n-experts-per-token", "1")
JOINT = "ludziejewski2025-table3"


def row(result, law):
    return next(row for row in result["laws"] if row["law"] == law)


def test_a_budget_and_eight_experts(ask):
    """3.8B active on 44.3B tokens at 1e21 FLOP (ludziejewski2025 Table 1); 4 + 9 (8) against 13 parts make it 5.85 times as large."""
    found = row(ask("optimal", "--compute", "1e21", *EIGHT), JOINT)

    assert (found["n_active_params"], found["n_tokens"]) == pytest.approx((3.8e9, 44.3e9), rel=0.01)
    assert found["n_total_params"] == pytest.approx(found["n_active_params"] * 76 / 13)
    assert found["n_params_kind"] == "active"
    assert 6 * found["n_active_params"] * found["n_tokens"] == pytest.approx(1e21)


def test_no_law_of_experts_is_recommended(ask):
    """They were fitted on other data, and some were read second hand: an answer, no advice."""
    assert ask("optimal", "--compute", "1e21", *EIGHT)["recommended"] is None


def test_their_losses_are_not_to_be_compared(run):
    """A warning of kind `estimate` says so and names the laws whose constants were read second hand."""
    warnings = run("optimal", "--compute", "1e21", *EIGHT, "--json").document["warnings"]
    (warning,) = [warning for warning in warnings if warning["kind"] == "estimate"]
    assert warning["second_hand"] == ["abnar2025"]


def test_outside_the_runs_of_a_fit(run):
    """64 experts are twice as many as the joint law was fitted with; the warning holds the factor."""
    asked = ("--n-experts", "64", "--n-experts-per-token", "1", "--law", JOINT)
    warnings = run("optimal", "--compute", "1e20", *asked, "--json").document["warnings"]
    assert [(found["quantity"], found["factor"]) for found in warnings if found["kind"] == "extrapolation"] == [("n_experts", 2.0)]


def test_active_size_and_tokens_give_the_loss(ask):
    """Both given: the compute is 6 N D with the active N, the loss that of 8 experts by Table 4: 21.8330 N^-0.1676 + 119.9126 D^-0.2338."""
    found = row(ask("optimal", "--n-params", "1B", "--tokens", "20B", *EIGHT), JOINT)

    assert found["compute_flops"] == 6 * 10**9 * 2 * 10**10
    assert found["loss_nats"] == pytest.approx(1.3637 + 21.8330 * 1e9**-0.1676 + 119.9126 * 2e10**-0.2338, rel=1e-3)


@pytest.mark.parametrize(("flag", "key"), [("--loss", "loss_nats"), ("--tokens", "n_tokens"), ("--n-params", "n_active_params")])
@pytest.mark.parametrize("law", [JOINT, "abnar2025"])
def test_from_every_side_to_the_same_run(ask, law, flag, key):
    """Each number of an optimum leads back to its compute."""
    (start,) = ask("optimal", "--compute", "1e20", *EIGHT, "--law", law)["laws"]
    value = str(round(start[key])) if flag == "--n-params" else repr(start[key])
    (found,) = ask("optimal", flag, value, *EIGHT, "--law", law)["laws"]
    assert found["compute_flops"] == pytest.approx(1e20, rel=1e-6)


def test_each_number_follows_from_its_line(run):
    """Every formula of -v, evaluated with its inputs, gives its value."""
    lines = run("optimal", "--compute", "1e21", *EIGHT, "-v", "--json").document["lines"]
    made = [line for line in lines if line["formula"]]
    assert len(made) == 6  # total, D and loss of two laws
    for line in made:
        assert evaluate(line["formula"], line["inputs"]) == pytest.approx(line["value"], rel=1e-9)


def test_laws_without_experts_are_silent_by_name(run):
    """Over the whole catalogue, dense laws and laws of one amount of data are named with the reason."""
    said = run("optimal", "--compute", "1e21", *EIGHT, "--law", "all").stdout
    assert "kaplan2020" in said
    assert "does not know experts" in said
    assert "clark2022-s-base: was fitted on one amount of data" in said
    assert "krajewski2024: was fitted at E / K = 64 only" in said


@pytest.mark.parametrize(
    ("asked", "reason", "hint"),
    [
        (("--n-experts", "8"), "--n-experts needs --n-experts-per-token", "add --n-experts-per-token"),
        (("--n-experts-per-token", "2"), "--n-experts-per-token needs --n-experts", "add --n-experts"),
        (("--n-experts", "2", "--n-experts-per-token", "8"), "`8` is more than --n-experts `2`", "at most 2"),
        ((*EIGHT, "--law", "kaplan2020"), "`kaplan2020` does not know experts", JOINT),
        ((*EIGHT, "--law", "ludziejewski2025"), "`ludziejewski2025` has signs", JOINT),
        ((*EIGHT, "--law", "krajewski2024"), "E / K = 64 only", "--n-experts 64"),
        ((*EIGHT, "--unique-tokens", "1B"), "--unique-tokens does not apply to a mixture of experts", "a dense model"),
        ((*EIGHT, "--n-kind", "total"), "--n-kind does not apply to a mixture of experts, which --n-experts asks for", "a dense model"),
        (("--n-experts", "0", "--n-experts-per-token", "1"), "--n-experts", ""),
    ],
)
def test_what_is_refused(run, asked, reason, hint):
    """Exit 2, the reason and the way out."""
    outcome = run("optimal", "--compute", "1e21", *asked)

    assert (outcome.code, outcome.stdout) == (2, "")
    assert reason in outcome.stderr
    assert hint in outcome.stderr
    assert "bug" not in outcome.stderr


def test_without_the_flags_nothing_of_experts_is_loaded():
    """Dense budgets, the common case, do not wait for modules of mixtures."""
    import subprocess
    import sys

    code = (
        "import sys\nfrom scaleplan.cli import main\n"
        "try:\n    main(['optimal', '--compute', '1e21', '--json', '-q'])\nexcept SystemExit:\n    pass\n"
        "print([name for name in sys.modules if 'expert' in name or 'mixture' in name], file=sys.stderr)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stderr.strip() == "[]"
