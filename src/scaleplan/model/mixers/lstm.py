"""An LSTM layer (hochreiter1997)."""

from __future__ import annotations

from typing import NamedTuple

from scaleplan.model.arch import Size
from scaleplan.model.items import Kept, Layer, Operation, linear, vector
from scaleplan.model.mixers.parts import Parts
from scaleplan.model.words import Words


class Lstm(NamedTuple):
    """One LSTM layer: four gates of the input and of the state before (hochreiter1997)."""

    n_biases: int = 2

    @classmethod
    def read(cls, words: Words) -> Lstm:
        """An LSTM as wide as the model."""
        return cls(words.get("n_biases", 2))

    def parts(self, d_model: Size, stream: str) -> Parts:
        """Four gates of the input and of the state before: 8 d_model^2 weights and their biases (hochreiter1997)."""
        weights = linear("input gates", "mixer", d_model, 4 * d_model, stream=stream)
        weights += linear("state gates", "mixer", d_model, 4 * d_model, stream=stream)
        weights += [vector(f"gates bias {n + 1}", "mixer", 4 * d_model, stream) for n in range(self.n_biases)]
        return weights, [Operation("cell", per_token=4 * d_model, queries=stream, keys=stream)]

    def cache(self, layer: Layer) -> list[Kept]:
        """The hidden state and the cell."""
        return [Kept("state", per_sequence=2 * layer.d_model, stream=layer.stream)]
