"""What a feed-forward keeps for its backward pass: inputs of its products and of its activation; experts with their router."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from scaleplan.model.arch import Block, Experts, FeedForward, Size
from scaleplan.model.items import Kept, Layer
from scaleplan.model.passes import Pass, input_kind, read, read_by

PLAIN_TENSORS = {"relu": 1, "relu2": 2, "gelu": 2, "gelu-tanh": 2, "silu": 2, "gelu-new": 5, "other": 2}
"""Tensors as wide as the feed-forward that a plain one keeps, its second product's input included. ReLU's derivative needs only its
output, which that product keeps anyhow; GELU written out in single operations keeps five."""

GATED_TENSORS = {True: 4, False: 3}
"""Gate, up and their product; and the activated gate where it is a tensor of its own."""


def feed_forward(layer: Layer, block: Block, how: Pass) -> Iterator[Kept]:
    """The products' inputs and what the activation keeps; for experts, of the experts that a token passes."""
    spec = block.feed_forward
    if spec is None:
        return
    stream = layer.stream
    if spec.d_ff is not None:
        readers, dense = 2 if spec.gated and not spec.fused else 1, ("mlp_dense",)
        yield from read_by(readers, read(layer, dense, "gate", "up", "key", "receptance"), "feed-forward input", block.d_model, stream, how)
        yield from inner(spec, spec.d_ff, 1, read(layer, dense, "down", "value"), "mlp", how, stream)
    if spec.experts is not None:
        yield from experts(spec, spec.experts, layer, block, how)
    if how.dropout:
        yield Kept("dropout mask", block.d_model, dtype="mask", stream=stream, sequence_parallel=True)


def inner(spec: FeedForward, d_ff: Size, times: Size, last: tuple[int, int], module: str, how: Pass, stream: str) -> Iterator[Kept]:
    """Tensors of the inner width: what the activation keeps, and the input of the last product, which a frozen one does not keep."""
    split: dict[str, Any] = {"stream": stream, "tp_ways": d_ff, "gone_with": frozenset({module})}
    width, reads_output = times * d_ff, bool(last[1]) or not last[0]
    if spec.gated and how.narrow_gate:
        yield Kept("inputs of the gated activation", 2 * width, **input_kind(how), **split)
        return
    alone = inner_tensors(spec, how) - 1  # the input of the last product left out
    separate = spec.gated or spec.activation != "relu"  # ReLU's backward pass needs the very output that the product reads
    if alone:
        yield Kept("inputs of the activation", width * alone, **split)
    if reads_output or not separate:
        gone = {module} if not separate else {module, f"{module}_act"}
        yield Kept("output of the activation", width, **input_kind(how), **(split | {"gone_with": frozenset(gone)}))


def inner_tensors(spec: FeedForward, how: Pass) -> int:
    """Tensors of the inner width that are kept."""
    return GATED_TENSORS[how.keeping.gate_in_steps] if spec.gated else PLAIN_TENSORS[spec.activation]


def experts(spec: FeedForward, routed: Experts, layer: Layer, block: Block, how: Pass) -> Iterator[Kept]:
    """Router, the copies of a token that are sent to its experts, and the experts' inner tensors.

    What experts return is kept for the gradient of the router's weights, unless those are multiplied into the gated activation.
    """
    stream, width = layer.stream, block.d_model if routed.d_in is None else routed.d_in
    readers = read(layer, ("router", "experts_shared"), but=("shared expert down",))
    yield from read_by(readers[0], readers, "router input", block.d_model, stream, how)
    yield Kept("router", routed.n_experts, dtype="fp32", stream=stream)
    gone = frozenset({"moe"})
    if read(layer, ("experts_routed",), "gate", "up")[1]:
        yield Kept("tokens sent to experts", routed.n_used * width, **input_kind(how), stream=stream, gone_with=gone)
    if not how.narrow_gate:
        yield Kept("tokens returned by experts", routed.n_used * width, stream=stream, gone_with=gone)
    one = spec._replace(gated=routed.gated)
    yield from inner(one, routed.d_ff, routed.n_used, read(layer, ("experts_routed",), "down"), "moe", how, stream)
    if routed.d_shared is not None:
        yield from inner(one, routed.d_shared, 1, read(layer, ("experts_shared",), "down"), "moe", how, stream)
