"""Task laws against the numbers of their articles, and what they refuse."""

from __future__ import annotations

import math
import tomllib
from statistics import NormalDist
from typing import Any

import pytest

from scaleplan import library
from scaleplan.chain.tasks import ask_task, laws_of_task, load_task_law, task_laws
from scaleplan.errors import NotSupported, UnknownName
from scaleplan.laws.downstream import (
    ExponentialError,
    Sigmoid,
    TaskLaw,
    draw_columns,
    draws_of,
    forecast,
    half_range,
    task_law_of,
    task_loss_of,
    without_input_embedding,
)

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


# Whole formulas, with constants that are all different.


def test_maps_from_a_loss_to_an_accuracy_by_hand():
    """a / (1 + exp(-k (L - L0))) + b, and 1 - (eps - k exp(-gamma L)); the coefficients of a task loss are printed as logarithms."""
    assert Sigmoid(-0.71, 0.63, 4.7, 0.97).accuracy(0.9) == pytest.approx(-0.71 / (1 + math.exp(-4.7 * 0.27)) + 0.97)
    assert ExponentialError(0.85, 2.1, 0.76).accuracy(2.9) == pytest.approx(0.15 + 2.1 * math.exp(-0.76 * 2.9))
    block = {"e": 0.3, "log_a": 3.1, "log_b": 4.7, "alpha": 0.21, "beta": 0.33}
    assert task_loss_of(block).loss(3e8, 7e10) == pytest.approx(0.3 + math.exp(3.1) / 3e8**0.21 + math.exp(4.7) / 7e10**0.33)


def own_law(*, slope: float = 4.0, spread: dict[str, float] | None = None, **more: Any) -> TaskLaw:
    """A ladder of one's own, to 1e9 parameters and 1e11 tokens, whose task loss is 1 + 6 / N^0.1 + 9 / D^0.1."""
    return task_law_of(
        {
            "name": "mine",
            "task": "quiz",
            "family": "mine",
            "convention": {"n_params": "total"},
            "loss": {"e": 1.0, "log_a": math.log(6), "log_b": math.log(9), "alpha": 0.1, "beta": 0.1},
            "score": {"form": "sigmoid", "a": -0.8, "l0": 2.5, "k": slope, "b": 0.9},
            "range": {"n_params_min": 1e7, "n_params_max": 1e9, "n_tokens_min": 1e9, "n_tokens_max": 1e11},
            "spread": {"noise_sd": 0.011, "least_half_width": 0.02} | (spread or {}),
            **more,
        }
    )


def accuracy(loss: float, l0: float = 2.5, b: float = 0.9) -> float:
    return -0.8 / (1 + math.exp(-4 * (loss - l0))) + b


@pytest.mark.parametrize(
    ("size", "at_most"),
    [({"n_params": 1e9}, {"n_params": 1e10}), ({"n_tokens": 1e11}, {"n_tokens": 1e12}), ({"n_params": 1e7}, {"n_params": 1e6})],
)
def test_how_far_beyond_the_fit_is_still_answered(size, at_most):
    """At the ends of the fit it is no step beyond; to ten times beyond a mean over tasks answers, not a step further."""
    run = {"n_params": 1e8, "n_tokens": 1e10}
    further = {name: value * (1.001 if value > run[name] else 0.999) for name, value in at_most.items()}
    assert forecast(own_law(), **run | size).factors == {}
    assert forecast(own_law(), **run | at_most).factors == pytest.approx(dict.fromkeys(size, 10.0))
    with pytest.raises(NotSupported, match="was fitted from"):
        forecast(own_law(), **run | further)


def test_one_task_is_answered_half_as_far_unless_larger_runs_were_checked():
    """Five times, where the least half-width is 5 points or more; as far as held-out runs reach where they reach further."""
    one = {"spread": {"noise_sd": 0.011, "least_half_width": 0.05}}
    assert forecast(own_law(**one), 5e9, 1e10).factors == pytest.approx({"n_params": 5.0})
    assert forecast(own_law(spread={"least_half_width": 0.049}), 5.1e9, 1e10).factors == pytest.approx({"n_params": 5.1})
    with pytest.raises(NotSupported):
        forecast(own_law(**one), 5.1e9, 1e10)
    checked = {"n_params": [7e9, 3e9], "n_tokens": [1e10, 1e10], "forecast": [0.5, 0.5], "measured": [0.5, 0.5]}
    assert forecast(own_law(**one, checked=checked), 7e9, 1e10).factors == pytest.approx({"n_params": 7.0})
    with pytest.raises(NotSupported):
        forecast(own_law(**one, checked=checked), 7.1e9, 1e10)


def test_the_interval_of_a_published_law_by_hand():
    """The largest miss, 3.1 points, and 1.28 standard deviations of 1.1 points of noise, in quadrature; an accuracy ends at 0 and 1."""
    checked = {"n_params": [1e9, 1e9], "n_tokens": [1e10, 1e10], "forecast": [0.50, 0.61], "measured": [0.531, 0.60]}
    noise = NormalDist().inv_cdf(0.9) * 0.011
    loss = 1 + 6 / 3e8**0.1 + 9 / 7e9**0.1
    found = forecast(own_law(checked=checked), 3e8, 7e9)
    half = math.hypot(0.031, noise)

    assert (found.task_loss, found.accuracy) == pytest.approx((loss, accuracy(loss)))
    assert found.parts == pytest.approx({"forecast": 0.031, "noise": noise})
    assert (found.p10, found.p90) == pytest.approx((accuracy(loss) - half, accuracy(loss) + half))
    assert found.widest == "forecast"
    wide = forecast(own_law(spread={"least_half_width": 0.02, "noise_sd": 0.9}), 3e8, 7e9)
    assert (wide.p10, wide.p90, wide.widest) == (0.0, 1.0, "noise")


def test_half_of_the_middle_four_fifths():
    """Of 0, 1, 4, 9, ..., 400 the 10 % point is 4 and the 90 % point 324."""
    assert half_range([float((8 * i % 21) ** 2) for i in range(21)]) == 160


def ladder_draws(*, loss_step: float, map_step: float, against: bool) -> list[Any]:
    """21 refits: E from 1 - 10 steps to 1 + 10 steps; the middle of the map moves with it, or against it."""
    rows = range(-10, 11)
    columns: dict[str, list[float]] = {name: [] for name in ("e", "log_a", "log_b", "alpha", "beta", "a", "l0", "k", "b")}
    for i in rows:
        row = (1 + i * loss_step, math.log(6), math.log(9), 0.1, 0.1, -0.8, 2.5 + (-i if against else i) * map_step, 4.0, 0.9)
        for name, value in zip(columns, row, strict=True):
            columns[name].append(value)
    assert draw_columns(draws_of(columns)) == {name: pytest.approx(values) for name, values in columns.items()}
    return draws_of(columns)


@pytest.mark.parametrize("against", [True, False])
def test_the_interval_of_a_ladder_by_hand(against):
    """Half of the 10-to-90 % range over the refits: of the loss alone, and of the map alone or of what both together add.

    The 10 % and 90 % points of 21 refits are the third from either end, 8 steps from the middle. A map that moves against the loss
    adds more than it does by itself; one that moves with it takes away. Beyond the runs, the misses on the largest, less the scatter.
    """
    checked = {"n_params": [1e9, 1e9], "n_tokens": [1e10, 1e10], "forecast": [0.50, 0.61], "measured": [0.531, 0.60]}
    law = own_law(checked=checked)._replace(draws=ladder_draws(loss_step=0.003, map_step=0.002, against=against))
    n, d = 2e9, 7e9
    here = 1 + 6 / n**0.1 + 9 / d**0.1
    together = -1 if against else 1

    def half(of_loss: float, of_map: float) -> float:
        return abs(accuracy(here + of_loss, 2.5 + of_map) - accuracy(here - of_loss, 2.5 - of_map)) / 2

    by_loss, by_map, both = half(0.024, 0), half(0, 0.016), half(0.024, together * 0.016)
    found = forecast(law, n, d)
    assert found.parts["loss"] == pytest.approx(by_loss)
    assert found.parts["map"] == pytest.approx((both**2 - by_loss**2) ** 0.5 if against else by_map)
    assert found.parts["noise"] == pytest.approx(NormalDist().inv_cdf(0.9) * 0.011)
    assert found.parts["forecast"] == pytest.approx(NormalDist().inv_cdf(0.9) * ((0.031**2 + 0.01**2) / 2 - 0.011**2) ** 0.5)
    assert found.p90 - found.p10 == pytest.approx(2 * math.sqrt(sum(part**2 for part in found.parts.values())))
    assert "forecast" not in forecast(law, 1e9, d).parts


def test_misses_within_the_scatter_add_nothing():
    """A miss of 1 point beside a scatter of 1.1 points."""
    checked = {"n_params": [1e9], "n_tokens": [1e10], "forecast": [0.50], "measured": [0.51]}
    law = own_law(checked=checked)._replace(draws=ladder_draws(loss_step=0.003, map_step=0.002, against=True))
    assert forecast(law, 2e9, 7e9).parts["forecast"] == 0
