"""The fewest devices on which a run finishes in time, with the fastest layout there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from scaleplan.answer import Answer, Interval, Line, Table, line, quantities
from scaleplan.chain.layout_search import Asked, fewest_devices, whole_nodes
from scaleplan.errors import NotSupported
from scaleplan.machine.scaling import Point
from scaleplan.questions.layout.common import INTERRUPTED, asked_of, columns_of_rows, completed, inputs_of, parts_table, row_of, watched
from scaleplan.questions.layout.lines import layout_lines
from scaleplan.questions.layout.ranked import intervals_of
from scaleplan.units import show_duration
from scaleplan.wording import field

if TYPE_CHECKING:
    from scaleplan.questions.layout import Fewest
    from scaleplan.ranges import WholeRange


class Solved(NamedTuple):
    """The search on the fewest devices, and the run there.

    in_time  false where Ctrl-C ended the search: the run is then the shortest of those that were priced
    """

    search: Asked
    point: Point
    in_time: bool = True


def counts_of(hardware: str, given: WholeRange) -> list[int]:
    """Device counts of a range: whole nodes between its ends, or the points that it names."""
    return whole_nodes(hardware, given.points[0], given.points[-1]) if given.is_open else list(given.points)


def solve(asked: Fewest) -> Solved:
    """The smallest count in time; Ctrl-C ends the search with the shortest run so far.

    Raises NotSupported where no count of the range is enough.
    """
    counts = counts_of(asked.hardware, asked.n_devices)
    search = asked_of(asked, counts[0] if counts else asked.n_devices.points[0])
    late: list[Point] = []
    with watched("device counts") as progress:

        def priced(n: int, point: Point | None) -> bool:
            late.extend([] if point is None else [point])
            return progress(counts.index(n) + 1, len(counts))

        found = fewest_devices(search, counts, asked.tokens, asked.deadline, priced)
    if found is not None:
        return Solved(search._replace(n_devices=found.n_devices), found)
    shortest = min(late, key=lambda point: point.wall_s, default=None)
    if progress.cut_short and shortest is not None:
        return Solved(search._replace(n_devices=shortest.n_devices), shortest, in_time=False)
    if progress.cut_short:
        raise KeyboardInterrupt
    raise none_in_time(asked, shortest)


def none_in_time(asked: Fewest, shortest: Point | None) -> NotSupported:
    """The error where no count of the range is enough, with the shortest run there is."""
    limit = f"{field('n_devices')} {asked.n_devices.text}"
    near = "" if shortest is None else f"; the shortest takes {show_duration(shortest.wall_s)} on {shortest.n_devices:,}"
    return NotSupported(
        f"{field('deadline')}: no count of {limit} trains {asked.tokens:.4g} tokens in {show_duration(asked.deadline)}{near}",
        hint=f"more devices, a longer {field('deadline')}, or a larger {field('global_batch_size_seqs')}",
    )


def explain(asked: Fewest, solved: Solved) -> Answer:
    """The fewest devices, the run's time, and its layout."""
    search, point = solved.search, solved.point
    name, other = ("fewest", "shortest") if solved.in_time else ("shortest", "fewest")
    run = run_lines(asked, search, point, name)
    known = {one.key.removeprefix(f"{name}."): one for one in run}
    wall = known["wall_s"]
    assert wall.interval is not None
    told = {
        "n_devices": point.n_devices,
        "wall_s": wall.value,
        "wall_s_p10": wall.interval.p10,
        "wall_s_p90": wall.interval.p90,
        "n_steps": known["n_steps"].value,
        "device_hours": known["device_hours"].value,
        **row_of(point.row),
    }
    result: dict[str, Any] = {
        name: told,
        other: None,
        "is_complete": solved.in_time,
        "layouts": [row_of(point.row)],
        "intervals": {**intervals_of(point.row), "wall_s": wall.interval._asdict()},
    }
    tables = [
        quantities("", run),
        Table("The fastest layout there", columns_of_rows([point.row]), [row_of(point.row)]),
        parts_table(f"A step of {point.row.layout.spelled()}", {"seconds": point.row.parts}),
    ]
    lines = [*layout_lines(search, point.row, "layouts.0."), *run]
    notes = notes_of(asked, point) if solved.in_time else [interrupted(asked, point)]
    exit_code = 0 if solved.in_time else INTERRUPTED
    answer = Answer("layout", inputs_of(asked, search), result, tables, lines, notes=notes, exit_code=exit_code)
    return completed(answer, asked, search)


def interrupted(asked: Fewest, point: Point) -> str:
    """How far the search came."""
    over = show_duration(point.wall_s - asked.deadline)
    return f"Interrupted: no count so far is in time; the shortest run takes {over} too long on {point.n_devices:,} devices."


def run_lines(asked: Fewest, search: Asked, point: Point, name: str) -> list[Line]:
    """Steps, time and device-hours of the run."""
    row, batch = point.row, search.batch_seqs
    n_steps = asked.tokens / (batch * search.seq_len)
    spread = Interval(row.step_s_p10, row.step_s, row.step_s_p90).scaled(n_steps)
    work: dict[str, Any] = {"tokens": asked.tokens, "global_batch_size_seqs": batch, "seq_len": search.seq_len}
    hours: dict[str, Any] = {"wall_s": point.wall_s, "n_devices": point.n_devices}
    return [
        line(f"{name}.n_devices", "fewest devices" if name == "fewest" else "devices", point.n_devices, "", standing="estimate"),
        line(f"{name}.n_steps", "steps", n_steps, "", "tokens / (global_batch_size_seqs * seq_len)", **work),
        line(
            f"{name}.wall_s", "time of the run", point.wall_s, "s", "n_steps * step_s", standing="estimate", interval=spread,
            n_steps=n_steps, step_s=row.step_s,
        ),
        line(
            f"{name}.device_hours", "device-hours", point.device_hours, "h", "wall_s * n_devices / 3600", standing="estimate",
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
