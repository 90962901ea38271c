"""The results of `cost`, as their JSON Schemas are made from them."""

from __future__ import annotations

from typing import Any, Literal

from typing_extensions import TypedDict  # pydantic reads this one on every Python

from scaleplan.questions.percentiles import Percentiles


class BestStart(TypedDict):
    """The hour of the year at which the run emits least; months and days are counted from 1, hours from 0."""

    month: int
    day: int
    hour: int
    kgco2e_per_kwh: float


class Calendar(TypedDict):
    """When the run is, and what its start does to its CO2e; null where no profile of the grid, or no start, was given."""

    start: str | None
    finish: str | None
    kgco2e_per_kwh: float | None
    year_kgco2e_per_kwh: float | None
    best_start: BestStart | None
    best_start_kgco2e: float | None
    saved_kgco2e: float | None


class Total(TypedDict):
    """The run with what was put in: trials, idle nodes, the making of the devices; null where nothing was."""

    includes: list[Literal["trials", "idle", "embodied"]]
    trial_share: float
    idle_share: float
    device_hours: float | None
    usd: float | None
    energy_wh: float | None
    kgco2e: float | None
    embodied_kgco2e: float | None
    intervals: dict[str, Percentiles] | None


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
    total: Total | None
    calendar: Calendar | None
    rates: dict[str, float]
    side_by_side: list[dict[str, Any]] | None


class RunCost(Priced):
    """The cost of a run; FLOP are those of its convention, and the MFU is of them (an HFU of a hardware rate)."""

    kind: Literal["run"]
    training_flops: float
    flops_convention: str
    hardware_flops: float | None


class CostedStep(TypedDict):
    """The step that the hours follow from, as `layout` prices it; `parts` are seconds that add up to `step_s`.

    is_complete  false where Ctrl-C ended the search for the layout
    """

    layout: str
    stack: str
    global_batch_size_seqs: int
    micro_batch_size_seqs: int
    recompute: str
    n_steps: int
    step_s: float
    step_s_p10: float
    step_s_p90: float
    mfu: float
    hfu: float
    tokens_per_s_per_device: float
    peak_bytes: int
    peak_bytes_p10: int
    peak_bytes_p90: int
    capacity_bytes: int
    verdict: str
    parts: dict[str, float]
    is_complete: bool


class LayoutCost(Priced):
    """The cost of a run under a layout: device-hours are those of its steps, over the goodput."""

    kind: Literal["layout"]
    training_flops: float
    flops_convention: str
    hardware_flops: float | None
    step: CostedStep


class HoursCost(Priced):
    """The cost of device-hours."""

    kind: Literal["device_hours"]


class EnergyCost(Priced):
    """The emissions of a metered energy."""

    kind: Literal["energy"]
