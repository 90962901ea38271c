"""State space of the second Mamba, in heads (dao2024)."""

from __future__ import annotations

from typing import NamedTuple

from scaleplan.model.arch import Size
from scaleplan.model.items import Kept, Layer, Operation, linear, norm_weights, vector
from scaleplan.model.mixers.parts import RMS, Parts, convolution, depthwise, state
from scaleplan.model.words import Words


class Mamba2(NamedTuple):
    """State space of dao2024: channels come in heads; B and C are shared by groups."""

    n_heads: Size
    d_head: Size
    d_state: Size
    n_groups: Size
    d_conv: Size
    bias: bool = False
    conv_bias: bool = True
    gate_norm: bool = True

    @classmethod
    def read(cls, words: Words) -> Mamba2:
        """Mamba's second state space, in heads."""
        sizes = {word: words.need(word, "a mamba2 mixer") for word in ("d_inner", "n_value_heads", "d_state", "n_groups", "d_conv")}
        n_heads = sizes["n_value_heads"]
        return cls(
            n_heads=n_heads,
            d_head=words.divide("d_inner", "n_value_heads", sizes["d_inner"], n_heads),
            d_state=sizes["d_state"],
            n_groups=sizes["n_groups"],
            d_conv=sizes["d_conv"],
            bias=words.get("mixer_bias", False),
            conv_bias=words.get("conv_bias", True),
            gate_norm=words.get("inner_norms", True),
        )

    def parts(self, d_model: Size, stream: str) -> Parts:
        """State space with heads.

            d_model (2 d_inner + 2 n_groups d_state + n_heads)    in: z, x, B, C, dt
            d_inner d_model                                       out

        The state of a token is 4 FLOP a channel and state (update and read), the count of its recurrent form. Source: dao2024.
        """
        heads, wide = self.n_heads, self.n_heads * self.d_head
        channels = wide + 2 * self.n_groups * self.d_state
        weights = linear("in", "mixer", d_model, wide + channels + heads, bias=self.bias, column=heads, stream=stream)
        weights += depthwise(channels, self.d_conv, self.conv_bias, stream)
        weights += [vector(name, "mixer", heads, stream, tp_ways=heads) for name in ("dt bias", "A", "D")]
        if self.gate_norm:
            weights += norm_weights("gate norm", RMS, wide, stream)
        weights += linear("out", "mixer", wide, d_model, bias=self.bias, row=heads, stream=stream)
        scan = Operation("scan", per_token=4 * wide * self.d_state, queries=stream, keys=stream, tp_ways=heads)
        return weights, [convolution(channels, self.d_conv, stream), scan]

    def cache(self, layer: Layer) -> list[Kept]:
        """The state of each channel and the taps of the convolution, in 32 bits."""
        inner = self.n_heads * self.d_head
        convolved = inner + 2 * self.n_groups * self.d_state
        return [state(inner * self.d_state + convolved * self.d_conv, layer, tp_ways=self.n_heads)]
