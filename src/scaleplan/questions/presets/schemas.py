"""The JSON Schema that every document of a command keeps to: the envelope, and the TypedDict of each shape of its result."""

from __future__ import annotations

from typing import Any

from scaleplan.answer import Answer, Column, Table
from scaleplan.errors import UnknownName, UsageError
from scaleplan.questions.asking import Question
from scaleplan.questions.registry import NAMES, asks, question_named

DRAFT = "https://json-schema.org/draft/2020-12/schema"
NUMBER: dict[str, Any] = {"type": ["number", "null"]}


def schemas(names: tuple[str, ...]) -> Answer:
    """Which commands have a schema, or the schema of one."""
    if len(names) > 1:
        raise UsageError("one schema at a time", hint=f"scaleplan presets schemas {names[0]}")
    if not names:
        rows = [{"kind": "schemas", "name": name, "title": asks(name), "sources": []} for name in NAMES]
        table = Table("", [Column("name", "command"), Column("title", "question")], rows)
        return Answer(
            "presets", {"kind": "schemas"}, {"presets": rows}, [table], notes=["`scaleplan presets schemas COMMAND --json` prints one."]
        )
    if names[0] not in NAMES:
        raise UnknownName("command", names[0], NAMES)
    question = question_named(names[0])
    schema = document_schema(question)
    kinds = [{"kind": shape.kind, "about": shape.about} for shape in question.shapes]
    table = Table(schema["title"], [Column("kind", "result.kind"), Column("about", "shape of the question")], kinds)
    notes = ["--json prints the JSON Schema itself, under result.json_schema."]
    return Answer("presets", {"kind": "schemas", "name": names[0]}, {"json_schema": schema}, [table], notes=notes)


def document_schema(question: Question) -> dict[str, Any]:
    """The schema of a whole document of a command, with `lines` or without."""
    definitions: dict[str, Any] = {}
    results = [result_schema(shape.result_type(), shape.kind, len(question.shapes) > 1, definitions) for shape in question.shapes]
    envelope = {
        "schema": {"const": f"scaleplan.{question.name}/{question.version}"},
        "scaleplan_version": {"type": "string"},
        "inputs": {"type": "object"},
        "result": results[0] if len(results) == 1 else {"anyOf": results},
        "warnings": {"type": "array", "items": WARNING},
        "sources": {"type": "array", "items": {"type": "string"}},
    }
    return {
        "$schema": DRAFT,
        "title": f"scaleplan {question.name} --json",
        "type": "object",
        "properties": envelope | {"lines": {"type": "array", "items": LINE}, "presets": {"type": "object"}},
        "required": list(envelope),
        "$defs": definitions,
    }


WARNING = {
    "type": "object",
    "properties": {"kind": {"type": "string"}, "message": {"type": "string"}},
    "required": ["kind", "message"],
}
LINE = {
    "type": "object",
    "properties": {
        "key": {"type": "string"},
        "label": {"type": "string"},
        "value": {"type": ["number", "string", "null"]},
        "unit": {"type": "string"},
        "formula": {"type": ["string", "null"]},
        "inputs": {"type": ["object", "null"]},
        "sources": {"type": "array", "items": {"type": "string"}},
        "standing": {"type": "string"},
    },
    "required": ["key", "label", "value", "unit", "formula", "inputs", "sources", "standing"],
}


def result_schema(result: Any, kind: str, told: bool, definitions: dict[str, Any]) -> dict[str, Any]:
    """The schema of one shape of a result; what it refers to goes to the definitions, under names of its own."""
    from pydantic import TypeAdapter

    schema = TypeAdapter(result).json_schema(ref_template="#/$defs/{model}")
    for name, definition in schema.pop("$defs", {}).items():
        definitions.setdefault(name, definition)
    if told and "kind" not in schema.get("properties", {}):
        schema["properties"] = {"kind": {"const": kind}, **schema["properties"]}
        schema["required"] = ["kind", *schema.get("required", [])]
    return schema
