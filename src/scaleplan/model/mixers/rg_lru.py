"""Recurrent block of Griffin (de2024)."""

from __future__ import annotations

from typing import NamedTuple

from scaleplan.model.arch import Size
from scaleplan.model.items import Kept, Layer, Operation, Weight, linear, vector
from scaleplan.model.mixers.parts import Parts, convolution, depthwise, state
from scaleplan.model.words import Words


class RgLru(NamedTuple):
    """Recurrent block of griffin (de2024): a gated linear recurrence beside a GELU branch."""

    d_inner: Size
    n_heads: Size
    d_conv: Size

    @classmethod
    def read(cls, words: Words) -> RgLru:
        """Griffin's recurrent block."""
        d_inner = words.get("d_inner", words["d_model"])
        n_heads = words.need("n_heads", "a recurrent block")
        words.divide("d_inner", "n_heads", d_inner, n_heads)
        return cls(d_inner, n_heads, words.get("d_conv", 4))

    def parts(self, d_model: Size, stream: str) -> Parts:
        """Recurrent block of Griffin: two branches, a convolution, and gates that are block-diagonal by head (de2024)."""
        wide, heads = self.d_inner, self.n_heads
        weights: list[Weight] = []
        for name in ("branch y", "branch x"):
            weights += linear(name, "mixer", d_model, wide, bias=True, column=wide, stream=stream)
        weights += depthwise(wide, self.d_conv, True, stream)
        for name in ("input gate", "recurrence gate"):
            weights += linear(name, "mixer", wide // heads, wide // heads, bias=True, stored=heads, used=heads, stream=stream)
        weights.append(vector("recurrence", "mixer", wide, stream, tp_ways=wide))
        weights += linear("out", "mixer", wide, d_model, bias=True, row=wide, stream=stream)
        scan = Operation("scan", per_token=6 * wide, queries=stream, keys=stream, tp_ways=wide)
        return weights, [convolution(wide, self.d_conv, stream), scan]

    def cache(self, layer: Layer) -> list[Kept]:
        """The state of each channel and the taps of its convolution, in 32 bits."""
        return [state(self.d_inner * (1 + self.d_conv), layer, tp_ways=self.n_heads)]
