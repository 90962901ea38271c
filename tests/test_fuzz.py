"""A fixed part of what benchmarks/fuzz.py tries: hostile command lines and damaged files meet no bug of the program."""

from __future__ import annotations

import shlex

import pytest
from benchmarks.fuzz import Case, Found, complaint, found, own_folder, run

CASES = 120


@pytest.mark.parametrize("seed", [1, 2])
def test_hostile_cases_are_answered_or_refused(seed):
    """No traceback, no hang, no number that is not finite, and every refusal begins with `error:`."""
    ended = [one for one in found(CASES, seed) if isinstance(one, Found)]
    wrong = [f"{one.said} <- {one.number}: {shlex.join(one.case.args)[:200]}" for one in ended]

    assert not wrong


def test_what_is_wrong_is_seen():
    """The judge knows a good answer from a bad one."""
    with own_folder():
        good = run(Case(["params", "gpt2", "--json"]))

    assert complaint(Case(["params", "gpt2", "--json"]), good) is None
    assert complaint(Case(["params"]), good._replace(code=None)) is not None
    assert complaint(Case(["params"]), good._replace(code=2)) is not None
    assert complaint(Case(["params"]), good._replace(code=1)) is not None
    assert complaint(Case(["params", "--json"]), good._replace(stdout='{"x": NaN}')) is not None
    assert complaint(Case(["params"]), good._replace(stderr="error: a bug in scaleplan: x")) is not None
    assert complaint(Case(["params", "--json"]), good._replace(stdout='{"result": {"n_params": -1}}')) == "n_params below zero"
    assert complaint(Case(["params"]), good._replace(stdout="\x1b[31m")) == "a control character"
    assert complaint(Case(["params"]), good._replace(files={"a.html": "<i id=marked>"})) == "a tag from a name in a .html file"
    assert complaint(Case(["params"]), good._replace(files={".1.part.svg": ""})) == "a draft left behind"


LAW = """name = "mine"
[convention]
n_params = "total"
loss = "nats per token"
[range]
n_params_max = "x"
[loss]
form = "additive"
e_nats = 1.7
a = "400"
b = [410]
alpha = 0.34
beta = 0.28
"""


def test_constants_of_a_law_are_numbers(run, tmp_path):
    """Each that is none is named with its line."""
    path = tmp_path / "law.toml"
    path.write_text(LAW)
    outcome = run("optimal", "--compute", "1e21", "--law", path)

    assert outcome.code == 2
    assert [f"law.toml:{line}" in outcome.stderr for line in (6, 10, 11)] == [True] * 3


def test_a_stack_that_is_like_no_other_has_every_share(run, tmp_path):
    """What its table of times lacks is named."""
    path = tmp_path / "stack.toml"
    path.write_text('name = "mine"\n[time]\npace = 1.1\nlaunch_s = 1e-6\n')
    outcome = run("cost", "gpt2", "--tokens", "1B", "--hardware", "h100-sxm", "--n-devices", "8", "--layout", "dp8", "--stack", path)

    assert outcome.code == 2
    assert f"{path}: `time` lacks fusion" in outcome.stderr and "launch_s" not in outcome.stderr
