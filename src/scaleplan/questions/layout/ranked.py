"""The fastest layouts that fit on so many devices, and why the others do not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from scaleplan.answer import Answer, Caution, Column, Table
from scaleplan.chain.layout_search import Asked, ScheduleRow, search_layouts
from scaleplan.errors import InputError, NotSupported
from scaleplan.machine.search import STOPPED, Searched
from scaleplan.machine.training_run import Row
from scaleplan.questions.layout.common import (
    CONVENTION,
    INTERRUPTED,
    asked_of,
    columns_of_rows,
    completed,
    inputs_of,
    parts_table,
    row_of,
    watched,
)
from scaleplan.questions.layout.files import emitted, ledger_of, schedules_of, trace_text
from scaleplan.questions.layout.lines import layout_lines, search_lines
from scaleplan.units import counted
from scaleplan.wording import field

if TYPE_CHECKING:
    from scaleplan.questions.layout import Explained, Ranked

USUAL_TOP, MOST_TOP = 10, 1000
SHOWN_REASONS = 8


class Solved(NamedTuple):
    """The search, what it found, every candidate as a row of the ledger, and the best layout under other schedules."""

    search: Asked
    found: Searched
    ledger: Iterator[tuple[Any, ...]]
    schedules: list[ScheduleRow]


def solve(asked: Ranked) -> Solved:
    """Every legal layout priced, the fastest ranked."""
    search = asked_of(asked, asked.n_devices)
    found, ledger = searched(search, asked.top)
    rows = schedules_of(search, best_of(found)) if asked.schedules else []
    return Solved(search, found, ledger, rows)


def searched(search: Asked, top: int | None) -> tuple[Searched, Iterator[tuple[Any, ...]]]:
    """The search, watched; Ctrl-C ends it with the best so far.

    Raises InputError for more rows than anyone reads: each is explained part by part.
    """
    if top is not None and top > MOST_TOP:
        raise InputError(f"{field('top')} shows at most {MOST_TOP:,} layouts", hint=f"`{field('ledger')} FILE.csv` has all of them")
    with watched("layouts") as progress:
        return search_layouts(search, top=top or USUAL_TOP, progress=progress)


def best_of(found: Searched) -> Row:
    """The fastest that fits.

    Raises NotSupported where none does.
    """
    if not found.ranked:
        raise NotSupported(f"no layout fits: {first_reasons(found)}", hint=f"more devices, or `{field('ledger')} FILE.csv` for all of them")
    return found.ranked[0]


def first_reasons(found: Searched) -> str:
    """Why most candidates fell."""
    return "; ".join(f"{reason} ({n:,})" for reason, n in list(found.rejected.items())[:3])


def explain(asked: Ranked, solved: Solved) -> Answer:
    """The ranked layouts, the reasons that others fell, and the files that were asked for."""
    search, found = solved.search, solved.found
    result = (
        result_of(found)
        | {"written": written_by(asked)}
        | ({"schedules": [one._asdict() for one in solved.schedules]} if asked.schedules else {})
    )
    best = found.ranked[0] if found.ranked else None
    lines = [*search_lines(found), *(layout_lines(search, best, "layouts.0.") if best else [])]
    files = {} if asked.ledger is None else {asked.ledger: ledger_of(solved.ledger)}
    answer = Answer(
        "layout",
        inputs_of(asked, search),
        result,
        [*tables_of(found), *schedule_tables(solved.schedules)],
        lines,
        warnings=cautions_of(found),
        notes=notes_of(found),
        exit_code=INTERRUPTED if STOPPED in found.rejected else 0,
        folder=files,
    )
    return with_files(completed(answer, asked, search), asked, search, found)


def written_by(asked: Ranked | Explained) -> list[str]:
    """Files that are written beside the answer."""
    return [name for name in (asked.ledger, asked.trace) if name is not None]


def with_files(answer: Answer, asked: Ranked, search: Asked, found: Searched) -> Answer:
    """The answer with the run file and the timeline of the best layout."""
    if asked.emit is not None:
        best = best_of(found)
        text = emitted(asked.emit, asked, search, best.layout, best.micro_batch_size_seqs, best.recompute)
        answer = answer._replace(text=text, result={**answer.result, "run_file": text})
    if asked.trace is not None:
        best = best_of(found)
        text = trace_text(search, best.layout, best.micro_batch_size_seqs, best.recompute)
        answer = answer._replace(folder={**answer.folder, asked.trace: text})
    return answer


def result_of(found: Searched) -> dict[str, Any]:
    """The keys that other programs read."""
    return {
        "layouts": [row_of(row) for row in found.ranked],
        "recommended": None if found.recommended is None else found.recommended.layout.spelled(),
        "n_considered": found.n_considered,
        "n_fitting": found.n_fitting,
        "rejected": dict(found.rejected),
        "is_complete": STOPPED not in found.rejected,
        "intervals": intervals_of(found.ranked[0]) if found.ranked else {},
    }


def intervals_of(row: Row) -> dict[str, Any]:
    """Percentiles of the step and the peak of a layout."""
    return {
        "step_s": {"p10": row.step_s_p10, "p50": row.step_s, "p90": row.step_s_p90},
        "peak_bytes": {"p10": row.peak_bytes_p10, "p50": row.peak_bytes, "p90": row.peak_bytes_p90},
    }


def tables_of(found: Searched) -> list[Table]:
    """The ranked layouts, the step of the best by part, and the reasons."""
    rows = [{**row_of(row), "parts": ""} for row in found.ranked]
    tables = [Table("", columns_of_rows(found.ranked), rows)]
    if found.ranked:
        best = found.ranked[0]
        tables.append(parts_table(f"A step of {best.layout.spelled()}", {"seconds": best.parts}))
    return [*tables, reasons_table(found)]


def reasons_table(found: Searched) -> Table:
    """Rejected candidates by reason, most first."""
    rows: list[dict[str, Any]] = [{"reason": reason, "n": n} for reason, n in found.rejected.items()]
    rest = sum(row["n"] for row in rows[SHOWN_REASONS:])
    shown = rows[:SHOWN_REASONS] + ([{"reason": "other reasons", "n": rest}] if rest else [])
    return Table("Why the others were rejected", [Column("reason", "reason"), Column("n", "layouts", "int")], shown)


def schedule_tables(rows: list[ScheduleRow]) -> list[Table]:
    """The same layout under several schedules."""
    columns = [
        Column("pipeline_schedule", "schedule"),
        Column("step_s", "step", "s"),
        Column("bubble_s", "bubble", "s"),
        Column("peak_bytes", "peak memory", "bytes"),
        Column("standing", "standing"),
    ]
    return [Table("Pipeline schedules", columns, [one._asdict() for one in rows])] if rows else []


def notes_of(found: Searched) -> list[str]:
    """How many were considered, which is recommended, and by which conventions."""
    notes = [f"{found.n_considered:,} layouts considered, {found.n_fitting:,} fit."]
    if STOPPED in found.rejected:
        notes.append(f"Interrupted: {counted(found.rejected[STOPPED], 'legal layout')} not priced; these are the best so far.")
    if not found.ranked:
        return [*notes, f"No layout fits: {first_reasons(found)}."]
    best, pick = found.ranked[0], found.recommended
    notes.append(f"Step of the fastest: 80 % interval {best.step_s_p10:.3g} to {best.step_s_p90:.3g} s.")
    notes.append(CONVENTION)
    if pick is not None and pick != best:
        slower = pick.step_s / best.step_s - 1
        notes.append(f"Recommended: {pick.layout.spelled()}, {slower:.1%} slower and sure to fit (the fastest may exceed device memory).")
    return notes


def cautions_of(found: Searched) -> list[Caution]:
    """A fastest layout whose memory is not sure, or whose step follows from a formula alone."""
    return [*unsure_memory(found), *formula_only(found)]


def formula_only(found: Searched) -> list[Caution]:
    """Offloaded layouts among those that are ranked: no measured step had one."""
    if all(row.offload == "none" for row in found.ranked):
        return []
    return [Caution("estimate", f"steps with {field('offload')} follow from a formula alone; not validated against measurements")]


def unsure_memory(found: Searched) -> list[Caution]:
    """A fastest layout that may not fit."""
    if not found.ranked or found.ranked[0].verdict != "unsure":
        return []
    message = "the peak memory of the fastest layout is within its error of the limit: it may not fit"
    return [Caution("estimate", message, {"peak_bytes_p90": found.ranked[0].peak_bytes_p90})]
