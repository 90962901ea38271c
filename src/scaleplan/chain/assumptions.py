"""What is used where a question leaves it open: rate, price, power and site, each with a remark that says so.

The values are in presets/defaults.toml and beside each device; a flag replaces any of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scaleplan import library, units
from scaleplan.answer import Interval, unique
from scaleplan.chain.cost import Price, Rate, Site
from scaleplan.errors import InputError, UsageError
from scaleplan.footprint.carbon import find_zone
from scaleplan.footprint.energy import Power, given_power, site_pue, training_power
from scaleplan.footprint.price import quote
from scaleplan.machine.run_time import FLOPS_KINDS, peak_of

Defaults = Mapping[str, Any]


def rate_of(
    device: library.Preset,
    mfu: float | None,
    flops_per_s: float | None,
    flops_kind: str | None,
    recompute: str | None,
    goodput: float | None,
    defaults: Defaults,
) -> Rate:
    """What a device delivers: as given, else by the MFU of whole published runs."""
    if mfu is not None and flops_per_s is not None:
        raise UsageError("--mfu and --flops-per-s-per-device contradict each other", hint="give one of them")
    if (flops_per_s is None) != (flops_kind is None):
        kinds = " or ".join(FLOPS_KINDS)
        raise UsageError(
            "--flops-per-s-per-device and --flops-kind go together", hint=f"say --flops-kind {kinds}: does the rate count recomputation?"
        )
    _, peak = peak_of({key: value for key, value in device.data["peak_flops_per_s"].items() if not isinstance(value, str)}, device.name)
    cited = library.citations(device.data["peak_flops_per_s"])
    usual = defaults["whole_run_mfu"]
    spread = Interval(usual["p10"], usual["p50"], usual["p90"])
    whole_run = Rate(
        spread.p50 * peak, "model", recompute or "none", goodput or 1.0, peak, spread, "assumed", (*cited, *library.citations(usual))
    )
    if flops_per_s is not None:
        return whole_run._replace(flops_per_s=flops_per_s, flops_kind=str(flops_kind), mfu=None, standing="given", sources=cited)
    if mfu is not None:
        return whole_run._replace(flops_per_s=mfu * peak, mfu=None, standing="given", sources=cited)
    return whole_run


def whole_run_remark(rate: Rate) -> list[str]:
    """That the rate is the usual one of whole runs, if it is."""
    if not rate.mfu:
        return []
    low, middle, high = rate.mfu
    spread = f"{middle:g} ({low:g} to {high:g}, 80 %)"
    return [f"MFU not given: that of whole published runs, {spread}; the intervals are its spread alone. --mfu replaces it."]


def price_of(device: library.Preset, usd_per_device_hour: float | None, defaults: Defaults) -> tuple[Price | None, list[str]]:
    """Dollars for an hour of the device: as given, else what the market asks; None where no offer is known."""
    if usd_per_device_hour is not None:
        return Price(usd_per_device_hour, "given", ()), []
    usual = defaults["price"]
    offered_as = device.data.get("priced_as", device.name)
    found = quote(library.rows("prices"), offered_as, term=usual["term"])
    if found is None:
        return None, [f"No price of {device.name} is known: add --usd-per-device-hour for dollars."]
    rate = units.show_usd(found.usd_per_device_hour)
    ends = f"{units.show_usd(found.at(0.1))} to {units.show_usd(found.at(0.9))}"
    who = "1 provider" if len(found.votes) == 1 else f"{len(found.votes)} providers, {ends}"
    old = "; this price is old" if found.is_old else ""
    remark = f"Price not given: {rate} a device-hour, median on demand, newest {found.newest} ({who}{old})."
    return Price(found.usd_per_device_hour, "assumed", found.sources), [remark]


def power_of(device: library.Preset, device_power: str | None, defaults: Defaults) -> tuple[Power | None, tuple[str, ...], list[str]]:
    """Power of the device in training: as given (`tdp` is its rated power), else measured, else a share of the rated one.

    Returns the power (None where nothing is known), its sources, and the remark.
    """
    usual = defaults["power"]
    power = training_power(device.data, usual["load_fraction"], usual["system_over_device"])
    measured, rated_table = device.data.get("measured_power", {}), device.data.get("power", {})
    tables = [
        measured,
        *([] if "device_w" in measured else [rated_table]),
        *([] if {"device_w", "system_w"} <= measured.keys() else [usual]),
    ]
    cited = tuple(unique(key for table in tables for key in library.citations(table)))
    if device_power is not None:
        rated = rated_table.get("tdp_w")
        if device_power == "tdp" and rated is None:
            raise InputError(f"the rated power of `{device.name}` is not known", hint="give it in watts: --device-power 400W")
        power = given_power(power, rated if device_power == "tdp" else units.watts(device_power), None, usual["system_over_device"])
    if power is None:
        return None, cited, [f"The power of {device.name} is not known: add --device-power for energy and CO2e."]
    remark = (
        f"Power of a device in training: {power.device_w:.0f} W, with host and network {power.system_w:.0f} W ({power.system_standing})."
    )
    return power, cited, [remark]


def site_of(pue: float | None, region: str | None, grid_intensity: float | None, defaults: Defaults) -> tuple[Site, list[str]]:
    """PUE and grid of the site: as given, else of the region, else the usual ones."""
    if region is not None and grid_intensity is not None:
        raise UsageError("--region and --grid-intensity contradict each other", hint="give one of them")
    if pue is not None and pue < 1:
        raise InputError(f"`{pue:g}` is not a PUE", hint="a facility cannot use less than its computers: 1.0 is the least")
    zone = find_zone(library.rows("grid"), region or defaults["grid"]["zone"])
    provider = zone.get("provider") if region else None
    used_pue = pue if pue is not None else site_pue(defaults["pue"], provider)
    site = Site(
        pue=used_pue,
        pue_standing="given" if pue is not None else "assumed",
        pue_sources=() if pue is not None else library.citations(defaults["pue"]),
        kgco2e_per_kwh=grid_intensity if grid_intensity is not None else float(zone["kgco2e_per_kwh"]),
        grid_standing="given" if grid_intensity is not None else "published" if region else "assumed",
        grid_sources=() if grid_intensity is not None else (zone["source"],),
    )
    remarks = [] if grid_intensity is not None else [grid_remark(zone, site)]
    if pue is None:
        remarks.append(f"PUE not given: {used_pue:g}{f', the average of {provider}' if provider else ''}.")
    return site, remarks


def grid_remark(zone: Mapping[str, str], site: Site) -> str:
    """Which grid was used, and what its factor counts."""
    year = f" ({zone['year']})" if zone["year"] else ""
    assumed = ", assumed" if site.grid_standing == "assumed" else ""
    return f"Grid: {zone['name']}, {1000 * site.kgco2e_per_kwh:.0f} g/kWh{year}{assumed}. Operational emissions, location-based."
