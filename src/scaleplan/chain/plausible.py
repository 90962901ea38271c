"""Runs that no one has seen the like of: more devices than any published run, or more years than a device serves."""

from __future__ import annotations

from scaleplan.answer import Caution
from scaleplan.chain.cost_inputs import Defaults
from scaleplan.chain.run_cost import CostInputs, hours_of
from scaleplan.numeric import is_number
from scaleplan.units import SECONDS_PER_HOUR, SECONDS_PER_YEAR
from scaleplan.wording import field


def implausible(inputs: CostInputs, defaults: Defaults) -> list[Caution]:
    """What is to be doubted of the size and the length of a run; nothing of arrays."""
    hours, n_devices = hours_of(inputs), inputs.n_devices
    if n_devices is None or not is_number(n_devices):
        return []
    found = too_many_devices(n_devices, defaults)
    return found + too_many_years(inputs, hours / n_devices) if is_number(hours) else found


def too_many_devices(n_devices: int, defaults: Defaults) -> list[Caution]:
    """More devices than a published run had: its efficiency and goodput are extrapolated."""
    largest = defaults["largest_run"]["n_devices"]
    if n_devices <= largest:
        return []
    factor = n_devices / largest
    message = (
        f"{n_devices:,} devices are {factor:,.3g}x the {largest:,} of the largest published run: "
        "what is known of efficiency, batch sizes and failures does not reach that far"
    )
    return [Caution("extrapolation", message, {"factor": factor, "n_devices": n_devices, "largest_n_devices": largest})]


def too_many_years(inputs: CostInputs, wall_hours: float) -> list[Caution]:
    """A run that outlives its devices."""
    years, life = wall_hours * SECONDS_PER_HOUR / SECONDS_PER_YEAR, inputs.device_lifetime_years.value
    if not is_number(life) or years <= life:
        return []
    message = f"a wall time of {years:,.3g} years is longer than a device serves ({life:g} years): more {field('n_devices')} are needed"
    return [Caution("wall-time", message, {"years": years, "device_lifetime_years": life})]
