"""The numbers of a plan as {value, p10, p50, p90, standing}, link by link."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from scaleplan.answer import Interval
from scaleplan.chain.run_cost import CostInputs, RunCost, standing_of
from scaleplan.chain.walk import Walk

Number = dict[str, Any]
COST_PATHS = {
    "run": ("wall_s", "device_hours", "device_days"),
    "money": ("usd",),
    "energy": ("energy_wh", "energy_it_wh", "energy_devices_wh"),
    "carbon": ("kgco2e", "embodied_kgco2e"),
    "water": ("water_l",),
}
"""Link -> quantities of the cost that are its numbers."""
SHORT = {"energy_wh": "wh", "energy_it_wh": "it_wh", "energy_devices_wh": "devices_wh"}
"""Quantities whose key in a link is shorter."""


def layout_links(whole: Walk) -> dict[str, Any]:
    """Layout, memory and step; their numbers are unknown without a layout."""
    step = whole.step
    keys = {"memory": ("peak_bytes", "capacity_bytes"), "step": ("step_s", "mfu", "hfu", "tokens_per_s_per_device")}
    if step is None:
        return {"layout": None} | {link: {key: number(None, None, "estimate") for key in names} for link, names in keys.items()}
    found = step.numbers()
    return {"layout": step.layout_text} | {
        link: {key: number(*found[key]) for key in names} | ({"verdict": step.verdict} if link == "memory" else {})
        for link, names in keys.items()
    }


FAILURES = ("goodput", "job_mtbf_s", "checkpoint_interval_s", "best_interval_s", "break_even_devices")


def failure_links(whole: Walk) -> dict[str, Any]:
    """Goodput of a run whose failure rate is known: of all others it is unknown, or in the rate of whole runs."""
    found = whole.failures
    return {key: number(None if found is None else getattr(found, key), None, "estimate") for key in FAILURES}


def count_standing(standing: str) -> str:
    """A count of what was given is exact."""
    return "exact" if standing == "given" else standing


def number(value: Any, interval: Interval | None, standing: str) -> Number:
    """A number of a plan; percentiles are null where it has no spread."""
    p10, p50, p90 = interval or (None, None, None)
    return {"value": value, "p10": p10, "p50": p50, "p90": p90, "standing": standing}


def cost_numbers(inputs: CostInputs, cost: RunCost, keys: Sequence[str], spread: Mapping[str, Interval]) -> dict[str, Any]:
    """The numbers of one link of the cost."""
    return {
        SHORT.get(key, key): number(value, spread.get(key), standing_of(key, inputs) if value is not None else "estimate")
        for key in keys
        for value in (getattr(cost, key),)
    }
