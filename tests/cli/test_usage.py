"""What the parser cannot read is refused in the words of the program, with the way out."""

from __future__ import annotations

import json

import pytest


@pytest.mark.parametrize(
    ("line", "error", "hint"),
    [
        ("cost gpt2 --tokens 300 B --hardware h100-sxm", "`B` belongs to no option", "`300B`"),
        ("optimal 1e21", "`1e21` belongs to no option", "`--compute 1e21`"),
        ("--json params gpt2", "`--json` stands before the command", "`scaleplan params gpt2 --json`"),
        ("-V", "no option `-V`", "`--version`"),
        ("optimal --compute", "--compute has no value", "`--compute FLOP`"),
        ("params gpt2 llama", "`llama` belongs to no option", "one MODEL"),
        ("optimal --compute 1e21 --plot o.jpg", "`o.jpg` belongs to no option", ".svg"),
        ("params --json=5 gpt2", "--json takes no value", "alone"),
        ("optimal --compute 300b", "`300b` is not a number of FLOP", "`300B`"),
        ("batch --loss 2,3", "`2,3` is not a number", "`2.3`"),
        ("optimal --compute 1,000", "`1,000` is not", "`1000`"),
        ("batch --loss abc", "`abc` is not a number", "`2.5` would be one"),
        ("optimal --compute 10^21", "`10^21` is not a number of FLOP", "`1e21`"),
        ("optimal --compute 3x10^21", "`3x10^21` is not a number of FLOP", "`3e21`"),
        ("flops gpt2 --tokens 15trillion", "`15trillion` is not a number", "`15T`"),
        ("flops gpt2 --tokens 2bn", "`2bn` is not a number", "`2B`"),
        ("memory gpt2 --hardware 8xH100", "no hardware preset named `8xH100`", "--hardware h100-sxm --n-devices 8"),
        ("memory gpt2 --hardware h100-sxm --layout tp=8,dp2", "no part of a layout is `tp=8`", "`tp8`"),
        ("params nobody/no-such-model", "no model preset named `nobody/no-such-model`", "config.json"),
        ("params 7B", "no model preset named `7B`", "`scaleplan params --target 7B`"),
        ("cost --model gpt2", "no option `--model`", "`scaleplan cost MODEL`"),
        ("cost gpt2 --spot", "no option `--spot`", "`--price-term on_demand|spot|"),
        ("serve gpt2 --hardware h100-sxm --n-devices 8", "no option `--n-devices`", "`--layout`"),
        ("serve gpt2 --hardware h100-sxm --batch-size-seqs 8", "no option `--batch-size-seqs`", "`--concurrency`"),
        ("plan gpt2", "no file `gpt2`", "`scaleplan plan --model gpt2`"),
        ("cost gpt2", "needs --hardware", "add --hardware: A device preset"),
    ],
)
def test_a_slip_is_named_with_the_way_out(run, line, error, hint):
    """Exit 2; the hint is what would have been read."""
    outcome = run(*line.split())

    assert outcome.code == 2
    said = outcome.stderr.splitlines()
    assert error in said[0]
    assert hint in said[1]


def test_a_file_that_is_not_there_has_a_near_one(run, tmp_path):
    """By its name in the same folder."""
    (tmp_path / "config.json").write_text("{}")

    assert "config.json`?" in run("params", tmp_path / "confg.json").stderr
    assert "no folder" in run("params", tmp_path / "nowhere/config.json").stderr


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        ("co2", "kgco2e"),
        ("hours", "device_hours"),
        ("dollars", "usd"),
        ("ussd", "usd"),
        ("energy_w", "energy_wh"),
        ("device_hour", "device_hours"),
    ],
)
def test_an_unknown_quantity_names_the_near_ones(run, tmp_path, asked, meant):
    """By meaning and by spelling; one letter away before one that has the same words."""
    path = tmp_path / "a.json"
    result = {"usd": 1.0, "kgco2e": 2.0, "device_hours": 3.0, "energy_wh": 4.0, "rates": {"usd_per_device_hour": 5.0}}
    path.write_text(json.dumps({"result": result}))

    assert f"did you mean `{meant}`?" in run("check", path, "--limit", f"{asked}<=1").stderr


@pytest.mark.parametrize(
    ("result", "said"),
    [
        ({"usd": int("9" * 400)}, "beyond every number"),
        ({"usd": 5, "intervals": {"usd": {"p10": 9, "p50": 5, "p90": 1}}}, "not in order"),
        ({"usd": 5, "intervals": {"usd": {"p10": 1, "p50": 5, "p90": int("9" * 400)}}}, "not all numbers"),
        ({"usd": 5, "intervals": 7}, None),
    ],
)
def test_a_damaged_answer_is_judged_or_refused(run, tmp_path, result, said):
    """Numbers without a float and percentiles out of order are refused; what is no table of intervals is none."""
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"result": result}))
    outcome = run("check", path, "--limit", "usd<=10")

    assert outcome.code == (0 if said is None else 2)
    assert "bug" not in outcome.stderr
    assert said is None or said in outcome.stderr


def test_a_row_is_counted_in_plain_digits_alone(run, tmp_path):
    """A superscript two is a digit and no number."""
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"result": {"laws": [1]}}))

    assert run("check", path, "--limit", "laws.\u00b2<=1").code == 2


def test_a_job_reads_a_sentence(run, tmp_path):
    """`usd $5.00 is over the limit of $1.00`, with the interval where there is one."""
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"result": {"usd": 5, "intervals": {"usd": {"p10": 4, "p50": 5, "p90": 6}}}}))

    assert run("check", path, "--limit", "usd<=1", "--format", "github").stdout == (
        "::error title=scaleplan usd::usd $5.00 (80 %25: $4.00 to $6.00) is over the limit of $1.00 (500 %25 of it)\n"
    )


@pytest.mark.parametrize("model", ["llama-3-8b", "bert-base-uncased"])
def test_windows_of_a_model_without_them_change_nothing(run, model):
    """The count is that without the switch."""
    plain, windowed = (run("flops", model, "--causal", *more, "--json").result for more in ((), ("--windowed",)))

    assert windowed["batch"] == plain["batch"]
