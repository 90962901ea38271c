"""What serving a model for its lifetime takes, from the tokens that it will read and write: devices, hours, dollars, energy, carbon."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from scaleplan import library
from scaleplan.answer import Interval
from scaleplan.chain.cost_given import costing
from scaleplan.chain.cost_inputs import Defaults
from scaleplan.chain.run_cost import CostInputs, Input, RunCost, draws_of, intervals_of, run_cost
from scaleplan.chain.serving import Hosted, serve_given
from scaleplan.chain.spread import interval_of, sum_of, within
from scaleplan.errors import UsageError
from scaleplan.machine.serving import fleet
from scaleplan.model.bill import bill_of
from scaleplan.model.items import Bill
from scaleplan.model_files import Model
from scaleplan.wording import field, fields

Given = Mapping[str, Any]
RENAMED = {
    "serving_hardware": "hardware",
    "serving_layout": "layout",
    "serving_stack": "stack",
    "serving_precision": "precision",
}
"""Field of a plan -> what `serve` calls it."""
SAME = (
    "n_prompt_tokens", "n_output_tokens", "concurrency", "requests_per_s", "cache_precision", "cache_block_tokens", "cached_prefix",
    "chunked_prefill", "n_draft_tokens", "draft_acceptance", "draft_cost",
)  # fmt: skip
"""Fields of a plan that `serve` knows by the same name."""
FIELDS = (*RENAMED, *SAME, "serving_time", "serving_usd_per_device_hour")
OF_THE_TRAINING_DEVICE = ("usd_per_device_hour", "device_power", "system_power", "provider")
"""Fields that say something of the device that trains, and nothing of another one that serves."""
SUMS = ("device_hours", "usd", "energy_wh", "kgco2e", "embodied_kgco2e", "water_l")
"""Quantities of training and serving that add up."""


class Lifetime(NamedTuple):
    """Serving, from the first token to the last.

    tokens        read and written, of all requests
    n_requests    each of a prompt and its output
    n_devices     of the fleet that keeps up; of one deployment where nothing says how fast requests come
    serving_s     time over which they come; None where nothing says
    utilisation   of the fleet; None likewise
    """

    hosted: Hosted
    tokens: Any
    n_requests: Any
    n_devices: int
    serving_s: Any
    utilisation: float | None
    inputs: CostInputs
    cost: RunCost

    @property
    def usd_per_million_tokens(self) -> Any:
        """Dollars of a million output tokens."""
        output = self.n_requests * self.hosted.load.n_output_tokens
        return None if self.cost.usd is None else self.cost.usd / output * 1e6

    def assumed(self, given: Given) -> Iterator[str]:
        """How the model is served, and what was assumed of it, in sentences."""
        on, load = self.hosted.on, self.hosted.load
        devices = f"{on.layout.n_devices:,} x {on.device.name}, {on.layout.spelled()}"
        yield (
            f"Serving: {load.concurrency:,} sequences of {load.n_prompt_tokens:,} + {load.n_output_tokens:,} tokens on {devices}, "
            f"{on.serving.weights.name}, {on.engine.name}; {field('inference_tokens')} counts prompts and outputs."
        )
        if self.serving_s is None:
            ways = fields("serving_time", "requests_per_s", joined=" or ")
            yield f"No {ways}: devices that are always busy, those of one deployment; a fleet that waits for requests costs more."
        idle = [name for name in OF_THE_TRAINING_DEVICE if given.get(name) is not None]
        if idle and on.device.name != given["hardware"]:
            yield f"{fields(*idle, joined=', ')} is of {given['hardware']}, which trains, not of {on.device.name}."

    def intervals(self) -> dict[str, Interval]:
        """The 80 % interval of each quantity of the cost, and of dollars for a million tokens, which go with them."""
        found = intervals_of(self.inputs, self.cost)
        if "usd" in found and self.cost.usd:
            found["usd_per_million_tokens"] = found["usd"].scaled(self.usd_per_million_tokens / self.cost.usd)
        return found


def lifetime_of(given: Given, model: Model | None, device: library.Preset, defaults: Defaults) -> Lifetime | None:
    """The serving of a plan; None of one that says no tokens to be served.

    device  that trains, and serves unless another one is named
    Raises UsageError where something of serving is said and the tokens are not.
    """
    tokens = given.get("inference_tokens")
    if tokens is None:
        said = [name for name in FIELDS if given.get(name) is not None]
        if said:
            raise UsageError(f"{fields(*said)} needs {field('inference_tokens')}", hint=f"add {field('inference_tokens')}: 10T")
        return None
    if model is None:
        raise UsageError(f"{field('inference_tokens')} needs an architecture", hint=f"give {field('model')} or {field('target')}")
    return served_for_life(given, tokens, bill_of(model.arch), device, defaults)


def served_for_life(given: Given, tokens: Any, bill: Bill, device: library.Preset, defaults: Defaults) -> Lifetime:
    """The deployment, the fleet of them, and what its hours take.

    requests = tokens / (prompt + output)
    device-hours = requests * seconds of a batch / concurrency * devices of a deployment / 3600, of devices that are always busy
    device-hours = devices of the fleet * time, where a rate of requests or a time says how many keep up
    """
    on = device if given.get("serving_hardware") is None else library.load("hardware", given["serving_hardware"])
    asked: dict[str, Any] = {"hardware": on.name, **{name: given[name] for name in SAME if given.get(name) is not None}}
    asked |= {name: given[mine] for mine, name in RENAMED.items() if given.get(mine) is not None}
    hosted = serve_given(asked, bill)
    load = hosted.load
    n_requests = tokens / (load.n_prompt_tokens + load.n_output_tokens)
    rate, seconds = pace(given, n_requests)
    if rate is None:
        n_devices, utilisation = int(hosted.on.layout.n_devices), None
        hours = busy_hours(hosted, n_requests)
    else:
        keeps_up = fleet(hosted.served.times, int(load.concurrency), rate)
        n_devices, utilisation = keeps_up.n_devices, keeps_up.utilisation
        hours = hours_input(hosted, n_devices * seconds / 3600, rate)
    inputs = costing({**of_device(given, device, on), "device_hours": hours.value}, on, defaults).inputs
    inputs = inputs._replace(device_hours=hours, n_devices=n_devices)
    return Lifetime(hosted, tokens, n_requests, n_devices, seconds, utilisation, inputs, run_cost(inputs))


def pace(given: Given, n_requests: Any) -> tuple[Any, Any]:
    """Requests a second and seconds in which they come; both None where nothing says.

    Raises UsageError where both were given: with the tokens, one fixes the other.
    """
    rate, seconds = given.get("requests_per_s"), given.get("serving_time")
    if rate is not None and seconds is not None:
        both = fields("inference_tokens", "requests_per_s", "serving_time", joined=", ")
        raise UsageError(f"{both}: two of them fix the third", hint=f"leave out {fields('requests_per_s', 'serving_time', joined=' or ')}")
    if rate is not None:
        return rate, n_requests / rate
    return (None, None) if seconds is None else (n_requests / seconds, seconds)


def busy_hours(hosted: Hosted, n_requests: Any) -> Input:
    """Device-hours of devices that are always busy; they go with the seconds of a batch."""
    load, served, engine = hosted.load, hosted.served, hosted.on.engine
    n_devices = int(hosted.on.layout.n_devices)
    named = {"n_requests": n_requests, "batch_s": float(served.times.batch_s), "concurrency": load.concurrency, "n_devices": n_devices}
    hours = n_requests * named["batch_s"] / load.concurrency * n_devices / 3600
    spread = within("serving", 1.0, 1 / engine.factor_p90, 1 / engine.factor_p10)
    return Input(hours, "estimate", engine.sources, spread, "n_requests * batch_s / concurrency * n_devices / 3600", named)


def hours_input(hosted: Hosted, hours: Any, rate: float) -> Input:
    """Device-hours of a fleet; its devices go with the rate of each deployment, in whole deployments."""
    times, engine, concurrency = hosted.served.times, hosted.on.engine, int(hosted.load.concurrency)
    few, usual, many = (fleet(times, concurrency, rate / factor).n_devices for factor in (engine.factor_p90, 1.0, engine.factor_p10))
    return Input(hours, "estimate", engine.sources, within("serving", usual, few, many))


def of_device(given: Given, trains: library.Preset, serves: library.Preset) -> Given:
    """What a plan says of price, power and site, as far as it holds for the device that serves."""
    kept = {name: value for name, value in given.items() if serves.name == trains.name or name not in OF_THE_TRAINING_DEVICE}
    price = given.get("serving_usd_per_device_hour")
    return kept if price is None else {**kept, "usd_per_device_hour": price, "provider": None, "price_term": None}


class Sum(NamedTuple):
    """A quantity of training and serving together; None where one of them is unknown."""

    value: Any
    interval: Interval | None


def together(inputs: CostInputs, cost: RunCost, beside_usd: Any, serving: Lifetime, *, with_spread: bool = True) -> dict[str, Sum]:
    """Each quantity of training and serving, added row by row of their draws: what moves both moves the sum.

    beside_usd   dollars of training beside its devices
    with_spread  whether there are draws: not of arrays
    """
    of_training = draws_of(inputs) if with_spread else {}
    of_serving = draws_of(serving.inputs) if with_spread else {}
    found = {}
    for key in SUMS:
        one, other = getattr(cost, key), getattr(serving.cost, key)
        if one is None or other is None:
            found[key] = Sum(None, None)
            continue
        beside = beside_usd if key == "usd" else 0.0
        total = one + other + beside
        draws = sum_of((one, of_training.get(key)), (other, of_serving.get(key)), (beside, None)) if with_spread else None
        found[key] = Sum(total, interval_of(total, draws))
    return found
