"""Selective state space of the first Mamba (gu2023)."""

from __future__ import annotations

from typing import NamedTuple

from scaleplan.model.arch import Size
from scaleplan.model.items import Kept, Layer, Operation, Weight, linear, norm_weights, vector
from scaleplan.model.mixers.parts import RMS, Parts, convolution, depthwise, state
from scaleplan.model.words import Words


class Mamba(NamedTuple):
    """Selective state space of gu2023: every channel has a state of its own."""

    d_inner: Size
    d_state: Size
    d_conv: Size
    dt_rank: Size
    bias: bool = False
    conv_bias: bool = True
    inner_norms: bool = False  # dt, B and C are normalised

    @classmethod
    def read(cls, words: Words) -> Mamba:
        """Mamba's first state space; the step size has a rank of d_model / 16 unless given."""
        d_model = words["d_model"]
        return cls(
            d_inner=words.get("d_inner", 2 * d_model),
            d_state=words.get("d_state", 16),
            d_conv=words.get("d_conv", 4),
            dt_rank=words.get("dt_rank", -(-d_model // 16)),
            bias=words.get("mixer_bias", False),
            conv_bias=words.get("conv_bias", True),
            inner_norms=words.get("inner_norms", False),
        )

    def parts(self, d_model: Size, stream: str) -> Parts:
        """Selective state space.

            d_model 2 d_inner                     in
            d_inner (dt_rank + 2 d_state)         x: dt, B and C of each token
            dt_rank d_inner                       dt, counted with the scan as its kernels do
            d_inner d_model                       out

        The scan is 9 FLOP a channel and state, as the authors' own count has it. Source: gu2023.
        """
        wide = self.d_inner
        weights = linear("in", "mixer", d_model, 2 * wide, bias=self.bias, column=wide, stream=stream)
        weights += depthwise(wide, self.d_conv, self.conv_bias, stream)
        weights += linear("x", "mixer", wide, self.dt_rank + 2 * self.d_state, row=wide, stream=stream)
        weights.append(Weight("dt", "mixer", (self.dt_rank, wide), matmul=False, stream=stream, tp_ways=wide))
        weights.append(vector("dt bias", "mixer", wide, stream, tp_ways=wide))
        weights.append(Weight("A", "mixer", (wide, self.d_state), matmul=False, stream=stream, tp_ways=wide))
        weights.append(vector("D", "mixer", wide, stream, tp_ways=wide))
        weights += linear("out", "mixer", wide, d_model, bias=self.bias, row=wide, stream=stream)
        if self.inner_norms:
            for name, width in (("dt", self.dt_rank), ("B", self.d_state), ("C", self.d_state)):
                weights += norm_weights(f"{name} norm", RMS, width, stream)
        scan = 2 * self.dt_rank * wide + 9 * wide * self.d_state + 2 * wide
        return weights, [
            convolution(wide, self.d_conv, stream),
            Operation("scan", per_token=scan, queries=stream, keys=stream, tp_ways=wide),
        ]

    def cache(self, layer: Layer) -> list[Kept]:
        """The state of each channel and the taps of its convolution, in 32 bits."""
        return [state(self.d_inner * (self.d_state + self.d_conv), layer, tp_ways=self.d_inner)]
