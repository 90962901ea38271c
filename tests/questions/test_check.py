"""`check`: limits on the numbers of an answer, and the exit code that a job depends on."""

from __future__ import annotations

import json

import pytest

import scaleplan as sp
from scaleplan.library import Text

RUN = {"n_params": 1e9, "tokens": 2e11, "hardware": "a100-sxm-80gb", "n_devices": 8}
HOURS = 1.2e21 / (0.29 * 312e12) / 3600  # at the median MFU of published runs; 0.16 to 0.52 of the peak is the interval


@pytest.fixture
def document(run):
    """What `cost` prints."""
    line = ("cost", "--n-params", "1e9", "--tokens", "2e11", "--hardware", "a100-sxm-80gb", "--n-devices", "8", "--json")
    return run(*line).stdout


@pytest.mark.parametrize(
    ("limits", "code", "verdict"),
    [
        (["device_hours<=100k"], 0, "pass"),
        ([f"device_hours<={HOURS}"], 0, "unsure"),
        (["device_hours<=10"], 1, "fail"),
        (["device_hours<=10:warn"], 0, "fail"),
        (["device_hours<=100k", "device_hours<=10"], 1, "fail"),
        (["device_hours<=10:warn", f"device_hours<={HOURS}"], 0, "fail"),
    ],
)
def test_only_a_broken_limit_of_level_error_ends_with_1(run, document, limits, code, verdict):
    """Doubts and broken limits of level warn are told and end with 0."""
    args = [part for limit in limits for part in ("--limit", limit)]
    outcome = run("check", "-", *args, "--json", stdin=document.encode())

    assert outcome.code == code
    assert json.loads(outcome.stdout)["result"]["verdict"] == verdict


def test_a_percentile_decides_what_the_interval_leaves_open(run, document):
    """At p90 a limit at the median is broken, at p10 it is kept."""
    limit = ("--limit", f"device_hours<={HOURS}")

    assert [run("check", "-", *limit, "--at", at, stdin=document.encode()).code for at in ("p90", "p10")] == [1, 0]


def test_the_worst_limit_stands_first():
    """Failures before doubts before passes, and an error before a warning."""
    limits = ["device_hours<=100k", "device_hours<=20:warn", f"device_hours<={HOURS}", "device_hours<=10"]
    answer = sp.check(sp.cost(**RUN), limit=limits)

    assert [(row["verdict"], row["level"]) for row in answer.result["limits"]] == [
        ("fail", "error"),
        ("fail", "warn"),
        ("unsure", "error"),
        ("pass", "error"),
    ]
    assert answer.exit_code == 1


def test_an_answer_stands_for_the_document_that_it_prints(run, document, tmp_path):
    """From Python, from a pipe and from a file: the same verdicts."""
    file = tmp_path / "cost.json"
    file.write_text(document)
    args = ("--limit", "device_hours<=3000", "--json")

    in_python = sp.check(sp.cost(**RUN), limit="device_hours<=3000").result
    assert in_python == run("check", "-", *args, stdin=document.encode()).result == run("check", file, *args).result


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "nothing to check"),
        ({"answer": Text('{"result": {}}')}, "no limit to check against"),
        ({"answer": "no-such.json", "limit": "usd<=1"}, "no-such.json"),
        ({"answer": "-", "limit": "usd<=1", "at": "p42"}, "p42"),
    ],
)
def test_what_cannot_be_checked_is_refused(given, says):
    """Nothing to check, nothing to check against, no such file, no such percentile."""
    with pytest.raises(sp.ScaleplanError, match=says):
        sp.check(**given)


@pytest.mark.parametrize(
    ("text", "says"), [("{", "not valid JSON"), ("[]", "no `result`"), ('{"result": {}}', "no quantity"), ("[" * 100_000, "nested")]
)
def test_a_document_that_is_no_answer_is_refused(run, text, says):
    """Exit 2, which no broken limit has."""
    outcome = run("check", "-", "--limit", "usd<=1", stdin=text.encode())

    assert (outcome.code, outcome.stdout) == (2, "")
    assert says in outcome.stderr


def test_github_annotates_each_limit_at_the_level_of_its_verdict(run, document):
    """An error for a broken limit, a warning for a doubt, a notice for the rest."""
    limits = ("--limit", "device_hours<=10", "--limit", f"device_hours<={HOURS}", "--limit", "device_hours<=100k")
    lines = run("check", "-", *limits, "--format", "github", stdin=document.encode()).stdout.splitlines()

    assert [line.split(" ")[0] for line in lines] == ["::error", "::warning", "::notice"]


def test_a_limit_on_a_change_needs_a_base(document, run):
    """Without one there is nothing to compare with, and every limit that cannot be judged is told."""
    outcome = run("check", "-", "--limit", "usd<=+10%", "--limit", "nothing<=1", "--limit", "usd<=3 bananas", stdin=document.encode())
    assert outcome.code == 2
    assert ["--base" in outcome.stderr, "`nothing`" in outcome.stderr, "3 bananas" in outcome.stderr] == [True] * 3


def test_the_base_stands_beside_each_limit(document, run, tmp_path):
    """Half the hours in the base, where the limit was kept; a quantity that the base lacks has none."""
    base = json.loads(document)
    for point in ("p10", "p50", "p90"):
        base["result"]["intervals"]["device_hours"][point] /= 2
    del base["result"]["usd"]
    file = tmp_path / "base.json"
    file.write_text(json.dumps(base))
    limits = ("--limit", f"device_hours<={1.3 * HOURS}", "--limit", "usd<=1M", "--at", "p90", "--base", file)
    hours, usd = json.loads(run("check", "-", *limits, "--json", stdin=document.encode()).stdout)["result"]["limits"]

    assert (hours["verdict"], hours["base_verdict"], hours["change_fraction"]) == ("fail", "pass", pytest.approx(1))
    assert (usd["base"], usd["base_verdict"], usd["change_fraction"]) == (None, None, None)
    assert "in the base, +100 %" in run("check", "-", *limits, "--format", "github", stdin=document.encode()).stdout.replace("%25", "%")


def test_what_is_found_is_the_median_and_that_is_said(document, run):
    """The 50 % point of the dollars, beside the answer's own number; where both are one nothing is said."""
    usd = json.loads(document)["result"]["usd"]
    median = json.loads(document)["result"]["intervals"]["usd"]["p50"]
    row = run("check", "-", "--limit", "usd<=1M", "--json", stdin=document.encode()).result["limits"][0]

    assert (row["found"], row["value"]) == (median, usd)
    assert f"{100 * (median / usd - 1):+.1f} % (usd)" in run("check", "-", "--limit", "usd<=1M", stdin=document.encode()).stdout
    assert "median" not in run("check", "-", "--limit", "n_devices<=9", stdin=document.encode()).stdout
