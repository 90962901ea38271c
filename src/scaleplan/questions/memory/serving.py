"""Memory while serving: weights, the KV cache, the workspace of a pass, and the largest batch and context that fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from scaleplan.answer import Answer, Caution, Line, line, quantities
from scaleplan.chain.default_layout import fewest_for_serving, serving_candidates, serving_layout
from scaleplan.chain.lengths import chosen_length
from scaleplan.chain.memory import USUAL_STACK, layout_on, products_missing, stack_named
from scaleplan.chain.memory_inverse import MOST_LAYERS, Found, with_layers
from scaleplan.chain.sparsity import sparse_factor
from scaleplan.errors import NotSupported
from scaleplan.machine.activations import Batch
from scaleplan.machine.inverse import LARGEST, largest
from scaleplan.machine.layout import Layout, check_layout, fixed_sizes
from scaleplan.machine.recipe import PRECISIONS, cache_precision
from scaleplan.machine.serving_formats import Format, checkpoint_format, serving_format, with_sparsity
from scaleplan.machine.serving_memory import USUAL_BLOCK_TOKENS, Pool, ServingMemory, cache_pool, pass_width, serving_memory
from scaleplan.machine.serving_memory import Serving as Served
from scaleplan.model.adapters import Lora, adapted_bill
from scaleplan.model.items import Bill
from scaleplan.model.mixers.attention import Attention
from scaleplan.questions.memory.lines import group_lines, is_plain, served_line, sparse_lines
from scaleplan.questions.memory.setup import Device, completed, device_of, format_cautions, inputs_of, inverse_tables
from scaleplan.units import counted, show_bytes
from scaleplan.wording import field

if TYPE_CHECKING:
    from scaleplan.model.sparsity import Sparsity
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
    max_batch_size_seqs: int | None = None
    max_seq_len: int | None = None
    inverse: Found | None = None
    pool: Pool | None = None


class Case(NamedTuple):
    """A model on a device, as it is served."""

    bill: Bill
    served: Served
    context_bytes: int
    device: Device | None
    lora: Lora | None

    def total_bytes(self, layout: Layout) -> int:
        """Bytes of one device under a layout."""
        return int(serving_memory(self.bill, layout, self.served, self.context_bytes).total_bytes)

    def holds(self, layout: Layout) -> bool:
        """Whether each device holds its part."""
        return self.device is not None and bool(self.device.room.holds(self.total_bytes(layout)))

    def at(self, quantity: str, value: int) -> Case:
        """The same with another batch, length or depth."""
        batch = self.served.batch
        if quantity == "n-layers":
            return self._replace(bill=adapted_bill(with_layers(self.bill.arch, value), self.lora))
        other = Batch(batch.n_seqs, value) if quantity == "seq-len" else Batch(value, batch.seq_len)
        return self._replace(served=self.served._replace(batch=other))

    def most(self, quantity: str, layout: Layout) -> int | None:
        """The largest batch, length or depth that fits under a layout; no longer than the sequences that the model takes."""
        step, most = (int(layout.pp), MOST_LAYERS) if quantity == "n-layers" else (1, LARGEST)
        found = largest(lambda n: self.at(quantity, n).holds(layout), step=step, most=most)
        limit = self.bill.arch.max_seq_len if quantity == "seq-len" else None
        return found if found is None or limit is None else min(found, int(limit))


def solve(asked: Serving) -> Solved:
    """Bytes of one device; without a device, sequence length and batch may be arrays."""
    bill = adapted_bill(asked.model.arch, asked.lora)
    length, _ = chosen_length(asked.model, asked.seq_len)
    weights, _ = chosen_format(asked)
    weights = with_sparsity(weights, asked.sparsity)
    batch = Batch(1 if asked.batch_size_seqs is None else asked.batch_size_seqs, length)
    served = Served(batch, weights, cache_precision(asked.cache_precision, weights), asked.cache_block_tokens or 1)
    context, device = stack_named(asked.stack or USUAL_STACK).context_bytes, device_of(asked)
    check_pattern(asked.sparsity, device)
    case, layout, inverse = placed(asked, Case(bill, served, context, device, asked.lora))
    memory = serving_memory(case.bill, layout, case.served, context)
    solved = Solved(case.bill, layout, case.served, memory, device)
    if device is None:
        return solved
    most_seqs, longest = (case.most(quantity, layout) for quantity in ("micro-batch-size-seqs", "seq-len"))
    pool = cache_pool(memory, device.capacity_bytes, device.usable_share, asked.cache_block_tokens or USUAL_BLOCK_TOKENS)
    return solved._replace(max_batch_size_seqs=most_seqs, max_seq_len=longest, inverse=inverse, pool=pool)


def check_pattern(sparsity: Sparsity | None, device: Device | None) -> None:
    """Raises NotSupported where the device has no products of weights in a pattern."""
    if sparsity is not None and sparsity.pattern is not None and device is not None and device.name is not None:
        sparse_factor(device.name, device.data, sparsity)


def chosen_format(asked: Serving) -> tuple[Format, str]:
    """The format of the weights and where it is from: as given, that of QLoRA's frozen weights, the checkpoint's own, or 16 bits."""
    if asked.precision is not None:
        return serving_format(asked.precision), ""
    if asked.lora is not None and asked.lora.base is not None:
        return serving_format(asked.lora.base), f"Weights in {asked.lora.base}, as {field('lora')} says."
    own = checkpoint_format({"quantization_config": asked.model.quantization}) if asked.model.quantization else None
    if own is None:
        return serving_format(USUAL_FORMAT), ""
    return own, f"Weights in {own.name}, the checkpoint's own `quantization_config`; override with {field('precision')}."


def placed(asked: Serving, case: Case) -> tuple[Case, Layout, Found | None]:
    """The layout that was given, checked; else the one for so many devices, or for the fewest; at the answer of an inverse question."""
    if case.device is None or asked.layout is not None or (asked.n_devices is None and asked.fewest is None):
        layout = layout_on(asked.layout, asked.n_devices)
        check_layout(layout, fixed_sizes(case.bill.arch), int(layout.cp), 1, int(layout.dp))
        return on_given(asked, case, layout)
    room, node = case.device.room, case.device.n_per_node
    if asked.fewest is not None:
        found = fewest_for_serving(case.bill, case.served, room, case.context_bytes, node)
        if found is None:
            problem = f"no number of devices holds this model: one layer a stage on {case.device.shown} is too much"
            raise NotSupported(problem, hint=f"a narrower {field('precision')}, or a larger device")
        return case, found[1].layout, Found(asked.fewest, found[0], found[1].peak_bytes)
    n = asked.n_devices or 1
    inverse = None
    if asked.largest is not None:
        quantity, candidates = asked.largest, serving_candidates(n, fixed_sizes(case.bill.arch), node)
        value = max((most for layout in candidates if (most := case.most(quantity, layout)) is not None), default=None)
        case = case if value is None else case.at(quantity, value)
        inverse = Found(quantity, value, None)
    choice = serving_layout(case.bill, n, case.served, room, case.context_bytes, node)
    if inverse is not None and inverse.value is not None:
        inverse = inverse._replace(peak_bytes=choice.peak_bytes)
    return case, choice.layout, inverse


def on_given(asked: Serving, case: Case, layout: Layout) -> tuple[Case, Layout, Found | None]:
    """An inverse question on one layout; copies of the model do not change what one device holds."""
    quantity = asked.largest or asked.fewest
    if quantity is None or case.device is None:
        return case, layout, None
    if quantity == "n-devices":
        one = layout._replace(dp=1)
        found = Found(quantity, int(one.n_devices), case.total_bytes(one)) if case.holds(one) else Found(quantity, None, None)
        return case, one, found
    value = case.most(quantity, layout)
    if value is None:
        return case, layout, Found(quantity, None, None)
    there = case.at(quantity, value)
    return there, layout, Found(quantity, value, there.total_bytes(layout))


def explain(asked: Serving, solved: Solved) -> Answer:
    """The answer of one case."""
    served, device = solved.served, solved.device
    result = result_of(solved)
    lines = lines_of(solved)
    batch = served.batch
    on = f"on each of {counted(result['n_devices'], 'device')}"
    notes = [f"{counted(batch.n_seqs, 'sequence')} of {batch.seq_len:,} tokens in the KV cache, {on}."]
    why = chosen_format(asked)[1]
    notes += [why] if why else []
    if asked.layout is None and (asked.n_devices or asked.fewest) and device is not None:
        notes.append(f"No {field('layout')}: using {result['layout']}, tensor parallelism inside a node first.")
    answer = Answer(
        "memory",
        inputs_of(asked, precision=served.weights.name, seq_len=batch.seq_len, batch_size_seqs=batch.n_seqs, layout=result["layout"]),
        result,
        [*inverse_tables(result.get("inverse")), quantities("Serving, one device", lines)],
        lines,
        notes=[*notes, *(verdict_notes(result, device, solved.bill.arch.max_seq_len) if device is not None else [])],
        more_sources=["ainslie2023", "scaling-book"],
    )
    lacking = products_missing(device.data, served.weights) if device is not None else None
    said = [Caution("number-format", lacking)] if lacking else []
    return completed(answer, asked, [*format_cautions(device, PRECISIONS.get(served.weights.name)), *said])


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
        "sparsity": sparsity_of(solved.served.weights),
        "cache_precision": solved.served.cache.name,
        "attention": plain_attention(solved),
    }
    if device is not None:
        result |= {
            "capacity_bytes": device.capacity_bytes,
            "usable_share": device.usable_share,
            "max_batch_size_seqs": solved.max_batch_size_seqs,
            "max_seq_len": solved.max_seq_len,
            "fits": bool(device.room.holds(memory.total_bytes)),
            "pool": None if solved.pool is None else pool_of(solved.pool),
        }
    return result | ({} if solved.inverse is None else {"inverse": solved.inverse._asdict()})


def sparsity_of(stored: Format) -> dict[str, Any] | None:
    """The zeros that are not stored, and the bits that say where the others stand; None where all weights are stored."""
    sparsity = stored.sparsity
    if sparsity is None:
        return None
    return {"share": sparsity.share, "pattern": sparsity.pattern, "index_bits_per_kept_weight": sparsity.index_bits}


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
        *pool_lines(solved),
    ]


def pool_lines(solved: Solved) -> list[Line]:
    """What is left of the engine's share for the cache, and the blocks in it."""
    memory, device, pool = solved.memory, solved.device, solved.pool
    if device is None or pool is None:
        return []
    taken = {f"{part}_bytes": getattr(memory, f"{part}_bytes") for part in ("weights", "workspace", "context")}
    formula = f"max(0, floor(usable_share * capacity_bytes) - {' - '.join(taken)})"
    inputs = {"usable_share": device.usable_share, "capacity_bytes": device.capacity_bytes, **taken}
    cited: dict[str, Any] = {"sources": ("kwon2023",), "standing": "estimate"}
    lines = [line("pool.pool_bytes", "pool of the KV cache", pool.pool_bytes, "bytes", formula, **cited, **inputs)]
    if memory.kv_cache_bytes_per_token:
        inputs = {"pool_bytes": pool.pool_bytes, "block_tokens": pool.block_tokens}
        inputs |= {"kv_cache_bytes_per_token": memory.kv_cache_bytes_per_token}
        formula = "floor(pool_bytes / (block_tokens * kv_cache_bytes_per_token))"
        label = f"blocks of {pool.block_tokens} tokens in it"
        lines.append(line("pool.n_blocks", label, pool.n_blocks, "", formula, **cited, **inputs))
    return lines


def is_whole(layout: Layout) -> bool:
    """Whether one device holds everything."""
    return bool(layout.tp == 1 and layout.pp == 1 and layout.ep == 1 and layout.cp == 1)


def weights_lines(solved: Solved) -> list[Line]:
    """Weights of one device, and the counts in their formula."""
    stored, value = solved.served.weights, int(solved.memory.weights_bytes)
    if not is_whole(solved.layout):  # each tensor is divided and rounded up by itself
        return [line("weights_bytes", "weights", value, "bytes", sources=("scaling-book",))]
    if stored.sparsity is not None:
        return sparse_lines(solved.bill, stored, value)
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
    total = show_bytes(result["total_bytes"])
    if not result["fits"]:
        return [f"Does not fit {device.shown}: {total} of {device.usable}."]
    batch, length = result["max_batch_size_seqs"], result["max_seq_len"]
    many, long = ("any" if batch is None else f"{batch:,}"), ("any" if length is None else f"{length:,} tokens")
    limit = " (model limit)" if length is not None and length == max_seq_len else ""
    most = f"Largest batch at this length: {many}. Longest context at this batch size: {long}{limit}."
    return [f"Fits {device.shown}. {most}", *pool_note(result["pool"])]


def pool_of(pool: Pool) -> dict[str, int]:
    """The cache that an engine reserves, in whole bytes and blocks."""
    return {name: int(value) for name, value in pool._asdict().items()}


def pool_note(pool: dict[str, int]) -> list[str]:
    """The cache that an engine reserves when it starts, in blocks."""
    blocks = f"{counted(pool['n_blocks'], 'block')} of {pool['block_tokens']} tokens ({pool['n_tokens']:,} tokens)"
    return [f"KV cache pool of an engine: {show_bytes(pool['pool_bytes'])} = {blocks}; share of the device by {field('usable_share')}."]
