"""Watt-hours -> kg of CO2e, and the zone whose electricity it was.

Operational and location-based: emissions of the grid that the electricity came from, whatever certificates were bought.
Making the devices is not in it; presets/hardware has `embodied.kgco2e` where a vendor has published it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from scaleplan.errors import InputError, UnknownName

Zone = Mapping[str, str]
"""A row of presets/grid.csv."""

KINDS_KNOWN_BY_NAME = ("country", "us-state", "cn-province", "world")
"""Zones that people call by name; cities of cloud regions and parts of a grid are not unique enough."""


def run_kgco2e(energy_wh: Any, kgco2e_per_kwh: Any) -> Any:
    """kg of CO2e of so much energy: energy_wh / 1000 * kgco2e_per_kwh. The scope is that of the energy.

    >>> run_kgco2e(433e6, 0.057)  # BLOOM: 433 MWh on the French grid are 24.7 t (luccioni2022)
    24681.0
    """
    return energy_wh / 1000 * kgco2e_per_kwh


def implied_kgco2e_per_kwh(kgco2e: Any, energy_wh: Any) -> Any:
    """Grid intensity that a published footprint stands for: kgco2e / (energy_wh / 1000). Implied, not measured."""
    return kgco2e / (energy_wh / 1000)


def find_zone(zones: Sequence[Zone], name: str) -> Zone:
    """The zone of a key (`us-east4`, `FRA`, `US-VA`) or of a name (`France`, `Virginia`), in any case of letters.

    Raises UnknownName with near names, and InputError for a name that two zones have.
    """
    asked = name.strip().lower()
    for zone in zones:
        if zone["zone"].lower() == asked:
            return zone
    named = [zone for zone in zones if zone["kind"] in KINDS_KNOWN_BY_NAME]
    found = [zone for zone in named if zone["name"].lower() == asked]
    if len(found) > 1:
        keys = " or ".join(f"`{zone['zone']}` ({zone['kind']})" for zone in found)
        raise InputError(f"`{name}` is the name of {len(found)} zones", hint=f"say {keys}")
    if not found:
        known = [zone["zone"].lower() for zone in zones] + [zone["name"].lower() for zone in named]
        raise UnknownName("region", name, known, where="list them with `scaleplan presets grid`")
    return found[0]
