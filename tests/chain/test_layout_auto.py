"""The layout of a plan that leaves it open."""

from __future__ import annotations

import pytest

from scaleplan.chain.layout_auto import asked_of, chosen_layout
from scaleplan.chain.layout_search import best_on
from scaleplan.errors import NotSupported, UsageError
from scaleplan.model.bill import bill_of
from scaleplan.model_files import read_model

BILL = bill_of(read_model("llama-3-8b").arch)
PLAN = {"hardware": "h100-sxm", "stack": "mcore24"}
BATCH = 64 * 4096


def test_it_is_the_fastest_of_the_search():
    """On the devices of the plan, with its batch."""
    found = chosen_layout({**PLAN, "n_devices": 16}, BILL, 4096, BATCH, None)
    best = best_on(asked_of(PLAN, BILL, 4096, BATCH), 16)

    assert best is not None
    assert found == (best.layout, best.micro_batch_size_seqs, best.recompute)


def test_what_the_plan_says_is_kept():
    """Micro-batch and recomputation are conditions; the choice takes the place of the open fields alone."""
    given = {**PLAN, "n_devices": 16, "micro_batch_size_seqs": 2, "recompute": "full"}
    found = chosen_layout(given, BILL, 4096, BATCH, None)

    assert (found.micro_batch_size_seqs, found.recompute) == (2, "full")
    assert found.put_into(given) == {**given, "layout": found.layout}


def test_open_devices_are_the_fewest_in_time():
    """100B tokens in ten days: in time there, a node fewer is late."""
    found = chosen_layout({**PLAN, "deadline": 10 * 86400}, BILL, 4096, BATCH, 100e9)
    n = found.layout.n_devices
    steps = 100e9 / BATCH
    here, fewer = (best_on(asked_of(PLAN, BILL, 4096, BATCH), count) for count in (n, n - 8))

    assert here is not None and here.step_s * steps <= 10 * 86400
    assert fewer is None or fewer.step_s * steps > 10 * 86400


def test_what_cannot_be_chosen_is_refused():
    """Nothing fits on one small device; devices and time are both open."""
    big = bill_of(read_model("llama-3-70b").arch)
    with pytest.raises(NotSupported, match="fits"):
        chosen_layout({**PLAN, "n_devices": 1}, big, 4096, BATCH, None)
    with pytest.raises(UsageError, match="number of devices or a time"):
        chosen_layout(PLAN, BILL, 4096, BATCH, 1e9)
