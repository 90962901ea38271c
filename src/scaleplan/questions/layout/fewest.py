"""The fewest devices on which a run finishes in time, with the fastest layout there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from scaleplan.answer import Answer, Interval, Line, Table, line, quantities
from scaleplan.chain.layout_search import Asked, fewest_devices, whole_nodes
from scaleplan.errors import NotSupported
from scaleplan.machine.scaling import Point
from scaleplan.questions.layout.common import asked_of, columns_of_rows, completed, inputs_of, parts_table, row_of, watched
from scaleplan.questions.layout.lines import layout_lines
from scaleplan.questions.layout.ranked import intervals_of
from scaleplan.units import show_duration
from scaleplan.wording import field

if TYPE_CHECKING:
    from scaleplan.questions.layout import Fewest
    from scaleplan.ranges import WholeRange


class Solved(NamedTuple):
    """The search on the fewest devices, and the run there."""

    search: Asked
    point: Point


def counts_of(hardware: str, given: WholeRange) -> list[int]:
    """Device counts of a range: whole nodes between its ends, or the points that it names."""
    return whole_nodes(hardware, given.points[0], given.points[-1]) if given.is_open else list(given.points)


def solve(asked: Fewest) -> Solved:
    """The smallest count in time.

    Raises NotSupported where no count of the range is enough.
    """
    counts = counts_of(asked.hardware, asked.n_devices)
    search = asked_of(asked, counts[0] if counts else asked.n_devices.points[0])
    with watched("device counts") as progress:

        def tried(n: int) -> None:
            if progress(counts.index(n), len(counts)):
                raise KeyboardInterrupt

        found = fewest_devices(search, counts, asked.tokens, asked.deadline, tried)
    if found is None:
        limit = f"{field('n_devices')} {asked.n_devices.text}"
        raise NotSupported(
            f"{field('deadline')}: no count of {limit} trains {asked.tokens:.4g} tokens in {show_duration(asked.deadline)}",
            hint=f"more devices, a longer {field('deadline')}, or a larger {field('global_batch_size_seqs')}",
        )
    return Solved(search._replace(n_devices=found.n_devices), found)


def explain(asked: Fewest, solved: Solved) -> Answer:
    """The fewest devices, the run's time, and its layout."""
    search, point = solved.search, solved.point
    run = run_lines(asked, search, point)
    known = {one.key.removeprefix("fewest."): one for one in run}
    wall = known["wall_s"]
    assert wall.interval is not None
    fewest = {
        "n_devices": point.n_devices,
        "wall_s": wall.value,
        "wall_s_p10": wall.interval.p10,
        "wall_s_p90": wall.interval.p90,
        "n_steps": known["n_steps"].value,
        "device_hours": known["device_hours"].value,
        **row_of(point.row),
    }
    result: dict[str, Any] = {
        "fewest": fewest,
        "layouts": [row_of(point.row)],
        "intervals": {**intervals_of(point.row), "wall_s": wall.interval._asdict()},
    }
    tables = [
        quantities("", run),
        Table("The fastest layout there", columns_of_rows([point.row]), [row_of(point.row)]),
        parts_table(f"A step of {point.row.layout.spelled()}", {"seconds": point.row.parts}),
    ]
    lines = [*layout_lines(search, point.row, "layouts.0."), *run]
    return completed(Answer("layout", inputs_of(asked, search), result, tables, lines, notes=notes_of(asked, point)), asked, search)


def run_lines(asked: Fewest, search: Asked, point: Point) -> list[Line]:
    """Steps, time and device-hours of the run."""
    row, batch = point.row, search.batch_seqs
    n_steps = asked.tokens / (batch * search.seq_len)
    spread = Interval(row.step_s_p10, row.step_s, row.step_s_p90).scaled(n_steps)
    work: dict[str, Any] = {"tokens": asked.tokens, "global_batch_size_seqs": batch, "seq_len": search.seq_len}
    hours: dict[str, Any] = {"wall_s": point.wall_s, "n_devices": point.n_devices}
    return [
        line("fewest.n_devices", "fewest devices", point.n_devices, "", standing="estimate"),
        line("fewest.n_steps", "steps", n_steps, "", "tokens / (global_batch_size_seqs * seq_len)", **work),
        line(
            "fewest.wall_s", "time of the run", point.wall_s, "s", "n_steps * step_s", standing="estimate", interval=spread,
            n_steps=n_steps, step_s=row.step_s,
        ),
        line(
            "fewest.device_hours", "device-hours", point.device_hours, "h", "wall_s * n_devices / 3600", standing="estimate",
            interval=spread.scaled(point.n_devices / 3600), **hours,
        ),
    ]  # fmt: skip


def notes_of(asked: Fewest, point: Point) -> list[str]:
    """What the time leaves out."""
    spare = 1 - point.wall_s / asked.deadline
    notes = [f"{spare:.1%} of the deadline is left for stops and restarts: the time is that of steps alone, at the median."]
    if asked.n_devices.is_open:
        notes.append("Counts are whole nodes.")
    return notes
