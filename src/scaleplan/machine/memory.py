"""Bytes per device while training: by part, by phase of a step, on the first and on the last pipeline stage.

Everything is a sum over the bill, divided by the layout. The formulas take one layout or arrays of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from scaleplan.machine.activations import Batch, Split, kept_bytes, layer_bytes, outside_bytes
from scaleplan.machine.held import Formats, Parameters, State, added, parameters_of, state_of
from scaleplan.machine.layout import SHARDS_GRADIENTS, SHARDS_WEIGHTS, Layout
from scaleplan.machine.pipeline import Place, places
from scaleplan.machine.recipe import Precision
from scaleplan.machine.schedules import in_flight
from scaleplan.machine.stack import Stack
from scaleplan.model.arch import Size
from scaleplan.model.items import Bill, Kept, total
from scaleplan.model.passes import Pass
from scaleplan.numeric import ceil_div, floor_div, is_number, is_zero, maximum, maximum_of, minimum, where

USABLE_SHARE = 0.9  # of the capacity: what an allocator can give before fragments stop it
FLOAT32 = 4
USUAL_BATCH_TOKENS = 4_194_304  # of a step: what large runs of today take (Llama 3 405B starts at 4M)


def usual_batch_seqs(seq_len: Size) -> Size:
    """The global batch that is assumed: 4 Mi tokens, in whole sequences, one at least."""
    return maximum(1, floor_div(USUAL_BATCH_TOKENS, seq_len))


class Training(NamedTuple):
    """One step of training on one pipeline, as far as memory depends on it.

    batch            sequences of one micro-batch and their tokens
    n_micro_batches  micro-batches that one pipeline takes in a step
    how              recomputation, attention kernel, dropout
    schedule         order of forward and backward passes in the pipeline
    offload          what lives in the host's memory: none, optimizer, or all (also the weights that ZeRO 3 divides)
    recompute_every  with full recomputation, how many layers in a row are recomputed from one kept input
    """

    batch: Batch
    n_micro_batches: Size
    formats: Formats
    how: Pass
    stack: Stack
    schedule: str = "1f1b"
    offload: str = "none"
    recompute_every: Size = 1

    @property
    def precision(self) -> Precision:
        return self.formats.precision


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
    """One pipeline stage, the phases of a step on it, and what their bytes are made of."""

    name: str
    phases: tuple[Phase, ...]
    parts: StageParts

    @property
    def peak_bytes(self) -> Size:
        """The worst moment."""
        return maximum_of(phase.total_bytes for phase in self.phases)

    @property
    def peak_phase(self) -> Phase:
        """The phase of the worst moment, the first one where several are alike (one layout only)."""
        return max(self.phases, key=lambda phase: phase.total_bytes)

    def times(self, factor: Any) -> Stage:
        """The stage with as many times its bytes."""
        return self._replace(phases=tuple(corrected(phase, factor) for phase in self.phases))


# ------------------------------------------------------------------------------------------------------------------ stages


class Units(NamedTuple):
    """What one layer of each kind comes to on a device, priced once for all stages; by index into the bill's layers.

    parameters  one set of weights
    tied        the copy of a tied table that a head on another stage than the table needs
    kept        bytes for the backward pass of one micro-batch
    at_work     bytes of all tensors of a layer while it is recomputed; 0 where none is
    logits      of one micro-batch
    """

    parameters: tuple[Parameters, ...]
    tied: Parameters
    kept: tuple[Size, ...]
    at_work: tuple[Size, ...]
    logits: Size


def units_of(bill: Bill, layout: Layout, run: Training) -> Units:
    """Every kind of layer of a model under a layout."""
    split = Split(layout.tp, layout.cp, layout.sequence_parallel)
    whole = run.how._replace(recompute="none")
    recomputes = run.how.recompute in ("full", "per-op")
    tables = [layer._replace(weights=tuple(w._replace(stored=1) for w in layer.weights if is_zero(w.stored))) for layer in bill.layers]
    tied = Parameters()
    for layer in tables:
        tied = tied.plus(parameters_of(layer, layout, run.formats))
    return Units(
        parameters=tuple(parameters_of(layer, layout, run.formats) for layer in bill.layers),
        tied=tied,
        kept=tuple(layer_bytes(layer, run.how, run.batch, run.precision, split) for layer in bill.layers),
        at_work=tuple(layer_bytes(layer, whole, run.batch, run.precision, split) if recomputes else 0 for layer in bill.layers),
        logits=logit_count(bill, layout, run),
    )


def logit_count(bill: Bill, layout: Layout, run: Training) -> Size:
    """Logits of one micro-batch on one device: the vocabulary is divided by tensor parallelism, tokens by context parallelism."""
    logits = Kept("logits", bill.arch.n_vocab, dtype="byte", stream=bill.arch.stacks[-1].stream, tp_ways=bill.arch.n_vocab)
    return kept_bytes([logits], run.batch, run.precision, Split(layout.tp, layout.cp))


def stage_parameters(bill: Bill, units: Units, place: Place) -> Parameters:
    """Weights of one stage: its layers, the tables on the first stage, the last norm and the head on the last.

    Layers that share weights (ALBERT) are counted by the sets there are. A tied head on another stage than the table is a copy of it.
    """
    held = Parameters()
    for index, count in place.counts:
        layer = bill.layers[index]
        alike = layer.copies is layer.runs or (isinstance(layer.copies, int) and layer.copies == layer.runs)
        held = held.plus(units.parameters[index].times(count if alike else ceil_div(count * layer.copies, layer.runs)))
    for layer, parameters in zip(bill.layers, units.parameters, strict=True):
        if layer.place != "block":
            held = held.plus(where_here(parameters, place.first if layer.place == "embedding" else place.last))
    return held.plus(where_here(units.tied, place.apart))


def where_here(parameters: Parameters, here: Any) -> Parameters:
    """Parameters that only some stages hold."""
    if isinstance(here, bool):
        return parameters if here else Parameters()
    return parameters.times(where(here, 1, 0))


# ------------------------------------------------------------------------------------------------------------------ phases


def stages(bill: Bill, layout: Layout, run: Training) -> list[Stage]:
    """The phases of a step on each stage that can be the fullest."""
    units = units_of(bill, layout, run)
    found = [(place, stage_parts(bill, layout, run, units, place)) for place in places(bill, layout, run.stack.placement)]
    made = [Stage(place.name, phases_of(parts, run), parts) for place, parts in found]
    if not run.stack.is_corrected:
        return made
    factor = run.stack.factor_of(fullest(made))
    return [stage.times(factor) for stage in made]


def counted_peak(bill: Bill, layout: Layout, run: Training) -> Size:
    """The peak as it is counted, before measured peaks correct it."""
    return peak_bytes(bill, layout, run._replace(stack=run.stack._replace(peak_factor=1.0, peaks=())))


def peak_bytes(bill: Bill, layout: Layout, run: Training) -> Size:
    """The most that any device needs at any moment of a step, for one layout or for arrays of them."""
    return fullest(stages(bill, layout, run))


def fullest(found: Iterable[Stage]) -> Size:
    """Bytes of the fullest of a pipeline's stages, for one layout or for arrays of them."""
    return maximum_of(stage.peak_bytes for stage in found)


def fits(peak: Size, capacity_bytes: Any, usable_share: Any = USABLE_SHARE) -> Any:
    """Whether a peak leaves the allocator its reserve."""
    return peak <= usable_share * capacity_bytes


class Room(NamedTuple):
    """Memory of one device, and the share of it that may be used; the rest is the allocator's reserve."""

    capacity_bytes: int
    usable_share: float = USABLE_SHARE

    @property
    def usable_bytes(self) -> int:
        """What a peak may be at most."""
        return int(self.usable_share * self.capacity_bytes)

    def holds(self, peak: Size) -> Any:
        """Whether a peak fits."""
        return fits(peak, self.capacity_bytes, self.usable_share)


def offloaded_bytes(bill: Bill, layout: Layout, run: Training) -> Size:
    """Bytes that the host keeps for one device, at the stage that leaves most to it."""
    if run.offload == "none":
        return 0
    units, most = units_of(bill, layout, run), 0
    for place in places(bill, layout, run.stack.placement):
        state = state_of(stage_parameters(bill, units, place), layout, run.formats)
        kept = kept_on_device(state, layout, run)
        most = maximum(most, total(state) - total(kept))
    return most


class StageParts(NamedTuple):
    """What the bytes of one stage are made of, each priced once.

    held           parameters before ZeRO divides them
    state          what of them stays on the device through the step
    micro_batch    what the layers keep for one micro-batch
    in_flight      micro-batches whose activations the stage holds, in chunks of which there are `n_virtual_stages` to a stage
    layers         what the layers keep for all of them
    loss           what head and loss add, and `loss_gradient` when the backward pass starts
    recomputed     all tensors of the layers that are being recomputed
    gathered       layers and tables that ZeRO 3 has put together; `unreduced` their gradients
    tp_buffers     whole tensors of queued tensor parallel collectives
    """

    held: Parameters
    state: State
    micro_batch: Size
    in_flight: Size
    layers: Size
    loss: Size
    loss_gradient: Size
    recomputed: Size
    gathered: Size
    unreduced: Size
    tp_buffers: Size
    context: Size
    communicators: Size
    buckets: Size

    @property
    def still(self) -> Size:
        """What stands through the step beside state and activations."""
        return added(self.context + self.communicators, self.buckets)

    @property
    def passing(self) -> Size:
        """What is allocated and freed in the passes beside the activations."""
        return added(self.gathered, self.tp_buffers)


def stage_parts(bill: Bill, layout: Layout, run: Training, units: Units, place: Place) -> StageParts:
    """Every part of the bytes of one stage."""
    held = stage_parameters(bill, units, place)
    if run.schedule == "dualpipe":  # both ends of the pipeline hold each stage (deepseek2024-v3)
        held = held.times(2)
    once, flying = micro_batch_bytes(run, units, place), in_flight(place.stage, layout, run.n_micro_batches, run.schedule)
    loss, loss_gradient = loss_bytes(bill, run, units, place)
    gathered, unreduced = gathered_bytes(bill, layout, run, units, held, place)
    return StageParts(
        held=held,
        state=kept_on_device(state_of(held, layout, run.formats), layout, run),
        micro_batch=once,
        in_flight=flying,
        layers=layers_activations(once, flying, layout),
        loss=loss,
        loss_gradient=loss_gradient,
        recomputed=working_set(run, units, place),
        gathered=gathered,
        unreduced=unreduced,
        tp_buffers=waiting(bill, layout, run),
        context=run.stack.context_bytes,
        communicators=communicators(layout, run.stack),
        buckets=buckets(held, layout, run),
    )


def phases_of(parts: StageParts, run: Training) -> tuple[Phase, ...]:
    """Forward, loss, start of backward and optimizer step."""
    backward = added(added(parts.layers, parts.loss_gradient), parts.recomputed)
    moments = (
        ("forward", parts.layers, parts.passing),
        ("loss", added(parts.layers, parts.loss), parts.passing),
        ("backward", backward, added(parts.passing, parts.unreduced)),
    )
    phases = [Phase(name, *parts.state, kept, added(parts.still, with_fragments(run, kept, other))) for name, kept, other in moments]
    return (*phases, Phase("optimizer", *parts.state, 0, parts.still))


def corrected(phase: Phase, factor: Any) -> Phase:
    """A moment with (factor - 1) total more or fewer bytes, as a measured peak had: in no tensor by name, else in activations."""
    more = (factor - 1) * phase.total_bytes
    other = phase.other_bytes + (round(more) if is_number(more) else more.round().astype("int64"))
    left = maximum(other, 0)
    return phase._replace(other_bytes=left, activations_bytes=phase.activations_bytes + other - left)


def communicators(layout: Layout, stack: Stack) -> Size:
    """Buffers that the collectives of each kind of parallelism keep on a device."""
    if not stack.group_bytes:
        return 0
    kinds = (layout.tp, layout.pp, layout.replicas)
    return stack.group_bytes * total(where(degree > 1, 1, 0) for degree in kinds)


def with_fragments(run: Training, activations: Size, other: Size) -> Size:
    """What is allocated and freed beside the activations, and what the allocator holds beyond both because freed blocks fit badly."""
    share = round(1000 * run.stack.fragments)
    return other if not share else other + floor_div(share * added(activations, other), 1000)


def kept_on_device(state: State, layout: Layout, run: Training) -> State:
    """What is left of the state when the host keeps some of it."""
    if run.offload == "none":
        return state
    weights = where(layout.zero_stage >= SHARDS_WEIGHTS, 0, state.weights_bytes) if run.offload == "all" else state.weights_bytes
    return State(weights, state.gradients_bytes, 0)


def micro_batch_bytes(run: Training, units: Units, place: Place) -> Size:
    """What the layers of a stage keep for one micro-batch."""
    once: Any = 0
    for index, count in place.counts:
        once = added(once, count * units.kept[index])
    return ceil_div(once, group_size(run, place)) if run.how.recompute == "full" else once


def layers_activations(once: Size, flying: Size, layout: Layout) -> Size:
    """What the layers of a stage keep for all micro-batches that it holds: floor(once flying / n_virtual_stages)."""
    kept, virtual = once * flying, layout.n_virtual_stages
    return kept if isinstance(virtual, int) and virtual == 1 else floor_div(kept, virtual)


def working_set(run: Training, units: Units, place: Place) -> Size:
    """All tensors of the layers that are being recomputed; nothing where layers keep what they need."""
    largest = maximum_of(units.at_work[index] for index, _ in place.counts)
    if run.how.recompute != "full":
        return largest
    return largest * group_size(run, place)


def group_size(run: Training, place: Place) -> Size:
    """Layers that are recomputed from one kept input: as many as a stage has, at most."""
    return maximum(1, minimum(run.recompute_every, total(count for _, count in place.counts)))


def peak_activations(stage: Stage) -> Size:
    """Activations at the moment that has most of them."""
    return maximum_of(phase.activations_bytes for phase in stage.phases)


def best_recompute_every(n_layers: int, kept_bytes: float, at_work_bytes: float) -> int:
    """How many layers in a row to recompute from one input, so that inputs and the group at work take least.

        k at which ceil(n_layers / k) kept + k at_work is least: near sqrt(n_layers kept / at_work), all layers at most

    Source: chen2016 (sublinear memory).
    """
    return min(range(1, n_layers + 1), key=lambda k: -(-n_layers // k) * kept_bytes + k * at_work_bytes)


def loss_bytes(bill: Bill, run: Training, units: Units, place: Place) -> tuple[Size, Size]:
    """What the head and the loss add on the last stage: at the loss, and when the backward pass starts.

    Counted tensor by tensor, two temporaries of 32 bits a logit come on top when the backward pass starts; otherwise the stack's bytes
    a logit are those of the peak, and the logits are gone when the layers' backward pass begins.
    """
    here = place.last if isinstance(place.last, bool) else where(place.last, 1, 0)
    if here is False:
        return 0, 0
    if run.stack.bytes_per_logit is None:
        kept = outside_bytes(bill, run.how, run.batch, run.precision)
        return here * kept, here * (kept + 2 * FLOAT32 * units.logits)
    return here * run.stack.bytes_per_logit * units.logits, 0


def gathered_bytes(bill: Bill, layout: Layout, run: Training, units: Units, held: Parameters, place: Place) -> tuple[Size, Size]:
    """What ZeRO 3 puts together for the products, and its gradients before they are divided.

        2 (W / t) compute_bytes                    the layer at work and the next one, or what the stack allows; tables and head stay
        (W / t) (2 compute_bytes + 4)              gradients of those two, and one of them in 32 bits
        all of the stage, and 4 bytes a gradient   with a pipeline: gathered and reduced once a step, not once a micro-batch

    Sources: rajbhandari2020 section 5.3; torchtitan (no resharding between the micro-batches of a pipeline).
    """
    if isinstance(layout.zero_stage, int) and layout.zero_stage < SHARDS_WEIGHTS:
        return 0, 0
    largest = maximum_of(units.parameters[index].params for index, _ in place.counts)
    outside = Parameters()
    for layer, parameters in zip(bill.layers, units.parameters, strict=True):
        if layer.place != "block":
            outside = outside.plus(where_here(parameters, place.first if layer.place == "embedding" else place.last))
    width = run.precision.compute_bytes
    live = 2 * largest if run.stack.most_gathered is None else minimum(2 * largest, run.stack.most_gathered)
    gathered = where(layout.pp > 1, width * held.params, width * (live + outside.params))
    unreduced = where(layout.pp > 1, FLOAT32 * held.trainable, floor_div(live, 2) * (2 * width + FLOAT32))
    sharded = where((layout.zero_stage >= SHARDS_WEIGHTS) & (layout.replicas > 1), 1, 0)
    return sharded * gathered, sharded * unreduced


def waiting(bill: Bill, layout: Layout, run: Training) -> Size:
    """Whole tensors that wait for the collectives of tensor parallelism, where no pipeline holds the host back."""
    if not run.stack.waiting_bytes:
        return 0
    runs_ahead = where((layout.tp > 1) & (layout.pp == 1), 1, 0)
    tokens = floor_div(run.batch.n_seqs * run.batch.seq_len, layout.cp)
    return runs_ahead * run.stack.waiting_bytes * bill.arch.d_model * tokens


def buckets(held: Parameters, layout: Layout, run: Training) -> Size:
    """Copies of the gradients in the buckets of a plain data parallel wrapper."""
    if not run.stack.bucket_copies:
        return 0
    plain = where((layout.dp > 1) & (layout.zero_stage < SHARDS_GRADIENTS), 1, 0)
    return plain * run.stack.bucket_copies * run.precision.gradient_bytes * held.trainable
