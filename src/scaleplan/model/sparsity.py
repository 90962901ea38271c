"""Weights that pruning sets to zero: which share of them, in which pattern, and what the places of the others take."""

from __future__ import annotations

import re
from typing import NamedTuple

from scaleplan.errors import InputError
from scaleplan.units import fraction

PATTERN = re.compile(r"\s*(\d{1,3})\s*:\s*(\d{1,3})\s*")


class Sparsity(NamedTuple):
    """A share of the weights of the layers' matrices that is zero: anywhere, or all but `kept` of every `group` in a row.

    Tables, head, routers, norms, biases and adapters are kept whole, as is usual (frantar2023-sparsegpt).
    """

    share: float
    kept: int = 0
    group: int = 0

    @property
    def pattern(self) -> str | None:
        """`2:4`; None where zeros may be anywhere."""
        return f"{self.kept}:{self.group}" if self.group else None

    @property
    def index_bits(self) -> int:
        """Bits that say where one kept weight stands in its group; 0 without groups, where one bit a weight says which are kept."""
        return (self.group - 1).bit_length() if self.group else 0

    def shown(self) -> str:
        """The share in words, with its pattern."""
        return f"{100 * self.share:.3g} % ({self.pattern})" if self.group else f"{100 * self.share:.3g} %"

    def spelled(self) -> float | str:
        """As it was given: a share, or a pattern."""
        return self.pattern or self.share


def parse_sparsity(text: str) -> Sparsity:
    """A share (`0.5`, `50%`) or a pattern of kept weights in a group (`2:4`).

    >>> parse_sparsity("2:4")
    Sparsity(share=0.5, kept=2, group=4)
    """
    found = PATTERN.fullmatch(text)
    if found is None:
        share = fraction(text)
        if share == 1:
            raise InputError(f"`{text}` leaves no weight", hint="a share below 1, or a pattern: 2:4")
        return Sparsity(share)
    kept, group = int(found[1]), int(found[2])
    if not 0 < kept < group:
        raise InputError(f"`{text}` keeps {kept} of every {group} weights", hint="fewer than all, more than none: 2:4")
    return Sparsity(1 - kept / group, kept, group)
