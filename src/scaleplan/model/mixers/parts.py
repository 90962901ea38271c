"""What several mixers are built from."""

from __future__ import annotations

from typing import TypeAlias

from scaleplan.model.arch import Norm, Size
from scaleplan.model.items import Kept, Layer, Operation, Weight, vector

Parts: TypeAlias = tuple[list[Weight], list[Operation]]

RMS = Norm("rms", 1)
LAYER = Norm("layer", 2)


def depthwise(channels: Size, d_conv: Size, bias: bool, stream: str) -> list[Weight]:
    """A convolution that keeps channels apart."""
    weights = [Weight("convolution", "mixer", (channels, d_conv), matmul=False, stream=stream, tp_ways=channels)]
    return weights + ([vector("convolution bias", "mixer", channels, stream, tp_ways=channels)] if bias else [])


def convolution(channels: Size, d_conv: Size, stream: str) -> Operation:
    """Its work: a multiply-add for each channel and tap."""
    return Operation("convolution", per_token=2 * channels * d_conv, queries=stream, keys=stream, tp_ways=channels)


def state(elements: Size, layer: Layer, *, tp_ways: Size = 1) -> Kept:
    """A state of fixed size that a sequence keeps while serving, in 32 bits."""
    return Kept("state", per_sequence=elements, dtype="fp32", stream=layer.stream, tp_ways=tp_ways)
