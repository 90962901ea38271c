"""Compute -> device-hours -> dollars, energy and carbon, each number with where it comes from.

The steps hand each other `Line`s: a number, its formula, its inputs, its sources, its standing and its interval. An interval
of device-hours runs through all that is proportional to them.
"""

from __future__ import annotations

from typing import NamedTuple

from scaleplan.answer import Interval, Line
from scaleplan.errors import InputError
from scaleplan.footprint.carbon import implied_kgco2e_per_kwh, run_kgco2e
from scaleplan.footprint.energy import Power, metered_energy, run_energy
from scaleplan.footprint.price import run_usd
from scaleplan.machine.run_time import device_hours, flops_to_do, training_flops
from scaleplan.units import show_si


class Rate(NamedTuple):
    """What one device delivers while it trains.

    flops_per_s  of the kind that `flops_kind` names
    goodput      share of the run's time in which it trains
    mfu          the rate as a share of `peak_flops_per_s`, with its interval where it was not given
    """

    flops_per_s: float
    flops_kind: str
    recompute: str
    goodput: float
    peak_flops_per_s: float
    mfu: Interval | None
    standing: str
    sources: tuple[str, ...]


class Price(NamedTuple):
    """Dollars for an hour of one device."""

    usd_per_device_hour: float
    standing: str
    sources: tuple[str, ...]


class Site(NamedTuple):
    """Where the power comes from: PUE and grid, each with its standing and sources."""

    pue: float
    pue_standing: str
    pue_sources: tuple[str, ...]
    kgco2e_per_kwh: float
    grid_standing: str
    grid_sources: tuple[str, ...]


def compute_line(n_active_params: float, n_tokens: float, sources: tuple[str, ...]) -> Line:
    """Model FLOP of a run, 6 N D."""
    return Line(
        "training_flops",
        "training compute, 6 N D",
        training_flops(n_active_params, n_tokens),
        "FLOP",
        "6 * n_active_params * n_tokens",
        {"n_active_params": n_active_params, "n_tokens": n_tokens},
        ("kaplan2020", *sources),
    )


def device_hours_line(model_flops: float, rate: Rate) -> Line:
    """Device-hours of so much compute at a rate. Raises InputError for a rate above the device's peak."""
    if rate.flops_per_s > rate.peak_flops_per_s:
        shown = (show_si(rate.flops_per_s, "FLOP/s"), show_si(rate.peak_flops_per_s, "FLOP/s"))
        raise InputError(f"`{shown[0]}` is more than the device's dense peak of {shown[1]}", hint="vendors' headlines often count sparsity")
    flops = flops_to_do(model_flops, rate.flops_kind, rate.recompute)
    hours = device_hours(flops, rate.flops_per_s, rate.goodput)
    interval = None
    if rate.mfu:
        low, middle, high = rate.mfu
        interval = Interval(*(device_hours(flops, mfu * rate.peak_flops_per_s, rate.goodput) for mfu in (high, middle, low)))
    extra = flops / model_flops
    return Line(
        "device_hours",
        "device-hours",
        hours,
        "h",
        ("" if extra == 1 else "hardware_flops_per_model_flop * ") + "training_flops / (flops_per_s_per_device * goodput) / 3600",
        ({} if extra == 1 else {"hardware_flops_per_model_flop": extra})
        | {"training_flops": model_flops, "flops_per_s_per_device": rate.flops_per_s, "goodput": rate.goodput},
        rate.sources,
        rate.standing,
        interval,
    )


def time_lines(hours: Line, n_devices: int | None) -> list[Line]:
    """Device-days, and days on the wall where the number of devices is known."""
    lines = [scaled(hours, 1 / 24, "device_days", "device-days", "days", "device_hours / 24", {"device_hours": hours.value})]
    if n_devices:
        inputs = {"device_hours": hours.value, "n_devices": n_devices}
        lines.append(scaled(hours, 3600 / n_devices, "wall_s", "wall time", "s", "device_hours * 3600 / n_devices", inputs))
    return lines


def money_line(hours: Line, price: Price) -> Line:
    """Dollars of the device-hours."""
    inputs = {"device_hours": hours.value, "usd_per_device_hour": price.usd_per_device_hour}
    factor = run_usd(1, price.usd_per_device_hour)
    return scaled(hours, factor, "usd", "rent", "usd", "device_hours * usd_per_device_hour", inputs, price.sources, price.standing)


def energy_lines(hours: Line, power: Power, power_sources: tuple[str, ...], site: Site) -> list[Line]:
    """Energy of the devices, of the computers, and of the facility."""
    an_hour = run_energy(1, power, site.pue)
    devices = scaled(
        hours, an_hour.devices_wh, "energy_devices_wh", "energy, devices alone", "Wh", "device_hours * device_power_w",
        {"device_hours": hours.value, "device_power_w": power.device_w}, power_sources, power.device_standing,
    )  # fmt: skip
    computers = scaled(
        hours, an_hour.it_wh, "energy_it_wh", "energy, with host and network", "Wh", "device_hours * system_power_w",
        {"device_hours": hours.value, "system_power_w": power.system_w}, power_sources, power.system_standing,
    )  # fmt: skip
    return [devices, computers, facility_line(computers, site)]


def metered_lines(it_wh: float, site: Site) -> list[Line]:
    """Energy that was metered at the racks, and what the facility drew for it."""
    metered = Line("energy_it_wh", "energy, with host and network", metered_energy(it_wh, site.pue).it_wh, "Wh", standing="given")
    return [metered, facility_line(metered, site)]


def facility_line(computers: Line, site: Site) -> Line:
    """Energy of the computers times the PUE."""
    inputs = {"energy_it_wh": computers.value, "pue": site.pue}
    return scaled(
        computers, site.pue, "energy_wh", "energy, facility", "Wh", "energy_it_wh * pue", inputs, site.pue_sources, site.pue_standing
    )


def carbon_line(facility: Line, site: Site) -> Line:
    """Operational emissions of the facility's energy."""
    inputs = {"energy_wh": facility.value, "kgco2e_per_kwh": site.kgco2e_per_kwh}
    factor = run_kgco2e(1, site.kgco2e_per_kwh)
    formula = "energy_wh / 1000 * kgco2e_per_kwh"
    return scaled(facility, factor, "kgco2e", "CO2e, operational", "kgCO2e", formula, inputs, site.grid_sources, site.grid_standing)


def implied_line(published_kgco2e: float, devices: Line, site: Site) -> Line:
    """Grid intensity that a published footprint stands for when it counts the devices and the PUE, as most do."""
    energy_wh = devices.value * site.pue
    return Line(
        "implied_kgco2e_per_kwh",
        "grid intensity, implied",
        implied_kgco2e_per_kwh(published_kgco2e, energy_wh),
        "kgCO2e/kWh",
        "published_kgco2e / (energy_devices_wh * pue / 1000)",
        {"published_kgco2e": published_kgco2e, "energy_devices_wh": devices.value, "pue": site.pue},
        standing="implied",
    )


def scaled(
    base: Line,
    factor: float,
    key: str,
    label: str,
    unit: str,
    formula: str,
    inputs: dict[str, float],
    sources: tuple[str, ...] = (),
    standing: str | None = None,
) -> Line:
    """A line proportional to another one: the interval follows."""
    interval = base.interval.scaled(factor) if base.interval else None
    return Line(key, label, base.value * factor, unit, formula, inputs, sources, weaker(base.standing, standing), interval)


STANDINGS = ("exact", "given", "published", "measured", "fitted", "estimate", "assumed")


def weaker(one: str, other: str | None) -> str:
    """Of two standings the one that promises less: a product is as sure as its least sure factor."""
    return one if other is None else max(one, other, key=STANDINGS.index)
