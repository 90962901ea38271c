"""The gated delta rule (yang2024)."""

from __future__ import annotations

from typing import NamedTuple

from scaleplan.model.arch import Size
from scaleplan.model.items import Kept, Layer, Operation, Weight, linear, norm_weights, vector
from scaleplan.model.mixers.parts import RMS, Parts, convolution, depthwise, state
from scaleplan.model.words import Words


class GatedDelta(NamedTuple):
    """Gated delta rule (yang2024): a d_key x d_value state for each value head, after a short convolution."""

    n_key_heads: Size
    n_value_heads: Size
    d_key: Size
    d_value: Size
    d_conv: Size
    fused: bool = True  # Q, K, V, Z in one tensor and beta, alpha in another

    @classmethod
    def read(cls, words: Words) -> GatedDelta:
        """The gated delta rule."""
        sizes = {word: words.need(word, "the delta rule") for word in ("n_key_heads", "n_value_heads", "d_key", "d_value", "d_conv")}
        return cls(**sizes, fused=words.get("fused_qkv", True))

    def parts(self, d_model: Size, stream: str) -> Parts:
        """Gated delta rule.

            d_model (2 n_key_heads d_key + 2 n_value_heads d_value)    Q, K, V and the output gate Z
            d_model 2 n_value_heads                                    beta and alpha
            n_value_heads d_value d_model                              out

        Each token reads, corrects and reads the state again: 6 FLOP an entry. Source: yang2024.
        """
        heads = self.n_value_heads
        key_width, value_width = self.n_key_heads * self.d_key, heads * self.d_value
        channels = 2 * key_width + value_width
        if self.fused:
            parts = [("Q, K, V, Z", channels + value_width), ("beta, alpha", 2 * heads)]
        else:
            parts = [("Q, K, V", channels), ("Z", value_width), ("beta", heads), ("alpha", heads)]
        weights: list[Weight] = []
        for name, width in parts:
            weights += linear(name, "mixer", d_model, width, column=self.n_key_heads, stream=stream)
        weights += depthwise(channels, self.d_conv, False, stream)
        weights += [vector(name, "mixer", heads, stream, tp_ways=heads) for name in ("dt bias", "A")]
        weights += norm_weights("output norm", RMS, self.d_value, stream)
        weights += linear("out", "mixer", value_width, d_model, row=heads, stream=stream)
        scan = Operation("delta rule", per_token=6 * heads * self.d_key * self.d_value, queries=stream, keys=stream, tp_ways=heads)
        return weights, [convolution(channels, self.d_conv, stream), scan]

    def cache(self, layer: Layer) -> list[Kept]:
        """A d_key x d_value state for each value head and the taps of the convolution, in 32 bits."""
        matrices = self.n_value_heads * self.d_key * self.d_value
        convolved = 2 * self.n_key_heads * self.d_key + self.n_value_heads * self.d_value
        elements = matrices + convolved * self.d_conv
        return [state(elements, layer, tp_ways=self.n_value_heads)]
