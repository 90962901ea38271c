"""Long work, shown to whoever watches and ended by whoever interrupts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from scaleplan.questions.asking import INTERRUPT, WATCH

TICKS = 100  # of a bar


@contextmanager
def watched(what: str) -> Iterator[Callable[[int, int], bool]]:
    """Told how many of how many are done; shows it to whoever watches, and says whether to stop with what there is."""
    shown = WATCH.get()(what, range(TICKS), [1] * TICKS)
    ticked = 0
    with INTERRUPT.get()() as stop:

        def progress(done: int, total: int) -> bool:
            nonlocal ticked
            while ticked < TICKS * done // max(1, total):
                next(shown, None)
                ticked += 1
            return stop()

        try:
            yield progress
        finally:
            close(shown)


def close(shown: Any) -> None:
    """Takes a bar away."""
    if hasattr(shown, "close"):
        shown.close()
