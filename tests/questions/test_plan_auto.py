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
