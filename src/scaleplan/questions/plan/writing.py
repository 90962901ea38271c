"""A plan written as a file that runs again: the flags under their keys, and the tables of the file that was read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from scaleplan.questions.fields import FIELDS
from scaleplan.questions.plan.case import NOT_KEYS
from scaleplan.questions.plan_file import key_named

if TYPE_CHECKING:
    from scaleplan.questions.plan import OfPlan
    from scaleplan.questions.plan.case import Case


def written(asked: OfPlan, case: Case) -> str:
    """The text of a plan file."""
    values = dict(case.file.values)
    for name, value in asked._asdict().items():
        if name not in NOT_KEYS and value is not None:
            values[key_named(name) if name in FIELDS else name] = plain(name, value)
    return text_of(values, case)


def text_of(values: Mapping[str, Any], case: Case) -> str:
    """Tables and their keys, then the repeated tables of the file."""
    top = {key: value for key, value in values.items() if "." not in key}
    sections: dict[str, dict[str, Any]] = {}
    for key, value in values.items():
        if "." in key:
            section, _, name = key.rpartition(".")
            sections.setdefault(section, {})[name] = value
    blocks = [assigned(top)] if top else []
    blocks += [f"[{section}]\n{assigned(keys)}" for section, keys in sections.items()]
    blocks += [f"[[{each}]]\n{assigned(row)}" for each, rows in case.file.lists.items() for row in rows]
    return "\n\n".join(blocks) + "\n"


def written_point(case: Case, point: Mapping[str, Any]) -> str:
    """The text of a plan at one point of its search, without the goal that chose it."""
    values = {key: value for key, value in case.file.values.items() if key != "goal.minimize"}
    values |= {key_named(name): plain(name, value) for name, value in point.items()}
    return text_of(values, case)


def plain(name: str, value: Any) -> Any:
    """A value that was read, as a text or number that reads the same."""
    if name == "model":
        return value.label
    if hasattr(value, "spelled"):
        return value.spelled()
    if isinstance(value, tuple):
        return list(value)
    number = FIELDS[name].number
    return f"{value!r}{number}" if number and not isinstance(value, str) else value


def assigned(keys: Mapping[str, Any]) -> str:
    """`key = value` lines."""
    return "\n".join(f"{key} = {toml(value)}" for key, value in keys.items())


def toml(value: Any) -> str:
    """A value in TOML."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {toml(one)}" for key, one in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False)
