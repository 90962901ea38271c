"""The same run side by side: on every device, at every provider's price, in every cloud region."""

from __future__ import annotations

from typing import Any

from scaleplan import library
from scaleplan.answer import Column, Table
from scaleplan.chain.cost_compare import OnDevice, cheapest_first, from_providers, in_regions, on_devices
from scaleplan.chain.cost_inputs import Defaults
from scaleplan.chain.run_cost import CostInputs
from scaleplan.wording import fields

MONEY = Column("usd", "cost", "usd")
ENERGY = (Column("energy_wh", "energy", "Wh"), Column("kgco2e", "CO2e", "kgCO2e"))


def compared(asked: Any, inputs: CostInputs, device: library.Preset, defaults: Defaults) -> list[Table]:
    """The table that was asked for, and for regions that of the cheapest."""
    term = asked.price_term or "on_demand"
    if asked.side_by_side == "providers":
        tables = [of_providers(inputs, device, term)]
    elif asked.side_by_side == "regions":
        tables = of_regions(inputs, device, defaults, term)
    else:
        tables = [of_devices(inputs, defaults, term)]
    return [tables[0]._replace(notes=[*tables[0].notes, *own_notes(asked)]), *tables[1:]]


OWN = {
    "devices": ("device_power", "system_power", "usd_per_device_hour", "provider", "recompute", "embodied_per_device"),
    "providers": ("usd_per_device_hour", "provider"),
    "regions": ("usd_per_device_hour", "provider", "pue", "region", "grid_intensity", "grid_profile"),
}
"""What is compared -> the fields of which each row takes its own value."""


def own_notes(asked: Any) -> list[str]:
    """That a field which was given is not in the rows."""
    given = [name for name in OWN[asked.side_by_side] if getattr(asked, name, None) is not None]
    return [f"Each row has its own: {fields(*given, joined=', ')} is in the run above alone."] if given else []


def of_devices(inputs: CostInputs, defaults: Defaults, term: Any) -> Table:
    """The run on each device that has a 16-bit peak, cheapest first."""
    names = [name for name in library.names("hardware") if has_peak(name)]
    found = on_devices(inputs._replace(n_devices=None), names, defaults, term)
    rows = sorted(map(device_row, found), key=lambda row: (row["usd"] is None, row["usd"] or 0.0, row["device_hours"]))
    columns = [
        Column("device", "device"),
        Column("device_hours", "device-hours", "h"),
        MONEY,
        *ENERGY,
        Column("flops_per_joule", "FLOP/s per W", "FLOP"),
        Column("flops_per_usd", "FLOP per dollar", "FLOP"),
        Column("flops_per_embodied_kg", "FLOP per kg embodied", "FLOP"),
    ]
    return Table(
        "The same run on each device", columns, rows, [f"Price of each device: median of its providers, {term.replace('_', ' ')}."]
    )


def has_peak(name: str) -> bool:
    """Whether a device computes in 16 bits."""
    peaks = library.load("hardware", name).data.get("peak_flops_per_s", {})
    return "bf16" in peaks or "fp16" in peaks


def device_row(one: OnDevice) -> dict[str, Any]:
    """One device as a row."""
    cost = one.cost._asdict()
    shown = {key: cost[key] for key in ("device_hours", "usd", "energy_wh", "kgco2e", "embodied_kgco2e")}
    per = ("flops_per_s", "flops_per_joule", "flops_per_usd", "flops_per_embodied_kg")
    return {"device": one.device, **shown, **{key: getattr(one, key) for key in per}}


def of_providers(inputs: CostInputs, device: library.Preset, term: Any) -> Table:
    """The run at each provider's price, cheapest first."""
    rows = [{**one._asdict(), "sources": list(one.sources)} for one in from_providers(inputs, device, term)]
    columns = [
        Column("provider", "provider"),
        Column("usd_per_device_hour", "device-hour", "usd"),
        MONEY,
        Column("date", "date"),
        Column("sources", "source"),
    ]
    old = [row["provider"] for row in rows if row["is_old"]]
    notes = [f"Over a year old: the prices of {', '.join(old)}."] if old else []
    return Table(f"The same run at each provider's price of {device.name}, {term.replace('_', ' ')}", columns, rows, notes)


SHOWN_CHEAPEST = 5
"""Regions in the table of the cheapest."""


def of_regions(inputs: CostInputs, device: library.Preset, defaults: Defaults, term: Any) -> list[Table]:
    """The run in each cloud region, cleanest first, and in the cheapest of them."""
    found = in_regions(inputs, device, defaults, term)
    cheapest = [one for one in cheapest_first(found) if one.usd is not None][:SHOWN_CHEAPEST]
    columns = [
        Column("region", "region"),
        Column("name", "place"),
        Column("provider", "provider"),
        MONEY,
        *ENERGY,
        Column("pue", "PUE"),
        Column("kgco2e_per_kwh", "kg/kWh"),
    ]
    every = Table("The same run in each cloud region, cleanest first", columns, [one._asdict() for one in found])
    title = "The cheapest of them; of one price the cleanest first"
    return [every, *([Table(title, columns, [one._asdict() for one in cheapest])] if cheapest else [])]
