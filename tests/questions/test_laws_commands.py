"""`scaleplan optimal` and `scaleplan batch`: bad numbers, the same bytes, the same numbers in every format."""

from __future__ import annotations

import csv
import io
import os
import subprocess
import sys

import pytest

from scaleplan.units import show_count

BAD = ("-1e21", "0", "nan", "inf", "1e400", "plenty", "", "1e21x", "--", "1,5e21")
FLAGS_OF_OPTIMAL = ("--compute", "--n-params", "--tokens", "--loss")


@pytest.mark.parametrize("value", BAD)
@pytest.mark.parametrize("flag", FLAGS_OF_OPTIMAL)
def test_optimal_refuses_what_is_no_budget(run, flag, value):
    """Exit 2 with one error, no traceback and nothing on stdout, for whatever is not a positive finite number."""
    outcome = run("optimal", f"{flag}={value}")

    assert (outcome.code, outcome.stdout) == (2, "")
    assert outcome.stderr.startswith("error: ")
    assert "Traceback" not in outcome.stderr
    assert "a bug in scaleplan" not in outcome.stderr


@pytest.mark.parametrize("value", BAD)
@pytest.mark.parametrize("flag", ["--unique-tokens", "--inference-tokens"])
def test_optimal_refuses_what_is_no_amount_of_data(run, flag, value):
    """Also beside a budget that is one, and 0 is no way to say none."""
    outcome = run("optimal", "--compute", "1e21", f"{flag}={value}")

    assert (outcome.code, outcome.stdout) == (2, "")
    assert outcome.stderr.startswith("error: ")


@pytest.mark.parametrize("value", BAD)
def test_batch_refuses_what_is_no_loss(run, value):
    """The same for the loss of `batch`."""
    outcome = run("batch", f"--loss={value}")

    assert (outcome.code, outcome.stdout) == (2, "")
    assert outcome.stderr.startswith("error: ")


@pytest.mark.parametrize(
    ("args", "named"),
    [
        (("--compute", "nan"), "nan"),
        (("--compute", "inf"), "inf"),
        (("--compute", "plenty"), "plenty"),
        (("--compute=-1e21",), "-1e21"),
        (("--unique-tokens", "0", "--compute", "1e21"), "--unique-tokens"),
        (("--loss", "1.5", "--law", "besiroglu2024"), "1.8172"),
    ],
)
def test_a_refusal_names_what_was_typed(run, args, named):
    """The value, or the flag, or the nearest possible value."""
    assert named in run("optimal", *args).stderr


@pytest.mark.parametrize(
    "args",
    [("optimal", "--compute", "5.76e23", "--law", "all", "--json", "-v"), ("batch", "--n-params", "1e9", "--tokens", "2e10", "--json")],
)
def test_the_same_question_has_the_same_bytes(args):
    """In processes that hash differently: nothing is drawn, and nothing depends on the order of a set."""
    seen = {
        subprocess.run(
            [sys.executable, "-m", "scaleplan", *args], capture_output=True, check=True, env={**os.environ, "PYTHONHASHSEED": seed}
        ).stdout
        for seed in ("0", "1", "4242")
    }
    assert len(seen) == 1


def test_the_table_shows_the_numbers_of_the_json(run):
    """Each law's N and D stand in its line of the table, in three digits."""
    rows = run("optimal", "--compute", "1e21", "--json").result["laws"]
    lines = run("optimal", "--compute", "1e21").stdout.splitlines()

    for row in rows:
        line = next(line for line in lines if line.split()[:1] == [row["law"]])
        assert {show_count(row["n_params"]), show_count(row["n_tokens"]), row["n_params_kind"]} <= set(line.split())


def test_the_csv_has_every_digit_of_the_json(run):
    """The same rows, in base units."""
    rows = run("optimal", "--compute", "1e21", "--json").result["laws"]
    sheet = list(csv.DictReader(io.StringIO(run("optimal", "--compute", "1e21", "--format", "csv").stdout)))
    cells = {cell for line in sheet for cell in line.values()}

    for row in rows:
        assert repr(row["n_params"]) in cells
        assert repr(row["n_tokens"]) in cells


@pytest.mark.parametrize("kind", ["total", "non-embedding"])
def test_an_n_of_one_s_own_is_of_the_kind_that_is_named(ask, kind):
    """--n-kind says what --n-params counts: each law is asked in its own kind and answers in the one that was named."""
    rows = ask("optimal", "--n-params", "1e9", "--n-kind", kind)["laws"]

    assert [row["n_params"] for row in rows] == pytest.approx([1e9] * len(rows))
    assert {row["n_params_kind"] for row in rows} == {kind.replace("-", "_")}
    by_law = {row["law"]: row for row in rows}
    own = ask("optimal", "--n-params", "1e9", "--law", "kaplan2020")["laws"][0]["n_tokens"]
    assert (by_law["kaplan2020"]["n_tokens"] == pytest.approx(own)) is (kind == "non-embedding")


def test_an_interval_holds_the_answer(ask):
    """p10, p50 and p90 rise, and the point lies between the ends."""
    for row in ask("optimal", "--compute", "1e21")["laws"]:
        for name, points in (row["intervals"] or {}).items():
            assert points["p10"] < points["p50"] < points["p90"]
            assert points["p10"] < row[name] < points["p90"], name


def test_a_quiet_answer_warns_in_json_only(run):
    """-q silences people's warnings; programs still read them."""
    outcome = run("optimal", "--compute", "1e27", "--law", "besiroglu2024", "-q", "--json")

    assert outcome.stderr == ""
    assert [warning["kind"] for warning in outcome.document["warnings"]][:1] == ["extrapolation"]
