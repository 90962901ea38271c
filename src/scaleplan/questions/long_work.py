"""Long work, shown to whoever watches and ended by whoever interrupts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from scaleplan.questions.asking import INTERRUPT, WATCH, Stop

TICKS = 100  # of a bar


class Progress:
    """How much of long work is done, called with how many of how many; the answer is whether to stop with what there is.

    cut_short  whether that was said before all was done
    """

    def __init__(self, shown: Iterator[int], stop: Stop) -> None:
        self.shown, self.stop = shown, stop
        self.ticked = 0
        self.cut_short = False

    def __call__(self, done: int, total: int) -> bool:
        while self.ticked < TICKS * done // max(1, total):
            next(self.shown, None)
            self.ticked += 1
        stopped = self.stop()
        self.cut_short = self.cut_short or (stopped and done < total)
        return stopped


@contextmanager
def watched(what: str) -> Iterator[Progress]:
    """The progress of long work, shown to whoever watches it and stopped by whoever interrupts."""
    shown = WATCH.get()(what, range(TICKS), [1] * TICKS)
    with INTERRUPT.get()() as stop:
        try:
            yield Progress(shown, stop)
        finally:
            close(shown)


def close(shown: Any) -> None:
    """Takes a bar away."""
    if hasattr(shown, "close"):
        shown.close()
