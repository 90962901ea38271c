"""One load on one deployment: times, rates, what fits, what binds, dollars and energy of a token, and a fleet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from scaleplan import library
from scaleplan.answer import Answer, Caution, Column, Line, Table, intervals, quantities
from scaleplan.chain.lengths import length_cautions
from scaleplan.chain.memory import format_missing
from scaleplan.chain.serving import ServedLoad, serve_given
from scaleplan.machine.memory import USABLE_SHARE
from scaleplan.machine.recipe import PRECISIONS
from scaleplan.machine.serving import Load
from scaleplan.machine.serving_pass import Deployment, PassTime
from scaleplan.model.bill import bill_of
from scaleplan.questions.asking import plain
from scaleplan.questions.priced import Money, money_given
from scaleplan.questions.serve.lines import lines_of
from scaleplan.units import counted, show_bytes
from scaleplan.wording import field

if TYPE_CHECKING:
    from scaleplan.questions.serve import OfLoad


class Solved(NamedTuple):
    """The deployment, the load, what serving it comes to, and its price and power."""

    on: Deployment
    load: Load
    served: ServedLoad
    money: Money


def solve(asked: OfLoad) -> Solved:
    """Serving a load; lengths and concurrency that are left open are the usual ones."""
    return Solved(*serve_given(asked._asdict(), bill_of(asked.model.arch)), money_given(asked))


# ---------------------------------------------------------------------------------------------------------------- the answer


def explain(asked: OfLoad, solved: Solved) -> Answer:
    """The answer of one load."""
    on, load = solved.on, solved.load
    lines = lines_of(solved.on, load, solved.served, solved.money)
    result = result_of(solved, lines)
    given = {name: plain(value) for name, value in asked._asdict().items() if value not in (None, False)}
    used = {
        "layout": on.layout.spelled(),
        "precision": on.serving.weights.name,
        "cache_precision": on.serving.cache.name,
        "stack": on.engine.name,
        "n_prompt_tokens": load.n_prompt_tokens,
        "n_output_tokens": load.n_output_tokens,
        "concurrency": load.concurrency,
    }
    return Answer(
        "serve",
        {**given, **used},
        result,
        [quantities(title_of(on, load), shown(lines)), passes_table(solved)],
        lines,
        warnings=cautions(asked, solved),
        notes=notes_of(asked, solved, result),
        more_sources=[*on.engine.sources, "scaling-book", *load.sources],
    )


TOP = (
    "first_token_s", "per_token_s", "batch_s", "requests_per_s", "tokens_per_s_per_device", "usd_per_million_tokens",
    "wh_per_million_tokens", "weights_bytes", "kv_cache_bytes_per_token", "kv_cache_bytes", "total_bytes", "capacity_bytes",
    "max_batch_size_seqs", "max_seq_len", "fleet.n_deployments", "fleet.n_devices", "fleet.utilisation", "fleet.usd_per_hour",
)  # fmt: skip


def shown(lines: list[Line]) -> list[Line]:
    """The lines that people read first, in their order."""
    by_key = {one.key: one for one in lines}
    return [by_key[key] for key in TOP if key in by_key]


def title_of(on: Deployment, load: Load) -> str:
    """What is served."""
    tokens = f"{load.n_prompt_tokens:,} + {load.n_output_tokens:,} tokens"
    return f"{counted(load.concurrency, 'sequence')} of {tokens} on {int(on.layout.n_devices):,} x {on.device.name}, {on.layout.spelled()}"


def result_of(solved: Solved, lines: list[Line]) -> dict[str, Any]:
    """The keys that other programs read."""
    on, served, memory = solved.on, solved.served, solved.served.memory
    known = {one.key: one.value for one in lines}
    result: dict[str, Any] = {
        "layout": on.layout.spelled(),
        "n_devices": int(on.layout.n_devices),
        "concurrency": int(solved.load.concurrency),
        "weights_bytes": int(memory.weights_bytes),
        "kv_cache_bytes_per_token": served.kv_cache_bytes_per_token,
        "kv_cache_bytes": int(memory.kv_cache_bytes),
        "workspace_bytes": int(memory.workspace_bytes),
        "context_bytes": int(memory.context_bytes),
        "total_bytes": int(memory.total_bytes),
        "capacity_bytes": on.device.capacity_bytes,
        "fits": served.fits,
        "max_batch_size_seqs": served.max_batch_size_seqs or 0,
        "max_seq_len": served.max_seq_len or 0,
    }
    keys = ("first_token_s", "per_token_s", "batch_s", "requests_per_s", "tokens_per_s_per_device")
    result |= {key: known[key] for key in keys}
    result |= {key: known.get(key) for key in ("usd_per_million_tokens", "wh_per_million_tokens")}
    result |= {"bound": served.bound, "prefill": pass_row(served.times.prefill), "decode": pass_row(served.times.decode)}
    result |= {"intervals": intervals(lines) or {}}
    if served.fleet is not None:
        fleet = {name: known.get(f"fleet.{name}") for name in ("n_deployments", "n_devices", "utilisation", "usd_per_hour")}
        result["fleet"] = {"requests_per_s": served.fleet.requests_per_s, **fleet}
    return result


def pass_row(one: PassTime) -> dict[str, Any]:
    """Seconds of a pass by part."""
    return {**{name: float(seconds) for name, seconds in one._asdict().items()}, "total_s": float(one.total_s), "bound": one.bound()}


PARTS = {
    "product_s": "products: arithmetic",
    "weights_s": "products: reading weights",
    "attention_s": "attention: arithmetic",
    "cache_s": "attention: reading the cache",
    "traffic_s": "element-wise traffic",
    "network_s": "network",
    "launch_s": "kernel launches, beside the device",
    "step_s": "sampling and scheduling",
    "total_s": "the pass",
}


def passes_table(solved: Solved) -> Table:
    """Both passes by part."""
    first, later = (pass_row(one) for one in (solved.served.times.prefill, solved.served.times.decode))
    rows = [{"part": label, "key": name, "prefill": first[name], "decode": later[name]} for name, label in PARTS.items()]
    columns = [Column("key", "", "hidden"), Column("part", "one pass"), Column("prefill", "prefill", "s"), Column("decode", "decode", "s")]
    notes = [f"Prefill is {first['bound']} bound, decode {later['bound']} bound. Arithmetic and reading overlap: the longer one counts."]
    return Table("Seconds of a pass", columns, rows, notes, detail=True)


def notes_of(asked: OfLoad, solved: Solved, result: dict[str, Any]) -> list[str]:
    """What was assumed, what binds, and how much more would fit."""
    on, load = solved.on, solved.load
    notes = []
    opened = {"n_prompt_tokens": load.n_prompt_tokens, "n_output_tokens": load.n_output_tokens, "concurrency": load.concurrency}
    assumed = [f"{field(name)} {value:,}" for name, value in opened.items() if getattr(asked, name) is None]
    if assumed:
        notes.append(f"Assumed: {', '.join(assumed)}.")
    if asked.layout is None:
        notes.append(f"No {field('layout')}: {on.layout.spelled()}, the least tensor parallelism of one node that fits.")
    notes.append(f"{bound_of(solved)} bound: prefill {solved.served.times.prefill.bound()}, decode {solved.served.times.decode.bound()}.")
    if result["fits"]:
        usable = f"{USABLE_SHARE:.0%} of {show_bytes(on.device.capacity_bytes)}"
        longest = f"longest context at this concurrency {result['max_seq_len']:,} tokens"
        notes.append(f"Largest batch at these lengths: {result['max_batch_size_seqs']:,} sequences; {longest} ({usable} of each device).")
    if solved.served.fleet is not None:
        notes.append("The fleet is sized for the mean rate: requests that come in bursts wait.")
    return [*notes, *solved.money.notes()]


def bound_of(solved: Solved) -> str:
    """The roof, as a sentence begins."""
    return solved.served.bound.capitalize()


def cautions(asked: OfLoad, solved: Solved) -> list[Caution]:
    """What does not fit, what goes beyond the model, and what the device lacks."""
    on, load, served = solved.on, solved.load, solved.served
    found = [*asked.model.cautions, *length_cautions(asked.model, int(load.n_prompt_tokens + load.n_output_tokens))]
    found += solved.money.price.cautions()
    precision = PRECISIONS.get(on.serving.weights.name)
    lacking = None if precision is None else format_missing(library.load("hardware", asked.hardware).data, precision)
    found += [] if lacking is None else [Caution("number-format", lacking)]
    if not served.fits:
        most = served.max_batch_size_seqs or 0
        need, usable = int(served.memory.total_bytes), int(USABLE_SHARE * on.device.capacity_bytes)
        message = (
            f"{counted(load.concurrency, 'sequence')} do not fit: {show_bytes(need)} of {show_bytes(usable)} usable on each device; "
            f"at most {counted(most, 'sequence')} at these lengths. Rates are those of devices that hold it"
        )
        found.append(Caution("memory", message, {"max_batch_size_seqs": most, "total_bytes": need}))
    return found
