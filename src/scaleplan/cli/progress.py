"""Long work on a terminal: a bar on stderr."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any


def bar(what: str, items: Iterable[Any], sizes: Sequence[int]) -> Iterator[Any]:
    """The items as they come; on a terminal a bar shows how far the work is."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield from items
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=sum(sizes))
        for size, item in zip(sizes, items, strict=True):
            progress.advance(task, size)
            yield item
