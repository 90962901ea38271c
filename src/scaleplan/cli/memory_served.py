"""The answer of `scaleplan memory --inference`: weights, the cache of keys and values, and what still fits."""

from __future__ import annotations

from typing import Any

from scaleplan.answer import Answer, Line, quantities
from scaleplan.chain.default_layout import USUAL_NODE, fewest_for_serving, serving_layout
from scaleplan.chain.memory import Wishes, layout_on, stack_named
from scaleplan.chain.memory_inverse import Found
from scaleplan.cli.memory_phases import inverse_notes
from scaleplan.cli.memory_tables import Room
from scaleplan.errors import InputError
from scaleplan.machine.activations import Batch
from scaleplan.machine.inverse import largest
from scaleplan.machine.layout import Layout, check_layout, fixed_sizes
from scaleplan.machine.memory import USABLE_SHARE, fits
from scaleplan.machine.recipe import cache_precision
from scaleplan.machine.serving_formats import serving_format
from scaleplan.machine.serving_memory import Serving, ServingMemory, serving_memory
from scaleplan.model.items import Bill
from scaleplan.units import counted, show_bytes

PARTS = ("weights", "kv_cache", "workspace", "context")


def served(
    bill: Bill,
    given: Layout | None,
    wishes: Wishes,
    cache: tuple[str | None, int | None],
    room: Room | None,
    asked: dict[str, Any],
    search: tuple[int | None, int, str | None] = (None, USUAL_NODE, None),
) -> Answer:
    """Memory of one device while it serves a batch of sequences of a length.

    cache   number format of keys and values, and tokens of a block of a paged cache
    search  number of devices, devices of a node, and the quantity of an inverse question
    """
    weights = serving_format(wishes.precision)
    batch = Batch(wishes.micro_batch_size_seqs, wishes.seq_len)
    serving = Serving(batch, weights, cache_precision(cache[0], weights), cache[1] or 1)
    context = stack_named(wishes.stack).context_bytes
    layout, inverse = place(bill, given, serving, room, context, search)
    found = serving_memory(bill, layout, serving, context)
    result: dict[str, Any] = {key: int(value) for key, value in found._asdict().items()}
    result |= {"total_bytes": int(found.total_bytes), "bits_per_weight": weights.bits_per_weight, "cache_precision": serving.cache.name}
    result |= {"layout": layout.spelled(), "n_devices": int(layout.n_devices)}
    if room is not None:
        result |= limits(bill, layout, serving, context, room[1]) | {"fits": bool(fits(found.total_bytes, room[1]))}
    if inverse is not None:
        result["inverse"] = answered(inverse, found, result)._asdict()
    lines = lines_of(found, batch, bill)
    notes = [
        f"{counted(batch.n_seqs, 'sequence')} of {batch.seq_len:,} tokens in the cache, on each of {counted(layout.n_devices, 'device')}."
    ]
    notes += [*(verdict(result, room) if room is not None else []), *inverse_notes(result.get("inverse"))]
    return Answer(
        "memory",
        asked,
        result,
        [quantities("Serving, one device", lines)],
        lines,
        notes=notes,
        more_sources=["ainslie2023", "scaling-book"],
    )


def place(
    bill: Bill, given: Layout | None, serving: Serving, room: Room | None, context: int, search: tuple[int | None, int, str | None]
) -> tuple[Layout, str | None]:
    """The layout that was given, checked, or the one that the devices are best used in."""
    n_devices, node, inverse = search
    if inverse == "n-devices" and given is None and room is not None:
        found = fewest_for_serving(bill, serving, room[1], context, node)
        if found is None:
            raise InputError(
                f"no number of {room[0]} up to a layer a device holds this model", hint="a narrower format, or a larger device"
            )
        return found[1].layout, inverse
    if given is None and n_devices is not None and room is not None:
        return serving_layout(bill, n_devices, serving, room[1], context, node).layout, inverse
    layout = layout_on(given, n_devices)
    check_layout(layout, fixed_sizes(bill.arch), int(layout.cp), 1, int(layout.dp))
    return layout, inverse


def answered(quantity: str, found: ServingMemory, result: dict[str, Any]) -> Found:
    """The answer of an inverse question, with the memory of the batch or length that was found."""
    values = {"n-devices": result["n_devices"], "micro-batch-size-seqs": "max_batch_size_seqs", "seq-len": "max_seq_len"}
    value = values.get(quantity)
    return Found(quantity, result.get(value) if isinstance(value, str) else value, int(found.total_bytes))


def limits(bill: Bill, layout: Layout, serving: Serving, context: int, capacity: int) -> dict[str, Any]:
    """The largest batch at this length, and the longest context of this batch, that still fit; None where none does."""

    def holds(batch: Batch) -> bool:
        return bool(fits(serving_memory(bill, layout, serving._replace(batch=batch), context).total_bytes, capacity))

    n_seqs, seq_len = serving.batch.n_seqs, serving.batch.seq_len
    return {
        "capacity_bytes": capacity,
        "max_batch_size_seqs": largest(lambda n: holds(Batch(n, seq_len))),
        "max_seq_len": within_model(bill, largest(lambda n: holds(Batch(n_seqs, n)))),
    }


def within_model(bill: Bill, n_tokens: int | None) -> int | None:
    """No longer than the sequences that the model takes."""
    most = bill.arch.max_seq_len
    return n_tokens if n_tokens is None or most is None else min(n_tokens, int(most))


def lines_of(found: ServingMemory, batch: Batch, bill: Bill) -> list[Line]:
    """The parts and their sum."""
    n = bill.n_params()
    mean = {"n_params": n, "bytes_per_param": found.weights_bytes / n}
    per_token = found.kv_cache_bytes_per_token
    lines = [Line("weights_bytes", "weights", found.weights_bytes, "bytes", "n_params * bytes_per_param", mean, ("scaling-book",))]
    lines.append(Line("kv_cache_bytes_per_token", "cache of a token", per_token, "bytes", sources=("ainslie2023",)))
    cache = {"batch_size_seqs": batch.n_seqs, "seq_len": batch.seq_len, "kv_cache_bytes_per_token": per_token}
    plain = batch.n_seqs * batch.seq_len * per_token == found.kv_cache_bytes
    formula = " * ".join(cache) if plain else None
    lines.append(Line("kv_cache_bytes", "cache", found.kv_cache_bytes, "bytes", formula, cache if plain else None, ("ainslie2023",)))
    lines.append(Line("workspace_bytes", "workspace of one pass", found.workspace_bytes, "bytes", standing="estimate"))
    lines.append(Line("context_bytes", "context of the device", found.context_bytes, "bytes", standing="assumed"))
    parts = {part: getattr(found, f"{part}_bytes") for part in PARTS}
    lines.append(Line("total_bytes", "total", found.total_bytes, "bytes", " + ".join(parts), parts, (), "estimate"))
    return lines


def verdict(result: dict[str, Any], room: Room) -> list[str]:
    """Whether it fits, and how much more would."""
    if not result["fits"]:
        return [f"It does not fit {room[0]}: at most {USABLE_SHARE:.0%} of {show_bytes(room[1])} is used."]
    batch, length = result["max_batch_size_seqs"], result["max_seq_len"]
    many, long = ("any number of" if batch is None else f"{batch:,}"), ("any" if length is None else f"{length:,}")
    return [f"It fits {room[0]}: up to {many} sequences of this length, or contexts of up to {long} tokens in this batch."]
