"""Memory while serving: weights, the KV cache, the workspace of a pass, and the largest batch and context that fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from scaleplan.answer import Answer, Caution, quantities
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
from scaleplan.questions.memory.serving_lines import lines_of, plain_attention
from scaleplan.questions.memory.setup import Device, completed, device_of, format_cautions, inputs_of, inverse_tables
from scaleplan.units import counted, show_bytes
from scaleplan.wording import field

if TYPE_CHECKING:
    from scaleplan.model.sparsity import Sparsity
    from scaleplan.questions.memory import Serving

USUAL_FORMAT = "bf16"


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
        lacks = simpler_lacks(solved, device)
        said = f"No {field('layout')}: using {result['layout']}, tensor parallelism inside a node first."
        notes.append(said + (f" Simpler: {lacks}." if lacks else ""))
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
    narrow = [Caution("number-format", lacking)] if lacking else []
    return completed(answer, asked, [*format_cautions(device, PRECISIONS.get(served.weights.name)), *narrow])


def simpler_lacks(solved: Solved, device: Device) -> str:
    """What copies of the model on fewer devices each miss by, in words; empty where one device holds it."""
    layout, context = solved.layout, solved.memory.context_bytes
    fewer = [ways for ways in (1, 2, 4) if ways < layout.tp and layout.tp % ways == 0]
    needed = {ways: int(serving_memory(solved.bill, Layout(tp=ways), solved.served, context).total_bytes) for ways in fewer}
    over = {ways: size - device.room.usable_bytes for ways, size in needed.items() if not device.room.holds(size)}
    return "; ".join(f"a copy on {counted(ways, 'device')} needs {show_bytes(size)} more" for ways, size in over.items())


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
