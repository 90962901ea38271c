"""Emissions of making the devices, counted by the share of their lives that a run takes."""

from __future__ import annotations

from typing import Any

from scaleplan.units import SECONDS_PER_HOUR, SECONDS_PER_YEAR

HOURS_PER_YEAR = SECONDS_PER_YEAR / SECONDS_PER_HOUR


def run_embodied_kgco2e(device_hours: Any, kgco2e_per_device: Any, lifetime_years: Any) -> Any:
    """kg of CO2e of making the devices: kgco2e_per_device * device_hours / lifetime.

    kgco2e_per_device  cradle to gate, of what is to be counted: a device alone, or with its share of a server

    >>> round(run_embodied_kgco2e(30_840_000, 164, 4) / 1000)  # Llama 3.1 405B: tonnes of its H100s' boards
    144
    """
    return kgco2e_per_device * device_hours / (lifetime_years * HOURS_PER_YEAR)
