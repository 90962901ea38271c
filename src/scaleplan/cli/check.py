"""`scaleplan check`: is an answer within the limits?"""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from scaleplan import library
from scaleplan.answer import Answer, Column, Table
from scaleplan.cli.options import command_in, one_of
from scaleplan.errors import InputError, ScaleplanError, UsageError, raise_all
from scaleplan.limits import Judged, Limit, broken, judge, parse_limit, unit_of, worst_first

PERCENTILES = ("p10", "p50", "p90")


Source = Annotated[
    str | None,
    typer.Argument(metavar="ANSWER.json|-", help="What a command printed with --json; - reads standard input.", show_default=False),
]
Limits = Annotated[
    list[str] | None,
    typer.Option("--limit", metavar="LIMIT", help="`usd<=50k`, `kgco2e<=20t:warn`, `wall_s<=30d`; may be repeated.", show_default=False),
]
At = Annotated[
    str | None,
    typer.Option(
        "--at",
        parser=one_of("percentile", *PERCENTILES),
        metavar="p10|p50|p90",
        help="Judge by this percentile alone instead of the whole interval.",
        show_default=False,
    ),
]


@command_in("text", "github")
def check(answer: Source = None, limit: Limits = None, at: At = None) -> Answer:
    """Is it within the limits?

    Exit 0 when every limit holds or is in doubt, 1 when one of level error is broken, 2 when there is no answer.

    \b
    Examples:
      scaleplan cost gpt2 --tokens 300B --hardware h100-sxm --json > cost.json
      scaleplan check cost.json --limit 'usd<=50k' --limit 'kgco2e<=2t:warn'
      scaleplan optimal --compute 1e21 --json |
        scaleplan check - --limit 'laws.besiroglu2024.n_params<=3B' --at p90
    """
    if answer is None:
        raise UsageError("nothing to check", hint="give the file that a command printed with --json, or `-` for standard input")
    if not limit:
        raise UsageError("no limit to check against", hint="give one or more --limit 'quantity<=number'")
    document = read_answer(answer)
    limits = [parse_limit(text) for text in limit]
    return verdicts(worst_first(judge_all(limits, document["result"], at)), answer, at)


def judge_all(limits: list[Limit], result: dict[str, Any], at: str | None) -> list[Judged]:
    """Every limit judged; all that cannot be are reported together."""
    judged, errors = [], []
    for limit in limits:
        try:
            judged.append(judge(limit, result, at))
        except ScaleplanError as error:
            errors.append(error)
    raise_all(errors)
    return judged


def verdicts(judged: list[Judged], source: str, at: str | None) -> Answer:
    """The judged limits as an answer."""
    rows = [{key: value for key, value in row._asdict().items() if key != "at_most"} for row in judged]
    shown = [
        row | {"sign": "<=" if limit.at_most else ">=", "unit": unit_of(limit.quantity)} for row, limit in zip(rows, judged, strict=True)
    ]
    columns = [
        Column("verdict", "verdict"),
        Column("quantity", "quantity"),
        *(Column(key, key, "own") for key in ("found", "p10", "p90")),
        Column("sign", ""),
        Column("limit", "limit", "own"),
        Column("unit", "", "hidden"),
        Column("used_fraction", "used", "fraction"),
        Column("level", "level"),
    ]
    if not any(row.p50 is not None for row in judged):
        columns = [column for column in columns if column.key not in PERCENTILES]
    result = {"limits": rows, "verdict": judged[0].verdict}
    return Answer("check", {"answer": source, "at": at}, result, [Table("", columns, shown)], exit_code=int(broken(judged)))


def read_answer(path: str) -> dict[str, Any]:
    """The JSON document that a command printed."""
    name = "standard input" if path == "-" else path
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
