"""Limits held against a plan or an answer: those that the plan itself has, those that were given, and those against a base."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from scaleplan import library
from scaleplan.answer import Answer, Caution, Column, Table
from scaleplan.errors import ScaleplanError, UsageError, raise_all
from scaleplan.limits import Limit, Verdict, broken, judge, look_up, parse_limit, unit_of, worst_first
from scaleplan.questions.documents import Document, read_document
from scaleplan.wording import field

if TYPE_CHECKING:
    from scaleplan.questions.check import OfAnswer
    from scaleplan.questions.plan.case import PlanLimit

PERCENTILES = ("p10", "p50", "p90")
MEDIAN = "p50"  # at which an increase is judged: what is not known of both does not change between them


class Judged(NamedTuple):
    """The verdicts, the worst first, and the document and base that they are about."""

    verdicts: list[Verdict]
    document: Document
    base: Document | None


def solve(asked: OfAnswer) -> Judged:
    """Every limit judged, the worst first."""
    document = read_document(asked.answer or "-", asked.set)
    base = None if asked.base is None else read_document(asked.base)
    own = document.case.limits if document.case else ()
    pairs = [(limit_against(one, base), asked.at or one.at or (MEDIAN if one.limit is None else None)) for one in own]
    pairs += [(parse_limit(text), asked.at) for text in asked.limit]
    if not pairs:
        raise UsageError("no limit to check against", hint=f"add {field('limit')} 'usd<=50k', or [[limit]] to the plan")
    found = worst_first(judge_all(pairs, document.result))
    return Judged([failed(one) if asked.unsure == "fail" and one.verdict == "unsure" else one for one in found], document, base)


def failed(unsure: Verdict) -> Verdict:
    """A limit inside the interval, judged as broken."""
    return unsure._replace(verdict="fail")


def limit_against(one: PlanLimit, base: Document | None) -> Limit:
    """The limit itself; of one that allows an increase, the bound that the base and the increase make."""
    if one.limit is not None:
        return one.limit
    if base is None:
        raise UsageError(f"`{one.quantity}` has max_increase, and there is nothing to compare with", hint=f"add {field('base')} base.json")
    value, interval = look_up(base.result, one.quantity)
    before = interval.p50 if interval else value
    return Limit(one.quantity, True, before * (1 + (one.max_increase or 0.0)), one.level)


def judge_all(limits: Sequence[tuple[Limit, str | None]], result: Mapping[str, Any]) -> list[Verdict]:
    """Every limit judged; all that cannot be are reported together."""
    judged, errors = [], []
    for limit, at in limits:
        try:
            judged.append(judge(limit, result, at))
        except ScaleplanError as error:
            errors.append(error)
    raise_all(errors)
    return judged


def explain(asked: OfAnswer, solved: Judged) -> Answer:
    """The verdicts as one table; exit code 1 where a limit of level error is broken."""
    found = solved.verdicts
    rows = [{key: value for key, value in one._asdict().items() if key != "at_most"} for one in found]
    shown = [row | {"sign": "<=" if one.at_most else ">=", "unit": unit_of(one.quantity)} for row, one in zip(rows, found, strict=True)]
    source = "-" if isinstance(asked.answer, library.Text) else asked.answer
    inputs = {"answer": source, "at": asked.at, "set": list(asked.set), "unsure": asked.unsure, "base": asked.base}
    answer = Answer(
        "check",
        {key: value for key, value in inputs.items() if value or key in ("answer", "at")},
        {"limits": rows, "verdict": found[0].verdict},
        [Table("", columns(spread=any(one.p50 is not None for one in found)), shown)],
        warnings=other_presets(solved),
        exit_code=int(broken(found)),
        presets=solved.document.presets,
    )
    return answer if asked.summary is None else answer._replace(appended={asked.summary: "md"})


def other_presets(solved: Judged) -> list[Caution]:
    """A warning where the base was made with other presets."""
    if solved.base is None:
        return []
    mine, theirs = solved.document.presets, solved.base.presets
    differing = sorted(name for name in mine if name in theirs and mine[name] != theirs[name])
    return [Caution("presets", f"the base was made with other presets: {', '.join(differing)}")] if differing else []


def columns(*, spread: bool) -> list[Column]:
    """The columns of the verdicts; percentiles only where some are known."""
    found = [
        Column("verdict", "verdict"),
        Column("quantity", "quantity"),
        *(Column(key, key, "own") for key in ("found", "p10", "p90")),
        Column("sign", ""),
        Column("limit", "limit", "own"),
        Column("unit", "", "hidden"),
        Column("used_fraction", "used", "fraction"),
        Column("level", "level"),
    ]
    return [one for one in found if spread or one.key not in PERCENTILES]
