"""`diff`: what changed, which input did it, and whether the new document is within its limits."""

from __future__ import annotations

import json

import pytest

import scaleplan as sp

PLAN = """[model]
n_params = "7B"
[training]
tokens = "{tokens}"
[hardware]
device = "h100-sxm"
n_devices = {n_devices}
[site]
usd_per_device_hour = 2
[run]
mfu = "40%"
"""
LIMIT = '[[limit]]\nquantity = "{quantity}"\n{bound}\n'


@pytest.fixture
def plan(tmp_path):
    """A plan file with its limits."""

    def write(name, tokens="1T", n_devices=64, limits=()):
        file = tmp_path / f"{name}.toml"
        text = PLAN.format(tokens=tokens, n_devices=n_devices)
        file.write_text(text + "".join(LIMIT.format(quantity=quantity, bound=bound) for quantity, bound in limits))
        return str(file)

    return write


def change(answer, quantity):
    """One row of the changes."""
    return next(row for row in answer.result["changes"] if row["quantity"] == quantity)


def test_changes_and_shares_are_those_of_the_formula(plan):
    """6 N D over the rate: twice the tokens and half the devices are four times as long, and each alone twice, a third of the change."""
    answer = sp.diff(plan("base"), plan("head", tokens="2T", n_devices=32))
    hours, wall = change(answer, "run.device_hours"), change(answer, "run.wall_s")
    known = 6 * 7e9 * 1e12 / (989.4e12 * 0.4) / 3600

    assert (hours["base"], hours["head"]) == (pytest.approx(known, rel=1e-3), pytest.approx(2 * known, rel=1e-3))
    assert [(row["input"], round(row["share"], 9)) for row in hours["because"]] == [("training.tokens", 1)]
    assert wall["change_fraction"] == pytest.approx(3)
    assert {row["input"]: row["share"] for row in wall["because"]} == {
        "training.tokens": pytest.approx(1 / 3),
        "hardware.n_devices": pytest.approx(1 / 3),
    }


@pytest.mark.parametrize(
    ("limits", "code", "verdict"),
    [
        ((), 0, None),
        ([("money.usd", 'max = "$200k"')], 0, "pass"),
        ([("money.usd", 'max = "$100k"')], 1, "fail"),
        ([("money.usd", 'max = "$100k"\nlevel = "warn"')], 0, "fail"),
        ([("money.usd", 'max_increase = "101%"')], 0, "pass"),
        ([("money.usd", 'max_increase = "99%"')], 1, "fail"),
        ([("wall_s", 'max = "60d"'), ("money.usd", 'max_increase = "99%"\nlevel = "warn"')], 0, "fail"),
    ],
)
def test_a_broken_limit_of_the_head_ends_with_1(plan, run, limits, code, verdict):
    """Its own limits, on the value ($59k in the base, $118k in the head) and on the increase of 100 %."""
    outcome = run("diff", plan("base"), plan("head", tokens="2T", limits=limits), "--json")
    assert (outcome.code, json.loads(outcome.stdout)["result"]["verdict"]) == (code, verdict)


def test_a_limit_of_the_base_does_not_judge_the_head(plan, run):
    """A limit that the change takes away is gone."""
    assert run("diff", plan("base", limits=[("money.usd", 'max = "$1"')]), plan("head")).code == 0


def test_each_limit_stands_beside_what_the_base_had(plan):
    """Kept before and broken now; a limit on the increase has no verdict on the base itself."""
    limits = [("money.usd", 'max = "$100k"'), ("run.device_hours", 'max_increase = "10%"')]
    answer = sp.diff(plan("base"), plan("head", tokens="2T", limits=limits))
    rows = {row["quantity"]: row for row in answer.result["limits"]}

    assert (rows["money.usd"]["verdict"], rows["money.usd"]["base_verdict"]) == ("fail", "pass")
    assert (rows["run.device_hours"]["verdict"], rows["run.device_hours"]["base_verdict"]) == ("fail", None)
    assert rows["money.usd"]["change_fraction"] == pytest.approx(1)
    assert rows["run.device_hours"]["limit"] == pytest.approx(1.1 * rows["run.device_hours"]["base"])
    assert answer.exit_code == 1


@pytest.mark.parametrize(
    ("limit", "code"),
    [("usd<=+10%", 1), ("usd<=+25%", 0), ("usd<=+10%:warn", 0), ("usd>=+10%", 0), ("usd>=-10%", 0), ("usd<=-10%", 1), ("usd<=1k", 1)],
)
def test_two_answers_are_judged_by_limits_on_their_change(run, tmp_path, limit, code):
    """A fifth more tokens are a fifth more dollars; `check` with the first as base says the same."""
    files = []
    for name, tokens in (("base", "1T"), ("head", "1.2T")):
        file = tmp_path / f"{name}.json"
        file.write_text(sp.cost(n_params="7B", tokens=tokens, hardware="h100-sxm").to_json())
        files.append(str(file))

    assert run("diff", *files, "--limit", limit).code == code
    assert run("check", files[1], "--base", files[0], "--limit", limit).code == code


def test_two_of_different_commands_are_refused(run, tmp_path, plan):
    """They have no numbers in common: exit code 2, which no broken limit has."""
    file = tmp_path / "flops.json"
    file.write_text(sp.flops("gpt2").to_json())
    outcome = run("diff", plan("base"), file)
    assert (outcome.code, outcome.stdout) == (2, "")
    assert "no numbers in common" in outcome.stderr


def test_a_share_of_next_to_nothing_is_none(tmp_path):
    """A document of another's making may hold a number so small that no float64 is the quotient."""
    document = json.loads(sp.cost(n_params="7B", tokens="1T", hardware="h100-sxm").to_json())
    head, base = tmp_path / "head.json", tmp_path / "base.json"
    head.write_text(json.dumps(document))
    document["result"]["device_hours"] = 1e-320
    base.write_text(json.dumps(document))

    row = change(sp.diff(str(base), str(head)), "device_hours")

    assert (row["base"], row["head"] > 0, row["change_fraction"]) == (1e-320, True, None)


def test_documents_of_other_presets_are_told(run, tmp_path, plan):
    """A digest that differs is named, in the warnings of `diff` and of `check`."""
    document = json.loads(sp.plan(plan("base")).to_json())
    document["presets"]["prices.csv"] = "0" * 16
    file = tmp_path / "old.json"
    file.write_text(json.dumps(document))

    for line in (("diff", file, plan("head")), ("check", plan("head"), "--base", file, "--limit", "money.usd<=+10%")):
        assert "different presets: prices.csv" in run(*line).stderr
