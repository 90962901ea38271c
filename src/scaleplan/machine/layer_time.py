"""Seconds of one layer for one micro-batch on one device: forward, recomputed and backward, with the collectives inside a layer."""

from __future__ import annotations

from typing import Any, NamedTuple

from scaleplan.machine.communication import Network, Seconds, all_reduce, dispatch, gather, group
from scaleplan.machine.layout import SHARDS_WEIGHTS
from scaleplan.machine.roofline import WIDTH, Kernels, Ranks, Work, forward, is_routed, product_s
from scaleplan.model.arch import Size
from scaleplan.model.items import Bill, Layer, Weight, total
from scaleplan.model.mixers.attention import Attention
from scaleplan.model.mixers.latent import LatentAttention
from scaleplan.numeric import maximum, minimum, where

BACKWARD_LAUNCHES = 1.6  # over those of the forward pass
FLASH_BACKWARD, STORED_BACKWARD = 2.5, 2.0  # of attention over its forward pass: a fused kernel computes the scores again
RUN_AGAIN = {"none": 0.0, "selective": 0.0, "per-op": 0.55, "full": 1.0}  # of a forward pass; per-op: cheap operations, half the products
HEAD_LAUNCHES = 12
HEAD_GROUPS = ("head_matrix", "head_transform", "embed_proj")


class LayerTime(NamedTuple):
    """Seconds of all passes of one layer, one micro-batch, by what takes them.

    launch_s   by which the host's launches hold up the device
    forward_s  of the forward pass alone, computation only
    weight_s   of the gradients of weights alone
    u_host     share of the host in a forward pass: host**4 / (host**4 + device**4)
    """

    product_s: Seconds = 0.0
    attention_s: Seconds = 0.0
    memory_s: Seconds = 0.0
    launch_s: Seconds = 0.0
    tp_s: Seconds = 0.0
    cp_s: Seconds = 0.0
    ep_s: Seconds = 0.0
    forward_s: Seconds = 0.0
    weight_s: Seconds = 0.0
    u_host: Any = 0.0

    @property
    def compute_s(self) -> Seconds:
        return self.product_s + self.attention_s + self.memory_s + self.launch_s

    @property
    def total_s(self) -> Seconds:
        return self.compute_s + self.tp_s + self.cp_s + self.ep_s

    def times(self, count: Any) -> LayerTime:
        """So many of these layers; the host's share stays as it is."""
        return LayerTime._make([*(value * count for value in self[:-1]), self.u_host])

    def plus(self, other: LayerTime) -> LayerTime:
        """Both; the host's share is the first one's."""
        return LayerTime._make([*(a + b for a, b in zip(self[:-1], other[:-1], strict=True)), self.u_host])


class Passes(NamedTuple):
    """How a layer is run: recomputation, tile-wise overlap of tensor parallel collectives."""

    recompute: str = "none"
    tile_overlap: Any = False


def longer(device_s: Seconds, host_s: Seconds) -> Seconds:
    """A pass costs the longer of device and host, which launches ahead: (device**4 + host**4) ** (1/4)."""
    square = device_s * device_s
    host = host_s * host_s
    return (square * square + host * host) ** 0.25


def layer_time(layer: Layer, ranks: Ranks, on: Kernels, how: Passes) -> LayerTime:
    """All passes of one layer.

    forward        (D**4 + host**4) ** (1/4),  D = products + attention + memory traffic
    backward       the same with 2 products + (2.5 or 2) attention + 2 memory + gradient accumulation, and 1.6 times the launches
    recomputation  full: one more forward pass; per-op: 0.55 of one; selective: attention that stores its scores
    """
    work = forward(layer, ranks, on)
    again, back = RUN_AGAIN[how.recompute], FLASH_BACKWARD if on.attention != "eager" else STORED_BACKWARD
    scores_again = work.attention_s if how.recompute == "selective" and on.attention == "eager" else 0.0
    once = work.product_s + work.attention_s + work.memory_s
    accumulated = accumulation_s(layer, ranks, on)
    backward = 2 * work.product_s + back * work.attention_s + 2 * work.memory_s + accumulated + scores_again
    host = work.launches * on.launch_s
    ahead, behind = longer(once, host), longer(backward, BACKWARD_LAUNCHES * host)
    return LayerTime(
        product_s=work.product_s * (3 + again),
        attention_s=work.attention_s * (1 + back + again) + scores_again,
        memory_s=work.memory_s * (3 + again) + accumulated,
        launch_s=(ahead - once) * (1 + again) + behind - backward,
        tp_s=tensor_parallel_s(layer, ranks, on, how),
        cp_s=context_parallel_s(layer, ranks, on, work, back),
        ep_s=expert_parallel_s(layer, ranks, on, how),
        forward_s=ahead,
        weight_s=work.product_s,
        u_host=host**4 / (host**4 + once**4),
    )


def local_params(layer: Layer, ranks: Ranks) -> tuple[Any, Any]:
    """Weights of one layer on one device before ZeRO divides them: those of all data parallel ranks, and routed experts."""
    tp, ep = ranks.layout.tp, ranks.layout.ep
    dense = total(w.n_params / minimum(tp, w.tp_ways) for w in layer.weights if not is_routed(w))
    routed = total(w.n_params / minimum(ranks.layout.expert_tp, w.tp_ways) / ep for w in layer.weights if is_routed(w))
    return dense, routed


def accumulation_s(layer: Layer, ranks: Ranks, on: Kernels) -> Seconds:
    """Memory traffic of the gradients for each micro-batch; half of it where ZeRO 3 reduces them at once."""
    stage = where(ranks.layout.zero_stage >= SHARDS_WEIGHTS, 0.5, 1.0)
    return on.shares.stack.accumulation_bytes * sum(local_params(layer, ranks)) * stage / on.memory_bytes_per_s


# --------------------------------------------------------------------------------------------------------------- collectives


def network_of(on: Kernels) -> Network:
    """The links of the device at hand."""
    return Network(on.device, on.shares.hardware)


def tensor_parallel_s(layer: Layer, ranks: Ranks, on: Kernels, how: Passes) -> Seconds:
    """An all-reduce of 2 T h bytes after each product that is split by rows, forward and backward, and again where the pass is.

    Part of the backward ones hides behind the gradients of weights, part of all behind tiles. Sequence parallelism moves the same bytes.
    Sources: shoeybi2019 section 3; korthikanti2022 section 4.2.2.
    """
    tp = ranks.layout.tp
    many = sum(1 for w in layer.weights if w.matmul and w.row_split and w.group not in ("experts_routed", "experts_shared"))
    many += any(w.row_split and w.group == "experts_shared" for w in layer.weights)
    passes = 2 - on.shares.stack.tp_hidden + (RUN_AGAIN[how.recompute] > 0)
    peers = group(tp, 1, on.device)
    seen = where(how.tile_overlap & (peers.nodes == 1), 1 - on.shares.hardware.tile_hidden, 1.0)
    once = all_reduce(WIDTH * ranks.tokens * layer.d_model, peers, network_of(on))
    return many * passes * seen * once


def context_parallel_s(layer: Layer, ranks: Ranks, on: Kernels, work: Work, back: float) -> Seconds:
    """A ring of keys and values for each of three passes, as far as attention on one block does not hide it, and uneven blocks.

    max(0, 3 ring - 3 attention (c - 1) / c) + imbalance (c - 1) / c (1 + backward) attention
    """
    cp = ranks.layout.cp
    others = (cp - 1) / cp
    ring = gather(
        WIDTH * cp * ranks.tokens * key_value_width(layer, ranks.layout.tp), group(cp, ranks.layout.tp, on.device), network_of(on)
    )
    waits = maximum(0.0, 3 * ring - 3 * work.attention_s * others)
    return waits + on.shares.hardware.ring_imbalance * others * (1 + back) * work.attention_s


def key_value_width(layer: Layer, tp: Size) -> Any:
    """Elements of keys and values of one token on one device."""
    mixer = None if layer.block is None else layer.block.mixer
    if isinstance(mixer, Attention):
        return mixer.n_kv_heads * (mixer.d_head + mixer.d_value) / minimum(tp, mixer.n_kv_heads)
    if isinstance(mixer, LatentAttention):
        return mixer.n_heads * (mixer.d_nope + mixer.d_rope + mixer.d_value) / minimum(tp, mixer.n_heads)
    return 0.0


def expert_parallel_s(layer: Layer, ranks: Ranks, on: Kernels, how: Passes) -> Seconds:
    """Tokens go to their experts and come back: an all-to-all each way, forward and backward, and a gather over the ranks of one expert.

    2 T / t n_used h bytes from each device; the busiest one waits `imbalance` times as long
    """
    routed = next((w for w in layer.weights if is_routed(w)), None)
    if routed is None:
        return 0.0
    network, etp = network_of(on), ranks.layout.expert_tp
    sent = WIDTH * ranks.tokens / ranks.layout.tp * expert_width(layer)
    swap = dispatch(sent, routed.used, group(ranks.layout.ep, etp, on.device), network)
    joined = gather(sent * routed.used * etp, group(etp, 1, on.device), network)
    passes = 2 * (2 + (how.recompute == "full"))
    return ranks.imbalance * passes * (swap + joined)


def expert_width(layer: Layer) -> Size:
    """Width of what is sent to an expert."""
    block = layer.block
    experts = None if block is None or block.feed_forward is None else block.feed_forward.experts
    return layer.d_model if experts is None or experts.d_in is None else experts.d_in


# ---------------------------------------------------------------------------------------------------------------------- head


def head_weights(bill: Bill) -> list[Weight]:
    """The products between the last layer and the loss."""
    return [w for layer, w in bill.weights() if layer.place == "head" and w.matmul and w.group in HEAD_GROUPS]


def head_time(bill: Bill, ranks: Ranks, on: Kernels) -> LayerTime:
    """Head and loss of one micro-batch, forward and backward, in 16 bits.

    3 products + (logit_bytes T V / t + accumulation_bytes V h / t) / memory rate + 12 launches
    """
    stack, tp = on.shares.stack, ranks.layout.tp
    one = product_total(bill, ranks, on)
    weights = total(w.elements / minimum(tp, w.tp_ways) for w in head_weights(bill))
    logits = ranks.tokens * total(w.shape[1] for w in head_weights(bill) if w.group == "head_matrix") / tp
    memory = (stack.logit_bytes * logits + stack.accumulation_bytes * weights) / on.memory_bytes_per_s
    launch = HEAD_LAUNCHES * on.launch_s if head_weights(bill) else 0.0
    return LayerTime(product_s=3 * one, memory_s=memory, launch_s=launch, forward_s=one, weight_s=one)


def product_total(bill: Bill, ranks: Ranks, on: Kernels) -> Seconds:
    """One pass of the products of the head."""
    tp = ranks.layout.tp
    rate: dict[str, Any] = {"peak": on.attention_flops_per_s, "width": WIDTH}
    return total(product_s(ranks.tokens, w.shape[0], w.shape[1] / minimum(tp, w.tp_ways), on, **rate) for w in head_weights(bill))
