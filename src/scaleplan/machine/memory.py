"""Bytes per device while training: by part, by phase of a step, on the first and on the last pipeline stage.

Everything is a sum over the bill, divided by the layout. The formulas take one layout or arrays of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from scaleplan.machine.activations import Batch, Split, kept_bytes, layer_bytes, outside_bytes
from scaleplan.machine.layout import Layout
from scaleplan.machine.pipeline import head_stage, in_flight, layers_before
from scaleplan.machine.recipe import Format, Optimizer, Precision, state_bytes, weight_bits
from scaleplan.machine.stack import Stack
from scaleplan.model.arch import Size
from scaleplan.model.bill import Bill, Kept, Layer, Weight, total
from scaleplan.model.blocks import Pass
from scaleplan.numeric import ceil_div, maximum, minimum, where

USABLE_SHARE = 0.9  # of the capacity: what an allocator can give before fragments stop it
FLOAT32 = 4
OFFLOADS = ("none", "optimizer", "all")


class Training(NamedTuple):
    """One step of training on one pipeline, as far as memory depends on it.

    batch            sequences of one micro-batch and their tokens
    n_micro_batches  micro-batches that one pipeline takes in a step
    how              recomputation, attention kernel, dropout
    schedule         order of forward and backward passes in the pipeline
    offload          what lives in the host's memory: none, optimizer, or all (also the weights that ZeRO 3 divides)
    recompute_every  with full recomputation, how many layers in a row are recomputed from one kept input
    frozen           format of the weights that are not trained, where it is not that of the others
    """

    batch: Batch
    n_micro_batches: Size
    precision: Precision
    optimizer: Optimizer
    how: Pass
    stack: Stack
    schedule: str = "1f1b"
    offload: str = "none"
    recompute_every: Size = 1
    frozen: Format | None = None


class Phase(NamedTuple):
    """Bytes on one device at the worst moment of one part of a step.

    other_bytes  gathered layers and unreduced gradients of ZeRO 3, gradient buckets, context, communicators and workspace
    """

    phase: str
    weights_bytes: Size
    gradients_bytes: Size
    optimizer_bytes: Size
    activations_bytes: Size
    other_bytes: Size

    @property
    def total_bytes(self) -> Size:
        return self.weights_bytes + self.gradients_bytes + self.optimizer_bytes + self.activations_bytes + self.other_bytes


class Stage(NamedTuple):
    """One pipeline stage and the phases of a step on it."""

    name: str
    phases: tuple[Phase, ...]

    @property
    def peak_bytes(self) -> Size:
        """The worst moment."""
        peak = self.phases[0].total_bytes
        for phase in self.phases[1:]:
            peak = maximum(peak, phase.total_bytes)
        return peak

    @property
    def peak_phase(self) -> Phase:
        """The phase of the worst moment, the first one where several are alike (one layout only)."""
        return max(self.phases, key=lambda phase: phase.total_bytes)


class Held(NamedTuple):
    """Parameters of some layers on one device, after tensor and expert parallelism and before ZeRO.

    params, trainable  all, and those that have a gradient
    states             bytes of optimizer states and master copies
    frozen_bits        bits of those without a gradient, where they have a format of their own
    """

    params: Size = 0
    trainable: Size = 0
    states: Size = 0
    frozen_bits: Size = 0

    def times(self, count: Size, of: Size = 1) -> Held:
        """So many of these layers, `of` of which share one set of weights."""
        if isinstance(of, int) and of == 1:
            return Held(*(count * n for n in self))
        return Held(*(ceil_div(count * n, of) for n in self))

    def plus(self, other: Held) -> Held:
        return Held(*(a + b for a, b in zip(self, other, strict=True)))


NOTHING = Held()


def held_by(layer: Layer, weights: Iterable[Weight], layout: Layout, run: Training) -> Held:
    """What one layer's weights come to on one device. Weights that are divided alike are added before they are divided."""
    groups: dict[Any, list[Weight]] = {}
    for weight in weights:
        ways = weight.tp_ways
        groups.setdefault(ways if isinstance(ways, int) else id(ways), []).append(weight)
    held = NOTHING
    for alike in groups.values():
        divided = minimum(layout.tp, alike[0].tp_ways)
        whole = (
            total(w.n_params for w in alike),
            total(w.n_params for w in alike if w.trainable),
            total(state_bytes(run.optimizer, run.precision, layer, w) for w in alike),
            total(weight_bits(layer, w, run.frozen) for w in alike if not w.trainable) if run.frozen else 0,
        )
        held = held.plus(Held(*(n if is_zero(n) else ceil_div(n, divided) for n in whole)))
    return held


def is_zero(n: Size) -> bool:
    return isinstance(n, int) and n == 0


def is_expert(weight: Weight) -> bool:
    """Whether expert parallelism divides a weight."""
    return weight.group == "experts_routed"


class Parameters(NamedTuple):
    """What a stage holds: weights that every data parallel rank has, and experts, of which each rank has a share."""

    dense: Held
    experts: Held

    def plus(self, other: Parameters) -> Parameters:
        return Parameters(self.dense.plus(other.dense), self.experts.plus(other.experts))


def parameters_of(layer: Layer, layout: Layout, run: Training, count: Size = 1) -> Parameters:
    """`count` layers of a kind; layers that share weights are counted by the sets there are."""
    dense = held_by(layer, (w for w in layer.weights if not is_expert(w)), layout, run)
    experts = held_by(layer, (w for w in layer.weights if is_expert(w)), layout, run)
    shares = 1 if layer.copies is layer.runs or same_number(layer.copies, layer.runs) else layer.runs
    count = count if isinstance(shares, int) and shares == 1 else count * layer.copies
    experts = Held(*(n if is_zero(n) else ceil_div(n, layout.ep) for n in experts))
    return Parameters(dense.times(count, shares), experts.times(count, shares))


def same_number(a: Size, b: Size) -> bool:
    return isinstance(a, int) and isinstance(b, int) and a == b


# ------------------------------------------------------------------------------------------------------------------ stages


class Place(NamedTuple):
    """One stage of the pipeline: its number, and how many layers of each kind it holds."""

    name: str
    stage: Size
    counts: tuple[tuple[Layer, Size], ...]
    first: Any
    last: Any


def places(bill: Bill, layout: Layout, run: Training) -> list[Place]:
    """The stages that can be the fullest: the first, with the most micro-batches waiting, and the last, with head and loss."""
    blocks = [(bill.layers[kind], count) for kind, count in bill.order if bill.layers[kind].place == "block"]
    n_layers = total(count for _, count in blocks)
    head = head_in_layers(bill)
    last = head_stage(layout, n_layers, head, run.stack.placement)
    found = []
    for name, stage in (("first", last * 0), ("last", last)):
        start = layers_before(stage, layout, n_layers, head, run.stack.placement)
        end = where(stage == last, n_layers, layers_before(stage + 1, layout, n_layers, head, run.stack.placement))
        found.append(Place(name, stage, tuple(counts_between(blocks, start, end)), stage == 0, stage == last))
    one_stage = isinstance(last, int) and last == 0
    return found[:1] if one_stage else found


def head_in_layers(bill: Bill) -> Any:
    """Products of the head over those of an average layer: what a placement that balances work counts it as."""
    blocks = [layer for layer in bill.layers if layer.place == "block"]
    work = total(layer.runs * products(layer) for layer in blocks)
    runs = total(layer.runs for layer in blocks)
    return total(products(layer) for layer in bill.layers if layer.place == "head") * runs / maximum(work, 1)


def products(layer: Layer) -> Size:
    """Elements of the weights that a token is multiplied with."""
    return total(w.used * w.elements for w in layer.weights if w.matmul)


def counts_between(blocks: list[tuple[Layer, Size]], start: Size, end: Size) -> list[tuple[Layer, Size]]:
    """How many layers of each run of equal layers lie in [start, end)."""
    if len(blocks) == 1:
        return [(blocks[0][0], end - start)]
    found, before = [], 0
    for layer, count in blocks:
        found.append((layer, maximum(0, minimum(end, before + count) - maximum(start, before))))
        before = before + count
    return found


def stage_parameters(bill: Bill, layout: Layout, run: Training, place: Place) -> Parameters:
    """Weights of one stage: its layers, the tables on the first stage, the last norm and the head on the last.

    A tied head on another stage than the table is a copy of it.
    """
    held = Parameters(NOTHING, NOTHING)
    for layer, count in place.counts:
        held = held.plus(parameters_of(layer, layout, run, count))
    for layer in bill.layers:
        if layer.place == "embedding":
            held = held.plus(parameters_of(layer, layout, run, where(place.first, 1, 0)))
        elif layer.place != "block":
            held = held.plus(parameters_of(layer, layout, run, where(place.last, 1, 0)))
            tied = [w._replace(stored=1) for w in layer.weights if is_zero(w.stored)]
            if tied:
                copies = where(place.last, 1, 0) * where(place.first, 0, 1)
                held = held.plus(Parameters(held_by(layer, tied, layout, run).times(copies), NOTHING))
    return held


# ------------------------------------------------------------------------------------------------------------------ phases


def stages(bill: Bill, layout: Layout, run: Training) -> list[Stage]:
    """The phases of a step on each stage that can be the fullest."""
    return [Stage(place.name, stage_phases(bill, layout, run, place)) for place in places(bill, layout, run)]


def peak_bytes(bill: Bill, layout: Layout, run: Training) -> Size:
    """The most that any device needs at any moment of a step, for one layout or for arrays of them."""
    peaks = [stage.peak_bytes for stage in stages(bill, layout, run)]
    return peaks[0] if len(peaks) == 1 else maximum(*peaks)


def fits(peak: Size, capacity_bytes: Any) -> Any:
    """Whether a peak leaves the allocator its reserve."""
    return peak <= USABLE_SHARE * capacity_bytes


def stage_phases(bill: Bill, layout: Layout, run: Training, place: Place) -> tuple[Phase, ...]:
    """Forward, loss, start of backward and optimizer step.

    weights    parameters x bytes of the recipe, over the shards of ZeRO 3
    gradients  the same of trainable parameters, over those of ZeRO 2
    optimizer  states and master copies, over those of ZeRO 1
    """
    held = stage_parameters(bill, layout, run, place)
    state = state_of(held, layout, run)
    layers = layers_activations(layout, run, place)
    loss, loss_gradient = loss_bytes(bill, layout, run, place)
    recomputed = working_set(layout, run, place)
    gathered, unreduced = gathered_bytes(bill, layout, run, held, place)
    other = run.stack.context_bytes + buckets(held, layout, run)
    return (
        Phase("forward", *state, layers, other + gathered),
        Phase("loss", *state, layers + loss, other + gathered),
        Phase("backward", *state, layers + loss_gradient + recomputed, other + gathered + unreduced),
        Phase("optimizer", *state, 0 * layers, other + 0 * gathered),
    )


def state_of(held: Parameters, layout: Layout, run: Training) -> tuple[Size, Size, Size]:
    """Bytes of weights, gradients and optimizer that a device keeps through the step."""
    precision = run.precision
    shards = layout.replicas if layout.n_shards is None else layout.n_shards
    result: list[Any] = [0, 0, 0]
    for part, ranks in ((held.dense, shards), (held.experts, maximum(1, shards // layout.ep))):
        whole = (weights_bytes(part, run), part.trainable * precision.gradient_bytes, part.states)
        for index, (size, stage) in enumerate(zip(whole, (3, 2, 1), strict=True)):
            if not is_zero(size):
                result[index] = result[index] + divided(size, layout.zero_stage, stage, ranks)
    if run.offload != "none":
        result[2] = 0 * result[2]
    if run.offload == "all":
        result[0] = where(layout.zero_stage >= 3, 0, result[0])
    return result[0], result[1], result[2]


def weights_bytes(held: Held, run: Training) -> Size:
    """Bytes of weights; frozen ones may be kept in a narrower format."""
    if run.frozen is None:
        return held.params * run.precision.weight_bytes
    return held.trainable * run.precision.weight_bytes + ceil_div(held.frozen_bits, 8)


def divided(size: Size, zero_stage: Size, from_stage: int, ranks: Size) -> Size:
    """Bytes over the ranks of ZeRO from a stage on, whole below it."""
    if isinstance(zero_stage, int):
        return ceil_div(size, ranks) if zero_stage >= from_stage else size
    return ceil_div(size, where(zero_stage >= from_stage, ranks, 1))


def layers_activations(layout: Layout, run: Training, place: Place) -> Size:
    """What the layers of a stage keep for all micro-batches that wait on it."""
    split = Split(layout.tp, layout.cp, layout.sequence_parallel)
    once: Any = 0
    for layer, count in place.counts:
        once = once + count * layer_bytes(layer, run.how, run.batch, run.precision, split)
    if not is_zero(run.recompute_every - 1) and run.how.recompute == "full":
        once = ceil_div(once, run.recompute_every)
    waiting = in_flight(place.stage, layout, run.n_micro_batches, run.schedule)
    return once * waiting // layout.n_virtual_stages


def working_set(layout: Layout, run: Training, place: Place) -> Size:
    """All tensors of the layers that are being recomputed; nothing without recomputation of whole layers."""
    if run.how.recompute not in ("full", "per-op"):
        return 0
    split = Split(layout.tp, layout.cp, layout.sequence_parallel)
    how = run.how._replace(recompute="none")
    largest: Any = 0
    for layer, _ in place.counts:
        largest = maximum(largest, layer_bytes(layer, how, run.batch, run.precision, split))
    return largest * (run.recompute_every if run.how.recompute == "full" else 1)


def loss_bytes(bill: Bill, layout: Layout, run: Training, place: Place) -> tuple[Size, Size]:
    """What the head and the loss add on the last stage: at the loss, and when the backward pass starts.

    Counted tensor by tensor, two temporaries of 32 bits a logit come on top when the backward pass starts; otherwise the stack's bytes
    a logit are those of the peak, and the logits are gone when the layers' backward pass begins.
    """
    here = where(place.last, 1, 0)
    logits = logit_count(bill, layout, run)
    if run.stack.bytes_per_logit is None:
        kept = outside_bytes(bill, run.how, run.batch, run.precision)
        return here * kept, here * (kept + 2 * FLOAT32 * logits)
    return here * run.stack.bytes_per_logit * logits, 0


def logit_count(bill: Bill, layout: Layout, run: Training) -> Size:
    """Logits of one micro-batch on one device: the vocabulary is divided by tensor parallelism, tokens by context parallelism."""
    logits = Kept("logits", bill.arch.n_vocab, dtype="byte", stream=bill.arch.stacks[-1].stream, tp_ways=bill.arch.n_vocab)
    return kept_bytes([logits], run.batch, run.precision, Split(layout.tp, layout.cp))


def gathered_bytes(bill: Bill, layout: Layout, run: Training, held: Parameters, place: Place) -> tuple[Size, Size]:
    """What ZeRO 3 puts together for the products, and its gradients before they are divided.

        2 (W / t) compute_bytes                    the layer at work and the next one; the tables and the head stay gathered
        (W / t) (2 compute_bytes + 4)              gradients of those two, and one of them in 32 bits
        all of the stage, and 4 bytes a gradient   with a pipeline: gathered and reduced once a step, not once a micro-batch

    Sources: rajbhandari2020 section 5.3; torchtitan (no resharding between the micro-batches of a pipeline).
    """
    if isinstance(layout.zero_stage, int) and layout.zero_stage < HIGHEST:
        return 0, 0
    sharded = where(layout.zero_stage >= HIGHEST, 1, 0)
    largest: Any = 0
    for layer, _ in place.counts:
        one = parameters_of(layer._replace(copies=1, runs=1), layout, run)
        largest = maximum(largest, one.dense.params + one.experts.params)
    outside: Any = 0
    for layer in bill.layers:
        if layer.place != "block":
            here = place.first if layer.place == "embedding" else place.last
            outside = outside + where(here, 1, 0) * parameters_of(layer, layout, run).dense.params
    width = run.precision.compute_bytes
    whole = held.dense.params + held.experts.params
    gathered = where(layout.pp > 1, width * whole, width * (2 * largest + outside))
    unreduced = where(layout.pp > 1, FLOAT32 * (held.dense.trainable + held.experts.trainable), largest * (2 * width + FLOAT32))
    return sharded * gathered, sharded * unreduced


HIGHEST = 3


def buckets(held: Parameters, layout: Layout, run: Training) -> Size:
    """Copies of the gradients in the buckets of a plain data parallel wrapper."""
    if not run.stack.bucket_copies:
        return 0
    trainable = held.dense.trainable + held.experts.trainable
    plain = where((layout.dp > 1) & (layout.zero_stage < 2), 1, 0)
    return plain * run.stack.bucket_copies * run.precision.gradient_bytes * trainable
