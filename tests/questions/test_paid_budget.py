"""A budget in dollars or device-days is the FLOP that it buys."""

from __future__ import annotations

import pytest

import scaleplan as sp


@pytest.mark.parametrize(
    ("budget", "hours"), [({"usd": "$100k", "usd_per_device_hour": 2}, 50_000), ({"device_days": 1000}, 24_000)], ids=["usd", "device-days"]
)
def test_every_law_answers_as_for_the_compute(budget, hours):
    """Hours at MFU 0.4 of an H100's 989.4 TFLOP/s: the rows of `--compute`."""
    paid = sp.optimal(hardware="h100-sxm", mfu=0.4, **budget)
    plain = sp.optimal(compute=hours * 3600 * 0.4 * 989.4e12)

    assert paid.result["budget"]["device_hours"] == pytest.approx(hours)
    for one, other in zip(paid.result["laws"], plain.result["laws"], strict=True):
        assert one["n_params"] == pytest.approx(other["n_params"], rel=1e-9)
