"""Parameters on one device: what tensor, expert and ZeRO parallelism leave of the weights, gradients and optimizer states of layers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from scaleplan.machine.layout import SHARDS_GRADIENTS, SHARDS_OPTIMIZER, SHARDS_WEIGHTS, Layout
from scaleplan.machine.recipe import Optimizer, Precision, state_bytes
from scaleplan.machine.serving_formats import Format, is_quantised, weight_bits
from scaleplan.model.arch import Size
from scaleplan.model.items import Layer, Weight, total
from scaleplan.numeric import ceil_div, is_zero, maximum, minimum, where


class Formats(NamedTuple):
    """In which types parameters are kept.

    frozen  format of the weights that are not trained, where it is not that of the others
    """

    precision: Precision
    optimizer: Optimizer
    frozen: Format | None = None


class Held(NamedTuple):
    """Parameters on one device before ZeRO divides them.

    params, trainable  all, and those that have a gradient (the very same object where all have one)
    states             bytes of optimizer states and master copies
    frozen_bits        bits of those without a gradient, where they have a format of their own
    copied             those of which the recipe keeps narrow copies
    """

    params: Size = 0
    trainable: Size = 0
    states: Size = 0
    frozen_bits: Size = 0
    copied: Size = 0

    def each(self, change: Any) -> Held:
        """The same change to every number; what is plainly zero stays so, and what is the same object is changed once."""
        params = done(change, self.params)
        trainable = params if self.trainable is self.params else done(change, self.trainable)
        return Held(params, trainable, done(change, self.states), done(change, self.frozen_bits), done(change, self.copied))

    def plus(self, other: Held) -> Held:
        params = added(self.params, other.params)
        alike = self.trainable is self.params and other.trainable is other.params
        trainable = params if alike else added(self.trainable, other.trainable)
        return Held(
            params,
            trainable,
            added(self.states, other.states),
            added(self.frozen_bits, other.frozen_bits),
            added(self.copied, other.copied),
        )


NOTHING = Held()


def done(change: Any, n: Size) -> Size:
    return n if is_zero(n) else change(n)


def added(a: Size, b: Size) -> Size:
    return b if is_zero(a) else a if is_zero(b) else a + b


class Parameters(NamedTuple):
    """Weights that every data parallel rank has, and experts, of which each rank has a share."""

    dense: Held = NOTHING
    experts: Held = NOTHING

    @property
    def params(self) -> Size:
        return added(self.dense.params, self.experts.params)

    @property
    def trainable(self) -> Size:
        return added(self.dense.trainable, self.experts.trainable)

    def plus(self, other: Parameters) -> Parameters:
        return Parameters(self.dense.plus(other.dense), self.experts.plus(other.experts))

    def times(self, count: Size) -> Parameters:
        """So many of these layers."""
        return Parameters(*(held.each(lambda n: count * n) for held in self))


def parameters_of(layer: Layer, layout: Layout, formats: Formats) -> Parameters:
    """One set of a layer's weights on one device."""
    dense = held_by(layer, (w for w in layer.weights if not is_expert(w)), layout, formats)
    experts = held_by(layer, (w for w in layer.weights if is_expert(w)), layout._replace(tp=layout.expert_tp), formats)
    return Parameters(dense, experts.each(lambda n: ceil_div(n, layout.ep)))


def held_by(layer: Layer, weights: Iterable[Weight], layout: Layout, formats: Formats) -> Held:
    """What weights come to under tensor parallelism. Those that are divided alike are added before they are divided."""
    groups: dict[Any, list[Weight]] = {}
    for weight in weights:
        ways = weight.tp_ways
        groups.setdefault(ways if isinstance(ways, int) else id(ways), []).append(weight)
    held = NOTHING
    for alike in groups.values():
        held = held.plus(divided(whole(layer, alike, formats), layout.tp, alike[0].tp_ways))
    return held


def whole(layer: Layer, weights: list[Weight], formats: Formats) -> Held:
    """The same weights before anything is divided."""
    params = total(w.n_params for w in weights)
    frozen = [w for w in weights if not w.trainable]
    states = total(state_bytes(formats.optimizer, formats.precision, layer, w) for w in weights)
    bits = total(weight_bits(layer, w, formats.frozen) for w in frozen) if formats.frozen else 0
    trainable = params - total(w.n_params for w in frozen) if frozen else params
    copied = total(w.n_params for w in weights if is_quantised(layer, w)) if formats.precision.copy_bits else 0
    return Held(params, trainable, states, bits, copied)


def divided(held: Held, tp: Size, most_ways: Size) -> Held:
    """Over as many tensor parallel ranks as a weight can be split."""
    if isinstance(most_ways, int) and most_ways == 1:
        return held
    ways = minimum(tp, most_ways)
    return held.each(lambda n: ceil_div(n, ways))


def is_expert(weight: Weight) -> bool:
    """Whether expert parallelism divides a weight."""
    return weight.group == "experts_routed"


# --------------------------------------------------------------------------------------------------------------------- ZeRO


class State(NamedTuple):
    """Bytes that a device keeps through the whole step."""

    weights_bytes: Size
    gradients_bytes: Size
    optimizer_bytes: Size


def state_of(held: Parameters, layout: Layout, formats: Formats) -> State:
    """Bytes of weights, gradients and optimizer after ZeRO; experts have fewer replicas to divide over.

        weights    parameters x bytes of the recipe, over the shards of ZeRO 3
        gradients  the same of trainable parameters, over those of ZeRO 2
        optimizer  states and master copies, over those of ZeRO 1

    Source: rajbhandari2020.
    """
    dense = sharded(held.dense, layout, formats, layout.shards)
    if is_zero(held.experts.params):
        return dense
    experts = sharded(held.experts, layout, formats, maximum(1, layout.shards * layout.tp // (layout.ep * layout.expert_tp)))
    return State(*(a + b for a, b in zip(dense, experts, strict=True)))


def sharded(held: Held, layout: Layout, formats: Formats, ranks: Size) -> State:
    """One part's bytes, over the ranks of each stage of ZeRO."""
    weights, gradients = weights_bytes(held, formats), held.trainable * formats.precision.gradient_bytes
    parts = ((weights, SHARDS_WEIGHTS), (gradients, SHARDS_GRADIENTS), (held.states, SHARDS_OPTIMIZER))
    return State(*(over(size, layout.zero_stage, stage, ranks) for size, stage in parts))


def weights_bytes(held: Held, formats: Formats) -> Size:
    """Bytes of weights and of narrow copies; frozen ones may be kept in a narrower format."""
    copies = 0 if is_zero(held.copied) else ceil_div(held.copied * formats.precision.copy_bits, 8 * 32)
    if formats.frozen is None:
        return added(held.params * formats.precision.weight_bytes, copies)
    return added(held.trainable * formats.precision.weight_bytes + ceil_div(held.frozen_bits, 8), copies)


def over(size: Size, zero_stage: Size, from_stage: int, ranks: Size) -> Size:
    """Bytes over the ranks of ZeRO from a stage on, whole below it."""
    if is_zero(size):
        return size
    if isinstance(zero_stage, int):
        return ceil_div(size, ranks) if zero_stage >= from_stage else size
    return ceil_div(size, where(zero_stage >= from_stage, ranks, 1))
