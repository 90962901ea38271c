"""One layout by part, whether it fits or not, and what it loses to the best."""

from __future__ import annotations

from collections.abc import Iterator
from math import isclose
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from scaleplan.answer import Answer, Caution, Column, Line, Table, line
from scaleplan.chain.layout_search import MEASURED_SCHEDULES, Asked, ScheduleRow, explain_layout
from scaleplan.chain.layout_search import Explained as Found
from scaleplan.chain.memory import layout_on
from scaleplan.machine.layout import Layout
from scaleplan.machine.memory import USABLE_SHARE
from scaleplan.machine.search import STOPPED, Searched
from scaleplan.machine.training_run import Row
from scaleplan.questions.layout.common import CONVENTION, INTERRUPTED, PARTS_ARE, asked_of, columns_of_rows, completed, inputs_of, row_of
from scaleplan.questions.layout.files import emitted, ledger_of, schedules_of, trace_text
from scaleplan.questions.layout.lines import layout_lines, search_lines
from scaleplan.questions.layout.ranked import intervals_of, reasons_table, result_of, schedule_tables, searched, written_by
from scaleplan.questions.run_file import unused_notes
from scaleplan.units import show_bytes
from scaleplan.wording import field

if TYPE_CHECKING:
    from scaleplan.machine.offload import Offload
    from scaleplan.machine.schedules import Schedule
    from scaleplan.questions.layout import Explained

NO_SEARCH = Searched([], None, 0, 0, {})


class Solved(NamedTuple):
    """The layout, the search beside it, every candidate as a row of the ledger, and the layout under other schedules."""

    search: Asked
    layout: Layout
    schedule: Schedule
    told: Found
    found: Searched
    ledger: Iterator[tuple[Any, ...]]
    schedules: list[ScheduleRow]


def solve(asked: Explained) -> Solved:
    """The layout priced, and the fastest ones beside it; where a run file alone is wanted, no search."""
    layout = layout_on(asked.explain, asked.n_devices)
    layout = layout if asked.stage_layers is None else layout._replace(stage_layers=tuple(asked.stage_layers))
    search = asked_of(asked, int(layout.n_devices), one=True)
    schedule = cast("Schedule", asked.pipeline_schedule or "1f1b")
    how = (layout, asked.micro_batch_size_seqs or 1, asked.recompute or "none", schedule)
    offload = cast("Offload", asked.offload or "none")
    told = explain_layout(search, *how, offload=offload)  # an illegal layout is refused before anything is searched
    if asked.emit is not None:
        return Solved(search, layout, schedule, told, NO_SEARCH, iter(()), [])
    found, ledger = searched(search, asked.top)
    best = found.ranked[0] if found.ranked else None
    lost = None if best is None else told.row.step_s - best.step_s
    rows = schedules_of(search, told.row) if asked.schedules else []
    return Solved(search, layout, schedule, told._replace(lost_s=lost), found, ledger, rows)


def explain(asked: Explained, solved: Solved) -> Answer:
    """The layout beside the fastest ones."""
    search, found, told = solved.search, solved.found, solved.told
    result: dict[str, Any] = {
        **result_of(found),
        "explained": explained_row(solved),
        "intervals": intervals_of(told.row),
        "written": written_by(asked),
    }
    result |= {"schedules": [one._asdict() for one in solved.schedules]} if asked.schedules else {}
    lines = [*layout_lines(search, told.row, "explained."), *search_lines(found)]
    lines += lost_lines(solved)
    files: dict[str, Any] = {} if asked.ledger is None else {asked.ledger: ledger_of(solved.ledger)}
    how = (search, solved.layout, told.row.micro_batch_size_seqs, told.row.recompute, solved.schedule)
    files |= {} if asked.trace is None else {asked.trace: trace_text(*how)}
    text = None if asked.emit is None else emitted(asked.emit, asked, *how)
    result |= {} if text is None else {"run_file": text}
    answer = Answer(
        "layout",
        inputs_of(asked, search),
        result,
        [*tables_of(solved), *schedule_tables(solved.schedules)],
        lines,
        warnings=cautions_of(solved),
        notes=[*notes_of(solved), *unused_notes(asked.from_file)],
        exit_code=INTERRUPTED if STOPPED in found.rejected else 0,
        folder=files,
        text=text,
    )
    return completed(answer, asked, search)


def lost_lines(solved: Solved) -> list[Line]:
    """The step of the best, and what this layout loses to it."""
    if not solved.found.ranked or solved.told.lost_s is None:
        return []
    best = solved.found.ranked[0]
    lost: dict[str, Any] = {"step_s": solved.told.row.step_s, "best_step_s": best.step_s}
    parts: dict[str, Any] = {"parts": list(best.parts.values())}
    return [
        line("layouts.0.step_s", "step of the fastest", best.step_s, "s", "sum(parts)", standing="estimate", **parts),
        line("explained.lost_s", "lost to the fastest", solved.told.lost_s, "s", "step_s - best_step_s", standing="estimate", **lost),
    ]


def explained_row(solved: Solved) -> dict[str, Any]:
    """The layout, its schedule, and what it loses."""
    told = solved.told
    by_part = {} if not solved.found.ranked else lost_by_part(told.row, solved.found.ranked[0])
    stages = solved.layout.stage_layers
    return {
        **row_of(told.row),
        "pipeline_schedule": solved.schedule,
        "standing": told.standing,
        "lost_s": told.lost_s,
        "lost_by_part": by_part,
        **({} if stages is None or len(set(stages)) == 1 else {"stage_layers": list(stages)}),
    }


def lost_by_part(mine: Row, best: Row) -> dict[str, float]:
    """Seconds by which each part is longer than that of the best; differences of rounding are none."""
    pairs = ((name, seconds, best.parts[name]) for name, seconds in mine.parts.items())
    return {name: 0.0 if isclose(ours, theirs, rel_tol=1e-9) else ours - theirs for name, ours, theirs in pairs}


def tables_of(solved: Solved) -> list[Table]:
    """The layout beside the best, its step by part, and the reasons of the search."""
    mine, found = solved.told.row, solved.found
    best = found.ranked[:1]
    rows = [row_of(one) for one in (mine, *best)]
    tables = [Table("This layout" + (" and the fastest" if best else ""), columns_of_rows([mine, *best]), rows), steps_table(mine, best)]
    return [*tables, *([reasons_table(found)] if found.rejected else [])]


def steps_table(mine: Row, best: list[Row]) -> Table:
    """Seconds by part, beside those of the best."""
    lost = lost_by_part(mine, best[0]) if best else {}
    rows = [
        {"part": name, "seconds": seconds, **({"best": best[0].parts[name], "lost": lost[name]} if best else {}), "what": PARTS_ARE[name]}
        for name, seconds in sorted(mine.parts.items(), key=lambda item: -item[1])
    ]
    columns = [Column("part", "part"), Column("seconds", "this layout", "s")]
    columns += [Column("best", "the fastest", "s"), Column("lost", "lost", "s")] if best else []
    columns.append(Column("what", "what it is"))
    return Table("A step by part", columns, [row for row in rows if row["seconds"] or row.get("best")])


def notes_of(solved: Solved) -> list[str]:
    """Whether it fits, what it loses, and which stage all others wait for."""
    row, capacity = solved.told.row, capacity_of(solved)
    usable = show_bytes(int(USABLE_SHARE * capacity))
    interval = f"80 % interval {row.step_s_p10:.3g} to {row.step_s_p90:.3g}"
    notes = [
        f"Peak memory {show_bytes(row.peak_bytes)} of {usable} usable: {row.verdict}.",
        f"Step {row.step_s:.4g} s ({interval}).",
        CONVENTION,
    ]
    if solved.told.lost_s is not None:
        best = solved.found.ranked[0].layout.spelled()
        notes.append(f"Loses {solved.told.lost_s:.3g} s a step to {best}, the fastest of {solved.found.n_fitting:,} layouts that fit.")
    return notes + heaviest_note(solved)


def capacity_of(solved: Solved) -> int:
    """Memory of a device."""
    from scaleplan.chain.step_time import device_named

    return device_named(solved.search.hardware).capacity_bytes


def heaviest_note(solved: Solved) -> list[str]:
    """The stage with the most work, embedding and head counted as layers."""
    if solved.layout.pp == 1:
        return []
    from scaleplan.chain.memory import stack_named
    from scaleplan.machine.pipeline import heaviest, stage_shares

    shares = stage_shares(solved.search.bill, solved.layout, stack_named(solved.search.stack).placement)
    most = heaviest(shares)
    return [f"Heaviest pipeline stage: {most.name} ({most.n_layers} layers, work of {float(most.work):.3g} layers)."]


def cautions_of(solved: Solved) -> list[Caution]:
    """A schedule that no measured step ran, states on the host, traffic between rails."""
    if solved.told.standing == "estimate":
        return []
    offload = solved.told.row.offload
    what = f"the step with {field('offload')} {offload}" if offload != "none" else f"the step under {solved.schedule}"
    if offload == "none" and solved.schedule in MEASURED_SCHEDULES:
        what = "the step with traffic between rails"
    return [Caution("estimate", f"{what} follows from a formula alone; not validated against measurements")]
