"""What follows from device-hours or from an energy: dollars, energy and carbon, as lines and as a result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from scaleplan import library
from scaleplan.answer import Answer, Caution, Line, intervals, quantities
from scaleplan.chain import cost as steps
from scaleplan.chain.assumptions import power_of, price_of, site_of
from scaleplan.footprint.energy import Power

KEYS = (
    "device_hours", "device_days", "wall_s", "usd", "energy_devices_wh", "energy_it_wh", "energy_wh", "kgco2e", "implied_kgco2e_per_kwh",
)  # fmt: skip
"""What every result holds; null where it is not known."""


class Site(NamedTuple):
    """Price, power and grid: as given, else as assumed, with what is to be said of them."""

    price: steps.Price | None
    power: Power | None
    power_sources: tuple[str, ...]
    site: steps.Site
    notes: tuple[str, ...]


def site_of_device(asked: Any, device: library.Preset, defaults: Mapping[str, Any]) -> Site:
    """Price, power and grid of device-hours; `asked` has the fields that say them."""
    price, price_notes = price_of(device, asked.usd_per_device_hour, defaults)
    power, sources, power_notes = power_of(device, asked.device_power, defaults)
    site, site_notes = site_of(asked.pue, asked.region, asked.grid_intensity, defaults)
    return Site(price, power, sources, site, (*price_notes, *power_notes, *site_notes))


def lines_after_hours(hours: Line, n_devices: Any, at: Site, published_kgco2e: float | None) -> list[Line]:
    """Time, dollars, energy and carbon of device-hours."""
    lines = [hours, *steps.time_lines(hours, n_devices)]
    lines += [steps.money_line(hours, at.price)] if at.price else []
    lines += steps.energy_lines(hours, at.power, at.power_sources, at.site) if at.power else []
    return lines + carbon_lines(lines, at.site, published_kgco2e)


def carbon_lines(lines: Sequence[Line], site: steps.Site, published_kgco2e: float | None = None) -> list[Line]:
    """Carbon of the facility's energy, and the grid intensity that a published footprint implies."""
    by_key = {one.key: one for one in lines}
    found = [steps.carbon_line(by_key["energy_wh"], site)] if "energy_wh" in by_key else []
    if published_kgco2e is not None and "energy_devices_wh" in by_key:
        found.append(steps.implied_line(published_kgco2e, by_key["energy_devices_wh"], site)._replace(standing="estimate"))
    return found


def answer_of(
    inputs: Mapping[str, Any], first: Mapping[str, Any], lines: Sequence[Line], notes: Sequence[str], warnings: Sequence[Caution] = ()
) -> Answer:
    """The lines as the result, and as one table.

    first  keys that stand before those of every cost
    """
    known = {one.key: one.value for one in lines}
    result = {**first, **{key: known.get(key) for key in KEYS}, "intervals": intervals(lines)}
    return Answer("cost", inputs, result, [quantities("", lines, notes)], lines, warnings=warnings)


def said(asked: Any) -> dict[str, Any]:
    """What was asked, in base units."""
    return {key: getattr(value, "label", value) for key, value in asked._asdict().items() if value is not None}
