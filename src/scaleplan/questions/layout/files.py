"""Files of a layout: the ledger of a search, a run file, a timeline; and the same layout under other schedules."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, cast

from scaleplan.chain.layout_search import Asked, ScheduleRow, schedule_rows
from scaleplan.errors import ScaleplanError
from scaleplan.machine.layout import Layout
from scaleplan.machine.ledger import HEADING
from scaleplan.machine.schedules import SCHEDULES, Schedule
from scaleplan.machine.training_run import Row
from scaleplan.wording import field

AT_ONCE = 10_000  # rows of a piece


def ledger_of(rows: Iterable[tuple[Any, ...]]) -> Iterator[str]:
    """Every candidate as a row of CSV, in pieces."""
    import csv
    import io
    from itertools import chain, islice

    every = chain([HEADING], rows)
    while some := list(islice(every, AT_ONCE)):
        out = io.StringIO()
        csv.writer(out, lineterminator="\n").writerows([int(cell) if isinstance(cell, bool) else cell for cell in row] for row in some)
        yield out.getvalue()


def emitted(form: str, asked: Any, search: Asked, layout: Layout, micro: int, recompute: str, schedule: str = "1f1b") -> str:
    """The run file of a layout.

    Raises NotSupported where its form cannot say it.
    """
    from scaleplan.chain.run_files.run_file import Form, RunSettings, write_run_file

    settings = RunSettings(
        seq_len=search.seq_len,
        micro_batch_size_seqs=micro,
        global_batch_size_seqs=search.batch_seqs,
        precision=search.precision,
        recompute=recompute,
        attention=search.attention,
        optimizer=search.optimizer,
        schedule=schedule,
    )
    try:
        return write_run_file(cast("Form", form), asked.model.arch, layout, settings)
    except ScaleplanError as error:
        error.message = f"{field('emit')}: {error.message}"
        raise


def trace_text(search: Asked, layout: Layout, micro: int, recompute: str, schedule: Schedule = "1f1b") -> str:
    """A step as a Chrome or Perfetto timeline."""
    import json

    from scaleplan.chain.layout_trace import trace_of

    return json.dumps(trace_of(search, layout, micro, recompute, schedule), separators=(",", ":")) + "\n"


def schedules_of(search: Asked, row: Row) -> list[ScheduleRow]:
    """A layout under every schedule that it can run."""
    found = []
    for schedule in SCHEDULES:
        try:
            found += schedule_rows(search, row.layout, [schedule], row.micro_batch_size_seqs, row.recompute, row.offload)
        except ScaleplanError:  # this layout has too few stages or micro-batches for the schedule
            continue
    return found
