"""Serving in a plan: from lifetime tokens to devices, hours, dollars, energy and carbon."""

from __future__ import annotations

import numpy as np
import pytest

import scaleplan as sp
from scaleplan.library import Text

RUN = {"model": "llama-3-8b", "tokens": "1T", "hardware": "h100-sxm", "n_devices": 256}
SERVED = {"inference_tokens": "10T", "n_prompt_tokens": 2048, "n_output_tokens": 512, "concurrency": 32, "serving_layout": "tp2"}


def served():
    """The same deployment and load, asked alone."""
    return sp.serve("llama-3-8b", hardware="h100-sxm", layout="tp2", n_prompt_tokens=2048, n_output_tokens=512, concurrency=32)


def test_hours_of_serving_are_those_of_its_output():
    """10T tokens are 3.9e9 requests of 2,048 + 512; their outputs over the rate that `serve` gives; dollars at its price of a token."""
    plan, alone = sp.plan(**RUN, **SERVED), served()
    output = 10e12 / 2560 * 512

    assert plan["serving.n_requests.value"] == pytest.approx(10e12 / 2560)
    assert plan["serving.device_hours.value"] == pytest.approx(output / alone["tokens_per_s_per_device"] / 3600)
    assert plan["serving.usd.value"] == pytest.approx(output / 1e6 * alone["usd_per_million_tokens"])
    assert plan["serving.wh.value"] == pytest.approx(output / 1e6 * alone["wh_per_million_tokens"])
    assert plan["serving.usd_per_million_tokens.value"] == pytest.approx(alone["usd_per_million_tokens"])
    assert plan["serving.n_devices.value"] == 2


def test_intervals_of_serving_are_those_of_serve():
    """The spread of a rate and of a price, joined: within what 1,000 points of each leave open."""
    plan, alone = sp.plan(**RUN, **SERVED), served()

    for point in ("p10", "p90"):
        assert plan["serving.usd_per_million_tokens"][point] == pytest.approx(alone["intervals"]["usd_per_million_tokens"][point], rel=0.02)
        assert plan["serving.first_token_s"][point] == pytest.approx(alone["intervals"]["first_token_s"][point], rel=1e-5)


def test_a_fleet_is_paid_for_all_of_its_time():
    """A year at so many requests a second: the fleet of `serve`, all of whose hours are paid for, used or not."""
    year = 365.25 * 86_400
    rate = 10e12 / 2560 / year
    alone = sp.serve(
        "llama-3-8b", hardware="h100-sxm", layout="tp2", n_prompt_tokens=2048, n_output_tokens=512, concurrency=32, requests_per_s=rate
    )
    by_time = sp.plan(**RUN, **SERVED, serving_time="1y")
    by_rate = sp.plan(**RUN, **SERVED, requests_per_s=rate)

    assert by_time["serving.n_devices.value"] == alone["fleet.n_devices"]
    assert by_time["serving.utilisation.value"] == pytest.approx(alone["fleet.utilisation"])
    assert by_time["serving.device_hours.value"] == pytest.approx(alone["fleet.n_devices"] * year / 3600)
    assert by_rate["serving.serving_s.value"] == pytest.approx(year)
    assert by_rate["serving.usd.value"] == pytest.approx(by_time["serving.usd.value"])
    busy = sp.plan(**RUN, **SERVED)["serving.device_hours.value"]
    assert busy == pytest.approx(by_time["serving.device_hours.value"] * alone["fleet.utilisation"])
    with pytest.raises(sp.ScaleplanError, match="two of them fix the third"):
        sp.plan(**RUN, **SERVED, serving_time="1y", requests_per_s=rate)


def test_a_lifetime_is_training_and_serving():
    """Values add up, costs beside the devices included."""
    plan = sp.plan(Text('[[cost]]\nname = "people"\nusd = 100000\nper = "run"\n'), **RUN, **SERVED)
    for key, path in {"usd": "money.usd", "wh": "energy.wh", "kgco2e": "carbon.kgco2e", "device_hours": "run.device_hours"}.items():
        assert plan[f"lifetime.{key}.value"] == pytest.approx(plan[path]["value"] + plan[f"serving.{key}.value"])


def test_hours_of_training_and_serving_are_independent():
    """The 10 and 90 % points of the sum are those of two independent log-normals, drawn here by chance."""
    rng = np.random.default_rng(3)
    plan = sp.plan(**RUN, **SERVED)
    total = 0.0
    for path in ("run.device_hours", "serving.device_hours"):
        one, z = plan[path], rng.standard_normal(400_000)
        low, high = (np.log(one["value"] / one["p10"]) / 1.28155, np.log(one["p90"] / one["value"]) / 1.28155)
        total = total + one["value"] * np.exp(z * np.where(z > 0, high, low))

    found = plan["lifetime.device_hours"]
    assert [found["p10"], found["p90"]] == pytest.approx(list(np.percentile(total, [10, 90])), rel=0.01)


def test_another_device_serves_at_its_own_price():
    """What is said of the device that trains says nothing of the one that serves."""
    plan = sp.plan(**RUN, usd_per_device_hour=2.0, inference_tokens="1T", serving_hardware="l40s")
    alone = sp.serve("llama-3-8b", hardware="l40s")
    told = sp.plan(**RUN, usd_per_device_hour=2.0, inference_tokens="1T", serving_hardware="l40s", serving_usd_per_device_hour=0.5)

    assert plan["serving.usd_per_million_tokens.value"] == pytest.approx(alone["usd_per_million_tokens"])
    assert told["serving.usd.value"] == pytest.approx(0.5 * told["serving.device_hours.value"])
    assert "--usd-per-device-hour is of h100-sxm" in str(plan)


def test_a_plan_file_a_change_and_a_sweep_reach_serving():
    """`[serving]` of a file, a changed key and a grid over it give the same number."""
    text = """
        [model]
        preset = "llama-3-8b"
        [training]
        tokens = "1T"
        [hardware]
        device = "h100-sxm"
        [serving]
        tokens = "1T"
        layout = "tp2"
        precision = "fp8"
    """
    plan = sp.plan(Text(text))
    rows = sp.sweep(Text(text), over={"serving.tokens": "1T,4T"}).result["rows"]
    mixed = sp.sweep(Text(text), over={"training.tokens": "1T,2T"}).result["rows"]

    assert [row["serving.usd"] for row in rows] == pytest.approx([plan["serving.usd.value"], 4 * plan["serving.usd.value"]])
    assert sp.plan(Text(text), set=["serving.tokens=4T"])["serving.usd.value"] == pytest.approx(rows[1]["serving.usd"])
    assert mixed[1]["lifetime.usd"] - mixed[0]["lifetime.usd"] == pytest.approx(plan["money.usd.value"])
    assert sp.check(Text(text), limit=["lifetime.usd<=$1k"]).exit_code == 1


def test_the_law_counts_tokens_to_be_served():
    """A model that serves more is smaller for the same budget, by as much as `optimal` says."""
    plan = sp.plan(hardware="h100-sxm", compute="1e23", inference_tokens="10T")
    optimal = sp.optimal(compute="1e23", inference_tokens="10T", law=["besiroglu2024"])

    assert plan["model.n_params.value"] == pytest.approx(optimal["laws.besiroglu2024.n_params"], rel=0.05)
    assert plan["model.n_params.value"] < 0.7 * sp.plan(hardware="h100-sxm", compute="1e23")["model.n_params.value"]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({**RUN, "n_prompt_tokens": 2048}, "n_prompt_tokens needs inference_tokens"),
        ({"n_params": "8B", "tokens": "1T", "hardware": "h100-sxm", "inference_tokens": "1T"}, "architecture"),
        ({**RUN, "inference_tokens": "1T", "draft_acceptance": 0.8}, "n_draft_tokens"),
    ],
)
def test_serving_that_cannot_be_priced_is_refused(given, says):
    """By the field that is missing."""
    with pytest.raises(sp.ScaleplanError, match=says):
        sp.plan(**given)


def test_clean_electricity_serves_without_carbon():
    """0 g/kWh: no carbon in training, serving and both together, at either end."""
    plan = sp.plan(**RUN, **SERVED, grid_intensity="0g/kWh")

    for part in ("carbon", "serving", "lifetime"):
        assert [plan[f"{part}.kgco2e.{end}"] for end in ("value", "p10", "p90")] == [0, 0, 0]
