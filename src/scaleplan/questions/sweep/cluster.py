"""The rows of a sweep computed on a Dask cluster that is there already: pieces of the grid, written in their order.

A piece that was lost with its worker is computed again by another one; the text of a piece depends on nothing but its points.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from scaleplan import __version__
from scaleplan.errors import InputError, NotSupported, clipped
from scaleplan.questions.sweep.grid import BLOCK_POINTS
from scaleplan.questions.sweep.points import Swept
from scaleplan.questions.sweep.text import Form, pieces
from scaleplan.wording import field

if TYPE_CHECKING:
    from scaleplan.questions.sweep import OverGrid

CONNECTS_WITHIN_S = 10
PIECES_PER_THREAD = 32  # of points that are solved one by one: all are busy until the end, and little is lost with a worker
MOST_POINTS = 256  # of such a piece


def texts_of_cluster(scheduler: str, swept: Swept, asked: OverGrid, form: Form, span: tuple[int, int]) -> Iterator[tuple[str, int]]:
    """Texts of whole rows in their order, each with its number of rows."""
    client = connected(scheduler)
    try:
        threads = sum(client.nthreads().values())
        size = BLOCK_POINTS if swept.solve else max(1, min(MOST_POINTS, (span[1] - span[0]) // max(1, threads * PIECES_PER_THREAD)))
        cut = pieces(*span, size)
        task = Task(__version__, swept.question.name, dict(swept.given), asked.over, swept.columns, form)
        futures = [client.submit(piece, task, low, high, pure=False) for low, high in cut]
        for place, (low, high) in enumerate(cut):
            text = futures[place].result()
            futures[place] = None  # its text is written, and the cluster need not keep it
            yield text, high - low
    finally:
        client.close()  # what is still computed for us is cancelled with it


def connected(scheduler: str) -> Any:
    """A client of the cluster.

    Raises NotSupported without Dask, InputError where no scheduler answers.
    """
    try:
        from distributed import Client
    except ImportError:
        raise NotSupported(f"{field('engine')} dask needs Dask, which is not installed", hint="pip install 'scaleplan[dask]'") from None
    try:
        return Client(scheduler, timeout=CONNECTS_WITHIN_S, set_as_default=False)  # type: ignore[no-untyped-call]  # it has no types
    except (OSError, ValueError) as error:
        raise InputError(f"{field('scheduler')}: no Dask scheduler at `{clipped(scheduler)}`: {clipped(error)}") from None


class Task(NamedTuple):
    """What a worker needs to know to compute rows of a sweep."""

    version: str
    command: str
    given: Mapping[str, Any]
    over: tuple[str, ...]
    columns: tuple[str, ...]
    form: Form


def piece(task: Task, start: int, stop: int) -> str:
    """The rows of some points, computed by a worker."""
    from scaleplan.questions.sweep.points import swept_of
    from scaleplan.questions.sweep.text import joined_text

    if task.version != __version__:
        raise InputError(f"the workers run scaleplan {__version__}, and this is {task.version}", hint="install the same version everywhere")
    return joined_text(swept_of(task.command, task.given, task.over, task.columns), task.form, start, stop)
