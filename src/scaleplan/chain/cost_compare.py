"""The same run elsewhere: on other devices, from other providers, in other regions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from scaleplan import library
from scaleplan.chain.cost_inputs import (
    Defaults,
    embodied_input,
    grid_input,
    mfu_input,
    peak_input,
    power_inputs,
    price_input,
    pue_input,
    water_input,
    zones_of,
)
from scaleplan.chain.run_cost import CostInputs, Input, RunCost, power_of, run_cost
from scaleplan.footprint.efficiency import flops_per_embodied_kg, flops_per_joule, flops_per_usd
from scaleplan.footprint.price import Offer, Term, month, quote


class OnDevice(NamedTuple):
    """A run on one device, and what the device delivers at its rate; None where a figure is unknown.

    flops_per_s           training FLOP/s of one device: peak times MFU times goodput
    flops_per_joule       for the power with host and network, before the PUE
    flops_per_embodied_kg over the whole life of a device
    """

    device: str
    inputs: CostInputs
    cost: RunCost
    flops_per_s: float
    flops_per_joule: float | None
    flops_per_usd: float | None
    flops_per_embodied_kg: float | None


class FromProvider(NamedTuple):
    """A run at one provider's price, with the date of that price, and whether it is over a year old."""

    provider: str
    usd_per_device_hour: float
    date: str
    sources: tuple[str, ...]
    usd: float | None
    is_old: bool


class InRegion(NamedTuple):
    """A run in one cloud region; `usd` is at its provider's price, None where that asks none for the device."""

    region: str
    name: str
    provider: str
    usd_per_device_hour: float | None
    pue: float
    kgco2e_per_kwh: float
    usd: float | None
    energy_wh: float | None
    kgco2e: float | None


def on_devices(inputs: CostInputs, names: Iterable[str], defaults: Defaults, term: Term = "on_demand") -> list[OnDevice]:
    """The run of `inputs` on each device in turn: peak, price, power and making are the device's, the rest stays."""
    offers = library.rows("prices")
    return [on_device(inputs, library.load("hardware", name), offers, defaults, term) for name in names]


def on_device(inputs: CostInputs, device: library.Preset, offers: Sequence[Offer], defaults: Defaults, term: Term) -> OnDevice:
    """The run on one device; an MFU that is not given is that of whole runs of unknown size."""
    asked = quote(offers, device.data.get("priced_as", device.name), term=term)
    here = inputs._replace(
        peak_flops_per_s=peak_input(device),
        mfu=inputs.mfu or mfu_input(defaults, None),
        usd_per_device_hour=price_input(asked) if asked else None,
        kgco2e_per_device=embodied_input(device),
        **power_inputs(device, None, None, defaults)._asdict(),
    )
    rate = value(here.peak_flops_per_s) * value(here.mfu) * here.goodput.value
    power, usd, made = power_of(here), here.usd_per_device_hour, here.kgco2e_per_device
    return OnDevice(
        device.name,
        here,
        run_cost(here),
        rate,
        flops_per_joule(rate, power.system_w) if power else None,
        flops_per_usd(rate, usd.value) if usd else None,
        flops_per_embodied_kg(rate, made.value, here.device_lifetime_years.value) if made else None,
    )


def value(given: Input | None) -> float:
    """The number of an input that must be there."""
    assert given is not None, "a device has a peak, and a run a rate"
    return float(given.value)


def from_providers(inputs: CostInputs, device: library.Preset, term: Term = "on_demand") -> list[FromProvider]:
    """The run at the price of each provider that has one, cheapest first."""
    offers, name = library.rows("prices"), device.data.get("priced_as", device.name)
    market = quote(offers, name, term=term)
    rows = []
    for provider in market.votes if market else ():
        own = quote(offers, name, term=term, provider=provider)
        assert own is not None, "a provider that votes has a price"
        cost = run_cost(inputs._replace(usd_per_device_hour=price_input(own)))
        rows.append(FromProvider(provider, own.usd_per_device_hour, own.newest, own.sources, cost.usd, own.is_old))
    return sorted(rows, key=lambda row: row.usd_per_device_hour)


def in_regions(inputs: CostInputs, device: library.Preset, defaults: Defaults, term: Term = "on_demand") -> list[InRegion]:
    """The run in each cloud region, cleanest first; `cheapest_first` sorts them by dollars.

    Price, PUE, grid and water are the region's: what was given for another site does not go along.
    """
    offers, name = library.rows("prices"), device.data.get("priced_as", device.name)
    market = quote(offers, name, term=term)
    known = [offer for offer in offers if offer["device"] == name] + [max(offers, key=month)]  # the newest of all sets the window
    rows = []
    for zone in zones_of("cloud-region"):
        provider = zone["provider"]
        sells = market is not None and provider in market.votes
        asked = quote(known, name, term=term, provider=provider, region=zone["zone"]) if sells else None
        here = inputs._replace(
            pue=pue_input(zone, defaults),
            kgco2e_per_kwh=grid_input(zone, True, defaults),
            site_l_per_kwh=water_input(zone, "site_water_l_per_kwh", defaults),
            plant_l_per_kwh=water_input(zone, "plant_water_l_per_kwh", defaults),
            usd_per_device_hour=price_input(asked) if asked else None,
        )
        cost, usd = run_cost(here), asked.usd_per_device_hour if asked else None
        site = (here.pue.value, here.kgco2e_per_kwh.value)
        rows.append(InRegion(zone["zone"], zone["name"], provider, usd, *site, cost.usd, cost.energy_wh, cost.kgco2e))
    return sorted(rows, key=lambda row: (row.kgco2e is None, row.kgco2e, row.region))


def cheapest_first(rows: Iterable[InRegion]) -> list[InRegion]:
    """Regions by dollars, those of one price by CO2e, those without a price last."""
    return sorted(rows, key=lambda row: (row.usd is None, row.usd or 0.0, row.kgco2e or 0.0, row.region))
