"""Seconds of one layer's forward pass on one device: matrix products, attention, memory traffic, kernel launches.

Everything is read off the bill: products are its weights, attention its operations; tensor, context and expert parallelism divide them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from scaleplan.machine.communication import Seconds
from scaleplan.machine.device import Device
from scaleplan.machine.efficiency import Efficiency
from scaleplan.machine.layout import Layout
from scaleplan.model.arch import Size
from scaleplan.model.flops import span_pairs
from scaleplan.model.items import Layer, Operation, Weight, total
from scaleplan.numeric import ceil_div, maximum, minimum, where

TILE_ROWS, TILE_COLUMNS = 128, 256  # of the output that one processor computes at a time
WIDTH = 2  # bytes of an activation
LAUNCHES, LAUNCHES_UNDER_TP = 14, 18  # kernels of a layer's forward pass
NORM_TRAFFIC, RESIDUAL_TRAFFIC = 6, 2  # elements a token, unit of width and sub-layer: divided by sequence parallelism, and not
ATTENTION_TRAFFIC, PLAIN_TRAFFIC, GATED_TRAFFIC = 4, 4, 3.5  # elements for each output of the first products of a sub-layer
COPY_TRAFFIC = 4  # elements for each token sent to an expert: permuted there and back, read and written
CAST_BYTES = 3  # of an element that becomes 8 bits: read two, written one


class Kernels(NamedTuple):
    """What runs the products: peaks in FLOP/s, bytes of an operand, which attention kernel.

    product_flops_per_s    peak of the format that products are computed in
    attention_flops_per_s  16-bit peak
    operand_bytes          of a product's inputs
    speed                  of the format over what its peak says
    attention              eager, or the generation of FlashAttention
    """

    device: Device
    shares: Efficiency
    product_flops_per_s: float
    attention_flops_per_s: float
    operand_bytes: float
    attention: str

    @property
    def narrow(self) -> bool:
        """Whether products are computed in 8 bits or fewer."""
        return self.operand_bytes < WIDTH

    @property
    def launch_s(self) -> float:
        """Host time of one kernel launch."""
        return self.shares.stack.launch_s * self.device.launch_share

    @property
    def memory_bytes_per_s(self) -> float:
        """What programs get of the memory bandwidth."""
        return self.device.memory_bytes_per_s * self.shares.hardware.memory


class Ranks(NamedTuple):
    """The degrees of parallelism that divide a layer, and the tokens of one micro-batch on one device.

    n_seqs, seq_len  sequences of a micro-batch and the tokens of each
    imbalance        tokens of the busiest device's experts over the mean
    """

    layout: Layout
    n_seqs: Size
    seq_len: Size
    imbalance: Any = 1.0

    @property
    def tokens(self) -> Any:
        """Of one micro-batch on one device."""
        return self.n_seqs * self.seq_len / self.layout.cp

    @property
    def expert_tokens(self) -> Any:
        """Tokens of a device before its experts' ranks swap them: those of all ranks that share an expert's matrices."""
        return self.tokens * self.layout.expert_tp / self.layout.tp


class Work(NamedTuple):
    """Seconds of one forward pass of one layer on one device, and its kernel launches."""

    product_s: Seconds
    attention_s: Seconds
    memory_s: Seconds
    launches: Any


# ------------------------------------------------------------------------------------------------------------------ products


def product_s(m: Any, k: Any, n: Any, on: Kernels, *, peak: float, width: float, count: Any = 1, share: float = 1.0) -> Seconds:
    """Products of m x k by k x n matrices, so many of them at once.

        (2 m n k / (peak share) + operands (width (m k + k n) + 2 m n) / memory rate) whole waves / waves
        waves = count ceil(m / 128) ceil(n / 256) / processors

    Sources: narayanan2021 and vtrain-data for the shape of measured products; tiles as cuBLAS and CUTLASS choose them by default.
    """
    hardware = on.shares.hardware
    arithmetic = 2 * m * n * k / (peak * hardware.product * share)
    traffic = hardware.operands * (width * (m * k + k * n) + WIDTH * m * n) / on.memory_bytes_per_s
    return count * (arithmetic + traffic) * over_waves(m, n, count, on.device.n_units)


def over_waves(m: Any, n: Any, count: Any, n_units: int) -> Any:
    """Waves of tiles that processors run over the full waves that they would be."""
    if not n_units:
        return 1.0
    waves = count * ceil_div(m, TILE_ROWS) * ceil_div(n, TILE_COLUMNS) / n_units
    return ceil_div(waves, 1) / waves


class Product(NamedTuple):
    """Weights that are multiplied at once: Q, K and V, or gate and up."""

    weights: tuple[Weight, ...]

    @property
    def first(self) -> Weight:
        return self.weights[0]

    def inputs(self, tp: Size) -> Any:
        """Rows of the matrix on one device."""
        return self.first.shape[0] / minimum(tp, self.first.tp_ways) if self.first.row_split else self.first.shape[0]

    def outputs(self, tp: Size) -> Any:
        """Columns of the matrix on one device."""
        return total(w.shape[1] if w.row_split else w.shape[1] / minimum(tp, w.tp_ways) for w in self.weights)


def products(layer: Layer) -> Iterator[Product]:
    """The products of a layer; neighbours with the same input and split by columns are one."""
    alike: list[Weight] = []
    for weight in (w for w in layer.weights if w.matmul and len(w.shape) == 2):
        if alike and joins(alike[-1], weight):
            alike.append(weight)
            continue
        if alike:
            yield Product(tuple(alike))
        alike = [weight]
    if alike:
        yield Product(tuple(alike))


def joins(one: Weight, other: Weight) -> bool:
    """Whether two weights multiply the same input."""
    same_input = one.shape[0] is other.shape[0] or (is_whole(one.shape[0], other.shape[0]) and one.shape[0] == other.shape[0])
    return same_input and one.group == other.group and one.stream == other.stream and not one.row_split and not other.row_split


def is_whole(*sizes: Size) -> bool:
    """Whether sizes are plain numbers."""
    return all(isinstance(size, int) for size in sizes)


def is_routed(weight: Weight) -> bool:
    """Whether only some tokens pass it."""
    return weight.group == "experts_routed"


def forward_product_s(product: Product, ranks: Ranks, on: Kernels) -> Seconds:
    """One product of a layer's forward pass; routed experts are a group of products, each with its share of the tokens."""
    rate: dict[str, Any] = {"peak": on.product_flops_per_s, "width": on.operand_bytes}
    if not is_routed(product.first):
        tp = ranks.layout.tp
        return product_s(ranks.tokens, product.inputs(tp), product.outputs(tp), on, **rate)
    tp, here = ranks.layout.expert_tp, product.first.stored / ranks.layout.ep
    each = maximum(1.0, ranks.expert_tokens * product.first.used / here)
    return ranks.imbalance * product_s(
        each, product.inputs(tp), product.outputs(tp), on, count=here, share=on.shares.hardware.grouped, **rate
    )


# ----------------------------------------------------------------------------------------------------------------- attention


def attention_s(layer: Layer, ranks: Ranks, on: Kernels) -> Seconds:
    """Scores and weighted sums of a layer, and work without weights.

    eager    FLOP of the full square, and traffic of the scores
    flash    FLOP of the pairs that causality and a window leave
    """
    return total(operation_s(operation, ranks, on) for operation in layer.operations)


def operation_s(operation: Operation, ranks: Ranks, on: Kernels) -> Seconds:
    """One operation; a scan runs at the rate of FlashAttention 2, for want of a measured one."""
    hardware, ways = on.shares.hardware, minimum(ranks.layout.tp, operation.tp_ways)
    sequences = ranks.n_seqs / ranks.layout.cp / ways
    scan = operation.per_token * ranks.seq_len * sequences / (on.attention_flops_per_s * hardware.flash2)
    square = ranks.seq_len * 1.0 * ranks.seq_len
    if on.attention != "eager":
        pairs = seen(operation, ranks.seq_len, square)
        return scan + operation.per_pair * pairs * sequences / (on.attention_flops_per_s * flash_share(on))
    if isinstance(operation.per_pair, int) and operation.per_pair == 0:
        return scan
    arithmetic = operation.per_pair * square * sequences / (on.attention_flops_per_s * hardware.scores)
    heads = operation.tp_ways  # attention is split by heads
    return scan + arithmetic + hardware.score_bytes * heads * square * sequences / on.memory_bytes_per_s


def seen(operation: Operation, seq_len: Size, square: Any) -> Any:
    """Pairs of one sequence that a fused kernel computes."""
    if operation.span is not None:
        return span_pairs(operation.span, seq_len, seq_len, operation.causal)
    return square / 2 if operation.causal else square


def flash_share(on: Kernels) -> float:
    """Share of the peak in the fused kernel; `flash` and `sdpa` are the best one of the device."""
    hardware = on.shares.hardware
    return {"fa1": hardware.flash1, "fa2": hardware.flash2, "sdpa": hardware.flash2}.get(on.attention, hardware.flash3)


# ------------------------------------------------------------------------------------------------------------ memory traffic


def memory_s(layer: Layer, ranks: Ranks, on: Kernels) -> Seconds:
    """Element-wise kernels of a forward pass: norms, residuals, activation, casts.

    fusion 2 T (6 h / q + 2 h) for each sub-layer, 2 T 4 for each output of Q, K, V, 2 T (4 or 3.5) for each output of up (and gate)
    q: sequence parallel ranks
    """
    layout, tokens = ranks.layout, ranks.tokens
    q = where(layout.sequence_parallel, layout.tp, 1)
    wide = n_sublayers(layer) * layer.d_model * (NORM_TRAFFIC / q + RESIDUAL_TRAFFIC)
    inner = total(traffic(product, ranks) for product in products(layer))
    fused = on.shares.stack.fusion * WIDTH * tokens * (wide + inner)
    cast = CAST_BYTES * tokens * cast_elements(layer, ranks) if on.narrow else 0.0
    return (fused + cast) / on.memory_bytes_per_s


def n_sublayers(layer: Layer) -> int:
    """Mixer and feed-forward, as far as a layer has them."""
    block = layer.block
    if block is None:
        return 0
    return sum(part is not None for part in (block.mixer, block.cross, block.feed_forward))


def traffic(product: Product, ranks: Ranks) -> Any:
    """Elements of memory traffic for each token that a product's outputs cause."""
    first = product.first
    if first.row_split:
        return 0.0
    if is_routed(first):
        copies = first.used * (COPY_TRAFFIC * first.shape[0] / ranks.layout.tp)
        return copies + first.used * per_output(product) * product.outputs(ranks.layout.tp)
    return per_output(product) * product.outputs(ranks.layout.tp)


def per_output(product: Product) -> float:
    """Elements of traffic for each output."""
    if not product.first.group.startswith(("mlp", "experts")):
        return ATTENTION_TRAFFIC
    return GATED_TRAFFIC if len(product.weights) > 1 or "gate" in product.first.name else PLAIN_TRAFFIC


def cast_elements(layer: Layer, ranks: Ranks) -> Any:
    """Elements for each token that become 8 bits before a product: two inputs as wide as the model, and what is split."""
    gated = layer.block is not None and layer.block.feed_forward is not None and layer.block.feed_forward.gated
    inner = total(cast_outputs(product, ranks, gated=gated) for product in products(layer))
    return n_sublayers(layer) * layer.d_model + inner


def cast_outputs(product: Product, ranks: Ranks, *, gated: bool) -> Any:
    """Outputs of Q, K and V, and the activated inner width, whose gate and up are multiplied before the cast."""
    if product.first.row_split:
        return 0.0
    factor = 2 if gated and product.first.group.startswith(("mlp", "experts")) else 1
    return product.first.used * product.outputs(ranks.layout.tp) / factor


# ---------------------------------------------------------------------------------------------------------------- all of it


def forward(layer: Layer, ranks: Ranks, on: Kernels) -> Work:
    """A layer's forward pass."""
    return Work(
        product_s=total(forward_product_s(product, ranks, on) for product in products(layer)),
        attention_s=attention_s(layer, ranks, on),
        memory_s=memory_s(layer, ranks, on),
        launches=launches(layer, ranks.layout, on),
    )


def launches(layer: Layer, layout: Layout, on: Kernels) -> Any:
    """Kernel launches of a forward pass: those of a layer, of collectives under tensor parallelism, of routed experts.

        14, under tensor parallelism 18, + expert_launches + (tp - 1) pipeline_launches where a pipeline spans nodes

    A stack whose stages hand over tensors by blocking calls cannot launch ahead: each collective then waits for the hosts of all its ranks.
    """
    stack = on.shares.stack
    found = where(layout.tp > 1, LAUNCHES_UNDER_TP, LAUNCHES)
    if any(is_routed(w) for w in layer.weights):
        found = found + stack.expert_launches
    if stack.pipeline_launches:
        spans = (layout.pp > 1) & (layout.n_devices > on.device.n_linked)
        found = found + where(spans, (layout.tp - 1) * stack.pipeline_launches, 0)
    return found
