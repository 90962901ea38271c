"""The largest run of given devices in a time, and the wall that stops it."""

from __future__ import annotations

import pytest

import scaleplan as sp


def walls(plan):
    """Name -> wall."""
    return {wall["name"]: wall for wall in plan.result["walls"]}


def test_each_wall_is_what_another_question_says():
    """Memory of `memory`, the critical batch of `batch`, days and data of the plan itself; each share is the quotient of the two."""
    plan = sp.plan(hardware="h100-sxm", n_devices=256, deadline="30d", layout="auto", target="8B")
    found = walls(plan)

    assert found["memory"]["value"] == plan["memory.peak_bytes.p50"]
    assert found["memory"]["limit"] == pytest.approx(0.9 * 80 * 2**30)
    assert found["batch"]["limit"] == pytest.approx(sp.batch(loss=plan["law.loss_nats.value"])["critical_batch_tokens"], rel=1e-6)
    assert found["time"]["value"] == plan["run.wall_s.value"]
    assert found["data"]["value"] == plan["run.n_tokens.value"]
    assert found["data"]["limit"] == 3e14  # villalobos2024
    for wall in found.values():
        assert wall["used_fraction"] == pytest.approx(wall["value"] / wall["limit"])
    used = [wall["used_fraction"] for wall in plan.result["walls"]]
    assert used == sorted(used, reverse=True)


def test_communication_is_the_wait_for_the_network():
    """Half of the step is the wall; the waits are those that `layout` shows of the same layout."""
    given = {"hardware": "h100-sxm", "layout": "tp8,dp8,zero1", "seq_len": 2048, "batch_size_tokens": "1Mi"}
    found = walls(sp.plan(target="7B", n_devices=64, deadline="10d", **given))["communication"]

    assert found["limit"] == 0.5
    assert 0 < found["value"] < 1


def test_memory_makes_a_model_smaller_than_the_law_wants():
    """A year on one H100 is worth more parameters than its 72 GiB hold: 16 bytes each make the largest, and memory is the wall."""
    plan = sp.plan(hardware="h100-sxm", n_devices=1, deadline="1y")
    most = 0.9 * 80 * 2**30 / 16
    wanted = sp.plan(hardware="h100-sxm", n_devices=64, deadline=f"{365.25 / 64}d")

    assert 0.9 * most < plan["model.n_params.value"] <= most < wanted["model.n_params.value"]
    assert plan.result["walls"][0]["name"] == "memory"
    assert plan.result["walls"][0]["binds"]
    assert plan["run.wall_s.value"] == pytest.approx(365.25 * 86_400, rel=1e-9)
    assert "Wall: memory" in str(plan)


def test_a_layout_that_does_not_fit_makes_the_model_smaller_too():
    """With `auto` the step of the largest model fits the devices; without the wall it would not."""
    plan = sp.plan(hardware="h100-sxm", n_devices=8, deadline="1000d", layout="auto")

    assert plan["memory.verdict"] != "does not fit"
    assert plan.result["walls"][0]["name"] == "memory"


def test_data_are_a_wall_of_four_epochs():
    """50B unique tokens are worth 200B (muennighoff2023): 8,000 device-days of H100 want more than that."""
    found = walls(sp.plan(hardware="h100-sxm", n_devices=256, deadline="30d", unique_tokens="50B"))["data"]

    assert found["limit"] == 2e11
    assert found["used_fraction"] > 1
    assert found["binds"]


def test_a_batch_beyond_the_critical_one_is_a_wall():
    """A batch of 64M tokens for a loss whose critical batch is a few million."""
    plan = sp.plan(hardware="h100-sxm", n_devices=256, deadline="30d", batch_size_tokens="64M", seq_len=4000)

    assert plan.result["walls"][0]["name"] == "batch"
    assert plan.result["walls"][0]["used_fraction"] > 1


def test_what_is_not_known_says_what_would_tell():
    """Without a layout nothing is known of the network; a plan that is no cluster's time has no walls."""
    plan = sp.plan(hardware="h100-sxm", n_devices=256, deadline="30d")

    assert walls(plan)["communication"]["used_fraction"] is None
    assert "communication needs --layout" in str(plan)
    assert sp.plan(hardware="h100-sxm", usd="$100k").result["walls"] is None
