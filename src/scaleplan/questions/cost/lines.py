"""The quantities of a cost as lines, each with its formula, inputs, sources, standing and interval."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from scaleplan.answer import Interval, Line, unique
from scaleplan.chain.run_cost import (
    INPUT_OF,
    CostInputs,
    Input,
    RunCost,
    formula_of,
    inputs_of,
    intervals_of,
    named_inputs,
    standing_of,
)

LABELS: Mapping[str, tuple[str, str]] = {
    "device_hours": ("device-hours", "h"),
    "device_days": ("device-days", "days"),
    "wall_s": ("wall time", "s"),
    "usd": ("cost of the devices", "usd"),
    "energy_devices_wh": ("energy, devices alone", "Wh"),
    "energy_it_wh": ("energy, with host and network", "Wh"),
    "energy_wh": ("energy, facility", "Wh"),
    "kgco2e_devices": ("CO2e of the devices alone", "kgCO2e"),
    "kgco2e_it": ("CO2e with host and network", "kgCO2e"),
    "kgco2e_facility": ("CO2e of the facility", "kgCO2e"),
    "kgco2e": ("CO2e, operational", "kgCO2e"),
    "embodied_kgco2e": ("CO2e, embodied in the devices", "kgCO2e"),
    "water_l": ("water", "l"),
    "implied_kgco2e_per_kwh": ("grid intensity, implied", "kgCO2e/kWh"),
}
"""Quantity -> its label and base unit, in the order of a table."""
RATES: Mapping[str, tuple[str, str]] = {
    "peak_flops_per_s": ("dense peak of a device", "FLOP/s"),
    "mfu": ("MFU", "fraction"),
    "hfu": ("HFU", "fraction"),
    "goodput": ("goodput", "fraction"),
    "usd_per_device_hour": ("price of a device-hour", "usd"),
    "device_power_w": ("power of a device", "W"),
    "host_power_w": ("power of its share of host and network", "W"),
    "system_power_w": ("power with host and network", "W"),
    "pue": ("PUE", ""),
    "kgco2e_per_kwh": ("grid intensity", "kgCO2e/kWh"),
    "kgco2e_per_device": ("CO2e of making a device", "kgCO2e"),
    "device_lifetime_years": ("service life of a device", "years"),
    "site_l_per_kwh": ("water at the site", "l/kWh"),
    "plant_l_per_kwh": ("water at the power plants", "l/kWh"),
}
"""Input of a cost -> its label and base unit."""


def cost_lines(inputs: CostInputs, cost: RunCost) -> list[Line]:
    """Every quantity that is known."""
    spread = intervals_of(inputs, cost)
    return [cost_line(key, inputs, cost, spread) for key in LABELS if getattr(cost, key) is not None]


def cost_line(key: str, inputs: CostInputs, cost: RunCost, spread: Mapping[str, Interval]) -> Line:
    """One quantity with its formula."""
    label, unit = LABELS[key]
    if key == "kgco2e":
        label = f"{label} ({inputs.carbon_scope})"
    standing, cited = standing_of(key, inputs), cited_by(key, inputs)
    numbers = inputs_of(key, inputs, cost)
    return Line(key, label, getattr(cost, key), unit, formula_of(key, inputs), numbers, cited, standing, spread.get(key))


def cited_by(key: str, inputs: CostInputs) -> tuple[str, ...]:
    """The sources of the inputs that the formula names; those of other quantities stand at their own lines."""
    return tuple(unique(source for given in named_inputs(key, inputs) for source in given.sources))


def rate_lines(inputs: CostInputs, lines: Iterable[Line], flops_per_s: Any = None) -> list[Line]:
    """The inputs that the formulas of the lines name, each with its source and spread.

    flops_per_s  the rate of a device where it was given so, and not as a share of the peak
    """
    named = {name for one in lines for name in one.inputs or ()}
    if "system_power_w" in named and inputs.system_power_w is None:
        named |= {"device_power_w", "host_power_w"}
    found = [line for name in RATES if name in named if (line := rate_line(name, inputs)) is not None]
    return found if flops_per_s is None else [of_flops_per_s(one, inputs, flops_per_s) for one in found]


def rate_line(name: str, inputs: CostInputs) -> Line | None:
    """One input; the power with the host is a sum where it was not given."""
    given, (label, unit) = getattr(inputs, INPUT_OF.get(name, name)), RATES[name]
    key = f"rates.{name}"
    if given is None and name == "system_power_w" and inputs.device_power_w and inputs.host_power_w:
        parts = {"device_power_w": inputs.device_power_w.value, "host_power_w": inputs.host_power_w.value}
        cited = unique([*inputs.device_power_w.sources, *inputs.host_power_w.sources])
        return Line(key, label, sum(parts.values()), unit, "device_power_w + host_power_w", parts, cited, "estimate")
    if not isinstance(given, Input):
        return None
    worked_out = given.inputs if given.formula else None
    return Line(key, label, given.value, unit, given.formula, worked_out, given.sources, stated(name, given), interval_of_input(given))


def stated(name: str, given: Input) -> str:
    """The standing of an input as it is shown: an MFU that was given is given, though what follows from it is an estimate."""
    return "given" if name in ("mfu", "hfu") and given.spread is None else given.standing


def of_flops_per_s(one: Line, inputs: CostInputs, flops_per_s: Any) -> Line:
    """The line of an MFU or HFU that follows from a given rate; any other as it is."""
    if one.key not in ("rates.mfu", "rates.hfu") or inputs.peak_flops_per_s is None:
        return one
    named = {"flops_per_s_per_device": flops_per_s, "peak_flops_per_s": inputs.peak_flops_per_s.value}
    formula = "flops_per_s_per_device / peak_flops_per_s"
    return one._replace(formula=formula, inputs=named, standing="estimate", sources=inputs.peak_flops_per_s.sources)


def converted_rate(rates: Sequence[Line], first: Mapping[str, Any]) -> list[Line]:
    """The HFU of an MFU, or the MFU of an HFU, where it is known what is recomputed; none else."""
    training, hardware = first.get("training_flops"), first.get("hardware_flops")
    if training is None or hardware is None:
        return []
    found = next(((one, one.key.removeprefix("rates.")) for one in rates if one.key in ("rates.mfu", "rates.hfu")), None)
    if found is None:
        return []
    one, kind = found
    other, (above, below) = ("hfu", (hardware, training)) if kind == "mfu" else ("mfu", (training, hardware))
    names = ("hardware_flops", "training_flops") if kind == "mfu" else ("training_flops", "hardware_flops")
    formula, inputs = f"{kind} * {names[0]} / {names[1]}", {kind: one.value, names[0]: above, names[1]: below}
    label, unit = RATES[other]
    ends = None if one.interval is None else one.interval.scaled(above / below)
    standing = "estimate" if one.standing == "given" else one.standing
    return [Line(f"rates.{other}", label, one.value * above / below, unit, formula, inputs, ("narayanan2021",), standing, ends)]


def rate_note(rates: Sequence[Line], convention: str) -> str:
    """MFU and HFU of a run in words; empty where only one is known."""
    shares = {one.key: one.value for one in rates if one.key in ("rates.mfu", "rates.hfu")}
    if len(shares) < 2:
        return ""
    mfu, hfu = (f"{100 * shares[f'rates.{name}']:.3g} %" for name in ("mfu", "hfu"))
    return f"Rate: MFU {mfu} of the {convention} count, HFU {hfu} with what is recomputed."


def interval_of_input(given: Input) -> Interval | None:
    """The 80 % interval of an input; None where it is taken as known."""
    spread = given.spread
    if spread is None:
        return None
    return Interval(*(given.value * point for point in spread.ends()))
