"""Attention in a pattern that is computed as such: a kernel that skips what the pattern hides, no mask over the full square."""

from __future__ import annotations

from scaleplan.errors import InputError
from scaleplan.model.mixers.attention import Attention
from scaleplan.model.words import Words


class SparseAttention(Attention):
    """Softmax attention to a window, every so many keys, keys drawn at random and global keys, and to no other key.

    Sources: child2019 (strided, fixed), beltagy2020 (window, global), zaheer2020 (blocks at random).
    """

    @classmethod
    def read(cls, words: Words) -> SparseAttention:
        """The words of attention, of which one at least says what is left out."""
        attention = super().read(words)
        if attention.span is None:
            pattern = ", ".join(words.spell(word) for word in ("window", "chunk", "stride", "n_random", "n_global"))
            raise InputError(f"sparse attention needs a pattern: {pattern}")
        return cls(*attention._replace(span=attention.span._replace(masked=False)))
