"""Serving a static batch: time to the first token, rates and what binds; speculative decoding, chunked prefill, cached prefixes; fleets."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from scaleplan.answer import Interval
from scaleplan.machine.activations import Batch
from scaleplan.machine.inverse import largest
from scaleplan.machine.memory import fits
from scaleplan.machine.serving_memory import ServingMemory, serving_memory
from scaleplan.machine.serving_pass import Bound, Deployment, Engine, PassTime, PassWork, network_s, pass_work, times_of
from scaleplan.model.arch import Size
from scaleplan.numeric import ceil_div, floats, maximum


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

    @property
    def sources(self) -> tuple[str, ...]:
        """Citation keys of the factors that are on."""
        on = {"zheng2023": self.prefix_share > 0, "leviathan2023": self.speculation is not None, "agrawal2024": self.chunked_prefill}
        return tuple(key for key, used in on.items() if used)


class Served(NamedTuple):
    """Serving one static batch.

    first_token_s            reads all prompts of the batch and writes a token of each
    per_token_s              mean of the tokens after it
    batch_s                  first_token_s + (output - 1) per_token_s
    tokens_per_s_per_device  output tokens
    prefill, decode          seconds of one pass of each on a replica
    prefill_work, decode_work  what such a pass has to do
    """

    first_token_s: Any
    per_token_s: Any
    batch_s: Any
    tokens_per_s_per_device: Any
    prefill: PassTime
    decode: PassTime
    n_devices: Size
    prefill_work: PassWork
    decode_work: PassWork

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
    reading = pass_work(on, seqs, fresh, prompt)
    prefill = times_of(on, reading, network_s(on, floats(seqs * fresh)))
    ahead = 1 if load.speculation is None else load.speculation.n_draft + 1
    context = maximum(prompt + maximum(1, output // 2), ahead)
    writing = pass_work(on, seqs, ahead, context, logits=ahead)
    network = network_s(on, floats(seqs * ahead))
    if load.chunked_prefill:
        writing, network = beside(writing, reading, output), network + prefill.network_s / output
    decode = times_of(on, writing, network)
    per_token = speculated(decode.total_s + hops_s(on), load.speculation)
    stages = layout.pp
    first = prefill.total_s * (2 * stages - 1) / stages + hops_s(on)
    if load.chunked_prefill:
        first = per_token * maximum(1.0, output / seqs)
    batch = first + (output - 1) * per_token
    rate = load.concurrency * output / batch / layout.n_devices
    return Served(first, per_token, batch, rate, prefill, decode, layout.n_devices, reading, writing)


def hops_s(on: Deployment) -> Any:
    """Seconds in which activations go from pipeline stage to pipeline stage."""
    return (on.layout.pp - 1) * on.engine.collective_s


def beside(writing: PassWork, reading: PassWork, n_passes: Size) -> PassWork:
    """A pass that writes tokens and reads its share of the prompts: the weights are read once (agrawal2024)."""
    added = {name: getattr(writing, name) + getattr(reading, name) / n_passes for name in PassWork._fields if name != "weight_bytes"}
    return writing._replace(**added)


def speculated(pass_s: Any, speculation: Speculation | None) -> Any:
    """Seconds of a token when a pass checks several."""
    if speculation is None:
        return pass_s
    return pass_s * (1 + speculation.n_draft * speculation.draft_cost) / speculation.tokens_per_pass


def rate_interval(rate: Any, engine: Engine) -> Interval:
    """A predicted rate with the spread of measured over predicted."""
    return Interval(rate * engine.factor_p10, rate, rate * engine.factor_p90)


def time_interval(seconds: Any, engine: Engine) -> Interval:
    """Predicted seconds, or dollars and energy of a token, which fall as rates rise."""
    return Interval(seconds / engine.factor_p90, seconds, seconds / engine.factor_p10)


# ------------------------------------------------------------------------------------------------------ limits, money, fleet


def load_memory(on: Deployment, load: Load, context_bytes: int = 0) -> ServingMemory:
    """What one device of the fullest replica holds at the load's full lengths: as many sequences in every pipeline group (one load)."""
    groups = on.layout.dp * on.layout.pp
    seqs = max(1, -(-int(load.concurrency) // groups)) * on.layout.pp
    batch = Batch(seqs, load.n_prompt_tokens + load.n_output_tokens)
    return serving_memory(on.bill, on.layout, on.serving._replace(batch=batch), context_bytes)


def fits_served(on: Deployment, load: Load, context_bytes: int = 0) -> bool:
    """Whether weights, caches and workspace of the batch fit each device (one load)."""
    return bool(fits(load_memory(on, load, context_bytes).total_bytes, on.device.capacity_bytes))


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
