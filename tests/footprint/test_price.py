"""Dollars of a run and the price assumed where none is given."""

from __future__ import annotations

import numpy as np
import pytest

from scaleplan.errors import InputError, UnknownName
from scaleplan.footprint.price import TERMS, Term, month, quote, run_usd, term_named, usd_per_million_tokens


def offer(provider: str, usd: float, date: str = "2026-10-05", **more: str) -> dict[str, str]:
    row = {"provider": provider, "region": "", "device": "x", "term": "on_demand", "source": "s"}
    return row | {"usd_per_device_hour": str(usd), "date": date} | more


def test_a_run_costs_its_hours_at_the_rate():
    """2,671 A100-hours at 1 and at 4 dollars: 2,671 and 10,684 dollars, for numbers and for arrays."""
    assert run_usd(2671, 4) == 10684
    assert run_usd(2671, np.array([1.0, 4.0])).tolist() == [2671.0, 10684.0]


def test_the_price_is_the_median_of_the_providers():
    """Three providers at 2, 3 and 10: 3, and their 10 and 90 % points beside it, interpolated."""
    found = quote([offer("a", 2), offer("b", 3), offer("c", 10)], "x")

    assert found is not None
    assert (found.usd_per_device_hour, found.at(0.1), found.at(0.9)) == (3, pytest.approx(2.2), pytest.approx(8.6))
    assert found.votes == {"a": 2, "b": 3, "c": 10}


def test_a_provider_counts_once():
    """Many regions of one provider cannot set the price: 2 against the median 10 of three regions is 6."""
    found = quote([offer("a", 2)] + [offer("b", usd, region=str(usd)) for usd in (9, 10, 30)], "x")
    assert found is not None and found.usd_per_device_hour == 6


def test_a_provider_votes_with_its_newest_month():
    """What it asked before is history, also within the window."""
    found = quote([offer("a", 2, "2026-08-30"), offer("a", 4, "2026-10-01"), offer("a", 6, "2026-10-30")], "x")
    assert found is not None and found.votes == {"a": 5}


def test_votes_are_of_the_last_two_years():
    """24 months before the newest price of any device: 2024-10 counts, 2024-09 does not; a year alone is its July."""
    newest = offer("z", 1, "2026-10-05", device="another")
    found = quote([newest, offer("a", 2, "2024-10-31"), offer("b", 4, "2024-09-30"), offer("c", 3, "2025"), offer("d", 9, "2024")], "x")
    assert found is not None and found.votes == {"a": 2, "c": 3}


def test_a_device_priced_only_before_has_its_newest_year_and_is_old():
    """2021 and 2022 are before the window: the prices of 2022, marked old."""
    found = quote([offer("z", 1, device="another"), offer("a", 2, "2021-07-01"), offer("b", 4, "2022-02-01"), offer("c", 6, "2022")], "x")
    assert found is not None
    assert (found.votes, found.is_old, found.newest, found.oldest) == ({"b": 4, "c": 6}, True, "2022", "2022-02-01")


@pytest.mark.parametrize(("date", "is_old"), [("2025-10-01", False), ("2025-09-30", True)])
def test_a_price_over_a_year_old_is_old(date, is_old):
    """Twelve months before the newest price of the table is not, thirteen is."""
    found = quote([offer("z", 1, device="another"), offer("a", 2, date)], "x")
    assert found is not None and found.is_old is is_old


def test_offers_of_another_kind_do_not_count():
    """Spot prices and prices of other devices are not the price on demand."""
    others = [offer("a", 1, term="spot"), offer("c", 1, device="y")]
    assert quote(others, "x") is None
    found = quote([*others, offer("d", 5)], "x")
    assert found is not None and found.usd_per_device_hour == 5


def test_one_provider_can_be_asked():
    """With a provider, in any case of letters, its own price; one without is refused, with the names of those that have one."""
    offers = [offer("a", 2), offer("b", 3), offer("spot only", 1, term="spot")]
    found = quote(offers, "x", provider="B")
    assert found is not None and found.usd_per_device_hour == 3
    with pytest.raises(UnknownName, match="spot only") as error:
        quote(offers, "x", provider="spot only")
    assert "a, b" in str(error.value.hint)


def test_a_region_has_its_own_price_where_there_is_one():
    """Offers of the region alone; a region without one has the provider's."""
    offers = [offer("a", 2, region="east"), offer("a", 8, region="west")]
    asked = {region: quote(offers, "x", provider="a", region=region) for region in ("east", "west", "north")}
    assert {region: found and found.usd_per_device_hour for region, found in asked.items()} == {"east": 2, "west": 8, "north": 5}


def test_terms_have_names():
    """A term that does not exist is refused with the list."""
    assert term_named("committed_1y") == "committed_1y"
    with pytest.raises(InputError, match="committed_9y") as error:
        term_named("committed_9y")
    assert "committed_3y" in str(error.value.hint)


def test_a_million_tokens_cost_their_hours():
    """At 250 tokens/s a million take 10/9 hours, at $2.70 three dollars."""
    assert usd_per_million_tokens(2.7, 250) == pytest.approx(3.0)


@pytest.mark.parametrize(("date", "months"), [("2023-01-31", 0), ("2023-12-01", 11), ("2024-03", 14), ("2025", 24 + 6), ("2022-11-05", -2)])
def test_months_are_counted_by_the_calendar(date: str, months: int):
    """From January 2023; a year alone counts as its July."""
    assert month(offer("a", 1, date)) - month(offer("a", 1, "2023-01")) == months


@pytest.mark.parametrize("term", TERMS)
def test_each_term_is_a_price_of_its_own(term: Term):
    """Terms do not mix, and a term is known by its whole name."""
    offers = [offer("a", price, term=name) for price, name in enumerate(TERMS, 2)]
    found = quote(offers, "x", term=term)

    assert term_named(term) == term
    assert found is not None and found.votes == {"a": 2 + TERMS.index(term)}


def test_where_nothing_is_recent_the_newest_year_votes():
    """Of offers from before the window those of the newest calendar year, as a provider asked last; the others are history."""
    old = [offer("a", 2, "2021-12-31"), offer("a", 3, "2022-01-01"), offer("b", 5, "2022-11"), offer("b", 7, "2022-12")]
    found = quote([offer("z", 1, device="another"), *old], "x")

    assert found is not None
    assert (found.votes, found.usd_per_device_hour, found.newest, found.oldest) == ({"a": 3, "b": 7}, 5, "2022-12", "2022-01-01")
