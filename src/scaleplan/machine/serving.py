"""Serving a static batch: time to the first token, time of each token after it, rates, and what binds.

A pass over tokens is a row of kernels, so their times add up: the matrix products (arithmetic or reading the weights, whichever is longer),
attention (arithmetic or reading the cache), element-wise traffic, all-reduces between tensor parallel ranks, and the launches of a layer.
Everything is read off the bill and divided by the layout. Concurrency and lengths may be arrays.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, TypeAlias

from scaleplan.errors import InputError
from scaleplan.machine.activations import Batch
from scaleplan.machine.inverse import largest
from scaleplan.machine.layout import Layout
from scaleplan.machine.memory import fits
from scaleplan.machine.serving_formats import Format, weight_bits
from scaleplan.machine.serving_memory import Serving, cache_bytes, serving_memory
from scaleplan.model.arch import Size
from scaleplan.model.flops import Counting, count_flops
from scaleplan.model.items import Bill, Layer, Weight, total
from scaleplan.model.mixers.attention import Attention
from scaleplan.numeric import ceil_div, floats, maximum, minimum, where

Bound: TypeAlias = Literal["compute", "memory", "network"]
WIDTH = 2  # bytes of an activation between kernels
NORM_PASSES = 6  # reads and writes of the residual stream in a layer: two norms and two additions


class ServingDevice(NamedTuple):
    """Rates of one device; dense peaks by number format, links one way."""

    name: str
    peaks: Mapping[str, float]
    memory_bytes_per_s: float
    link_bytes_per_s: float
    network_bytes_per_s: float
    n_linked: int
    capacity_bytes: int

    @property
    def wide_flops_per_s(self) -> float:
        """Peak in 16 bits, in which attention is computed."""
        for name in ("bf16", "fp16", "fp32"):
            if name in self.peaks:
                return self.peaks[name]
        raise InputError(f"no 16-bit rate is known for `{self.name}`", hint=f"it has {', '.join(sorted(self.peaks))}")

    def product_flops_per_s(self, weights: Format) -> float:
        """Peak of products with weights of a format: 8-bit floats where the device has them; quantised integers are widened first."""
        narrow = self.peaks.get("fp8") if weights.name == "fp8" else None
        return narrow or self.wide_flops_per_s


def serving_device(name: str, data: Mapping[str, Any]) -> ServingDevice:
    """A device from its parsed preset."""
    peaks = {key: float(rate) for key, rate in data["peak_flops_per_s"].items() if isinstance(rate, int | float)}
    links, network = data.get("intranode", {}), data.get("internode", {})
    link = links.get("bytes_per_s_per_device")
    return ServingDevice(
        name=name,
        peaks=peaks,
        memory_bytes_per_s=float(data["memory"]["bandwidth_bytes_per_s"]),
        link_bytes_per_s=float(link or network.get("bytes_per_s_per_device", 0)),
        network_bytes_per_s=float(network.get("bytes_per_s_per_device") or link or 0),
        n_linked=int(links.get("n_devices_scaleup") or links.get("n_devices_per_node") or 1),
        capacity_bytes=int(data["memory"]["capacity_bytes"]),
    )


class Engine(NamedTuple):
    """What a serving engine gets of a device's rates, from the `[serving]` of presets/stacks.

    product, narrow_product  share of the peak in matrix products, in 16 and in 8 bits
    attention                share of the 16-bit peak in attention over a prompt
    memory, cache            share of the memory bandwidth when weights, and when keys and values, are read
    link                     share of the links' rate in an all-reduce
    collective_s             seconds of an all-reduce of nothing
    layer_s                  seconds to launch the kernels of a layer, which the device waits for when they are short
    rereads                  times that a key or value is read again for each further query head that shares it, in one token's attention
    step_s                   seconds of a pass outside the layers: sampling, scheduling
    factor_p10, factor_p90   measured rate over predicted rate, of rows that nothing was fitted on
    """

    name: str
    product: float
    narrow_product: float
    attention: float
    memory: float
    cache: float
    link: float
    collective_s: float
    layer_s: float
    step_s: float = 0.0
    rereads: float = 0.0
    factor_p10: float = 1.0
    factor_p90: float = 1.0
    sources: tuple[str, ...] = ()


def engine_of(name: str, data: Mapping[str, Any], sources: tuple[str, ...] = ()) -> Engine:
    """An engine from a parsed stack preset; InputError where it says nothing of serving."""
    table = data.get("serving")
    if table is None:
        raise InputError(f"the stack `{name}` says nothing of serving", hint="stacks that do have a table [serving], as `trtllm` has")
    return Engine(name=name, sources=sources, **{key: float(value) for key, value in table.items() if key in Engine._fields})


# ----------------------------------------------------------------------------------------------------------------- one pass


class PassTime(NamedTuple):
    """Seconds of one pass over tokens, by what they are spent on. Weights and cache are read while their products run."""

    product_s: Any
    weights_s: Any
    attention_s: Any
    cache_s: Any
    traffic_s: Any
    network_s: Any
    launch_s: Any
    step_s: Any

    @property
    def device_s(self) -> Any:
        """What the device needs."""
        return maximum(self.product_s, self.weights_s) + maximum(self.attention_s, self.cache_s) + self.traffic_s + self.network_s

    @property
    def total_s(self) -> Any:
        """The host launches ahead, so a pass takes the longer of the two: (device^4 + host^4)^(1/4); and what is outside the layers."""
        return (self.device_s**4 + self.launch_s**4) ** 0.25 + self.step_s

    @property
    def compute_s(self) -> Any:
        """Arithmetic alone."""
        return self.product_s + self.attention_s

    @property
    def memory_s(self) -> Any:
        """Memory traffic alone."""
        return self.weights_s + self.cache_s + self.traffic_s

    def bound(self) -> Bound:
        """The roof of one case: what would take longest if everything else were free."""
        parts: dict[Bound, Any] = {"compute": self.compute_s, "memory": self.memory_s, "network": self.network_s}
        return max(parts, key=lambda name: parts[name])


class Deployment(NamedTuple):
    """A model on devices: how it is divided and stored, on what it runs and with which engine."""

    bill: Bill
    layout: Layout
    serving: Serving
    device: ServingDevice
    engine: Engine

    @property
    def product_flops_per_s(self) -> float:
        """What products get of the peak."""
        peak = self.device.product_flops_per_s(self.serving.weights)
        narrow = peak > self.device.wide_flops_per_s
        return peak * (self.engine.narrow_product if narrow else self.engine.product)


def pass_time(on: Deployment, n_seqs: Size, new_tokens: Size, context: Size, *, logits: Size = 1) -> PassTime:
    """All layers of one pass in which `n_seqs` sequences of a replica take `new_tokens` each, having seen `context` at its end.

        products   2 weights tokens / (tp peak share)        weights    bytes read / (bandwidth share)
        attention  pairs / (tp peak share)                   cache      bytes read / (bandwidth share)
        network    all-reduces (latency + 2 (t - 1) / t bytes / (link share))

    logits  positions of a sequence whose logits are computed
    Source: layout formulas of inference in scaling-book; kwon2023 (paged caches).
    """
    engine, tp = on.engine, on.layout.tp
    tokens = floats(n_seqs * new_tokens)
    flops = linear_flops(on.bill, tokens, floats(n_seqs * logits))
    bandwidth = on.device.memory_bytes_per_s
    return PassTime(
        product_s=flops / (tp * on.product_flops_per_s),
        weights_s=weights_read(on, tokens) / (bandwidth * engine.memory),
        attention_s=attention_flops(on.bill, n_seqs, new_tokens, context) / (tp * on.device.wide_flops_per_s * engine.attention),
        cache_s=cache_read(on, n_seqs, context) / (bandwidth * engine.cache),
        traffic_s=tokens * traffic_per_token(on.bill, tp) / bandwidth,
        network_s=network_s(on, tokens),
        launch_s=engine.layer_s * n_layers(on.bill),
        step_s=engine.step_s,
    )


def n_layers(bill: Bill) -> Size:
    """Layers that a token passes."""
    return total(layer.runs for layer in bill.layers if layer.place == "block")


def linear_flops(bill: Bill, tokens: Any, n_logits: Any) -> Any:
    """2 FLOP for each weight that a token passes; the head for the positions whose logits are computed."""
    passed: Any = 0
    for layer, weight in bill.weights():
        if weight.matmul:
            times = n_logits if layer.place == "head" else tokens
            passed = passed + floats(2 * layer.runs * weight.used * weight.elements) * times
    return passed


def attention_flops(bill: Bill, n_seqs: Size, new_tokens: Size, context: Size) -> Any:
    """Work without weights of `new_tokens` at the end of `context`: what the whole context costs less what was there before."""
    here, before = (
        count_flops(bill, n, batch_size_seqs=n_seqs, how=Counting(causal=True, window=True)) for n in (context, context - new_tokens)
    )
    return here.attention_flops + here.scan_flops - before.attention_flops - before.scan_flops


def weights_read(on: Deployment, tokens: Any) -> Any:
    """Bytes of weights that one device reads in a pass: all of its share, but of routed experts those that some token is sent to.

    experts read = experts here (1 - (1 - k / E)^tokens)      uniform routing; tokens of all ranks that share the experts
    """
    layout, read = on.layout, 0.0
    for layer, weight in on.bill.weights():
        if not weight.matmul:
            continue
        runs = 1 if isinstance(layer.copies, int) and layer.copies == 0 else layer.runs / maximum(1, layer.copies)
        bits = layer.copies * bits_read(layer, weight, on.serving.weights) * runs
        if weight.group == "experts_routed":
            ways = minimum(layout.expert_tp, weight.tp_ways) * layout.ep
            sharing = tokens * ways / layout.tp
            read = read + bits * (1 - (1 - weight.used / weight.stored) ** sharing) / ways
        else:
            read = read + bits / minimum(layout.tp, weight.tp_ways)
    return read / 8


def bits_read(layer: Layer, weight: Weight, stored: Format) -> Any:
    """Bits of a weight; a tied head is read where the table is kept."""
    tied = isinstance(weight.stored, int) and weight.stored == 0
    return weight_bits(layer, weight._replace(stored=1) if tied else weight, stored)


def cache_read(on: Deployment, n_seqs: Size, context: Size) -> Any:
    """Bytes of keys, values and states that a device reads for each pass: once, and again as far as queries that share them do."""
    whole = on.layout._replace(pp=1)
    once = cache_bytes(on.bill, whole, on.serving._replace(batch=Batch(n_seqs, context)))
    return once * (1 + on.engine.rereads * (queries_per_key(on.bill) - 1))


def queries_per_key(bill: Bill) -> Any:
    """Query heads that share a key and a value, in the first layer with attention of this kind; 1 without."""
    mixers = [layer.block.mixer for layer in bill.layers if layer.block is not None]
    return next((mixer.n_heads / mixer.n_kv_heads for mixer in mixers if isinstance(mixer, Attention)), 1)


def traffic_per_token(bill: Bill, tp: Size) -> Any:
    """Bytes that kernels hand on between them for each token: inputs and outputs of the products, and the norms."""
    elements: Any = 0
    for layer in bill.layers:
        if layer.place != "block":
            continue
        products = total(w.used * total(w.shape) / minimum(tp, w.tp_ways) for w in layer.weights if w.matmul and len(w.shape) == 2)
        elements = elements + layer.runs * (products + NORM_PASSES * layer.d_model)
    return WIDTH * elements


def network_s(on: Deployment, tokens: Any) -> Any:
    """All-reduces of tensor parallelism: one after the mixer and one after the feed-forward, one where both read the same input;
    and for experts on other ranks, tokens sent there and back."""
    layout, engine = on.layout, on.engine
    tp = layout.tp
    inside = tp <= on.device.n_linked
    rate = where(inside, on.device.link_bytes_per_s, on.device.network_bytes_per_s) * engine.link
    check_links(on)
    seconds: Any = 0.0
    for layer in on.bill.layers:
        if layer.place != "block" or layer.block is None:
            continue
        reduces = 1 if layer.block.parallel else (layer.block.mixer is not None) + (layer.block.feed_forward is not None)
        moved = tokens * layer.d_model * WIDTH
        each = engine.collective_s + 2 * (tp - 1) / tp * moved / max(rate, 1.0)
        seconds = seconds + where(tp > 1, layer.runs * reduces * each, 0.0)
        used = next((w.used for w in layer.weights if w.group == "experts_routed"), 0)
        if layout.ep > 1 and used:
            to_expert = on.device.link_bytes_per_s if layout.ep * layout.expert_tp <= on.device.n_linked else on.device.network_bytes_per_s
            sent = moved * used * (layout.ep - 1) / layout.ep / tp
            seconds = seconds + layer.runs * 2 * (engine.collective_s + sent / (to_expert * engine.link))
    return seconds


def check_links(on: Deployment) -> None:
    """Refuse several devices where no rate between them is known."""
    if on.layout.n_devices > 1 and not on.device.link_bytes_per_s:
        raise InputError(f"the preset `{on.device.name}` has no rate of its links", hint="serve on one device, or add [intranode]")


# --------------------------------------------------------------------------------------------------------------- the batch


class Speculation(NamedTuple):
    """Speculative decoding: a draft proposes tokens, one pass checks them (leviathan2023).

    n_draft     tokens proposed for each pass
    acceptance  chance that a proposed token is accepted
    draft_cost  seconds of one draft step over those of the model's own
    """

    n_draft: int
    acceptance: float
    draft_cost: float = 0.0

    @property
    def tokens_per_pass(self) -> float:
        """(1 - a^(g + 1)) / (1 - a) tokens (leviathan2023, equation 1)."""
        a, g = self.acceptance, self.n_draft
        return float(g + 1) if a == 1 else (1 - a ** (g + 1)) / (1 - a)


class Load(NamedTuple):
    """What is asked of a deployment.

    concurrency      sequences served at once, on all replicas
    prefix_share     share of the prompt whose keys and values are in the cache already (zheng2023 radix attention); 0: none
    speculation      None: one token a pass
    chunked_prefill  prompts are read in the passes that write tokens, so that arithmetic and reading overlap (agrawal2024)
    """

    n_prompt_tokens: Size
    n_output_tokens: Size
    concurrency: Size = 1
    prefix_share: float = 0.0
    speculation: Speculation | None = None
    chunked_prefill: bool = False


class Served(NamedTuple):
    """Serving one static batch.

    first_token_s            reads all prompts of the batch and writes a token of each
    per_token_s              mean of the tokens after it
    batch_s                  first_token_s + (output - 1) per_token_s
    tokens_per_s_per_device  output tokens
    prefill, decode          one pass of each on a replica
    """

    first_token_s: Any
    per_token_s: Any
    batch_s: Any
    tokens_per_s_per_device: Any
    prefill: PassTime
    decode: PassTime
    n_devices: Size

    def bound(self) -> Bound:
        """What binds the part of the batch that takes longer."""
        decoding = self.batch_s - self.first_token_s
        return (self.decode if decoding >= self.first_token_s else self.prefill).bound()


def serve(on: Deployment, load: Load) -> Served:
    """A static batch of `concurrency` sequences, in equal shares on the data parallel replicas.

        tokens / s / device = concurrency output / (first + (output - 1) per token) / devices

    Pipeline stages work on p groups of the batch at once: a token of each group passes all layers in turn.
    """
    layout = on.layout
    groups = layout.dp * layout.pp
    seqs = maximum(1, ceil_div(load.concurrency, groups))
    prompt, output = load.n_prompt_tokens, load.n_output_tokens
    fresh = maximum(1, prompt - floats(prompt * load.prefix_share) // 1)
    prefill = pass_time(on, seqs, fresh, prompt)
    ahead = 1 if load.speculation is None else load.speculation.n_draft + 1
    context = maximum(prompt + maximum(1, output // 2), ahead)
    decode = pass_time(on, seqs, ahead, context, logits=ahead)
    if load.chunked_prefill:
        decode = beside(decode, prefill, output)
    per_token = speculated(decode.total_s + hops_s(on), load.speculation)
    stages = layout.pp
    first = prefill.total_s * (2 * stages - 1) / stages + hops_s(on)
    if load.chunked_prefill:
        first = per_token * maximum(1.0, output / load.concurrency)
    batch = first + (output - 1) * per_token
    rate = load.concurrency * output / batch / layout.n_devices
    return Served(first, per_token, batch, rate, prefill, decode, layout.n_devices)


def hops_s(on: Deployment) -> Any:
    """Seconds in which activations go from pipeline stage to pipeline stage."""
    return (on.layout.pp - 1) * on.engine.collective_s


def beside(decode: PassTime, prefill: PassTime, n_passes: Size) -> PassTime:
    """A pass that writes tokens and reads its share of the prompts: the weights are read once (agrawal2024)."""
    shared = {"weights_s": decode.weights_s, "launch_s": decode.launch_s, "step_s": decode.step_s}
    added = {name: getattr(decode, name) + getattr(prefill, name) / n_passes for name in PassTime._fields if name not in shared}
    return PassTime(**shared, **added)


def speculated(pass_s: Any, speculation: Speculation | None) -> Any:
    """Seconds of a token when a pass checks several."""
    if speculation is None:
        return pass_s
    return pass_s * (1 + speculation.n_draft * speculation.draft_cost) / speculation.tokens_per_pass


class Percentiles(NamedTuple):
    """80 % of what was measured lies between p10 and p90."""

    p10: Any
    p50: Any
    p90: Any


def rate_interval(rate: Any, engine: Engine) -> Percentiles:
    """A predicted rate with the spread of measured over predicted."""
    return Percentiles(rate * engine.factor_p10, rate, rate * engine.factor_p90)


def time_interval(seconds: Any, engine: Engine) -> Percentiles:
    """Predicted seconds, or dollars and energy of a token, which fall as rates rise."""
    return Percentiles(seconds / engine.factor_p90, seconds, seconds / engine.factor_p10)


# ------------------------------------------------------------------------------------------------------ limits, money, fleet


def fits_served(on: Deployment, load: Load, context_bytes: int = 0) -> bool:
    """Whether weights, caches and workspace of the batch fit each device (one load)."""
    groups = on.layout.dp * on.layout.pp
    seqs = max(1, -(-load.concurrency // groups)) * on.layout.pp
    batch = Batch(seqs, load.n_prompt_tokens + load.n_output_tokens)
    memory = serving_memory(on.bill, on.layout, on.serving._replace(batch=batch), context_bytes)
    return bool(fits(memory.total_bytes, on.device.capacity_bytes))


def largest_batch(on: Deployment, load: Load, context_bytes: int = 0) -> int | None:
    """The most sequences of this length that are served at once, on all devices; None where not even one fits."""
    return largest(lambda n: fits_served(on, load._replace(concurrency=n), context_bytes))


def largest_context(on: Deployment, load: Load, context_bytes: int = 0) -> int | None:
    """The longest prompt with its output at this concurrency; None where not even one token fits."""
    return largest(lambda n: fits_served(on, load._replace(n_prompt_tokens=n, n_output_tokens=0), context_bytes))


def usd_per_million_tokens(tokens_per_s_per_device: Any, usd_per_device_hour: Any) -> Any:
    """Dollars for a million output tokens: price / 3600 / rate x 1e6."""
    return usd_per_device_hour / 3600 / tokens_per_s_per_device * 1e6


def wh_per_million_tokens(tokens_per_s_per_device: Any, system_w: Any, pue: Any = 1.0) -> Any:
    """Watt-hours for a million output tokens, of a device with its share of the host."""
    return system_w * pue / 3600 / tokens_per_s_per_device * 1e6


class Fleet(NamedTuple):
    """Deployments for a load of requests.

    utilisation  of the capacity that there is
    """

    n_deployments: int
    n_devices: int
    requests_per_s: float
    utilisation: float

    def usd_per_hour(self, usd_per_device_hour: float) -> float:
        """Dollars of all devices."""
        return self.n_devices * usd_per_device_hour


def fleet(served: Served, concurrency: int, requests_per_s: float, most_used: float = 1.0) -> Fleet:
    """The fewest deployments that keep up: each serves concurrency / batch_s requests a second, at most `most_used` of the time.

    A mean: requests that come in bursts wait, unless `most_used` leaves room.
    """
    each = concurrency / served.batch_s
    n = max(1, math.ceil(requests_per_s / (each * most_used)))
    return Fleet(n, n * int(served.n_devices), requests_per_s, requests_per_s / (n * each))
