"""Two documents beside each other: every number that differs, and what each changed input alone would do."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from scaleplan.answer import Answer, Column, Table
from scaleplan.errors import ScaleplanError, UsageError
from scaleplan.limits import Verdict, broken, unit_of
from scaleplan.numeric import is_number
from scaleplan.questions.check.judging import Held, found_notes, judged, limit_columns, limit_rows, shown_rows
from scaleplan.questions.documents import Document, other_presets, read_document
from scaleplan.questions.sweep.flat import flat

if TYPE_CHECKING:
    from scaleplan.questions.diff import OfTwo

LEFT_OUT = {"intervals", "tornado", "search", "parts", "calendar"}
"""Tables of a result that are views of other numbers."""


class Compared(NamedTuple):
    """Both documents, their numbers by path, those of the base with one changed key at a time, and the verdicts on the head's limits."""

    base: Document
    head: Document
    before: dict[str, Any]
    after: dict[str, Any]
    one_at_a_time: dict[str, dict[str, Any] | None]
    limits: list[tuple[Held, Verdict]]


def solve(asked: OfTwo) -> Compared:
    """The numbers of both, and what each changed key alone does."""
    base, head = read_document(asked.base_file), read_document(asked.head_file)
    if base.command != head.command:
        raise UsageError(
            f"an answer of `{base.command}` and one of `{head.command}` have no numbers in common", hint="compare two of one kind"
        )
    verdicts = judged(head, base, asked)
    return Compared(base, head, numbers(base.result), numbers(head.result), alone(base, head), verdicts)


def numbers(result: Mapping[str, Any]) -> dict[str, Any]:
    """Every number by its dotted path; a {value, p10, ...} is one number, rows of a list go by their name."""
    found = {path: value for path, value in flat(result) if is_number(value) and not isinstance(value, bool)}
    return {path: value for path, value in found.items() if not LEFT_OUT & set(path.split("."))}


def alone(base: Document, head: Document) -> dict[str, dict[str, Any] | None]:
    """Changed key -> the numbers of the base with that key of the head; None where it cannot stand alone."""
    found: dict[str, dict[str, Any] | None] = {}
    if base.case is None or head.case is None:
        return dict.fromkeys(changed_inputs(base.inputs, head.inputs))
    old, new = base.case.file.values, head.case.file.values
    for key in dict.fromkeys([*old, *new]):
        if old.get(key) != new.get(key) and key != "title":
            found[key] = with_key(base, key, new.get(key))
    return found


def changed_inputs(base: Mapping[str, Any], head: Mapping[str, Any]) -> list[str]:
    """Inputs that differ between two answers."""
    return [key for key in dict.fromkeys([*base, *head]) if base.get(key) != head.get(key) and key != "title"]


def with_key(base: Document, key: str, value: Any) -> dict[str, Any] | None:
    """The numbers of the base plan with one key of another value, or without it."""
    from scaleplan.questions.plan.case import case_of_file
    from scaleplan.questions.plan.whole import links, solved_case

    assert base.case is not None, "only plans have keys"
    values = {name: old for name, old in base.case.file.values.items() if name != key} | ({} if value is None else {key: value})
    try:
        case = case_of_file(base.case.file._replace(values=values))
        return numbers(links(solved_case(case)))
    except ScaleplanError:  # the key makes sense only beside another that changed too
        return None


def explain(asked: OfTwo, solved: Compared) -> Answer:
    """Every number that differs, from, to, by how much, and why."""
    rows = [
        row_of(solved, path) for path in dict.fromkeys([*solved.before, *solved.after]) if solved.before.get(path) != solved.after.get(path)
    ]
    shown = [row | {"unit": unit_of(row["quantity"]), "why": why(row["because"])} for row in rows]
    columns = [
        Column("quantity", "quantity"),
        Column("base", "base", "own"),
        Column("head", "head", "own"),
        Column("change", "change", "own"),
        Column("change_fraction", "%", "fraction"),
        Column("why", "because"),
    ]
    tables = [Table("", columns, shown, [] if rows else ["Nothing differs."])]
    limits = limit_rows(solved.limits, solved.base, asked.unsure)
    if limits:
        verdicts = limit_columns(limits, with_base=True)
        tables.append(Table("Limits", verdicts, shown_rows(solved.limits, limits), found_notes(solved.limits)))
    result = {
        "changes": rows,
        "changed_inputs": list(solved.one_at_a_time),
        "limits": limits,
        "verdict": limits[0]["verdict"] if limits else None,
    }
    inputs = {"base": solved.base.name, "head": solved.head.name, "at": asked.at, "unsure": asked.unsure}
    return Answer(
        "diff",
        {key: value for key, value in inputs.items() if value is not None},
        result,
        tables,
        warnings=other_presets(solved.head, solved.base),
        exit_code=int(broken([verdict for _, verdict in solved.limits])),
    )


def row_of(solved: Compared, path: str) -> dict[str, Any]:
    """One quantity in both."""
    before, after = solved.before.get(path), solved.after.get(path)
    change = None if before is None or after is None else after - before
    because: list[dict[str, Any]] = [
        {"input": key, "share": share_of(numbers_, path, before, change)} for key, numbers_ in solved.one_at_a_time.items()
    ]
    return {
        "quantity": path,
        "base": before,
        "head": after,
        "change": change,
        "change_fraction": None if before is None or change is None else share_in(change, before),
        "because": [row for row in because if row["share"] is None or abs(row["share"]) > 1e-12],
    }


def share_of(alone_: Mapping[str, Any] | None, path: str, before: Any, change: Any) -> float | None:
    """The share of a change that one key alone makes; shares need not add up to 1, where keys work together."""
    if alone_ is None or before is None or change is None or alone_.get(path) is None:
        return None
    return share_in(alone_[path] - before, change)


def share_in(part: float, whole: float) -> float | None:
    """How large a part is beside the whole; None beside nothing, or next to nothing."""
    if not whole or abs(part) > sys.float_info.max * min(abs(whole), 1):
        return None
    return float(part / whole)


def why(because: Sequence[Mapping[str, Any]]) -> str:
    """The inputs behind a change, the largest share first."""
    ranked = sorted(because, key=lambda row: -abs(float(row["share"] or 0.0)))
    return ", ".join(row["input"] if row["share"] is None else f"{row['input']} ({100 * row['share']:.0f} %)" for row in ranked)
