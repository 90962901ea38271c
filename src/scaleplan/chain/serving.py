"""A serving question put together from names and numbers: model, device, layout, formats, engine and load."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from scaleplan import library
from scaleplan.answer import Interval
from scaleplan.chain.memory import products_missing
from scaleplan.errors import InputError, NotSupported
from scaleplan.machine.activations import Batch
from scaleplan.machine.device import device_of
from scaleplan.machine.layout import Layout, check_layout, fixed_sizes
from scaleplan.machine.recipe import cache_precision
from scaleplan.machine.serving import (
    Fleet,
    Load,
    Served,
    Speculation,
    fits_served,
    fleet,
    largest_batch,
    largest_context,
    load_memory,
    rate_interval,
    serve,
    time_interval,
    usd_per_million_tokens,
    wh_per_million_tokens,
)
from scaleplan.machine.serving_formats import serving_format
from scaleplan.machine.serving_memory import Serving, ServingMemory, cache_bytes
from scaleplan.machine.serving_pass import Bound, Deployment, engine_of
from scaleplan.model.items import Bill
from scaleplan.wording import field

USUAL_ENGINE = "trtllm"
USUAL_FORMAT = "bf16"
USUAL_PROMPT, USUAL_OUTPUT, USUAL_CONCURRENCY = 1024, 256, 64
Given = Mapping[str, Any]
"""Field of `serve` -> value in base units."""


class ServingChoices(NamedTuple):
    """How a model is served.

    cache         number format of keys and values; None: that of the weights, 16 bits beside quantised ones
    block_tokens  tokens of a block of a paged cache
    """

    hardware: str
    layout: Layout = Layout()
    precision: str = "bf16"
    cache: str | None = None
    stack: str = USUAL_ENGINE
    block_tokens: int = 1


class ServedLoad(NamedTuple):
    """One load on one deployment.

    memory                    of one device, at the load's full lengths
    kv_cache_bytes_per_token  of a token on all devices of a replica together
    max_batch_size_seqs       at the load's lengths; None: not even one sequence fits
    max_seq_len               at the load's concurrency; None: not even one token fits
    intervals                 10, 50 and 90 % points by key
    """

    times: Served
    memory: ServingMemory
    kv_cache_bytes_per_token: int
    max_batch_size_seqs: int | None
    max_seq_len: int | None
    fits: bool
    bound: Bound
    intervals: dict[str, Interval]
    usd_per_million_tokens: float | None = None
    wh_per_million_tokens: float | None = None
    fleet: Fleet | None = None


def deployment_of(bill: Bill, how: ServingChoices) -> Deployment:
    """The deployment, checked: names are known and the layout is legal."""
    layout = how.layout
    if layout.cp > 1:
        raise InputError(f"{field('layout')}: context parallelism while serving is not priced", hint="use tp, pp, dp and ep")
    check_layout(layout, fixed_sizes(bill.arch), 1, 1, layout.dp)
    stack = library.load("stacks", how.stack)
    stored = serving_format(how.precision)
    lacking = products_missing(library.load("hardware", how.hardware).data, stored)
    if lacking is not None:
        raise NotSupported(lacking, hint=f"{field('precision')} int8 keeps weights in 8 bits and multiplies in 16")
    return Deployment(
        bill=bill,
        layout=layout,
        serving=Serving(Batch(1, 1), stored, cache_precision(how.cache, stored), how.block_tokens),
        device=device_of(how.hardware, library.load("hardware", how.hardware).data),
        engine=engine_of(stack.name, stack.data, tuple(stack.sources)),
    )


def context_bytes(stack: str) -> int:
    """Device memory before the first tensor, of a stack."""
    return int(library.load("stacks", stack).data["memory"]["context_bytes"])


def serve_load(
    on: Deployment,
    load: Load,
    *,
    context: int = 0,
    usd_per_device_hour: float | None = None,
    system_w: float | None = None,
    pue: float = 1.0,
    requests_per_s: float | None = None,
) -> ServedLoad:
    """Everything that is asked of one load: times, rates, what fits, money and energy of a token, a fleet."""
    times = serve(on, load)
    rate = float(times.tokens_per_s_per_device)
    usd = None if usd_per_device_hour is None else float(usd_per_million_tokens(rate, usd_per_device_hour))
    wh = None if system_w is None else float(wh_per_million_tokens(rate, system_w, pue))
    by_time = {"first_token_s": times.first_token_s, "per_token_s": times.per_token_s}
    by_time |= {"usd_per_million_tokens": usd} if usd is not None else {}
    by_time |= {"wh_per_million_tokens": wh} if wh is not None else {}
    intervals = {name: time_interval(value, on.engine) for name, value in by_time.items()}
    return ServedLoad(
        times=times,
        memory=load_memory(on, load, context),
        kv_cache_bytes_per_token=int(cache_bytes(on.bill, Layout(), on.serving, per_token=True)),
        max_batch_size_seqs=largest_batch(on, load, context),
        max_seq_len=largest_context(on, load, context),
        fits=fits_served(on, load, context),
        bound=times.bound(),
        intervals=intervals | {"tokens_per_s_per_device": rate_interval(rate, on.engine)},
        usd_per_million_tokens=usd,
        wh_per_million_tokens=wh,
        fleet=None if requests_per_s is None else fleet(times, int(load.concurrency), requests_per_s),
    )


class Hosted(NamedTuple):
    """A load on the deployment that it was given, or on the smallest that holds it."""

    on: Deployment
    load: Load
    served: ServedLoad


def serve_given(given: Given, bill: Bill) -> Hosted:
    """The answer of `serve` to its fields; lengths, concurrency and layout that are left open are the usual ones."""
    stack, layout = given.get("stack") or USUAL_ENGINE, given.get("layout")
    context, load = context_bytes(stack), load_of(given)
    precision, cache, block = (given.get(name) for name in ("precision", "cache_precision", "cache_block_tokens"))
    choices = ServingChoices(given["hardware"], layout or Layout(), precision or USUAL_FORMAT, cache, stack, block or 1)
    on = deployment_of(bill, choices)
    if layout is None:
        from scaleplan.chain.serving_layout import least_layout

        on = on._replace(layout=least_layout(on, load, context))
    elif given.get("concurrency") is None:
        most = largest_batch(on, load, context)
        load = load._replace(concurrency=min(USUAL_CONCURRENCY, most or USUAL_CONCURRENCY))
    return Hosted(on, load, serve_load(on, load, context=context, requests_per_s=given.get("requests_per_s")))


def load_of(given: Given) -> Load:
    """What is asked of a deployment."""
    drafted, acceptance = given.get("n_draft_tokens"), given.get("draft_acceptance")
    speculation = None
    if drafted is not None and acceptance is not None:
        speculation = Speculation(drafted, acceptance, given.get("draft_cost") or 0.0)
    return Load(
        given.get("n_prompt_tokens") or USUAL_PROMPT,
        given.get("n_output_tokens") or USUAL_OUTPUT,
        given.get("concurrency") or USUAL_CONCURRENCY,
        given.get("cached_prefix") or 0.0,
        speculation,
        bool(given.get("chunked_prefill")),
    )
