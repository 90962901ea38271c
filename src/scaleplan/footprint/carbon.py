"""Watt-hours -> kg of CO2e, and the zone whose electricity it was.

Operational and location-based: emissions of the grid that the electricity came from, whatever certificates were bought.
Making the devices is not in it: `embodied` counts that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from scaleplan.errors import InputError, UnknownName
from scaleplan.footprint.energy import Energy
from scaleplan.wording import question

Zone = Mapping[str, str]
"""A row of presets/grid.csv."""
Scope = Literal["devices", "it", "facility"]

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


def in_scope(energy: Energy, scope: Scope) -> Any:
    """The energy that a scope counts; None where a meter did not tell it apart."""
    return {"devices": energy.devices_wh, "it": energy.it_wh, "facility": energy.facility_wh}[scope]


def find_zone(zones: Sequence[Zone], name: str) -> Zone:
    """The zone of a key (`us-east4`, `FRA`, `US-VA`), of a two-letter code (`FR`, `VA`) or of a name (`France`), in any case.

    Raises UnknownName with near names, and InputError for a code or name that two zones have.
    """
    asked = name.strip().lower()
    for zone in zones:
        if zone["zone"].lower() == asked:
            return zone
    found = coded(zones, asked) or [zone for zone in zones if zone["kind"] in KINDS_KNOWN_BY_NAME and zone["name"].lower() == asked]
    if len(found) > 1:
        keys = " or ".join(f"`{zone['zone']}` ({zone['name']}, {zone['kind']})" for zone in found)
        raise InputError(f"`{name}` stands for {len(found)} zones", hint=f"say {keys}")
    if not found:
        known = [zone["zone"].lower() for zone in zones]
        known += [zone["name"].lower() for zone in zones if zone["kind"] in KINDS_KNOWN_BY_NAME]
        raise UnknownName("region", name, known, where=f"list them with `{question('presets', 'grid')}`")
    return found[0]


RESERVED = {"uk": "gb"}
"""Two-letter codes that ISO 3166 reserves for a country of another code."""


def coded(zones: Sequence[Zone], asked: str) -> list[Zone]:
    """The country and the US state that a two-letter code stands for."""
    asked = RESERVED.get(asked, asked)
    if len(asked) != 2:
        return []
    return [zone for zone in zones if zone.get("iso2", "").lower() == asked or zone["zone"].lower() == f"us-{asked}"]
