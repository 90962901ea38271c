"""Seconds of one step of training, by part: of one layout, or of arrays of them.

    step = m (slowest stage + transfers) + bubble + exposed data parallel collectives + optimizer + fixed time

m: micro-batches of one pipeline. The terms: docs/layout.md.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from scaleplan.machine.communication import Network, Seconds, all_reduce, gather, group, hop
from scaleplan.machine.correction import ProductShape, known_of
from scaleplan.machine.efficiency import StackShares
from scaleplan.machine.layer_time import LayerTime, Passes, head_time, head_weights, layer_time, local_params, network_of
from scaleplan.machine.layout import SHARDS_GRADIENTS, SHARDS_WEIGHTS, Layout
from scaleplan.machine.offload import Offload, exchanged_s, host_link_of, streamed_s
from scaleplan.machine.roofline import WIDTH, Kernels, Ranks
from scaleplan.machine.schedules import PassTimes, Schedule, bubble_s
from scaleplan.model.arch import Size
from scaleplan.model.flops import count_flops, recomputed_flops
from scaleplan.model.items import Bill, total
from scaleplan.numeric import ceil_div, floats, floor_div, log2, maximum, minimum, where

OPTIMIZER_BYTES = 30  # memory traffic of one parameter's update: gradients, master weights, two moments, read and written
STEP_LAUNCHES = 40
PARTS = ("matmul", "attention", "memory", "launch", "tp", "cp", "ep", "bubble", "p2p", "dp", "optimizer", "fixed")


class Step(NamedTuple):
    """What a step is, beside model and layout.

    n_seqs, seq_len  sequences of one micro-batch, tokens of each
    n_micro_batches  of one pipeline
    schedule         of the pipeline; 1f1b is interleaved with virtual stages
    imbalance        tokens of the busiest device's experts over the mean
    offload          what the host's memory keeps
    """

    n_seqs: Size
    seq_len: Size
    n_micro_batches: Size
    how: Passes = Passes()
    schedule: Schedule = "1f1b"
    imbalance: Any = 1.0
    offload: Offload = "none"


class StepTime(NamedTuple):
    """Seconds of a step by part, and what is uncertain of them.

    memory_s     element-wise kernels, gradient accumulation, loss
    launch_s     by which the host's kernel launches hold up the device
    dp_s         gradient reduction and ZeRO 3's gathers, as far as they are not hidden
    fixed_s      what depends on nothing
    u_host       share of the host in a forward pass
    u_nodes      log2 of the nodes, over 10
    same_shapes  of a stack that measured steps corrected: for each of its shapes, whether it is that of this layout
    same_step    whether this step was measured
    """

    matmul_s: Seconds
    attention_s: Seconds
    memory_s: Seconds
    launch_s: Seconds
    tp_s: Seconds
    cp_s: Seconds
    ep_s: Seconds
    bubble_s: Seconds
    p2p_s: Seconds
    dp_s: Seconds
    optimizer_s: Seconds
    fixed_s: Seconds
    u_host: Any = 0.0
    u_nodes: Any = 0.0
    same_shapes: tuple[Any, ...] = ()
    same_step: Any = 0.0

    @property
    def step_s(self) -> Seconds:
        return total(self[: len(PARTS)])

    @property
    def exposed_s(self) -> Seconds:
        """Communication that is not hidden."""
        return self.tp_s + self.cp_s + self.ep_s + self.p2p_s + self.dp_s

    def times(self, factor: Any) -> StepTime:
        """Every part by a factor; what is uncertain stays."""
        return StepTime._make([*(factor * value for value in self[: len(PARTS)]), *self[len(PARTS) :]])

    def parts(self) -> dict[str, Seconds]:
        """By name; they add up to the step."""
        return dict(zip(PARTS, self, strict=False))


# -------------------------------------------------------------------------------------------------------------------- layers


class Sums(NamedTuple):
    """All layers of a model for one micro-batch on one device, if no pipeline divided them.

    layers, head   seconds
    n_layers       how many
    dense, routed  weights before ZeRO divides them, of all layers
    outside        weights of the head, or of the table: what the first or last stage holds beside its layers
    """

    layers: LayerTime
    head: LayerTime
    n_layers: Size
    dense: Any
    routed: Any
    outside: Any


def sums_of(bill: Bill, ranks: Ranks, on: Kernels, how: Passes) -> Sums:
    """Every kind of layer, times its number."""
    kinds = bill.blocks()
    times = [layer_time(layer, ranks, on, how).times(layer.runs) for layer in kinds]
    layers = times[0]
    for more in times[1:]:
        layers = layers.plus(more)
    held = [local_params(layer, ranks) for layer in kinds]
    outside = total(w.elements / minimum(ranks.layout.tp, w.tp_ways) for w in head_weights(bill))
    return Sums(
        layers=layers,
        head=head_time(bill, ranks, on),
        n_layers=total(layer.runs for layer in kinds),
        dense=total(layer.copies * dense for layer, (dense, _) in zip(kinds, held, strict=True)),
        routed=total(layer.copies * routed for layer, (_, routed) in zip(kinds, held, strict=True)),
        outside=outside,
    )


# -------------------------------------------------------------------------------------------------------------------- stages


class Stages(NamedTuple):
    """The pipeline's stages for one micro-batch.

    slowest_s  of the stage that all others wait for
    pace_s     of a stage while the pipeline fills: the slowest, or the mean where the head is spread
    share      of all layers that the slowest stage has, head apart
    """

    slowest_s: Seconds
    pace_s: Seconds
    share: Any


def stages_of(sums: Sums, layout: Layout, gathers_s: Seconds, *, balanced: bool) -> Stages:
    """How long stages take.

        one stage                 L t + head
        head on the last stage    ceil(L / p) t + head
        balanced                  max(head, l t, min(mean + t / 2, l t + head))

    l = ceil(L / p); t: a layer with its exposed gathers, mean of all kinds; mean: (L t + head) / p. Sources: narayanan2021; nanotron-code.
    """
    p, n, head = layout.pp, sums.n_layers, sums.head.total_s
    whole = sums.layers.total_s + gathers_s
    each, mean = whole / n, (whole + head) / p
    if layout.stage_layers is not None:
        return given_stages(layout.stage_layers, p, each, head, n)
    most = ceil_div(n, p)
    on_top = most * each + head
    if not balanced:
        return Stages(on_top, where(p > 1, most * each, on_top), most / n)
    even = maximum(head, maximum(most * each, minimum(mean + each / 2, on_top)))
    return Stages(where(p > 1, even, on_top), mean, most / n)


def given_stages(layers: tuple[int, ...], pp: int, each: Seconds, head: Seconds, n_layers: int) -> Stages:
    """Stages whose layers were given: rank r holds stages r, r + p, ...; the head is on the last."""
    held = [sum(layers[rank::pp]) for rank in range(pp)]
    times = [count * each for count in held]
    times[-1] = times[-1] + head
    slowest = max(times)
    return Stages(slowest, max(held) * each if pp > 1 else slowest, max(held) / n_layers)


# --------------------------------------------------------------------------------------------------------------- data parallel


def gathers_s(sums: Sums, ranks: Ranks, on: Kernels) -> Seconds:
    """ZeRO 3: weights of every layer are gathered for each pass and their gradients reduced, for each micro-batch.

    X = gathers (16-bit weights), and with hybrid sharding the reduction over copies; exposed X - min(hidden X, computation).
    Sources: rajbhandari2020 section 7; torchtitan (FSDP); zhao2023 section 3.2.
    """
    layout, stack = ranks.layout, on.shares.stack
    if isinstance(layout.zero_stage, int) and layout.zero_stage < SHARDS_WEIGHTS:
        return 0.0
    network = network_of(on)
    if stack.gather_network is not None:
        hardware = on.shares.hardware._replace(network=stack.gather_network)
        network = Network(on.device, hardware)
    dense, routed = weight_groups(layout, on)
    n = sums.n_layers
    once = gather(WIDTH * sums.dense / n, dense, network) + gather(WIDTH * sums.routed / n, routed, network)
    moved = stack.n_gathers * n * once + over_copies_s(WIDTH * sums.dense, WIDTH * sums.routed, layout, on, network)
    exposed = moved - minimum(stack.gather_hidden * moved, sums.layers.compute_s)
    return where(layout.zero_stage >= SHARDS_WEIGHTS, exposed, 0.0)


def weight_groups(layout: Layout, on: Kernels) -> tuple[Any, Any]:
    """Ranks that divide dense weights among them, and those that divide an expert."""
    experts = maximum(1, floor_div(layout.shards * layout.tp, layout.ep * layout.expert_tp))
    return group(layout.shards, layout.tp, on.device), group(experts, layout.expert_tp * layout.ep, on.device)


def over_copies_s(dense: Any, routed: Any, layout: Layout, on: Kernels, network: Network) -> Seconds:
    """Hybrid sharding: gradients of a shard are all-reduced over the groups of ranks that each hold a copy of it.

    dense, routed  bytes of the gradients of a device before ZeRO divides them
    Source: zhao2023 section 3.2 (FSDP).
    """
    if layout.n_shards is None:
        return 0.0
    shared, expert = weight_groups(layout, on)
    inner = layout.ep * layout.expert_tp
    copies = group(floor_div(layout.replicas, shared.size), layout.tp * shared.size, on.device)
    of_experts = group(floor_div(layout.replicas * layout.tp, inner * expert.size), inner * expert.size, on.device)
    parts = ((dense / shared.size, copies), (routed / expert.size, of_experts))
    return total(where(size > 0, all_reduce(size, ranks_of, network), 0.0) for size, ranks_of in parts)


def reduction_s(sums: Sums, ranks: Ranks, on: Kernels, share: Any, n_micro_batches: Size) -> Seconds:
    """Gradients of a step over the data parallel ranks: an all-reduce, or a reduce-scatter and a gather of new weights.

    G w all-reduced; with a sharded optimizer G w reduced and 2 w gathered; with sharded gradients (ZeRO 2) they are reduced for each
    micro-batch; with fewer shards than ranks, the shards over their copies. Source: rajbhandari2020 section 7.
    """
    layout, gradient = ranks.layout, on.shares.stack.gradient_bytes
    network, (dense, routed) = network_of(on), weight_groups(layout, on)
    held = ((share * sums.dense + sums.outside, dense), (share * sums.routed, routed))
    plain = total(all_reduce(gradient * w, ranks_of, network) for w, ranks_of in held)
    times = where(layout.zero_stage == SHARDS_GRADIENTS, n_micro_batches, 1)
    sharded = total(times * gather(gradient * w, ranks_of, network) + gather(WIDTH * w, ranks_of, network) for w, ranks_of in held)
    sharded = sharded + over_copies_s(gradient * held[0][0], gradient * held[1][0], layout, on, network)
    return where(layout.zero_stage == 0, plain, where(layout.zero_stage < SHARDS_WEIGHTS, sharded, 0.0))


def exposed_reduction_s(reduction: Seconds, layout: Layout, on: Kernels, behind_s: Seconds) -> Seconds:
    """What is left of it after the share that the stack hides, at most one micro-batch of computation."""
    stack = on.shares.stack
    hidden = where(layout.zero_stage == 0, stack.dp_hidden, stack.sharded_hidden)
    return reduction - minimum(hidden * reduction, behind_s)


def transfers_s(ranks: Ranks, on: Kernels, d_model: Size) -> Seconds:
    """Activations to the next stage and gradients back, for each micro-batch and virtual stage."""
    layout, stack = ranks.layout, on.shares.stack
    size = WIDTH * ranks.tokens * d_model / layout.tp
    each = hop(size, layout.tp * layout.replicas, layout.pp, network_of(on)) + stack.hop_s
    return where(layout.pp > 1, 2 * layout.n_virtual_stages * each * (1 - stack.hop_hidden), 0.0)


# ------------------------------------------------------------------------------------------------------------------ the step


def step_time(bill: Bill, layout: Layout, step: Step, on: Kernels) -> StepTime:
    """All parts of a step, for one layout or for arrays of them."""
    ranks = Ranks(layout, step.n_seqs, step.seq_len, step.imbalance)
    return assembled(sums_of(bill, ranks, on, step.how), ranks, step, on, bill.arch.d_model)


def assembled(sums: Sums, ranks: Ranks, step: Step, on: Kernels, d_model: Size) -> StepTime:
    """A step from the sums over its layers."""
    layout, stack, m = ranks.layout, on.shares.stack, step.n_micro_batches
    sums = overlapped(sums, step.schedule)
    gathers = gathers_s(sums, ranks, on) + from_host_s(sums, layout, on, step.offload)
    stages = stages_of(sums, layout, gathers, balanced=stack.balanced)
    share = stages.share
    mine = sums.layers.times(share).plus(sums.head)
    scale = m * stages.slowest_s / (mine.total_s + share * gathers)
    reduction = reduction_s(sums, ranks, on, share, m)
    behind = where(layout.zero_stage == SHARDS_GRADIENTS, m, 1) * stages.slowest_s
    time = StepTime(
        matmul_s=mine.product_s * scale,
        attention_s=mine.attention_s * scale,
        memory_s=mine.memory_s * scale,
        launch_s=mine.launch_s * scale + STEP_LAUNCHES * on.launch_s,
        tp_s=mine.tp_s * scale,
        cp_s=mine.cp_s * scale,
        ep_s=mine.ep_s * scale,
        bubble_s=bubble_s(step.schedule, layout.pp, layout.n_virtual_stages, stage_pass(stages.pace_s, sums)),
        p2p_s=m * transfers_s(ranks, on, d_model),
        dp_s=share * gathers * scale + exposed_reduction_s(reduction, layout, on, behind),
        optimizer_s=update_s(sums, layout, share, on, step.offload, stages.slowest_s),
        fixed_s=stack.fixed_s + 0.0 * scale,
        u_host=sums.layers.u_host,
        u_nodes=log2(maximum(1, layout.n_devices / on.device.n_linked)) / 10,
    )
    return corrected(time if stack.pace == 1.0 else time.times(stack.pace), ProductShape(d_model, layout.tp, ranks.tokens), stack)


def corrected(time: StepTime, shape: ProductShape, stack: StackShares) -> StepTime:
    """A step with what measured steps told of its shape, and of itself."""
    if not (stack.shapes or stack.steps):
        return time
    known = known_of(stack, time.step_s, shape)
    return time.times(known.factor)._replace(same_shapes=known.shapes, same_step=known.step)


def overlapped(sums: Sums, schedule: Schedule) -> Sums:
    """DualPipe runs the all-to-alls of one micro-batch behind the computation of another, which goes the other way.

    Processors that it sets aside for them are not counted. Source: deepseek2024-v3 section 3.2.1.
    """
    if schedule != "dualpipe":
        return sums
    layers = sums.layers
    return sums._replace(layers=layers._replace(ep_s=maximum(0.0, layers.ep_s - layers.compute_s)))


def stage_pass(pace_s: Seconds, sums: Sums) -> PassTimes:
    """A stage's time split into forward pass, gradients of inputs and gradients of weights as all layers' is."""
    layers = sums.layers
    forward, weight = layers.forward_s / layers.total_s, layers.weight_s / layers.total_s
    return PassTimes(pace_s * forward, pace_s * (1 - forward - weight), pace_s * weight)


def update_s(sums: Sums, layout: Layout, share: Any, on: Kernels, offload: Offload, behind_s: Seconds) -> Seconds:
    """The optimizer reads and writes the state of the weights that a device updates, on the device or on its host.

    Weights that the host keeps stay there, and their gradients came to it with each micro-batch (`from_host_s`).
    """
    dense, routed = (where(layout.zero_stage > 0, ranks.size, 1) for ranks in weight_groups(layout, on))
    params = (share * sums.dense + sums.outside) / dense + share * sums.routed / routed
    if offload == "none":
        return OPTIMIZER_BYTES * params / on.memory_bytes_per_s
    link = host_link_of(on.device)
    exchanged = exchanged_s(params, on.shares.stack.gradient_bytes, link, behind_s)
    stays = (offload == "all") & (layout.zero_stage >= SHARDS_WEIGHTS)
    return OPTIMIZER_BYTES * params / link.memory_bytes_per_s + where(stays, 0.0, exchanged)


def from_host_s(sums: Sums, layout: Layout, on: Kernels, offload: Offload) -> Seconds:
    """Weights that ZeRO 3 divides and the host keeps, for one micro-batch of all layers."""
    if offload != "all":
        return 0.0
    shards, experts = (ranks.size for ranks in weight_groups(layout, on))
    streamed = streamed_s(sums.dense / shards + sums.routed / experts, host_link_of(on.device), sums.layers.compute_s)
    return where(layout.zero_stage >= SHARDS_WEIGHTS, streamed, 0.0)


# --------------------------------------------------------------------------------------------------------------- utilisation


class Utilisation(NamedTuple):
    """Shares of the peak: FLOP of the model, and with what is computed twice.

    Convention `exact`: products as executed, attention over the full square, backward twice forward.
    """

    mfu: Any
    hfu: Any


def utilisation(bill: Bill, step: Step, layout: Layout, on: Kernels, step_s: Seconds) -> Utilisation:
    """FLOP of a step over what all devices could do in its time."""
    count = count_flops(bill, step.seq_len, batch_size_seqs=1)
    sequences = floats(layout.dp * step.n_micro_batches) * step.n_seqs
    possible = step_s * layout.n_devices * on.product_flops_per_s / on.device.sustained_share
    again = recomputed_flops(count, step.how.recompute)
    return Utilisation(sequences * count.training_flops / possible, sequences * (count.training_flops + again) / possible)
