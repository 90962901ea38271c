"""Time mixing of RWKV-4 (peng2023)."""

from __future__ import annotations

from typing import NamedTuple

from scaleplan.model.arch import Size
from scaleplan.model.items import Kept, Layer, Operation, Weight, linear, vector
from scaleplan.model.mixers.parts import Parts, state
from scaleplan.model.words import Words


class Rwkv(NamedTuple):
    """Time mixing of RWKV-4 (peng2023): receptance, key, value, output and a decay for each channel."""

    d_attention: Size

    @classmethod
    def read(cls, words: Words) -> Rwkv:
        """Time mixing as wide as the model unless `d_inner` says otherwise."""
        return cls(words.get("d_inner", words["d_model"]))

    def parts(self, d_model: Size, stream: str) -> Parts:
        """Time mixing of RWKV-4: four matrices, decay and first-token bonus a channel, three vectors that mix neighbours (peng2023)."""
        wide = self.d_attention
        weights: list[Weight] = []
        for name in ("receptance", "key", "value"):
            weights += linear(name, "mixer", d_model, wide, column=wide, stream=stream)
        weights += linear("output", "mixer", wide, d_model, row=wide, stream=stream)
        weights += [vector(f"time {part}", "mixer", wide, stream, tp_ways=wide) for part in ("decay", "first")]
        weights += [vector(f"mix {part}", "mixer", d_model, stream) for part in ("key", "value", "receptance")]
        return weights, [Operation("scan", per_token=10 * wide, queries=stream, keys=stream, tp_ways=wide)]

    def cache(self, layer: Layer) -> list[Kept]:
        """Numerator, denominator, maximum and the two tokens before, for each channel, in 32 bits."""
        return [state(5 * self.d_attention, layer)]
