"""One pass of a serving engine over tokens: what each part of it takes on a device.

A pass over tokens is a row of kernels, so their times add up: the matrix products (arithmetic or reading the weights, whichever is longer),
attention (arithmetic or reading the cache), element-wise traffic, all-reduces between tensor parallel ranks, and the launches of a layer.
Everything is read off the bill and divided by the layout. Concurrency and lengths may be arrays.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, TypeAlias

from scaleplan.errors import InputError
from scaleplan.machine.activations import Batch
from scaleplan.machine.device import Device
from scaleplan.machine.layout import Layout
from scaleplan.machine.serving_formats import Format, weight_bits
from scaleplan.machine.serving_memory import Serving, cache_bytes
from scaleplan.model.arch import Size
from scaleplan.model.flops import Counting, count_flops
from scaleplan.model.items import Bill, Layer, Weight, total
from scaleplan.model.mixers.attention import Attention
from scaleplan.numeric import floats, maximum, minimum, where

Bound: TypeAlias = Literal["compute", "memory", "network"]
WIDTH = 2  # bytes of an activation between kernels
NORM_PASSES = 6  # reads and writes of the residual stream in a layer: two norms and two additions


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
    device: Device
    engine: Engine

    @property
    def product_flops_per_s(self) -> float:
        """What products get of the peak."""
        narrow = self.narrow_format
        if narrow is not None:
            return self.device.peak_flops_per_s(narrow) * self.engine.narrow_product
        return self.wide_flops_per_s * self.engine.product

    @property
    def narrow_format(self) -> str | None:
        """The 8-bit format of the products; None where weights are widened to 16 bits first."""
        stored = self.serving.weights
        return stored.products or ("fp8" if stored.name == "fp8" and "fp8" in self.device.peaks else None)

    @property
    def wide_flops_per_s(self) -> float:
        """Peak in 16 bits: of attention, and of products whose weights are widened first."""
        return self.device.peak_flops_per_s("bf16")


class PassWork(NamedTuple):
    """What one device has to do in a pass: arithmetic, and bytes to read and write.

    product_flops    of the products with weights, on all tensor parallel ranks together
    attention_flops  likewise, of scores and weighted sums
    """

    product_flops: Any
    weight_bytes: Any
    attention_flops: Any
    cache_bytes: Any
    traffic_bytes: Any


def pass_work(on: Deployment, n_seqs: Size, new_tokens: Size, context: Size, *, logits: Size = 1) -> PassWork:
    """The work of one pass in which `n_seqs` sequences of a replica take `new_tokens` each, having seen `context` at its end.

    logits  positions of a sequence whose logits are computed
    """
    tokens = floats(n_seqs * new_tokens)
    return PassWork(
        product_flops=linear_flops(on.bill, tokens, floats(n_seqs * logits)),
        weight_bytes=weights_read(on, tokens),
        attention_flops=attention_flops(on.bill, n_seqs, new_tokens, context),
        cache_bytes=cache_read(on, n_seqs, context),
        traffic_bytes=tokens * traffic_per_token(on.bill, on.layout.tp),
    )


def pass_time(on: Deployment, n_seqs: Size, new_tokens: Size, context: Size, *, logits: Size = 1) -> PassTime:
    """All layers of one pass, as in `pass_work`.

        products   2 weights tokens / (tp peak share)        weights    bytes read / (bandwidth share)
        attention  pairs / (tp peak share)                   cache      bytes read / (bandwidth share)
        network    all-reduces (latency + 2 (t - 1) / t bytes / (link share))

    Source: layout formulas of inference in scaling-book; kwon2023 (paged caches).
    """
    work = pass_work(on, n_seqs, new_tokens, context, logits=logits)
    return times_of(on, work, network_s(on, floats(n_seqs * new_tokens)))


def times_of(on: Deployment, work: PassWork, network: Any) -> PassTime:
    """Seconds of a pass's work."""
    engine, tp, bandwidth = on.engine, on.layout.tp, on.device.memory_bytes_per_s
    return PassTime(
        product_s=work.product_flops / (tp * on.product_flops_per_s),
        weights_s=work.weight_bytes / (bandwidth * engine.memory),
        attention_s=work.attention_flops / (tp * on.wide_flops_per_s * engine.attention),
        cache_s=work.cache_bytes / (bandwidth * engine.cache),
        traffic_s=work.traffic_bytes / bandwidth,
        network_s=network,
        launch_s=engine.layer_s * on.bill.n_layers,
        step_s=engine.step_s,
    )


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
        bits = layer.runs * bits_read(layer, weight, on.serving.weights)
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
    seconds: Any = 0.0
    for layer in on.bill.layers:
        if layer.place != "block" or layer.block is None:
            continue
        reduces = 1 if layer.block.parallel else (layer.block.mixer is not None) + (layer.block.feed_forward is not None)
        moved = tokens * layer.d_model * WIDTH
        each = engine.collective_s + 2 * (tp - 1) / tp * moved / rate
        seconds = seconds + where(tp > 1, layer.runs * reduces * each, 0.0)
        used = next((w.used for w in layer.weights if w.group == "experts_routed"), 0)
        if layout.ep > 1 and used:
            to_expert = on.device.link_bytes_per_s if layout.ep * layout.expert_tp <= on.device.n_linked else on.device.network_bytes_per_s
            sent = moved * used * (layout.ep - 1) / layout.ep / tp
            seconds = seconds + layer.runs * 2 * (engine.collective_s + sent / (to_expert * engine.link))
    return seconds
