"""A budget of a run, whatever it is given in, as the FLOP that it buys on a device."""

from __future__ import annotations

from typing import Any

from scaleplan import library
from scaleplan.chain.cost_given import Given, Rate, costing, rate_inputs
from scaleplan.chain.cost_inputs import Defaults
from scaleplan.chain.run_cost import run_cost
from scaleplan.errors import InputError, UsageError
from scaleplan.wording import field, fields

BUDGETS = ("compute", "usd", "device_days", "energy_budget", "carbon_budget")
"""Fields that say how much a run may take; a time of given devices is one too."""
PAID_BY_THE_HOUR = {"usd": "usd", "energy_budget": "energy_wh", "carbon_budget": "kgco2e"}
"""Budget -> what a device-hour takes of it."""


def named_budgets(given: Given) -> list[str]:
    """The budgets that were given."""
    named = [name for name in BUDGETS if given.get(name) is not None]
    return named + (["deadline"] if is_time_of_devices(given) else [])


def is_time_of_devices(given: Given) -> bool:
    """Whether the time of given devices is what a run may take."""
    return given.get("deadline") is not None and given.get("n_devices") is not None


def budget_flops(given: Given, device: library.Preset, n_active_params: Any, defaults: Defaults) -> Any:
    """A budget in FLOP, dollars, device-days, energy, CO2e or time of given devices as FLOP (6 N D); None where none was given.

    Raises UsageError for several, but for what the time of given devices may cost: the smaller one is then the budget.
    """
    hours = paid_hours(given, device, defaults)
    if hours is None:
        return given.get("compute")
    return flops_in(hours, rate_inputs(given, device, n_active_params, "six_n", defaults))


def flops_in(hours: Any, rate: Rate) -> Any:
    """The FLOP of so many device-hours at the rate of one device."""
    return hours * 3600 * rate.peak_flops_per_s.value * rate.mfu.value * rate.goodput.value


def paid_hours(given: Given, device: library.Preset, defaults: Defaults) -> Any:
    """The device-hours that a budget pays for, the fewest of several; None of one in FLOP, and without a budget."""
    named = named_budgets(given)
    losses = ["loss"] if named and given.get("loss") is not None else []
    beside_time = "deadline" in named and not losses and "compute" not in named
    if len(named) + len(losses) > 1 and not beside_time:
        raise UsageError(f"{fields(*named, *losses)} are several budgets", hint="give one of them")
    if not named or "compute" in named:
        return None
    hours = [budget_hours(given, name, device, defaults) for name in named]
    return hours[0] if len(hours) == 1 else min(hours)


def budget_hours(given: Given, name: str, device: library.Preset, defaults: Defaults) -> Any:
    """The device-hours that a budget pays for."""
    if name == "device_days":
        return given["device_days"] * 24
    if name == "deadline":
        return given["deadline"] * given["n_devices"] / 3600
    if name == "carbon_budget" and given.get("grid_profile") is not None and given.get("start") is not None:
        words = f"the intensity over a run from its {field('start')} is known once its length is, and {field(name)} asks for the length"
        raise UsageError(words, hint=f"leave out {field('start')} for the mean of the year, or give {field('grid_intensity')}")
    one_hour = run_cost(costing({**given, "device_hours": 1.0}, device, defaults).inputs)
    spent = getattr(one_hour, PAID_BY_THE_HOUR[name])
    if not spent:
        what, way = ("price", "usd_per_device_hour") if name == "usd" else ("power", "device_power")
        raise InputError(f"no {what} of `{device.name}` is known", hint=f"give {field(way)}")
    return given[name] / spent
