"""Limits held against a document: those that a plan has itself, those that were given, and those on the change against a base."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from scaleplan.answer import Column
from scaleplan.errors import ScaleplanError, UsageError, raise_all
from scaleplan.limits import Change, Limit, Verdict, found_of, judge, parse_change, parse_limit, rank, unit_of
from scaleplan.questions.documents import Document
from scaleplan.wording import field

PERCENTILES = ("p10", "p50", "p90")
MEDIAN = "p50"  # at which a change is judged: what is not known of both does not change between them
SHOWN_DIFFERENCE = 0.005
"""Share by which a 50 % point differs from the answer's own number before it is said: three digits show it."""


class Held(NamedTuple):
    """A limit, the percentile at which it is judged (None: the whole interval), and whether its bound is that of a base."""

    limit: Limit
    at: str | None
    of_base: bool = False


class Judging(Protocol):
    """What a request says of its limits."""

    @property
    def limit(self) -> Sequence[str]: ...
    @property
    def at(self) -> str | None: ...
    @property
    def unsure(self) -> str | None: ...


def judged(document: Document, base: Document | None, asked: Judging) -> list[tuple[Held, Verdict]]:
    """Every limit of a document's plan and every one that was given, the worst first; raises all that cannot be judged together."""
    own = document.case.limits if document.case else ()
    errors: list[ScaleplanError] = []
    limits: list[tuple[Limit | Change, str | None]] = [
        (one.limit or Change(one.quantity, True, one.max_increase or 0.0, one.level), asked.at or one.at) for one in own
    ]
    limits += [(one, asked.at) for one in collected(errors, lambda text: parse_change(text) or parse_limit(text), asked.limit)]
    bounded = collected(errors, lambda pair: bound_by(pair[0], pair[1], base), limits)
    verdicts = collected(errors, lambda one: (one, verdict_of(one, document, asked.unsure)), bounded)
    raise_all(errors)
    return sorted(verdicts, key=lambda pair: rank(pair[1]))


def bound_by(limit: Limit | Change, at: str | None, base: Document | None) -> Held:
    """A limit with its bound; of one on a change, the bound that the base makes."""
    if isinstance(limit, Limit):
        return Held(limit, at)
    if base is None:
        words = f"the limit on the increase of `{limit.quantity}` has nothing to compare with"
        raise UsageError(words, hint=f"add {field('base')} base.json")
    try:
        return Held(limit.against(base.result), at or MEDIAN, of_base=True)
    except ScaleplanError as error:
        raise error.located(base.name) from None


def verdict_of(one: Held, document: Document, unsure: str | None) -> Verdict:
    """The verdict on one limit; a doubt counts as broken where `unsure` is fail."""
    found = judge(one.limit, document.result, one.at)
    return found._replace(verdict="fail") if unsure == "fail" and found.verdict == "unsure" else found


def collected(errors: list[ScaleplanError], read: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
    """What can be read of each item; the errors of the others join the list."""
    found = []
    for item in items:
        try:
            found.append(read(item))
        except ScaleplanError as error:
            errors.append(error)
    return found


def limit_rows(pairs: Sequence[tuple[Held, Verdict]], base: Document | None, unsure: str | None) -> list[dict[str, Any]]:
    """The verdicts as rows: beside what was found, the same quantity and verdict of a base; None without one."""
    return [row_of(one, verdict, base, unsure) for one, verdict in pairs]


def row_of(one: Held, verdict: Verdict, base: Document | None, unsure: str | None) -> dict[str, Any]:
    """One limit, its verdict, and what the base had."""
    row = {key: value for key, value in verdict._asdict().items() if key != "at_most"}
    before = base_verdict = None
    if base is not None:
        try:
            before = found_of(base.result, verdict.quantity)
            base_verdict = None if one.of_base else verdict_of(one, base, unsure).verdict
        except ScaleplanError:  # the base does not have the quantity
            before = None
    change = (verdict.found - before) / before if before else None
    return row | {"base": before, "change_fraction": change, "base_verdict": base_verdict}


def shown_rows(pairs: Sequence[tuple[Held, Verdict]], rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows as a table shows them, with sign and unit."""
    return [
        row | {"sign": "<=" if verdict.at_most else ">=", "unit": unit_of(verdict.quantity)}
        for (_, verdict), row in zip(pairs, rows, strict=True)
    ]


def limit_columns(rows: Sequence[dict[str, Any]], *, with_base: bool) -> list[Column]:
    """The columns of the verdicts; percentiles only where some are known, what the base had only beside one."""
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
    if with_base:
        found += [Column("base", "in the base", "own"), Column("change_fraction", "change", "fraction")]
        found += [Column("base_verdict", "verdict then")]
    spread = any(row["p50"] is not None for row in rows)
    return [one for one in found if spread or one.key not in PERCENTILES]


def found_notes(pairs: Sequence[tuple[Held, Verdict]]) -> list[str]:
    """That `found` is the 50 % point, where it differs from the number that the answer itself prints."""
    differing = {
        verdict.quantity: verdict.found / verdict.value - 1
        for _, verdict in pairs
        if verdict.value and abs(verdict.found / verdict.value - 1) > SHOWN_DIFFERENCE
    }
    if not differing:
        return []
    said = ", ".join(f"{100 * share:+.1f} % ({quantity})" for quantity, share in differing.items())
    return [f"found: the median of the interval. It differs from the value that the answer itself prints by {said}."]
