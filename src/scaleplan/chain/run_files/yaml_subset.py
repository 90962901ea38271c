"""The part of YAML that run files use: nested keys, plain values, lists of plain values. Anything else is refused by line.

Where PyYAML is installed it reads the whole language.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from scaleplan.errors import InputError, NotSupported, clipped

KEY = re.compile(r"(\s*)(\"[^\"]*\"|'[^']*'|[^\s#:\-\[{][^:#]*?)\s*:(?:\s+(.*))?$")
ITEM = re.compile(r"(\s*)-(?:\s+(.*))?$")
COMMENT = re.compile(r"(^|\s)#.*$")
BEYOND = ("&", "*", "!", "|", ">", "{", "%", "?")


class Line(NamedTuple):
    """A line that says something."""

    number: int
    indent: int
    text: str


def parse_yaml(text: str, name: str) -> Mapping[str, Any]:
    """A YAML file whose top is a table of keys."""
    try:
        import yaml
    except ImportError:
        return parsed_subset(text, name)
    try:
        data = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError, OverflowError) as error:  # a date or number that none can be
        raise InputError(f"not valid YAML: {clipped(error, 120)}", file=name) from None
    if not isinstance(data, dict):
        raise InputError("is no table of keys", file=name)
    return data


def parsed_subset(text: str, name: str) -> dict[str, Any]:
    """The same without PyYAML; what goes beyond the part that is known is refused with its line."""
    lines = []
    for number, raw in enumerate(text.splitlines(), 1):
        bare = COMMENT.sub("", raw).rstrip()
        if bare and bare != "---":
            lines.append(Line(number, len(bare) - len(bare.lstrip()), bare))
    try:
        found, rest = table_of(lines, 0)
    except NotSupported as error:
        raise error.located(name) from None
    if rest:
        raise beyond(rest[0]).located(name)
    return found


def beyond(line: Line) -> NotSupported:
    """What the known part of YAML does not have."""
    error = NotSupported(f"`{clipped(line.text.strip())}` is beyond the YAML that is read", hint="install PyYAML to read all of it")
    error.line = line.number
    return error


def table_of(lines: list[Line], indent: int) -> tuple[dict[str, Any], list[Line]]:
    """Keys at one depth, and the lines after them."""
    found: dict[str, Any] = {}
    while lines and lines[0].indent == indent:
        line, lines = lines[0], lines[1:]
        matched = KEY.match(line.text)
        if matched is None:
            raise beyond(line)
        key, value = matched[2].strip("\"'"), matched[3]
        if value:
            found[key] = value_of(value, line)
        elif lines and (lines[0].indent > indent or ITEM.match(lines[0].text)):
            inner = lines[0].indent
            found[key], lines = list_of(lines, inner) if ITEM.match(lines[0].text) else table_of(lines, inner)
        else:
            found[key] = None
    return found, lines


def list_of(lines: list[Line], indent: int) -> tuple[list[Any], list[Line]]:
    """Items at one depth; what lies within an item is skipped, as no table has a key for it."""
    found: list[Any] = []
    while lines and lines[0].indent == indent and (item := ITEM.match(lines[0].text)):
        text = item[2] or ""
        found.append(text if ":" in text else value_of(text, lines[0]))
        lines = lines[1:]
        while lines and lines[0].indent > indent:
            lines = lines[1:]
    return found, lines


def value_of(text: str, line: Line) -> Any:
    """A plain value."""
    if text[:1] in "\"'":
        return text.strip(text[0])
    if text.startswith("[") and text.endswith("]"):
        return [value_of(part.strip(), line) for part in text[1:-1].split(",") if part.strip()]
    if text.startswith(BEYOND):
        raise beyond(line)
    if text.lower() in ("true", "false", "yes", "no", "on", "off"):
        return text.lower() in ("true", "yes", "on")
    if text.lower() in ("null", "~"):
        return None
    return int(text) if text.removeprefix("-").isdigit() else text


def write_yaml(data: Mapping[str, Any], indent: int = 0) -> str:
    """Nested tables of plain values."""
    text = ""
    for key, value in data.items():
        if isinstance(value, Mapping):
            text += f"{' ' * indent}{key}:\n{write_yaml(value, indent + 2)}"
        else:
            text += f"{' ' * indent}{key}: {'true' if value is True else 'false' if value is False else value}\n"
    return text
