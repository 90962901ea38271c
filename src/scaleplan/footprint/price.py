"""Device-hours -> dollars, and the price of a device-hour where none is given."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

Offer = Mapping[str, str]
"""A row of presets/prices.csv."""


class MarketPrice(NamedTuple):
    """What the providers of one year ask for an hour of one device, host included.

    usd_per_device_hour  median over the providers, each counted once
    lowest, highest      of the providers
    year                 the year of the prices
    n_providers          how many there are
    sources              citation keys
    """

    usd_per_device_hour: float
    lowest: float
    highest: float
    year: int
    n_providers: int
    sources: tuple[str, ...]


def run_usd(device_hours: Any, usd_per_device_hour: Any) -> Any:
    """Dollars of a run: device_hours * usd_per_device_hour. Rent only: no storage, traffic, people or failed runs."""
    return device_hours * usd_per_device_hour


def market_price(
    offers: Iterable[Offer], device: str, *, term: str = "on_demand", basis: str = "with host", provider: str | None = None
) -> MarketPrice | None:
    """The price of a device-hour in the newest year that has offers on this term; None where there are none.

    A provider counts once, by the median of its regions, and the price is the median of the providers: one provider with
    many regions cannot set it.
    """
    wanted = [
        offer
        for offer in offers
        if offer["device"] == device and offer["term"] == term and offer["basis"] == basis and provider in (None, offer["provider"])
    ]
    if not wanted:
        return None
    year = max(offer["date"][:4] for offer in wanted)
    newest = [offer for offer in wanted if offer["date"].startswith(year)]
    asked: dict[str, list[float]] = {}
    for offer in newest:
        asked.setdefault(offer["provider"], []).append(float(offer["usd_per_device_hour"]))
    prices = [median(regions) for regions in asked.values()]
    sources = tuple(dict.fromkeys(offer["source"] for offer in newest))
    return MarketPrice(median(prices), min(prices), max(prices), int(year), len(prices), sources)


def median(values: Sequence[float]) -> float:
    """The middle value, or the mean of the two in the middle."""
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
