"""What a device delivers for what it takes: FLOP/s per watt, FLOP per dollar, FLOP per kg of its making."""

from __future__ import annotations

from typing import Any

from scaleplan.footprint.embodied import HOURS_PER_YEAR


def flops_per_joule(flops_per_s: Any, power_w: Any) -> Any:
    """FLOP/s per watt, which is FLOP per joule: flops_per_s / power_w."""
    return flops_per_s / power_w


def flops_per_usd(flops_per_s: Any, usd_per_device_hour: Any) -> Any:
    """FLOP that a dollar of rent buys: flops_per_s * 3600 / usd_per_device_hour."""
    return flops_per_s * 3600 / usd_per_device_hour


def flops_per_embodied_kg(flops_per_s: Any, kgco2e_per_device: Any, lifetime_years: Any) -> Any:
    """FLOP over a whole life for a kg of CO2e of making the device: flops_per_s * lifetime / kgco2e_per_device."""
    return flops_per_s * lifetime_years * HOURS_PER_YEAR * 3600 / kgco2e_per_device
