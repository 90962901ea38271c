"""Task laws against the numbers of their articles, and what they refuse."""

from __future__ import annotations

import math
import tomllib

import pytest

from scaleplan import library
from scaleplan.chain.tasks import ask_task, laws_of_task, load_task_law, task_laws
from scaleplan.errors import NotSupported, UnknownName
from scaleplan.laws.downstream import forecast, without_input_embedding

TARGETS = [(6_887_575_552, 3_945_065_873_408), (13_202_396_160, 5_000_088_518_656)]
LADDER = [law.name for law in task_laws() if law.name.startswith("bhagia2024")]
EVERY = [law.name for law in task_laws()]


@pytest.mark.parametrize("name", LADDER)
def test_the_ladder_s_forecasts_are_those_of_the_article(name):
    """7B on 4T and 13B on 5T tokens within 0.2 points of the repository's tables, and what was measured lies in the interval."""
    law = load_task_law(name)
    for (n, d), expected, measured in zip(TARGETS, law.checked["forecast"], law.checked["measured"], strict=True):
        found = forecast(law, n, d)
        assert found.accuracy == pytest.approx(expected, abs=0.002)
        assert found.p10 - 0.002 <= measured <= found.p90 + 0.002


@pytest.mark.parametrize("name", [law.name for law in task_laws()])
def test_an_interval_is_as_wide_as_its_largest_miss_and_the_noise(name):
    """The largest miss on held-out runs, at least the floor of the file, and 1.2816 standard deviations of noise, in quadrature."""
    law = load_task_law(name)
    data = tomllib.loads((library.built_in() / "tasks" / f"{name}.toml").read_text(encoding="utf-8"))
    checked, spread = data.get("checked", {}), data["spread"]
    misses = [abs(a - b) for a, b in zip(checked.get("forecast", ()), checked.get("measured", ()), strict=True)]
    half = math.hypot(max([spread["least_half_width"], *misses]), 1.2815515655 * spread["noise_sd"])
    found = forecast(law, data["range"]["n_params_max"], data["range"]["n_tokens_max"])

    assert found.accuracy - half > 0
    assert (found.accuracy - found.p10, found.p90) == pytest.approx((half, min(1.0, found.accuracy + half)), rel=1e-9)


@pytest.mark.parametrize(
    ("name", "errors"),
    [
        ("gadre2024-c4-17", (0.4558, 0.5358, 0.6346, 0.7487)),
        ("gadre2024-redpajama-17", (0.3989, 0.4873, 0.5984, 0.7304)),
        ("gadre2024-refinedweb-17", (0.3978, 0.4871, 0.5997, 0.7343)),
    ],
)
def test_error_of_a_loss_by_gadre(name, errors):
    """The mean error of 17 tasks at 2.2, 2.5, 3 and 4 nats of C4, to 1e-4."""
    score = load_task_law(name).score
    assert [1 - score.accuracy(loss) for loss in (2.2, 2.5, 3.0, 4.0)] == pytest.approx(errors, abs=1e-4)


@pytest.mark.parametrize(
    ("corpus", "n_params", "ratio", "error"),
    [
        ("redpajama", 1_439_795_200, 640, 0.4925),
        ("redpajama", 6_889_410_560, 20, 0.4719),
        ("c4", 6_889_410_560, 20, 0.4789),
        ("refinedweb", 6_889_410_560, 20, 0.4637),
    ],
)
def test_chained_forecasts_by_gadre(corpus, n_params, ratio, error):
    """N and D to the loss of the law's own corpus, and on to the error: within 0.2 points of the notebook."""
    found = forecast(load_task_law(f"gadre2024-{corpus}-17"), n_params, ratio * n_params)
    assert 1 - found.accuracy == pytest.approx(error, abs=2e-3)


@pytest.mark.parametrize("name", EVERY)
def test_more_of_n_or_d_never_lowers_a_forecast(name):
    law = load_task_law(name)
    n, d = law.limits["n_params_max"], law.limits["n_tokens_max"]
    here = forecast(law, n, d)
    assert forecast(law, 2 * n, d).accuracy > here.accuracy
    assert forecast(law, n, 2 * d).accuracy > here.accuracy
    assert here.p10 < here.accuracy < here.p90
    assert here.p90 - here.p10 >= 2 * (0.07 if law.one_task else 0.02)


@pytest.mark.parametrize("name", EVERY)
def test_another_family_and_runs_far_beyond_are_refused(name):
    """Constants belong to one mixture, tokenizer and format; a law says nothing of 1e12 parameters."""
    law = load_task_law(name)
    n, d = law.limits["n_params_max"], law.limits["n_tokens_max"]
    with pytest.raises(NotSupported, match=law.family):
        forecast(law, n, d, family="llama-3")
    for far in ((1e12, d), (n, 1e15), (1e5, d)):
        with pytest.raises(NotSupported, match="was fitted from"):
            forecast(law, *far)


def test_beyond_the_fit_the_factor_is_told():
    found = forecast(load_task_law("bhagia2024-mmlu"), *TARGETS[0])
    assert found.factors == pytest.approx({"n_params": 6.887575552 / 1.3, "n_tokens": 3945.065873408 / 260})


def test_tasks_are_found_by_name_alias_and_family():
    assert [law.name for law in laws_of_task("ARC_Challenge")] == ["bhagia2024-arc-challenge"]
    assert [law.name for law in laws_of_task("obqa")] == ["bhagia2024-openbookqa"]
    assert len(laws_of_task("average-17")) == 3
    with pytest.raises(UnknownName):
        laws_of_task("humaneval")


def test_laws_of_one_task_stand_beside_each_other():
    """The mean of 17 tasks by three training sets; a run that none covers is refused."""
    forecasts, silent = ask_task("average-17", 1.4e9, 2.8e10)
    assert len(forecasts) == 3
    assert not silent
    with pytest.raises(NotSupported):
        ask_task("average-17", 1e12, 1e13)


def test_the_n_of_the_ladder():
    """OLMo 2 7B without its input embedding is the N of its configuration file."""
    assert without_input_embedding(7_298_617_344, 100_352, 4096) == TARGETS[0][0]
