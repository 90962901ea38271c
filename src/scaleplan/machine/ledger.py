"""Every candidate of a search as a row: its figures, or the reason that it fell."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from scaleplan.machine.candidates import LEAST_FIRST, LEGAL, Candidates, Enumerated
from scaleplan.machine.offload import OFFLOADS

COLUMNS = Candidates._fields[:-1]
HEADING = (*COLUMNS, "step_s", "tokens_per_s_per_device", "peak_bytes", "fits", "reason")


def priced_rows(legal: Candidates, peak_bytes: Any, step_s: Any, reasons: list[str], tokens: float) -> Iterator[tuple[Any, ...]]:
    """Candidates that the rules of a shape let through; `tokens` of a step for each device."""
    for cells, peak, step, reason in zip(degrees(legal), peak_bytes.tolist(), step_s.tolist(), legal.reason.tolist(), strict=True):
        fitting = reason == LEGAL
        figures = (step, tokens / step) if fitting else (None, None)
        yield (*cells, *figures, peak or None, fitting, "" if fitting else reasons[reason])


def illegal_rows(found: Enumerated) -> Iterator[tuple[Any, ...]]:
    """Candidates whose shape breaks a rule."""
    for some in found.illegal():
        for cells, reason in zip(degrees(some), some.reason.tolist(), strict=True):
            yield (*cells, None, None, None, False, found.reasons[reason])


def degrees(some: Candidates) -> Iterator[tuple[Any, ...]]:
    """Degrees and choices of each candidate, recomputation and offload as words."""
    columns = [getattr(some, "shards" if name == "n_shards" else name).tolist() for name in COLUMNS[:-2]]
    words = [LEAST_FIRST[how] for how in some.recompute.tolist()]
    hosts = [OFFLOADS[how] for how in some.offload.tolist()]
    return zip(*columns, words, hosts, strict=True)
