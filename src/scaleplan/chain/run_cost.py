"""Compute -> device-hours -> dollars, energy, carbon and water, in numbers or arrays, and how sure each of them is.

run_cost(inputs)         every quantity, from the central values of the inputs
draws_of(inputs)         the draws of those quantities that are not known exactly, over their central values
FORMULAS, inputs_of      what a line shows of a quantity: its formula, and the number of each name in it
standing_of              the least sure input behind a quantity
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from scaleplan.answer import Interval
from scaleplan.arithmetic import names_in
from scaleplan.chain.spread import Factors, Spread, factors, interval_of, over, sum_of, times
from scaleplan.footprint.carbon import Scope, implied_kgco2e_per_kwh, in_scope, run_kgco2e
from scaleplan.footprint.embodied import HOURS_PER_YEAR, run_embodied_kgco2e
from scaleplan.footprint.energy import Energy, Power, metered_energy, run_energy
from scaleplan.footprint.price import run_usd
from scaleplan.footprint.water import run_water_l
from scaleplan.machine.run_time import device_hours


class Input(NamedTuple):
    """A number that a question gives or that is assumed for it.

    standing  exact, given, published, measured, fitted, estimate or assumed
    spread    how it is spread about its value; None where it is taken as known
    formula   how it follows from `inputs`, where it was worked out from them
    """

    value: Any
    standing: str = "given"
    sources: tuple[str, ...] = ()
    spread: Spread | None = None
    formula: str | None = None
    inputs: Mapping[str, Any] = {}


class CostInputs(NamedTuple):
    """What the cost of a run follows from. One of `training_flops`, `device_hours` and `energy_it_wh` is given; None is unknown.

    training_flops          model FLOP of the run
    hardware_flops          with the recomputed ones, where the rate counts them; None for a rate of model FLOP
    peak_flops_per_s, mfu   the rate of one device, of the kind that is counted (HFU beside hardware_flops); its spread is that of `mfu`
    goodput                 share of the wall time in which the run advances; 1 where the rate is of the whole run
    device_power_w          average power of one device
    host_power_w            its share of host, fans and network; None where `system_power_w` is given
    system_power_w          device and host together, where they are given together
    site_l_per_kwh, plant_l_per_kwh  water of cooling for a kWh of the computers, of generation for a kWh of the facility
    """

    training_flops: Input | None = None
    hardware_flops: Input | None = None
    peak_flops_per_s: Input | None = None
    mfu: Input | None = None
    goodput: Input = Input(1.0, "exact")
    device_hours: Input | None = None
    energy_it_wh: Input | None = None
    n_devices: Any = None
    usd_per_device_hour: Input | None = None
    device_power_w: Input | None = None
    host_power_w: Input | None = None
    system_power_w: Input | None = None
    pue: Input = Input(1.0)
    kgco2e_per_kwh: Input = Input(0.0)
    carbon_scope: Scope = "facility"
    kgco2e_per_device: Input | None = None
    device_lifetime_years: Input = Input(4.0, "assumed")
    site_l_per_kwh: Input | None = None
    plant_l_per_kwh: Input | None = None
    published_kgco2e: Input | None = None


class RunCost(NamedTuple):
    """Every quantity of a run, by its key in the result; None where something it needs is unknown."""

    device_hours: Any = None
    device_days: Any = None
    wall_s: Any = None
    usd: Any = None
    energy_devices_wh: Any = None
    energy_it_wh: Any = None
    energy_wh: Any = None
    kgco2e_devices: Any = None
    kgco2e_it: Any = None
    kgco2e_facility: Any = None
    kgco2e: Any = None
    embodied_kgco2e: Any = None
    water_l: Any = None
    implied_kgco2e_per_kwh: Any = None


ENERGY_OF_SCOPE: Mapping[Scope, str] = {"devices": "energy_devices_wh", "it": "energy_it_wh", "facility": "energy_wh"}
FORMULAS: Mapping[str, str] = {
    "device_hours": "training_flops / (peak_flops_per_s * mfu * goodput) / 3600",
    "device_days": "device_hours / 24",
    "wall_s": "device_hours * 3600 / n_devices",
    "usd": "device_hours * usd_per_device_hour",
    "energy_devices_wh": "device_hours * device_power_w",
    "energy_it_wh": "device_hours * system_power_w",
    "energy_wh": "energy_it_wh * pue",
    "kgco2e_devices": "energy_devices_wh / 1000 * kgco2e_per_kwh",
    "kgco2e_it": "energy_it_wh / 1000 * kgco2e_per_kwh",
    "kgco2e_facility": "energy_wh / 1000 * kgco2e_per_kwh",
    "embodied_kgco2e": f"kgco2e_per_device * device_hours / (device_lifetime_years * {HOURS_PER_YEAR:g})",
    "water_l": "energy_it_wh / 1000 * site_l_per_kwh + energy_wh / 1000 * plant_l_per_kwh",
}
"""Formula of each quantity in names of inputs and of other quantities; `formula_of` adds those that depend on the scope."""

INPUT_OF = {"hfu": "mfu"}
"""Name in a formula -> its input, where they differ: a rate of hardware FLOP is an HFU."""


def run_cost(inputs: CostInputs) -> RunCost:
    """Every quantity of a run, from the central values."""
    hours, energy = hours_of(inputs), energy_of(inputs)
    carbon = [None if wh is None else run_kgco2e(wh, inputs.kgco2e_per_kwh.value) for wh in energy]
    counted = in_scope(energy, inputs.carbon_scope)
    published, made = inputs.published_kgco2e, inputs.kgco2e_per_device
    return RunCost(
        device_hours=hours,
        device_days=None if hours is None else hours / 24,
        wall_s=None if hours is None or inputs.n_devices is None else hours * 3600 / inputs.n_devices,
        usd=None if hours is None or inputs.usd_per_device_hour is None else run_usd(hours, inputs.usd_per_device_hour.value),
        energy_devices_wh=energy.devices_wh,
        energy_it_wh=energy.it_wh,
        energy_wh=energy.facility_wh,
        kgco2e_devices=carbon[0],
        kgco2e_it=carbon[1],
        kgco2e_facility=carbon[2],
        kgco2e=None if counted is None else run_kgco2e(counted, inputs.kgco2e_per_kwh.value),
        embodied_kgco2e=None
        if hours is None or made is None
        else run_embodied_kgco2e(hours, made.value, inputs.device_lifetime_years.value),
        water_l=water_of(inputs, energy),
        implied_kgco2e_per_kwh=None if published is None or counted is None else implied_kgco2e_per_kwh(published.value, counted),
    )


def hours_of(inputs: CostInputs) -> Any:
    """Device-hours as given, else of the FLOP at the rate; None where neither is known."""
    if inputs.device_hours is not None:
        return inputs.device_hours.value
    flops = inputs.hardware_flops or inputs.training_flops
    if flops is None or inputs.peak_flops_per_s is None or inputs.mfu is None:
        return None
    return device_hours(flops.value, inputs.peak_flops_per_s.value * inputs.mfu.value, inputs.goodput.value)


def power_of(inputs: CostInputs) -> Power | None:
    """Power of a device alone and with its host; None where one of them is unknown."""
    if inputs.device_power_w is None:
        return None
    device_w = inputs.device_power_w.value
    if inputs.system_power_w is not None:
        return Power(device_w, inputs.system_power_w.value)
    return None if inputs.host_power_w is None else Power(device_w, device_w + inputs.host_power_w.value)


def energy_of(inputs: CostInputs) -> Energy:
    """Energy in the three scopes, as metered or of the device-hours."""
    if inputs.energy_it_wh is not None:
        return metered_energy(inputs.energy_it_wh.value, inputs.pue.value)
    hours, power = hours_of(inputs), power_of(inputs)
    return Energy(None, None, None) if hours is None or power is None else run_energy(hours, power, inputs.pue.value)


def counted_wh(inputs: CostInputs, cost: RunCost) -> Any:
    """The energy whose CO2e is counted: that of the scope."""
    return getattr(cost, ENERGY_OF_SCOPE[inputs.carbon_scope])


def water_of(inputs: CostInputs, energy: Energy) -> Any:
    """Litres at the site and at the power plants; None where one of the two rates is unknown."""
    site, plant = inputs.site_l_per_kwh, inputs.plant_l_per_kwh
    if site is None or plant is None or energy.it_wh is None:
        return None
    return run_water_l(energy.it_wh, energy.facility_wh, site.value, plant.value)


# How sure.


def draws_of(inputs: CostInputs) -> dict[str, Factors]:
    """Draws of each quantity over its central value, for one run; a quantity that no spread reaches is left out."""
    hours = over(times(drawn(inputs.mfu), drawn(inputs.goodput))) if inputs.device_hours is None else drawn(inputs.device_hours)
    device, system = power_draws(inputs)
    devices, it = times(hours, device), times(hours, system)
    if inputs.energy_it_wh is not None:
        hours = devices = it = None
    facility, grid = times(it, drawn(inputs.pue)), drawn(inputs.kgco2e_per_kwh)
    carbon = {"kgco2e_devices": times(devices, grid), "kgco2e_it": times(it, grid), "kgco2e_facility": times(facility, grid)}
    draws = {
        "device_hours": hours,
        "device_days": hours,
        "wall_s": hours,
        "usd": times(hours, drawn(inputs.usd_per_device_hour)),
        "energy_devices_wh": devices,
        "energy_it_wh": it,
        "energy_wh": facility,
        **carbon,
        "kgco2e": carbon[f"kgco2e_{inputs.carbon_scope}"],
        "embodied_kgco2e": times(hours, drawn(inputs.kgco2e_per_device)),
        "water_l": water_draws(inputs, it, facility),
        "implied_kgco2e_per_kwh": over({"devices": devices, "it": it, "facility": facility}[inputs.carbon_scope]),
    }
    return {key: some for key, some in draws.items() if some is not None}


def intervals_of(inputs: CostInputs, cost: RunCost) -> dict[str, Interval]:
    """The 80 % interval of each quantity that has a value and a spread, by its key."""
    found = {key: interval_of(getattr(cost, key), draws) for key, draws in draws_of(inputs).items() if getattr(cost, key) is not None}
    return {key: interval for key, interval in found.items() if interval}


def drawn(given: Input | None) -> Factors | None:
    """The draws of an input over its value; None where it is taken as known."""
    return factors(given.spread) if given is not None and given.spread is not None else None


def power_draws(inputs: CostInputs) -> tuple[Factors | None, Factors | None]:
    """The draws of a device's power, and of its power with the host."""
    device, host, system = inputs.device_power_w, inputs.host_power_w, inputs.system_power_w
    if device is None or (host is None and system is None):
        return None, None
    together = drawn(system) if host is None else sum_of((device.value, drawn(device)), (host.value, drawn(host)))
    return drawn(device), together


def water_draws(inputs: CostInputs, it: Factors | None, facility: Factors | None) -> Factors | None:
    """The draws of the water at the site and at the power plants together."""
    energy, site, plant = energy_of(inputs), inputs.site_l_per_kwh, inputs.plant_l_per_kwh
    if site is None or plant is None or energy.it_wh is None:
        return None
    at_site, at_plant = energy.it_wh * site.value, energy.facility_wh * plant.value
    return sum_of((at_site, times(it, drawn(site))), (at_plant, times(facility, drawn(plant)))) if at_site + at_plant else None


# What a line shows.


def formula_of(key: str, inputs: CostInputs) -> str | None:
    """The formula of a quantity; None where it is given and nothing is computed."""
    counted = ENERGY_OF_SCOPE[inputs.carbon_scope]
    if getattr(inputs, key, None) is not None:
        return None
    if key == "device_hours" and inputs.hardware_flops is not None:
        return FORMULAS[key].replace("training_flops", "hardware_flops").replace("mfu", "hfu")
    if key == "kgco2e":
        return f"{counted} / 1000 * kgco2e_per_kwh"
    if key == "implied_kgco2e_per_kwh":
        return f"published_kgco2e / ({counted} / 1000)"
    return FORMULAS[key]


def inputs_of(key: str, inputs: CostInputs, cost: RunCost) -> dict[str, Any] | None:
    """The number of each name in a quantity's formula; None where nothing is computed."""
    formula = formula_of(key, inputs)
    return None if formula is None else {name: number_of(name, inputs, cost) for name in names_in(formula)}


def number_of(name: str, inputs: CostInputs, cost: RunCost) -> Any:
    """The number that a name of a formula stands for: a quantity's, or an input's."""
    if name == "system_power_w" and inputs.system_power_w is None:
        power = power_of(inputs)
        return power and power.system_w
    found = getattr(cost, name) if name in cost._fields else getattr(inputs, INPUT_OF.get(name, name))
    return found.value if isinstance(found, Input) else found


def behind(key: str, inputs: CostInputs) -> Iterator[Input]:
    """Every input that a quantity follows from, directly or through another quantity."""
    yield from named_inputs(key, inputs)
    for name in names_in(formula_of(key, inputs) or ""):
        if name in RunCost._fields:
            yield from behind(name, inputs)


def named_inputs(key: str, inputs: CostInputs) -> Iterator[Input]:
    """The inputs that the formula of a quantity names; the quantity itself where it is given."""
    formula = formula_of(key, inputs)
    for name in [key] if formula is None else names_in(formula):
        summed = name == "system_power_w" and inputs.system_power_w is None
        parts = ("device_power_w", "host_power_w") if summed else (INPUT_OF.get(name, name),)
        yield from (found for part in parts if isinstance(found := getattr(inputs, part, None), Input))


def standing_of(key: str, inputs: CostInputs) -> str:
    """How sure a quantity is: given as it stands, exact arithmetic on what is given, an estimate, or assumed."""
    if formula_of(key, inputs) is None:
        return str(getattr(inputs, key).standing)
    standings = {given.standing for given in behind(key, inputs)}
    return "assumed" if "assumed" in standings else "exact" if standings <= {"exact", "given"} else "estimate"
