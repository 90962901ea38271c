"""The numbers of a plan as {value, p10, p50, p90, standing}, link by link."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from scaleplan.answer import Interval
from scaleplan.chain.lifetime import together
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
    keys = {"memory": ("peak_bytes", "capacity_bytes", "usable_bytes"), "step": ("step_s", "mfu", "hfu", "tokens_per_s_per_device")}
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


def law_links(whole: Walk) -> dict[str, Any]:
    """The loss, and the accuracy on the task that was asked for by every law of it."""
    loss = {"law": whole.law.name, "loss_nats": number(whole.loss_nats, whole.loss_interval, "fitted")}
    if whole.tasks is None:
        return {"law": loss, "task": None}
    rows = [
        {
            "law": one.law.name,
            "family": one.law.family,
            "accuracy": number(one.accuracy, Interval(one.p10, one.accuracy, one.p90), "estimate"),
            "task_loss": number(one.task_loss, None, "fitted"),
            "chance": one.chance,
        }
        for one in whole.tasks.forecasts
    ]
    return {"law": loss, "task": {"task": whole.tasks.task, "accuracy": rows[0]["accuracy"], "forecasts": rows}}


SERVED = ("device_hours", "usd", "energy_wh", "energy_it_wh", "energy_devices_wh", "kgco2e", "embodied_kgco2e", "water_l")


def serving_links(whole: Walk, *, with_spread: bool = True) -> dict[str, Any]:
    """What serving the model for its lifetime takes, and training and serving together; null where no tokens are served."""
    found = whole.serving
    if found is None:
        return {"serving": None, "lifetime": None}
    on, served = found.hosted.on, found.hosted.served
    spread = found.intervals() if with_spread else {}
    rates = {key: Interval(*map(float, served.intervals[key])) for key in ("first_token_s", "per_token_s", "tokens_per_s_per_device")}
    serving: dict[str, Any] = {
        "hardware": on.device.name,
        "layout": on.layout.spelled(),
        "stack": on.engine.name,
        "precision": on.serving.weights.name,
        "bound": served.bound,
        "n_tokens": number(found.tokens, None, "given"),
        "n_requests": number(found.n_requests, None, "exact"),
        "n_devices": number(found.n_devices, None, "estimate"),
        "serving_s": number(found.serving_s, None, "exact"),
        "utilisation": number(found.utilisation, None, "estimate"),
        **{key: number(interval.p50, interval, "estimate") for key, interval in rates.items()},
        "usd_per_million_tokens": number(found.usd_per_million_tokens, spread.get("usd_per_million_tokens"), "estimate"),
        **cost_numbers(found.inputs, found.cost, SERVED, spread),
    }
    beside = sum(whole.other_usd.values())
    sums = together(whole.inputs, whole.cost, beside, found, with_spread=with_spread)
    weakest = {key: weaker(standing_of(key, found.inputs), standing_of(key, whole.inputs)) for key in sums if sums[key].value is not None}
    lifetime = {SHORT.get(key, key): number(one.value, one.interval, weakest.get(key, "estimate")) for key, one in sums.items()}
    return {"serving": serving, "lifetime": lifetime}


def weaker(*standings: str) -> str:
    """The standing of a sum: assumed where a part is, else an estimate."""
    return "assumed" if "assumed" in standings else "estimate"


def wall_rows(whole: Walk) -> list[dict[str, Any]] | None:
    """What stops the run from being larger, the wall that binds first; null where no devices and time are given."""
    if not whole.walls:
        return None
    return [
        {
            "name": wall.name,
            "used_fraction": wall.used_fraction,
            "value": wall.value,
            "limit": wall.limit,
            "unit": wall.unit,
            "binds": place == 0,
        }
        for place, wall in enumerate(whole.walls)
    ]


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
