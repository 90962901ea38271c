"""The few efficiencies that step time rests on: of a generation of devices, of all hardware, and of a software stack.

Rates of sheets are peaks; what a program gets of them is a share. Shares of hardware come from `presets/efficiencies.toml`, those of a
stack from its own file; both say on which measured rows they were fitted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from scaleplan.errors import InputError, UnknownName
from scaleplan.machine.device import Device


class HardwareShares(NamedTuple):
    """What programs get of a device's rates.

    product         share of the peak in matrix products
    operands        share of a product's memory traffic that its arithmetic does not hide
    memory          share of memory bandwidth
    scores          share of the peak in attention that stores its scores
    score_bytes     memory traffic for each stored score, forward
    flash1, flash2, flash3  share of the 16-bit peak in FlashAttention 1, 2 and 3 (or cuDNN), the causal half counted
    link, network   share of the rates inside and between nodes
    latency_inside_s, latency_outside_s  of an all-reduce inside a node, and between nodes (times nodes ** 0.75)
    fabric_decay    exponent with which the rate between nodes falls with their number
    ring_imbalance  attention lost in rings of context parallelism, as a share
    tile_hidden     share of tensor parallel collectives that tile-wise overlap hides
    grouped         speed of the grouped products of experts over single ones
    """

    product: float
    operands: float
    memory: float
    scores: float
    score_bytes: float
    flash1: float
    flash2: float
    flash3: float
    link: float
    network: float
    latency_inside_s: float
    latency_outside_s: float
    fabric_decay: float
    ring_imbalance: float
    tile_hidden: float
    grouped: float


class StackShares(NamedTuple):
    """What a software stack adds to or hides of a step.

    fusion              element-wise memory traffic over the count of unfused kernels
    launch_s            host time of one kernel launch
    accumulation_bytes  memory traffic for each weight and micro-batch: gradient accumulation, casts
    logit_bytes         memory traffic for each logit of head and loss
    fixed_s             seconds a step that depend on nothing: data, logging, synchronisation
    dp_hidden           share of the gradient reduction behind computation
    sharded_hidden      the same with a sharded optimizer
    gather_hidden       share of ZeRO 3's gathers behind computation
    tp_hidden           share of the backward tensor parallel collectives behind computation
    hop_s               latency of one transfer between pipeline stages
    hop_hidden          share of those transfers behind computation
    gradient_bytes      bytes a parameter in the gradient reduction
    n_gathers           collectives of a layer's weights in ZeRO 3: two gathers and a reduction
    gather_network      share of the node's network rate that ZeRO 3 gets; None: as other collectives
    balanced            layers are spread over stages so that the head counts as some of them; else it comes on top of the last stage
    expert_launches     kernel launches of a layer of experts beyond those of a dense one
    pipeline_launches   launches that each further tensor parallel rank adds to a layer's forward pass where a pipeline spans nodes
    product_pace, memory_pace, communication_pace, pace
                        measured over predicted seconds of products and attention, of memory traffic, of collectives, and of a whole
                        step, of a stack that measured steps corrected
    shapes              d_model, tensor parallel ranks, tokens of a micro-batch, and measured over predicted seconds of layouts with them
    steps               predicted seconds of a step that was measured, and measured over predicted
    """

    fusion: float
    launch_s: float
    accumulation_bytes: float
    logit_bytes: float
    fixed_s: float
    dp_hidden: float
    sharded_hidden: float
    gather_hidden: float
    tp_hidden: float
    hop_s: float
    hop_hidden: float
    gradient_bytes: float
    n_gathers: float = 3
    gather_network: float | None = None
    balanced: bool = True
    expert_launches: float = 300
    pipeline_launches: float = 0
    product_pace: float = 1.0
    memory_pace: float = 1.0
    communication_pace: float = 1.0
    pace: float = 1.0
    shapes: tuple[tuple[float, ...], ...] = ()
    steps: tuple[tuple[float, ...], ...] = ()


class Spread(NamedTuple):
    """Half-widths of the 80 % interval of log(measured / predicted), linear in what is uncertain of a step.

    base      always
    host      times the share of host time in a forward pass: host**4 / (host**4 + device**4)
    exposed   times the share of exposed communication in the step
    bubble    times the share of the pipeline bubble
    nodes     times log2(nodes) / 10
    """

    base: float
    host: float = 0.0
    exposed: float = 0.0
    bubble: float = 0.0
    nodes: float = 0.0


class Learnt(NamedTuple):
    """What measured steps told of a stack: variances of logarithms of seconds, before and after.

    prior       of each term (`correction.TERMS`)
    shape       of layouts that share their products
    scatter     of a layout by itself
    covariance  of the terms and then of each of the stack's `shapes`, after the measurement
    """

    prior: tuple[float, ...]
    shape: float
    scatter: float
    covariance: tuple[tuple[float, ...], ...]


class Spreads(NamedTuple):
    """Below and above the prediction; `learnt` narrows both."""

    down: Spread
    up: Spread
    learnt: Learnt | None = None


class Efficiency(NamedTuple):
    """Everything that is not counted: shares of the hardware, of the stack, and how far they are off."""

    hardware: HardwareShares
    stack: StackShares
    spreads: Spreads


TYPICAL_OVER_FASTEST = 0.87
"""Rate of the products of training over the fastest that was measured on an H100 (0.70 of the peak over 0.80)."""
ABOUT = ("source", "date", "note", "fitted")


def hardware_shares(table: Mapping[str, Any], device: Device) -> HardwareShares:
    """Shares for a device: those of all hardware, those of its generation over them.

    A generation that was not fitted has the shares of the newest one, its products scaled by the fastest that was measured on it.
    """
    generations = table["generation"]
    newest = generations[table["default_generation"]]
    own = generations.get(device.generation)
    shares = {**table["all"], **newest, **(own or {})}
    if (own is None or "product" not in own) and device.measured_share is not None:
        shares["product"] = TYPICAL_OVER_FASTEST * device.measured_share
    return HardwareShares(**known(shares, HardwareShares._fields, "efficiencies"))


def stack_shares(time: Mapping[str, Any]) -> StackShares:
    """Shares of a stack from the table `time` of its preset.

    Raises InputError where it lacks some.
    """
    lists = {name: tuple(map(tuple, time[name])) for name in ("shapes", "steps") if name in time}
    given = known({**time, **lists}, StackShares._fields, "time")
    if lacking := [name for name in StackShares._fields if name not in given and name not in StackShares._field_defaults]:
        raise InputError(f"`time` lacks {', '.join(lacking)}", hint="give them, or name a stack that has the others: `like`")
    return StackShares(**given)


def paced(hardware: HardwareShares, stack: StackShares) -> HardwareShares:
    """The shares of hardware under a stack that measured steps corrected: rates over the pace of their term, latencies times it."""
    product, memory, communication = stack.product_pace, stack.memory_pace, stack.communication_pace
    if product == memory == communication == 1.0:
        return hardware
    return hardware._replace(
        **{name: getattr(hardware, name) / product for name in ("product", "scores", "flash1", "flash2", "flash3")},
        memory=hardware.memory / memory,
        link=hardware.link / communication,
        network=hardware.network / communication,
        latency_inside_s=hardware.latency_inside_s * communication,
        latency_outside_s=hardware.latency_outside_s * communication,
    )


def spreads_of(table: Mapping[str, Any]) -> Spreads:
    """Half-widths from a table with `down` and `up`."""
    down, up = (Spread(**known(table[side], Spread._fields, f"spread.{side}")) for side in ("down", "up"))
    return Spreads(down, up)


def known(table: Mapping[str, Any], fields: tuple[str, ...], where: str) -> dict[str, Any]:
    """The values of a table, whose keys must all have a meaning."""
    for key in table:
        if key not in (*fields, *ABOUT):
            raise UnknownName(f"key of [{where}]", key, fields)
    return {key: value for key, value in table.items() if key in fields}
