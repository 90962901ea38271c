"""The answers of `presets`: kinds, a kind, values, schemas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from scaleplan import library
from scaleplan.answer import Answer, Column, Table, unique
from scaleplan.errors import UnknownName, UsageError
from scaleplan.questions.presets.overviews import OVERVIEWS
from scaleplan.questions.presets.values import entries, values_of, written

if TYPE_CHECKING:
    from scaleplan.questions.presets import OfKind

SCHEMAS = "schemas"


class Found(NamedTuple):
    """Rows of a listing, or the values of presets by name."""

    rows: list[dict[str, Any]]
    values: dict[str, list[dict[str, Any]]]


def solve(asked: OfKind) -> Found:
    """What is listed."""
    if asked.kind not in (None, SCHEMAS, *library.KINDS):
        raise UnknownName("kind of preset", str(asked.kind), [*library.KINDS, SCHEMAS])
    if asked.kind is None:
        return Found([{"kind": kind, "n_presets": len(list(entries(kind)))} for kind in library.KINDS], {})
    if asked.kind == SCHEMAS or asked.schema:
        return Found([], {})
    if asked.name:
        return Found([], dict(values_of(asked.kind, name) for name in asked.name))
    _, figures = OVERVIEWS.get(asked.kind, ([], lambda _: {}))
    rows = [{"kind": asked.kind, "name": name, "sources": cited} | figures(data) for name, cited, data in entries(asked.kind)]
    if asked.kind == "models":  # in the order in which the field grew
        rows.sort(key=lambda row: (row["year"] or 0, row["n_params"]))
    return Found(rows, {})


def explain(asked: OfKind, solved: Found) -> Answer:
    """The listing, the values or the schema as an answer."""
    if asked.kind == SCHEMAS:
        from scaleplan.questions.presets.schemas import schemas

        return schemas(asked.name)
    if asked.kind is None:
        return kinds(solved.rows)
    if asked.schema:
        return schema_of(asked.kind)
    if not asked.name:
        return listing(asked.kind, solved.rows)
    return one(asked.kind, *next(iter(solved.values.items()))) if len(asked.name) == 1 else side_by_side(asked.kind, solved.values)


def kinds(rows: list[dict[str, Any]]) -> Answer:
    """The kinds and how many there are of each."""
    table = Table("Presets", [Column("kind", "kind"), Column("n_presets", "presets", "int")], rows)
    notes = ["`scaleplan presets KIND` lists one kind, `scaleplan presets KIND NAME` shows one preset, several names stand side by side."]
    return Answer("presets", {}, {"kinds": rows}, [table], notes=notes)


def schema_of(kind: str) -> Answer:
    """What a file of this kind must hold."""
    from scaleplan.schema import SCHEMAS as FILES
    from scaleplan.schema import json_schema

    if kind not in FILES:
        raise UnknownName("kind of file with a schema", kind, FILES)
    schema = json_schema(kind)
    fields = [
        {"key": key, "required": key in schema.get("required", ()), "meaning": about.get("description") or about.get("title")}
        for key, about in schema["properties"].items()
    ]
    table = Table("", [Column("key", "key"), Column("required", "required"), Column("meaning", "meaning")], fields)
    return Answer("presets", {"kind": kind}, {"json_schema": schema}, [table], notes=["--json prints the JSON Schema itself."])


def listing(kind: str, rows: list[dict[str, Any]]) -> Answer:
    """Every preset of a kind, with the figures that people compare."""
    columns, _ = OVERVIEWS.get(kind, ([], None))
    table = Table("", [Column("name", "name"), *columns, *([] if columns else [Column("sources", "sources")])], rows)
    return Answer("presets", {"kind": kind}, {"presets": rows}, [table], more_sources=unique(s for row in rows for s in row["sources"]))


def one(kind: str, name: str, values: list[dict[str, Any]]) -> Answer:
    """Every value of one preset."""
    columns = [Column("key", "key"), Column("value", "value"), Column("source", "source"), Column("date", "date")]
    table = Table(name, columns, [{**row, "value": written(row["value"])} for row in values])
    cited = unique(row["source"] for row in values)
    return Answer("presets", {"kind": kind, "name": name}, {"values": values}, [table], more_sources=cited)


def side_by_side(kind: str, found: dict[str, list[dict[str, Any]]]) -> Answer:
    """The values of several presets, a column each."""
    by_key: dict[str, dict[str, Any]] = {}
    for name, values in found.items():
        for row in values:
            by_key.setdefault(row["key"], {})[name] = row["value"]
    if len(found) < 2:
        raise UsageError("one preset named twice", hint="name different ones")
    shown = [{"key": key, **{name: written(values[name]) if name in values else None for name in found}} for key, values in by_key.items()]
    table = Table("", [Column("key", "key"), *(Column(name, name) for name in found)], shown)
    result = {"compared": [{"key": key, "values": {name: values.get(name) for name in found}} for key, values in by_key.items()]}
    cited = unique(row["source"] for values in found.values() for row in values)
    return Answer("presets", {"kind": kind, "name": list(found)}, result, [table], more_sources=cited)
