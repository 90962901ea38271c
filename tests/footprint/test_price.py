"""Dollars of a run and the price assumed where none is given."""

from __future__ import annotations

import numpy as np
import pytest

from scaleplan.footprint.price import market_price, median, run_usd


def offer(provider: str, usd: float, date: str = "2026", **more: str) -> dict[str, str]:
    row = {"provider": provider, "region": "", "device": "x", "term": "on_demand", "basis": "with host", "source": "s"}
    return row | {"usd_per_device_hour": str(usd), "date": date} | more


def test_a_run_costs_its_hours_at_the_rate():
    """2,671 A100-hours at 1 and at 4 dollars: 2,671 and 10,684 dollars, for numbers and for arrays."""
    assert run_usd(2671, 4) == 10684
    assert run_usd(2671, np.array([1.0, 4.0])).tolist() == [2671.0, 10684.0]


def test_the_price_is_the_median_of_the_providers():
    """Three providers at 2, 3 and 10: 3, and the spread beside it."""
    found = market_price([offer("a", 2), offer("b", 3), offer("c", 10)], "x")

    assert found is not None
    assert (found.usd_per_device_hour, found.lowest, found.highest, found.n_providers) == (3, 2, 10, 3)


def test_a_provider_counts_once():
    """Many regions of one provider cannot set the price: 2 against the median 10 of three regions is 6."""
    found = market_price([offer("a", 2)] + [offer("b", usd, region=str(usd)) for usd in (9, 10, 30)], "x")
    assert found is not None and found.usd_per_device_hour == 6


def test_only_the_newest_year_counts():
    """An older price is history."""
    found = market_price([offer("a", 2, "2025-03-01"), offer("b", 4, "2026")], "x")
    assert found is not None and (found.usd_per_device_hour, found.year) == (4, 2026)


def test_offers_of_another_kind_do_not_count():
    """Spot prices, prices without the host and prices of other devices are not the price on demand."""
    others = [offer("a", 1, term="spot"), offer("b", 1, basis="device only"), offer("c", 1, device="y")]
    assert market_price(others, "x") is None
    assert market_price([*others, offer("d", 5)], "x").usd_per_device_hour == 5


def test_one_provider_can_be_asked():
    """With a provider, its own price."""
    assert market_price([offer("a", 2), offer("b", 3)], "x", provider="b").usd_per_device_hour == 3


@pytest.mark.parametrize(("values", "middle"), [([3], 3), ([1, 9, 2], 2), ([4, 1, 2, 3], 2.5)])
def test_median(values, middle):
    """The middle value, or the mean of the two in the middle."""
    assert median(values) == middle
