"""A plan that leaves its layout open."""

from __future__ import annotations

import pytest

import scaleplan as sp
from scaleplan.errors import ScaleplanError

PLAN = """[model]
preset = "llama-3-8b"
[training]
tokens = "100B"
seq_len = 4096
batch_size_tokens = 262144
[hardware]
device = "h100-sxm"
stack = "mcore24"
layout = "auto"
"""


def asked(tmp_path, more=""):
    path = tmp_path / "plan.toml"
    path.write_text(PLAN + more)
    return sp.plan(str(path))


def test_open_devices_are_the_fewest_that_finish_by_the_deadline(tmp_path):
    """With stops and restarts: the wall time is within the deadline, and a node fewer is late."""
    few = asked(tmp_path, '[run]\ndeadline = "10d"\n')
    n = few["run.n_devices.value"]
    fewer = asked(tmp_path, f"n_devices = {n - 8}\n")

    assert few["run.wall_s.value"] <= 10 * 86400 < fewer["run.wall_s.value"]


def test_auto_needs_an_architecture(tmp_path):
    """The size of a model alone cannot be divided."""
    path = tmp_path / "plan.toml"
    path.write_text(PLAN.replace('preset = "llama-3-8b"', "n_params = 8e9") + "n_devices = 16\n")
    with pytest.raises(ScaleplanError, match="layout"):
        sp.plan(str(path))


def test_the_search_prices_one_schedule(tmp_path):
    """A schedule is that of a layout: with `auto` it is refused, because the ranking is by 1F1B."""
    with pytest.raises(ScaleplanError, match="pipeline_schedule"):
        asked(tmp_path, 'n_devices = 16\npipeline_schedule = "gpipe"\n')


def test_the_interleaved_schedule_has_virtual_stages(tmp_path):
    """Of a layout that names none it has two, as `vpp2` says; its bubble is smaller than that of 1F1B."""
    steps = {}
    for layout, schedule in (("tp2,pp4,dp2", "1f1b"), ("tp2,pp4,dp2", "interleaved"), ("tp2,pp4,dp2,vpp2", "interleaved")):
        path = tmp_path / "plan.toml"
        path.write_text(PLAN.replace('"auto"', f'"{layout}"') + f'n_devices = 16\npipeline_schedule = "{schedule}"\n')
        steps[layout, schedule] = sp.plan(str(path))["run.n_devices.value"], sp.plan(str(path))["run.wall_s.value"]
    assert steps["tp2,pp4,dp2", "interleaved"] == steps["tp2,pp4,dp2,vpp2", "interleaved"]
    assert steps["tp2,pp4,dp2", "interleaved"][1] < steps["tp2,pp4,dp2", "1f1b"][1]


def test_a_budget_too_small_for_heads_over_a_node_has_fewer_heads():
    """$10 buy a model with fewer heads than a node has devices; the layout that is searched does not ask for eight."""
    plan = sp.plan(usd=10, hardware="h100-sxm", layout="auto")

    assert plan["layout"] == "tp1,pp1,dp1"
    assert plan["money.usd.value"] == pytest.approx(10, rel=2e-3)


def test_devices_that_no_layout_divides_end_the_search(monkeypatch):
    """5^7 x 2^8 x 6 devices and batches of two's powers: refused with the reason, and not after every smaller size was searched in vain."""
    from scaleplan.chain import layout_search

    asked, search = [], layout_search.search_layouts
    monkeypatch.setattr(layout_search, "search_layouts", lambda *given, **more: asked.append(1) or search(*given, **more))
    with pytest.raises(ScaleplanError, match="divides both the model and its batch"):
        sp.plan(hardware="h100-sxm", n_devices=120_000_000, deadline="3d", layout="auto")

    assert 1 <= len(asked) <= 4
