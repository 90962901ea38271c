"""The results of `cost`, as their JSON Schemas are made from them."""

from __future__ import annotations

from typing import Any, Literal

from typing_extensions import TypedDict  # pydantic reads this one on every Python

from scaleplan.questions.percentiles import Percentiles


class Priced(TypedDict):
    """What every shape has; null where it is not known."""

    n_devices: int | None
    device_hours: float | None
    device_days: float | None
    wall_s: float | None
    usd: float | None
    energy_devices_wh: float | None
    energy_it_wh: float | None
    energy_wh: float | None
    kgco2e_devices: float | None
    kgco2e_it: float | None
    kgco2e_facility: float | None
    kgco2e: float | None
    carbon_scope: Literal["devices", "it", "facility"]
    embodied_kgco2e: float | None
    water_l: float | None
    implied_kgco2e_per_kwh: float | None
    intervals: dict[str, Percentiles] | None
    rates: dict[str, float]
    side_by_side: list[dict[str, Any]] | None


class RunCost(Priced):
    """The cost of a run; FLOP are those of its convention, and the MFU is of them (an HFU of a hardware rate)."""

    kind: Literal["run"]
    training_flops: float
    flops_convention: str
    hardware_flops: float | None


class HoursCost(Priced):
    """The cost of device-hours."""

    kind: Literal["device_hours"]


class EnergyCost(Priced):
    """The emissions of a metered energy."""

    kind: Literal["energy"]
