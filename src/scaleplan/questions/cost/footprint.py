"""What every shape of `cost` shares: price, power and site as inputs, and the cost as lines, a result and notes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from scaleplan import library, units
from scaleplan.answer import Answer, Caution, Line, intervals, quantities
from scaleplan.chain.cost_inputs import (
    SiteInputs,
    embodied_input,
    lifetime_input,
    power_inputs,
    price_input,
    price_quote,
    site_inputs,
)
from scaleplan.chain.run_cost import (
    CostInputs,
    Input,
    RunCost,
    formula_of,
    inputs_of,
    intervals_of,
    power_of,
    run_cost,
    sources_of,
    standing_of,
)
from scaleplan.footprint.price import Quote, term_named
from scaleplan.machine.run_time import fewest_devices
from scaleplan.wording import field

SECONDS_PER_YEAR = 365.25 * 86_400
LABELS = {
    "device_hours": ("device-hours", "h"),
    "device_days": ("device-days", "days"),
    "wall_s": ("wall time", "s"),
    "usd": ("rent", "usd"),
    "energy_devices_wh": ("energy, devices alone", "Wh"),
    "energy_it_wh": ("energy, with host and network", "Wh"),
    "energy_wh": ("energy, facility", "Wh"),
    "kgco2e": ("CO2e, operational", "kgCO2e"),
    "embodied_kgco2e": ("CO2e, embodied, devices alone", "kgCO2e"),
    "water_l": ("water, site and generation", "litres"),
    "implied_kgco2e_per_kwh": ("grid intensity, implied", "kgCO2e/kWh"),
}
"""Key of a quantity -> what it is called, and its unit."""


class Costed(NamedTuple):
    """What the cost follows from, the cost, and what is known of price and site.

    device, quote  None where none is spoken of, or none is known
    """

    inputs: CostInputs
    cost: RunCost
    device: library.Preset | None
    quote: Quote | None
    site: SiteInputs


def costed(asked: Any, inputs: CostInputs, device: library.Preset) -> Costed:
    """The cost of device-hours on a device.

    asked   has the fields of price, power and site
    inputs  the device-hours, or what they follow from
    """
    defaults = library.defaults()
    power = power_inputs(device, asked.device_power, asked.system_power, defaults)
    site = site_inputs(asked.pue, asked.region, asked.grid_intensity, defaults)
    quote = (
        None if asked.usd_per_device_hour is not None else price_quote(device, term_named(asked.price_term or "on_demand"), asked.provider)
    )
    price = Input(asked.usd_per_device_hour) if asked.usd_per_device_hour is not None else None if quote is None else price_input(quote)
    lifetime = None if asked.device_lifetime is None else asked.device_lifetime / SECONDS_PER_YEAR
    inputs = on_site(inputs, site, asked.carbon_scope)._replace(
        n_devices=asked.n_devices,
        usd_per_device_hour=price,
        device_power_w=power.device_power_w,
        host_power_w=power.host_power_w,
        system_power_w=power.system_power_w,
        kgco2e_per_device=embodied_input(device),
        device_lifetime_years=lifetime_input(lifetime, defaults),
        published_kgco2e=None if asked.published_kgco2e is None else Input(asked.published_kgco2e),
    )
    if asked.deadline is not None:
        inputs = inputs._replace(n_devices=fewest_devices(run_cost(inputs).device_hours, asked.deadline))
    return Costed(inputs, run_cost(inputs), device, quote, site)


def on_site(inputs: CostInputs, site: SiteInputs, scope: Any) -> CostInputs:
    """The inputs with PUE, grid and water of a site."""
    return inputs._replace(
        pue=site.pue,
        kgco2e_per_kwh=site.kgco2e_per_kwh,
        carbon_scope=scope or "facility",
        site_l_per_kwh=site.site_l_per_kwh,
        plant_l_per_kwh=site.plant_l_per_kwh,
    )


# --------------------------------------------------------------------------------------------------------------------- views


def cost_lines(found: Costed) -> list[Line]:
    """Every quantity that is known, with its formula, standing and interval."""
    inputs, cost = found.inputs, found.cost
    spread = intervals_of(inputs, cost)
    return [
        Line(
            key,
            label,
            getattr(cost, key),
            unit,
            formula_of(key, inputs),
            inputs_of(key, inputs, cost),
            sources_of(key, inputs),
            standing_of(key, inputs),
            spread.get(key),
        )
        for key, (label, unit) in LABELS.items()
        if getattr(cost, key) is not None
    ]


def answer_of(
    asked: Any, found: Costed, first: Sequence[Line], keys: Mapping[str, Any], *, notes: Sequence[str] = (), **more: Any
) -> Answer:
    """The cost as a result and as one table.

    first  lines before those of the cost
    keys   keys that stand before those of every cost
    more   inputs that were assumed
    """
    lines = [*first, *cost_lines(found)]
    known = {one.key: one.value for one in lines}
    cost = {key: known.get(key) for key in LABELS}
    result = {**keys, "n_devices": found.inputs.n_devices, **cost, "carbon_scope": found.inputs.carbon_scope, "intervals": intervals(lines)}
    said = [*notes, *price_notes(asked, found), *power_notes(found), *site_notes(asked, found)]
    return Answer("cost", inputs_said(asked, **more), result, [quantities("", lines, said)], lines, warnings=price_cautions(found))


def inputs_said(asked: Any, **more: Any) -> dict[str, Any]:
    """What was asked, in base units."""
    given = {key: getattr(value, "label", value) for key, value in asked._asdict().items() if value is not None}
    return {**given, **{key: value for key, value in more.items() if value is not None}}


def price_notes(asked: Any, found: Costed) -> list[str]:
    """What a device-hour was taken to cost, or that no price is known."""
    quote, device = found.quote, found.device
    if device is None or asked.usd_per_device_hour is not None:
        return []
    if quote is None:
        return [f"No price of {device.name} is known: add {field('usd_per_device_hour')} for dollars."]
    low, high = units.show_usd(quote.at(0.1)), units.show_usd(quote.at(0.9))
    n = len(quote.votes)
    who = next(iter(quote.votes)) if n == 1 else f"median of {n} providers, {low} to {high}"
    term = quote.term.replace("_", " ")
    return [f"No {field('usd_per_device_hour')}: {units.show_usd(quote.usd_per_device_hour)}, {term}, {who}, newest of {quote.newest}."]


def price_cautions(found: Costed) -> list[Caution]:
    """A price that is over a year old."""
    if found.quote is None or not found.quote.is_old:
        return []
    newest, device = found.quote.newest, found.quote.device
    return [Caution("old-price", f"the newest price of {device} is of {newest}; prices move by 40 % within a year", {"newest": newest})]


def power_notes(found: Costed) -> list[str]:
    """Power of a device in training, or that none is known."""
    inputs = found.inputs
    power = power_of(inputs)
    if found.device is None:
        return []
    if power is None or inputs.device_power_w is None:
        return [f"The power of {found.device.name} is not known: add {field('device_power')} for energy and CO2e."]
    device = f"{power.device_w:.0f} W per device ({inputs.device_power_w.standing})"
    return [f"Power in training: {device}, {power.system_w:.0f} W with host and network."]


def site_notes(asked: Any, found: Costed) -> list[str]:
    """Which grid was used, and the PUE where it was not given."""
    zone, pue = found.site.zone, found.site.pue
    notes = []
    if zone is not None:
        year = f" ({zone['year']})" if zone["year"] else ""
        assumed = "" if asked.region is not None else ", assumed"
        intensity = f"{1000 * found.site.kgco2e_per_kwh.value:.0f} g/kWh"
        notes.append(
            f"Grid: {zone['name']}, {intensity}{year}{assumed}. Operational emissions, location-based, scope {found.inputs.carbon_scope}."
        )
    if asked.pue is None:
        notes.append(f"No {field('pue')}: {pue.value:.4g} ({pue.standing}).")
    return notes
