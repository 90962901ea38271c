"""A gated short convolution."""

from __future__ import annotations

from typing import NamedTuple

from scaleplan.model.arch import Size
from scaleplan.model.items import Kept, Layer, linear
from scaleplan.model.mixers.parts import Parts, convolution, depthwise
from scaleplan.model.words import Words


class ShortConv(NamedTuple):
    """Gated depthwise convolution between two projections."""

    d_conv: Size
    bias: bool = False

    @classmethod
    def read(cls, words: Words) -> ShortConv:
        """A short convolution of `d_conv` taps."""
        return cls(words.need("d_conv", "a short convolution"), words.get("conv_bias", False))

    def parts(self, d_model: Size, stream: str) -> Parts:
        """Two gates and the values in one projection, a depthwise convolution, and a projection back."""
        weights = linear("in", "mixer", d_model, 3 * d_model, bias=self.bias, column=d_model, stream=stream)
        weights += depthwise(d_model, self.d_conv, self.bias, stream)
        weights += linear("out", "mixer", d_model, d_model, bias=self.bias, row=d_model, stream=stream)
        return weights, [convolution(d_model, self.d_conv, stream)]

    def cache(self, layer: Layer) -> list[Kept]:
        """The taps of the convolution."""
        return [Kept("state", per_sequence=layer.d_model * self.d_conv, stream=layer.stream)]
