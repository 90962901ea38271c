"""Each number of a served load with its formula: work and seconds of both passes, rates, dollars, energy, the fleet."""

from __future__ import annotations

from typing import Any

from scaleplan.answer import Interval, Line, line
from scaleplan.chain.cost_inputs import PowerInputs
from scaleplan.chain.run_cost import Input
from scaleplan.chain.serving import ServedLoad
from scaleplan.chain.spread import Factors, Spread, factors, interval_of, over, sum_of, times
from scaleplan.footprint.energy import wh_per_million_tokens
from scaleplan.footprint.price import usd_per_million_tokens
from scaleplan.machine.serving import Load
from scaleplan.machine.serving_pass import Deployment, Engine, PassTime, PassWork
from scaleplan.questions.priced import Money

BOOK = ("scaling-book",)


def lines_of(on: Deployment, load: Load, served: ServedLoad, money: Money) -> list[Line]:
    """Every line, inputs before what follows from them."""
    rates = rate_lines(on)
    passes = [*pass_lines(on, "prefill", served.times.prefill, served.times.prefill_work)]
    passes += pass_lines(on, "decode", served.times.decode, served.times.decode_work)
    total = served_lines(on, load, served)
    rate = next(one for one in total if one.key == "tokens_per_s_per_device")
    found = [*rates, *passes, *total, *money_lines(on.engine, rate, money), *memory_lines(on, served)]
    return found + fleet_lines(served, money)


# ------------------------------------------------------------------------------------------------------------------- passes


def rate_lines(on: Deployment) -> list[Line]:
    """What the engine gets of the device's rates."""
    engine, narrow = on.engine, on.narrow_format
    peak = on.device.peak_flops_per_s(narrow) if narrow else on.wide_flops_per_s
    share = engine.narrow_product if narrow else engine.product
    said: dict[str, Any] = {"sources": engine.sources, "standing": "fitted"}
    known: dict[str, Any] = {"standing": "published"}
    bandwidth = on.device.memory_bytes_per_s
    return [
        line("rates.product_peak_flops_per_s", "peak of the products' format", peak, "FLOP/s", **known),
        line("rates.product_share", "share of it in products", share, "fraction", **said),
        derived("rates.product_flops_per_s", "products", "FLOP/s", "product_peak_flops_per_s * product_share", peak, share),
        line("rates.attention_peak_flops_per_s", "16-bit peak", on.wide_flops_per_s, "FLOP/s", **known),
        line("rates.attention_share", "share of it in attention", engine.attention, "fraction", **said),
        derived(
            "rates.attention_flops_per_s", "attention", "FLOP/s", "attention_peak_flops_per_s * attention_share", on.wide_flops_per_s,
            engine.attention,
        ),
        line("rates.bandwidth_bytes_per_s", "memory bandwidth", bandwidth, "bytes/s", **known),
        line("rates.weights_share", "share of it in reading weights", engine.memory, "fraction", **said),
        derived("rates.weights_bytes_per_s", "weights", "bytes/s", "bandwidth_bytes_per_s * weights_share", bandwidth, engine.memory),
        line("rates.cache_share", "share of it in reading the cache", engine.cache, "fraction", **said),
        derived("rates.cache_bytes_per_s", "reading the cache", "bytes/s", "bandwidth_bytes_per_s * cache_share", bandwidth, engine.cache),
    ]  # fmt: skip


def derived(key: str, label: str, unit: str, formula: str, one: float, other: float) -> Line:
    """A rate as a peak times a share."""
    inputs = dict(zip(formula.split(" * "), (one, other), strict=True))
    return Line(key, label, one * other, unit, formula, inputs, standing="estimate")


def pass_lines(on: Deployment, name: str, one: PassTime, work: PassWork) -> list[Line]:
    """Work and seconds of one pass."""
    engine, tp = on.engine, on.layout.tp
    said: dict[str, Any] = {"standing": "estimate", "sources": BOOK}
    bandwidth = on.device.memory_bytes_per_s
    seconds = {key: float(value) for key, value in one._asdict().items()}
    found: list[Line] = [
        line(f"{name}.product_flops", f"{name}: products", float(work.product_flops), "FLOP", sources=BOOK),
        line(f"{name}.weight_bytes", f"{name}: weights read", float(work.weight_bytes), "bytes", sources=BOOK),
        line(f"{name}.attention_flops", f"{name}: attention", float(work.attention_flops), "FLOP", sources=BOOK),
        line(f"{name}.cache_bytes", f"{name}: cache read", float(work.cache_bytes), "bytes", sources=BOOK),
        line(f"{name}.traffic_bytes", f"{name}: element-wise traffic", float(work.traffic_bytes), "bytes", sources=BOOK),
    ]
    ratios: dict[str, tuple[str, dict[str, Any]]] = {
        "product_s": ("product_flops / (tp * product_flops_per_s)", {"tp": tp, "product_flops_per_s": on.product_flops_per_s}),
        "weights_s": ("weight_bytes / weights_bytes_per_s", {"weights_bytes_per_s": bandwidth * engine.memory}),
        "attention_s": (
            "attention_flops / (tp * attention_flops_per_s)",
            {"tp": tp, "attention_flops_per_s": on.wide_flops_per_s * engine.attention},
        ),
        "cache_s": ("cache_bytes / cache_bytes_per_s", {"cache_bytes_per_s": bandwidth * engine.cache}),
        "traffic_s": ("traffic_bytes / bandwidth_bytes_per_s", {"bandwidth_bytes_per_s": bandwidth}),
    }
    counts = {key: float(value) for key, value in work._asdict().items()}
    for key, (formula, inputs) in ratios.items():
        counted_key = formula.split(" ")[0]
        own: dict[str, Any] = {counted_key: counts[counted_key], **inputs}
        found.append(line(f"{name}.{key}", f"{name}: {key.removesuffix('_s')}", seconds[key], "s", formula, **said, **own))
    return [*found, *host_lines(on, name, seconds), *sum_lines(name, seconds, float(one.device_s), float(one.total_s))]


def host_lines(on: Deployment, name: str, seconds: dict[str, float]) -> list[Line]:
    """Network, launches, and what is outside the layers."""

    layers, engine = int(on.bill.n_layers), on.engine
    launches: dict[str, Any] = {"layer_s": engine.layer_s, "n_layers": layers}
    return [
        line(f"{name}.network_s", f"{name}: network", seconds["network_s"], "s", sources=BOOK, standing="estimate"),
        line(
            f"{name}.launch_s", f"{name}: kernel launches", seconds["launch_s"], "s", "layer_s * n_layers", standing="estimate", **launches
        ),
        line(f"{name}.step_s", f"{name}: sampling, scheduling", seconds["step_s"], "s", sources=engine.sources, standing="fitted"),
    ]


def sum_lines(name: str, seconds: dict[str, float], device_s: float, total_s: float) -> list[Line]:
    """The device's seconds, and those of the pass."""
    parts: dict[str, Any] = {key: seconds[key] for key in ("product_s", "weights_s", "attention_s", "cache_s", "traffic_s", "network_s")}
    whole = "max(product_s, weights_s) + max(attention_s, cache_s) + traffic_s + network_s"
    beside: dict[str, Any] = {"device_s": device_s, "launch_s": seconds["launch_s"], "step_s": seconds["step_s"]}
    return [
        line(f"{name}.device_s", f"{name}: the device", device_s, "s", whole, standing="estimate", **parts),
        line(
            f"{name}.total_s", f"{name}: the pass", total_s, "s", "(device_s ** 4 + launch_s ** 4) ** 0.25 + step_s", standing="estimate",
            **beside,
        ),
    ]  # fmt: skip


# -------------------------------------------------------------------------------------------------------------------- load


def served_lines(on: Deployment, load: Load, served: ServedLoad) -> list[Line]:
    """Times and rates of the batch."""
    found, engine = served.times, on.engine
    prompt: dict[str, Any] = {"n_output_tokens": load.n_output_tokens}
    times_of_batch: dict[str, Any] = {"first_token_s": float(found.first_token_s), "per_token_s": float(found.per_token_s), **prompt}
    batch_s, rate = float(found.batch_s), float(found.tokens_per_s_per_device)
    work: dict[str, Any] = {"concurrency": load.concurrency, **prompt, "batch_s": batch_s, "n_devices": int(on.layout.n_devices)}
    first, later = first_token(on, load, served), per_token(on, load, served)
    ready: dict[str, Any] = {"concurrency": load.concurrency, "batch_s": batch_s}
    slower = time_factors(engine)
    return [
        *(later, first),
        line(
            "batch_s", "the whole batch", batch_s, "s", "first_token_s + (n_output_tokens - 1) * per_token_s", standing="estimate",
            interval=interval_of(batch_s, slower), **times_of_batch,
        ),
        line(
            "requests_per_s", "requests that one deployment answers", load.concurrency / batch_s, "1/s", "concurrency / batch_s",
            standing="estimate", interval=interval_of(load.concurrency / batch_s, rate_factors(engine)), **ready,
        ),
        line(
            "tokens_per_s_per_device", "output tokens a second and device", rate, "tokens/s",
            "concurrency * n_output_tokens / batch_s / n_devices", sources=engine.sources, standing="estimate",
            interval=interval_of(rate, rate_factors(engine)), **work,
        ),
    ]  # fmt: skip


def rate_factors(engine: Engine) -> Factors:
    """Measured rates over predicted ones."""
    return factors(Spread("serving", engine.factor_p10, engine.factor_p90))


def time_factors(engine: Engine) -> Factors | None:
    """Measured times over predicted ones."""
    return over(rate_factors(engine))


def first_token(on: Deployment, load: Load, served: ServedLoad) -> Line:
    """Seconds until every sequence has its first token."""
    stages, hop = int(on.layout.pp), on.engine.collective_s
    formula = "prefill_total_s"
    inputs: dict[str, Any] = {"prefill_total_s": float(served.times.prefill.total_s)}
    if stages > 1:
        formula, inputs = "prefill_total_s * (2 * pp - 1) / pp + (pp - 1) * hop_s", {**inputs, "pp": stages, "hop_s": hop}
    if load.chunked_prefill:
        formula = "per_token_s * max(1, n_output_tokens / concurrency)"
        inputs = {"per_token_s": float(served.times.per_token_s), "n_output_tokens": load.n_output_tokens, "concurrency": load.concurrency}
    value = float(served.times.first_token_s)
    said = interval_of(value, time_factors(on.engine))
    return line("first_token_s", "time to first token", value, "s", formula, standing="estimate", interval=said, **inputs)


def per_token(on: Deployment, load: Load, served: ServedLoad) -> Line:
    """Seconds of each later token."""
    formula = "decode_total_s"
    inputs: dict[str, Any] = {"decode_total_s": float(served.times.decode.total_s)}
    if on.layout.pp > 1:
        formula, inputs = "(decode_total_s + (pp - 1) * hop_s)", {**inputs, "pp": int(on.layout.pp), "hop_s": on.engine.collective_s}
    if (drafted := load.speculation) is not None:
        kept = "n_draft_tokens + 1" if drafted.acceptance == 1 else "(1 - acceptance ** (n_draft_tokens + 1)) / (1 - acceptance)"
        formula += f" * (1 + n_draft_tokens * draft_cost) / ({kept})"
        inputs |= {"n_draft_tokens": drafted.n_draft, "draft_cost": drafted.draft_cost}
        inputs |= {} if drafted.acceptance == 1 else {"acceptance": drafted.acceptance}
    value = float(served.times.per_token_s)
    said = interval_of(value, time_factors(on.engine))
    return line(
        "per_token_s", "time per output token", value, "s", formula, sources=load.sources, standing="estimate", interval=said, **inputs
    )


# ------------------------------------------------------------------------------------------------------------ money, energy


def money_lines(engine: Engine, rate: Line, money: Money) -> list[Line]:
    """Dollars and energy of a million output tokens; their intervals join the rate's with those of price, power and PUE."""
    found, slower = [], time_factors(engine)
    if (price := money.usd) is not None:
        value = usd_per_million_tokens(price.value, rate.value)
        inputs: dict[str, Any] = {"usd_per_device_hour": price.value, "tokens_per_s_per_device": rate.value}
        said = interval_of(value, times(slower, drawn(price)))
        formula = "usd_per_device_hour / 3600 / tokens_per_s_per_device * 1e6"
        found.append(
            line("usd_per_device_hour", "price of a device-hour", price.value, "usd", sources=price.sources, standing=price.standing)
        )
        found.append(
            line("usd_per_million_tokens", "a million output tokens", value, "usd", formula, standing="estimate", interval=said, **inputs)
        )
    return found + energy_lines(rate, money, slower)


def drawn(one: Input) -> Factors | None:
    """The draws of an input; None where it is taken as known."""
    return None if one.spread is None else factors(one.spread)


def energy_lines(rate: Line, money: Money, slower: Factors | None) -> list[Line]:
    """Energy of a million output tokens, host, network and facility included."""
    if money.power is None:
        return []
    parts, draws = power_lines(money.power)
    system_w = parts[-1].value
    value = wh_per_million_tokens(system_w, money.pue.value, rate.value)
    inputs: dict[str, Any] = {"system_power_w": system_w, "pue": money.pue.value, "tokens_per_s_per_device": rate.value}
    said = interval_of(value, times(slower, draws, drawn(money.pue)))
    formula = "system_power_w * pue / 3600 / tokens_per_s_per_device * 1e6"
    return [
        *parts,
        line("pue", "facility energy over that of computers", money.pue.value, "", sources=money.pue.sources, standing=money.pue.standing),
        line(
            "wh_per_million_tokens", "energy of a million output tokens", value, "Wh", formula, standing="estimate", interval=said, **inputs
        ),
    ]


def power_lines(power: PowerInputs) -> tuple[list[Line], Factors | None]:
    """Power of a device with its share of host and network, the last line, and its draws."""

    def given(key: str, label: str, one: Input) -> Line:
        return line(key, label, one.value, "W", sources=one.sources, standing=one.standing)

    if power.system_power_w is not None:
        return [given("system_power_w", "a device with its share of host and network", power.system_power_w)], drawn(power.system_power_w)
    device, host = power.device_power_w, power.host_power_w
    assert device is not None and host is not None
    both: dict[str, Any] = {"device_power_w": device.value, "host_power_w": host.value}
    lines = [given("device_power_w", "a device", device), given("host_power_w", "its share of host and network", host)]
    label, formula = "a device with its share of both", "device_power_w + host_power_w"
    whole = line("system_power_w", label, power.system_w, "W", formula, standing="estimate", **both)
    return [*lines, whole], sum_of((device.value, drawn(device)), (host.value, drawn(host)))


def memory_lines(on: Deployment, served: ServedLoad) -> list[Line]:
    """Bytes of one device, and how much more would fit."""
    memory = served.memory
    parts: dict[str, Any] = {
        f"{part}_bytes": int(getattr(memory, f"{part}_bytes")) for part in ("weights", "kv_cache", "workspace", "context")
    }
    return [
        line("weights_bytes", "weights, on each device", parts["weights_bytes"], "bytes", sources=BOOK),
        line("kv_cache_bytes_per_token", "KV cache of a token, on all devices", served.kv_cache_bytes_per_token, "bytes", sources=BOOK),
        line("kv_cache_bytes", "KV cache, on each device", parts["kv_cache_bytes"], "bytes", sources=BOOK),
        line("workspace_bytes", "workspace of a pass", parts["workspace_bytes"], "bytes", standing="estimate"),
        line("context_bytes", "CUDA context", parts["context_bytes"], "bytes", standing="assumed"),
        line("total_bytes", "memory of each device", int(memory.total_bytes), "bytes", " + ".join(parts), standing="estimate", **parts),
        line("capacity_bytes", "memory that it has", on.device.capacity_bytes, "bytes", standing="published"),
        line("max_batch_size_seqs", "largest batch that fits", served.max_batch_size_seqs or 0, "", standing="estimate"),
        line("max_seq_len", "longest context that fits", served.max_seq_len or 0, "tokens", standing="estimate"),
    ]


def fleet_lines(served: ServedLoad, money: Money) -> list[Line]:
    """Deployments for a load of requests, with their dollars."""
    fleet = served.fleet
    if fleet is None:
        return []
    own = fleet.n_devices // fleet.n_deployments
    each = fleet.requests_per_s / fleet.n_deployments / fleet.utilisation
    needed: dict[str, Any] = {"load_requests_per_s": fleet.requests_per_s, "requests_per_s": each}
    found = [
        line(
            "fleet.n_deployments", "deployments for the load", fleet.n_deployments, "", "ceil(load_requests_per_s / requests_per_s)",
            standing="estimate", **needed,
        ),
        line(
            "fleet.n_devices", "devices of the fleet", fleet.n_devices, "", "n_deployments * n_devices", standing="estimate",
            n_deployments=fleet.n_deployments, n_devices=own,
        ),
        line(
            "fleet.utilisation", "of its capacity in use", fleet.utilisation, "fraction",
            "load_requests_per_s / (n_deployments * requests_per_s)", standing="estimate", n_deployments=fleet.n_deployments, **needed,
        ),
    ]  # fmt: skip
    if money.usd is None:
        return found
    usd = fleet.usd_per_hour(money.usd.value)
    inputs: dict[str, Any] = {"n_devices": fleet.n_devices, "usd_per_device_hour": money.usd.value}
    dollars: Interval | None = interval_of(usd, drawn(money.usd))
    formula = "n_devices * usd_per_device_hour"
    return [
        *found,
        line("fleet.usd_per_hour", "the fleet, an hour", usd, "usd", formula, standing="estimate", interval=dollars, **inputs),
    ]
