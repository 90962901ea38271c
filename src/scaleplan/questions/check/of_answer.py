"""Limits held against a plan or an answer: those that the plan itself has, those that were given, and those against a base."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from scaleplan import library
from scaleplan.answer import Answer, Table
from scaleplan.errors import UsageError
from scaleplan.limits import Verdict, broken
from scaleplan.questions.check.judging import Held, found_notes, judged, limit_columns, limit_rows, shown_rows
from scaleplan.questions.documents import Document, other_presets, read_document
from scaleplan.wording import field

if TYPE_CHECKING:
    from scaleplan.questions.check import OfAnswer


class Judged(NamedTuple):
    """The limits and their verdicts, the worst first, and the document and base that they are about."""

    pairs: list[tuple[Held, Verdict]]
    document: Document
    base: Document | None


def solve(asked: OfAnswer) -> Judged:
    """Every limit judged, the worst first."""
    document = read_document(asked.answer or "-", asked.set)
    base = None if asked.base is None else read_document(asked.base)
    pairs = judged(document, base, asked)
    if not pairs:
        raise UsageError("no limit to check against", hint=f"add {field('limit')} 'usd<=50k', or [[limit]] to the plan")
    return Judged(pairs, document, base)


def explain(asked: OfAnswer, solved: Judged) -> Answer:
    """The verdicts as one table; exit code 1 where a limit of level error is broken."""
    pairs, document, base = solved
    rows = limit_rows(pairs, base, asked.unsure)
    columns = limit_columns(rows, with_base=base is not None)
    source = "-" if isinstance(asked.answer, library.Text) else asked.answer
    inputs = {"answer": source, "at": asked.at, "set": list(asked.set), "unsure": asked.unsure, "base": asked.base}
    answer = Answer(
        "check",
        {key: value for key, value in inputs.items() if value or key in ("answer", "at")},
        {"limits": rows, "verdict": pairs[0][1].verdict},
        [Table("", columns, shown_rows(pairs, rows), found_notes(pairs))],
        warnings=[] if base is None else other_presets(document, base),
        exit_code=int(broken([verdict for _, verdict in pairs])),
        presets=document.presets,
    )
    return answer if asked.summary is None else answer._replace(appended={asked.summary: "md"})
