"""Limits held against an answer: what a command printed with --json, or an answer from Python."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from scaleplan import library
from scaleplan.answer import Answer, Column, Table
from scaleplan.errors import InputError, ScaleplanError, raise_all
from scaleplan.limits import Limit, Verdict, broken, judge, parse_limit, unit_of, worst_first

if TYPE_CHECKING:
    from scaleplan.questions.check import OfAnswer

PERCENTILES = ("p10", "p50", "p90")


def solve(asked: OfAnswer) -> list[Verdict]:
    """Every limit judged, the worst first."""
    document = read_answer(asked.answer or "-")
    return worst_first(judge_all([parse_limit(text) for text in asked.limit], document["result"], asked.at))


def judge_all(limits: Sequence[Limit], result: Mapping[str, Any], at: str | None) -> list[Verdict]:
    """Every limit judged; all that cannot be are reported together."""
    judged, errors = [], []
    for limit in limits:
        try:
            judged.append(judge(limit, result, at))
        except ScaleplanError as error:
            errors.append(error)
    raise_all(errors)
    return judged


def explain(asked: OfAnswer, solved: list[Verdict]) -> Answer:
    """The verdicts as one table; exit code 1 where a limit of level error is broken."""
    rows = [{key: value for key, value in one._asdict().items() if key != "at_most"} for one in solved]
    shown = [row | {"sign": "<=" if one.at_most else ">=", "unit": unit_of(one.quantity)} for row, one in zip(rows, solved, strict=True)]
    source = "-" if isinstance(asked.answer, library.Text) else asked.answer
    return Answer(
        "check",
        {"answer": source, "at": asked.at},
        {"limits": rows, "verdict": solved[0].verdict},
        [Table("", columns(spread=any(one.p50 is not None for one in solved)), shown)],
        exit_code=int(broken(solved)),
    )


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


def read_answer(path: str) -> dict[str, Any]:
    """The JSON document that a command printed: a file, `-`, or the document itself as a `Text`."""
    name = "the answer" if isinstance(path, library.Text) else "standard input" if path == "-" else path
    try:
        document = json.loads(library.read_text(path))
    except ValueError as error:
        raise InputError(f"not valid JSON: {error}", hint="give it what a command printed with --json", file=name) from None
    except RecursionError:
        raise InputError("nested too deeply", file=name) from None
    if not isinstance(document, dict) or not isinstance(document.get("result"), dict):
        raise InputError(
            "has no `result`: this is not an answer of scaleplan", hint="give it what a command printed with --json", file=name
        )
    return document
