"""Memory while serving: weights, the KV cache, the workspace of a pass, and the largest batch and context that fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from scaleplan.answer import Answer, Line, line, quantities
from scaleplan.chain.default_layout import fewest_for_serving, serving_layout
from scaleplan.chain.lengths import chosen_length
from scaleplan.chain.memory import USUAL_STACK, layout_on, stack_named
from scaleplan.chain.memory_inverse import MOST_LAYERS, Found, with_layers
from scaleplan.errors import NotSupported
from scaleplan.machine.activations import Batch
from scaleplan.machine.inverse import largest
from scaleplan.machine.layout import Layout, check_layout, fixed_sizes
from scaleplan.machine.memory import USABLE_SHARE, fits
from scaleplan.machine.recipe import PRECISIONS, cache_precision
from scaleplan.machine.serving_formats import serving_format
from scaleplan.machine.serving_memory import Serving as Served
from scaleplan.machine.serving_memory import ServingMemory, pass_width, serving_memory
from scaleplan.model.adapters import adapted_bill
from scaleplan.model.bill import bill_of
from scaleplan.model.items import Bill
from scaleplan.model.mixers.attention import Attention
from scaleplan.questions.memory.lines import group_lines, is_plain, served_line
from scaleplan.questions.memory.setup import Device, completed, device_of, format_cautions, inputs_of, inverse_tables
from scaleplan.units import counted, show_bytes
from scaleplan.wording import field

if TYPE_CHECKING:
    from scaleplan.questions.memory import Serving

USUAL_FORMAT = "bf16"
PARTS = ("weights", "kv_cache", "workspace", "context")


class Solved(NamedTuple):
    """What is served, on which layout, its bytes, the largest batch and context that fit, and the answer of an inverse question."""

    bill: Bill
    layout: Layout
    served: Served
    memory: ServingMemory
    device: Device | None
    max_batch_size_seqs: int | None
    max_seq_len: int | None
    inverse: Found | None


def solve(asked: Serving) -> Solved:
    """Bytes of one device; without a device, sequence length and batch may be arrays."""
    bill = adapted_bill(asked.model.arch, asked.lora)
    length, _ = chosen_length(asked.model, asked.seq_len)
    weights = serving_format(asked.precision or USUAL_FORMAT)
    batch = Batch(1 if asked.batch_size_seqs is None else asked.batch_size_seqs, length)
    served = Served(batch, weights, cache_precision(asked.cache_precision, weights), asked.cache_block_tokens or 1)
    context, device = stack_named(asked.stack or USUAL_STACK).context_bytes, device_of(asked.hardware, asked.capacity)
    layout = placed(asked, bill, served, context, device)
    memory = serving_memory(bill, layout, served, context)
    case = Solved(bill, layout, served, memory, device, None, None, None)
    if device is None:
        return case
    most_seqs = largest(lambda n: holds(case, Batch(n, length)))
    longest = within_model(bill, largest(lambda n: holds(case, Batch(batch.n_seqs, n))))
    case = case._replace(max_batch_size_seqs=most_seqs, max_seq_len=longest)
    return case._replace(inverse=answered(asked, case))


def placed(asked: Serving, bill: Bill, served: Served, context: int, device: Device | None) -> Layout:
    """The layout that was given, checked; else the one that so many devices, or the fewest, are best used in."""
    if asked.layout is None and device is not None and asked.fewest is not None:
        found = fewest_for_serving(bill, served, device.capacity_bytes, context, device.n_per_node)
        if found is None:
            problem = f"no number of devices holds this model: one layer a stage on {device.shown} is too much"
            raise NotSupported(problem, hint=f"a narrower {field('precision')}, or a larger device")
        return found[1].layout
    if asked.layout is None and device is not None and asked.n_devices is not None:
        return serving_layout(bill, asked.n_devices, served, device.capacity_bytes, context, device.n_per_node).layout
    layout = layout_on(asked.layout, asked.n_devices)
    check_layout(layout, fixed_sizes(bill.arch), int(layout.cp), 1, int(layout.dp))
    return layout


def holds(case: Solved, batch: Batch) -> bool:
    """Whether a device holds another batch."""
    memory = serving_memory(case.bill, case.layout, case.served._replace(batch=batch), int(case.memory.context_bytes))
    return case.device is not None and bool(fits(memory.total_bytes, case.device.capacity_bytes))


def within_model(bill: Bill, n_tokens: int | None) -> int | None:
    """No longer than the sequences that the model takes."""
    most = bill.arch.max_seq_len
    return n_tokens if n_tokens is None or most is None else min(n_tokens, int(most))


def answered(asked: Serving, case: Solved) -> Found | None:
    """The answer of an inverse question, with the memory at the value that was found."""
    quantity, batch, layout = asked.largest or asked.fewest, case.served.batch, case.layout
    if quantity is None or case.device is None:
        return None
    if quantity == "n-layers":
        return most_layers(case)
    if quantity == "n-devices":
        one = layout._replace(dp=1) if asked.layout is not None else layout  # copies of the model do not change what one device holds
        fitting = holds(case, batch)
        return Found(quantity, int(one.n_devices) if fitting else None, int(case.memory.total_bytes) if fitting else None)
    value = case.max_seq_len if quantity == "seq-len" else case.max_batch_size_seqs
    if value is None:
        return Found(quantity, None, None)
    found = Batch(batch.n_seqs, value) if quantity == "seq-len" else Batch(value, batch.seq_len)
    memory = serving_memory(case.bill, layout, case.served._replace(batch=found), int(case.memory.context_bytes))
    return Found(quantity, value, int(memory.total_bytes))


def most_layers(case: Solved) -> Found:
    """The most layers, all like the model's, with which a device holds it."""

    def total(n_layers: int) -> int:
        bill = bill_of(with_layers(case.bill.arch, n_layers))
        return int(serving_memory(bill, case.layout, case.served, int(case.memory.context_bytes)).total_bytes)

    capacity = 0 if case.device is None else case.device.capacity_bytes
    value = largest(lambda n: bool(fits(total(n), capacity)), step=int(case.layout.pp), most=MOST_LAYERS)
    return Found("n-layers", value, None if value is None else total(value))


def explain(asked: Serving, solved: Solved) -> Answer:
    """The answer of one case."""
    served, device = solved.served, solved.device
    result = result_of(solved)
    lines = lines_of(solved)
    batch = served.batch
    on = f"on each of {counted(result['n_devices'], 'device')}"
    notes = [f"{counted(batch.n_seqs, 'sequence')} of {batch.seq_len:,} tokens in the KV cache, {on}."]
    answer = Answer(
        "memory",
        inputs_of(asked, precision=served.weights.name, seq_len=batch.seq_len, batch_size_seqs=batch.n_seqs, layout=result["layout"]),
        result,
        [*inverse_tables(result.get("inverse")), quantities("Serving, one device", lines)],
        lines,
        notes=[*notes, *(verdict_notes(result, device, solved.bill.arch.max_seq_len) if device is not None else [])],
        more_sources=["ainslie2023", "scaling-book"],
    )
    return completed(answer, asked, format_cautions(device, PRECISIONS.get(served.weights.name)))


def result_of(solved: Solved) -> dict[str, Any]:
    """The keys that other programs read."""
    memory, device = solved.memory, solved.device
    result: dict[str, Any] = {
        "layout": solved.layout.spelled(),
        "n_devices": int(solved.layout.n_devices),
        **{key: int(value) for key, value in memory._asdict().items()},
        "total_bytes": int(memory.total_bytes),
        "pass_width": int(pass_width(solved.bill, solved.layout)),
        "bits_per_weight": solved.served.weights.bits_per_weight,
        "cache_precision": solved.served.cache.name,
        "attention": plain_attention(solved),
    }
    if device is not None:
        result |= {
            "capacity_bytes": device.capacity_bytes,
            "max_batch_size_seqs": solved.max_batch_size_seqs,
            "max_seq_len": solved.max_seq_len,
            "fits": bool(fits(memory.total_bytes, device.capacity_bytes)),
        }
    return result | ({} if solved.inverse is None else {"inverse": solved.inverse._asdict()})


# --------------------------------------------------------------------------------------------------------------------- lines


def lines_of(solved: Solved) -> list[Line]:
    """The parts and their sum."""
    memory = solved.memory
    parts = {f"{part}_bytes": getattr(memory, f"{part}_bytes") for part in PARTS}
    return [
        *weights_lines(solved),
        per_token_line(solved),
        cache_line(solved),
        workspace_line(solved),
        line("context_bytes", "CUDA context", memory.context_bytes, "bytes", standing="assumed"),
        line("total_bytes", "total", memory.total_bytes, "bytes", " + ".join(parts), standing="estimate", **parts),
    ]


def is_whole(layout: Layout) -> bool:
    """Whether one device holds everything."""
    return bool(layout.tp == 1 and layout.pp == 1 and layout.ep == 1 and layout.cp == 1)


def weights_lines(solved: Solved) -> list[Line]:
    """Weights of one device, and the counts in their formula."""
    stored, value = solved.served.weights, int(solved.memory.weights_bytes)
    if not is_whole(solved.layout):  # each tensor is divided and rounded up by itself
        return [line("weights_bytes", "weights", value, "bytes", sources=("scaling-book",))]
    counts = group_lines(solved.bill, stored, "weights.") if stored.group and is_plain(stored) else []
    return [*counts, served_line(solved.bill, stored, "weights_bytes", "weights", value)]


def plain_attention(solved: Solved) -> dict[str, int] | None:
    """Layers, KV heads and their width, where all layers keep the keys and values of the same attention on one device; else None."""
    blocks = [layer for layer in solved.bill.layers if layer.block is not None]
    if len(blocks) != 1 or not is_whole(solved.layout) or blocks[0].block is None or not caches_of(blocks[0]):
        return None
    mixer = blocks[0].block.mixer
    if not isinstance(mixer, Attention) or mixer.d_value != mixer.d_head or mixer.share_keys_values is not None or blocks[0].block.cross:
        return None
    return {"n_layers": int(blocks[0].runs), "n_kv_heads": int(mixer.n_kv_heads), "d_head": int(mixer.d_head)}


def per_token_line(solved: Solved) -> Line:
    """Keys and values of a token; a formula where all layers have the same attention."""
    key, label, value = "kv_cache_bytes_per_token", "KV cache of a token", int(solved.memory.kv_cache_bytes_per_token)
    attention = plain_attention(solved)
    if attention is None:
        return line(key, label, value, "bytes", sources=("ainslie2023",))
    inputs: dict[str, Any] = {**attention, "bytes_per_element": solved.served.cache.compute_bytes}
    formula = "2 * n_layers * n_kv_heads * d_head * bytes_per_element"
    return line(key, label, value, "bytes", formula, sources=("ainslie2023",), **inputs)


def cache_line(solved: Solved) -> Line:
    """The whole cache; a formula where every layer sees every token."""
    memory, batch, block = solved.memory, solved.served.batch, solved.served.block_tokens
    key, label, value = "kv_cache_bytes", "KV cache", int(memory.kv_cache_bytes)
    spans = [k.span for layer in solved.bill.layers for k in caches_of(layer)]
    if any(span is not None for span in spans) or not is_whole(solved.layout) or has_states(solved.bill):
        return line(key, label, value, "bytes", sources=("ainslie2023",))
    inputs = {"batch_size_seqs": batch.n_seqs, "seq_len": batch.seq_len, "kv_cache_bytes_per_token": memory.kv_cache_bytes_per_token}
    tokens = "seq_len"
    if block != 1:
        tokens, inputs = "ceil(seq_len / cache_block_tokens) * cache_block_tokens", inputs | {"cache_block_tokens": block}
    formula = f"batch_size_seqs * {tokens} * kv_cache_bytes_per_token"
    return line(key, label, value, "bytes", formula, sources=("ainslie2023",), **inputs)


def caches_of(layer: Any) -> list[Any]:
    """What a layer keeps for the next token."""
    from scaleplan.model.cache import layer_cache

    return layer_cache(layer)


def has_states(bill: Bill) -> bool:
    """Whether something is kept for a sequence, whatever its length."""
    return any(not (isinstance(k.per_sequence, int) and k.per_sequence == 0) for layer in bill.layers for k in caches_of(layer))


def workspace_line(solved: Solved) -> Line:
    """The workspace of one pass over prompts."""
    served, arch = solved.served, solved.bill.arch
    inputs: dict[str, Any] = {
        "batch_size_seqs": served.batch.n_seqs,
        "seq_len": served.batch.seq_len,
        "prefill_tokens": served.prefill_tokens,
    }
    inputs |= {"pass_width": pass_width(solved.bill, solved.layout), "bytes_per_element": served.compute_bytes}
    inputs |= {"n_vocab": arch.n_vocab, "tp": solved.layout.tp}
    tokens = "min(batch_size_seqs * seq_len, prefill_tokens)"
    formula = f"{tokens} * pass_width * bytes_per_element + 4 * batch_size_seqs * ceil(n_vocab / tp)"
    value = int(solved.memory.workspace_bytes)
    return line("workspace_bytes", "workspace of one pass", value, "bytes", formula, standing="estimate", **inputs)


def verdict_notes(result: dict[str, Any], device: Device, max_seq_len: Any) -> list[str]:
    """Whether it fits, and how much more would."""
    total, usable = show_bytes(result["total_bytes"]), show_bytes(int(USABLE_SHARE * device.capacity_bytes))
    if not result["fits"]:
        return [f"Does not fit {device.shown}: {total} of {usable} usable ({USABLE_SHARE:.0%} of {show_bytes(device.capacity_bytes)})."]
    batch, length = result["max_batch_size_seqs"], result["max_seq_len"]
    many, long = ("any" if batch is None else f"{batch:,}"), ("any" if length is None else f"{length:,} tokens")
    limit = " (model limit)" if length is not None and length == max_seq_len else ""
    return [f"Fits {device.shown}. Largest batch at this length: {many}. Longest context at this batch size: {long}{limit}."]
