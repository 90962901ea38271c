"""Device-hours -> watt-hours, in three scopes that must not be mixed.

    devices   what the accelerators draw
    it        devices with their share of host, fans and network: what a meter on the rack reads
    facility  it * PUE: what the data centre is billed for

Published figures differ in scope: some count devices at their rated power, some meter the rack, few say. Compare like with
like.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple


class Power(NamedTuple):
    """Average power of one device while it trains.

    device_w         the device alone
    system_w         with its share of host, fans and network, before the PUE
    device_standing  measured (on devices of this kind), estimate (from the rated power) or given
    system_standing  likewise; the sum of a measured and an estimated part is an estimate
    """

    device_w: Any
    system_w: Any
    device_standing: str = "estimate"
    system_standing: str = "estimate"


class Energy(NamedTuple):
    """Energy of a run in the three scopes; `devices_wh` is None where only the whole was metered."""

    devices_wh: Any
    it_wh: Any
    facility_wh: Any


def training_power(device: Mapping[str, Any], load_fraction: float, system_over_device: float) -> Power | None:
    """Power of a device in training, from its preset; None where neither a measurement nor a rated power is known.

        device_w = measured, else tdp_w * load_fraction
        system_w = measured, else device_w * system_over_device

    Sources: the preset's `power` and `measured_power`; the two factors are in presets/defaults.toml.
    """
    measured = device.get("measured_power", {})
    tdp_w = device.get("power", {}).get("tdp_w")
    device_w = measured.get("device_w", tdp_w and tdp_w * load_fraction)
    if device_w is None:
        return None
    system_w = measured.get("system_w", device_w * system_over_device)
    return Power(device_w, system_w, *("measured" if key in measured else "estimate" for key in ("device_w", "system_w")))


def run_energy(device_hours: Any, power: Power, pue: Any) -> Energy:
    """Energy of a run of so many device-hours.

        devices = device_hours * device_w
        it = device_hours * system_w
        facility = it * pue

    The final run only: development, failed runs and idle nodes can double it (morrison2025).
    """
    it_wh = device_hours * power.system_w
    return Energy(device_hours * power.device_w, it_wh, it_wh * pue)


def wh_per_million_tokens(system_w: Any, pue: Any, tokens_per_s_per_device: Any) -> Any:
    """Energy of the facility for a million tokens: system_w * pue / 3600 / tokens_per_s_per_device * 1e6.

    >>> wh_per_million_tokens(900.0, 1.2, 1000.0)
    300.0
    """
    return system_w * pue / 3600 / tokens_per_s_per_device * 1e6


def metered_energy(it_wh: Any, pue: Any) -> Energy:
    """Energy of a run whose racks were metered: facility = it * pue."""
    return Energy(None, it_wh, it_wh * pue)


def site_pue(pue: Mapping[str, Any], provider: str | None) -> float:
    """The PUE of a provider's data centres, else the usual one; `pue` is that table of presets/defaults.toml."""
    return float(pue["fleet"].get(provider, pue["pue"]))
