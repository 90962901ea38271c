"""Plan files: TOML whose keys are those of the fields; every fault is reported at once, each with its line and key.

[model]        what is trained: preset, config, target, or a shape
[training]     tokens, sequence length, batch, precision, ...
[hardware]     device, n_devices, layout, stack
[site]         grid, PUE, price
[run]          deadline, goodput, MFU
[[stage]] [[cost]] [[limit]] [goal]
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from scaleplan import library
from scaleplan.errors import InputError, ScaleplanError, UnknownName, clipped, near_names, raise_all
from scaleplan.questions.fields import FIELDS, ROWS, SHAPE_WORDS, Field, field_named, meant, read, shape_field
from scaleplan.questions.plan import LEFT_OPEN
from scaleplan.wording import keyword, question, spelled

LISTS = {
    "stage": ("name", "work"),
    "cost": ("name", "usd", "per", "terabytes"),
    "limit": ("quantity", "max", "min", "max_increase", "at", "level"),
}
"""Repeated tables of a plan, and their keys."""
WORK = ("model", "n_params", "frozen_n_params", "trained_tokens", "scored_tokens", "generated_tokens")
"""Keys of one entry of a stage's `work`."""
PLAIN = ("title", "goal.minimize", "model.config")
"""Keys that no field has."""
SEARCHED = ("choices", "range")
OPEN_WORDS = {FIELDS[name].key: words for name, words in LEFT_OPEN.items()}
"""Keys whose value may be left to the plan by a word."""
LARGEST_PLAN_BYTES = 4 * 2**20


class PlanFile(NamedTuple):
    """A plan file as it was written.

    name    what errors call it
    values  dotted key -> value, not yet read
    lines   dotted key -> line in the file; keys of `[[limit]]` are `limit.0.max`
    lists   stage, cost, limit -> their tables
    faults  keys that are not known and tables that are not whole; to be told with the faults of the values
    """

    name: str
    values: dict[str, Any]
    lines: dict[str, int]
    lists: dict[str, list[dict[str, Any]]]
    faults: tuple[ScaleplanError, ...] = ()

    def with_values(self, more: Mapping[str, Any]) -> PlanFile:
        """The plan with other values for some keys."""
        return self._replace(values={**self.values, **more})

    def fault(self, key: str, message: str, hint: str | None = None) -> InputError:
        """What is wrong with a key, with its line where it stands in the file."""
        line = self.lines.get(key)
        where = f"line {line}: " if line else ""
        return InputError(f"{where}{key}: {message}", hint=hint, file=self.name)


def key_fields() -> dict[str, Field]:
    """Dotted key -> field."""
    found = {row.key: row for row in ROWS if row.key and row.key != "limit"}
    return found | {f"model.{word}": shape_field(word) for word in SHAPE_WORDS if f"model.{word}" not in found}


def read_plan(path: str) -> PlanFile:
    """A plan file; its values are not yet read, and the faults of its keys not yet raised."""
    name = path.name if isinstance(path, library.Text) else "standard input" if path == "-" else path
    text = plan_text(path)
    if len(text) > LARGEST_PLAN_BYTES:
        raise InputError(f"larger than {LARGEST_PLAN_BYTES // 2**20} MiB", file=name)
    return plan_of(parsed(text, name), name, lines_of(text))


def plan_text(path: str) -> str:
    """The text of a plan file; where there is none, and a model has that name, the error says how a model is given."""
    try:
        return library.read_text(path)
    except InputError as error:
        if error.way_out is not None or path not in library.names("models"):
            raise
        raise InputError(error.message, hint=f"to plan for that model: `{question('plan', model=path)}`") from None


def parsed(text: str, name: str) -> dict[str, Any]:
    """The tables of a plan; a syntax error names its line in words."""
    try:
        return library.parse_toml(text, name)
    except InputError as error:
        if error.line is not None:
            error.message, error.line = f"line {error.line}: {error.message}", None
        raise


def plan_of(tables: Mapping[str, Any], name: str, lines: dict[str, int]) -> PlanFile:
    """The plan of parsed tables."""
    lists = {each: tables[each] for each in LISTS if each in tables}
    plan = PlanFile(name, dict(flattened({key: value for key, value in tables.items() if key not in LISTS})), lines, {})
    faults = (*unknown_keys(plan), *list_faults(plan, lists))
    known = {*key_fields(), *PLAIN}
    whole = {each: [row for row in rows if isinstance(row, dict)] for each, rows in lists.items() if isinstance(rows, list)}
    return plan._replace(values={key: value for key, value in plan.values.items() if key in known}, lists=whole, faults=faults)


def flattened(tables: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and their values; a value to be searched stays a table, a date becomes its text."""
    for key, value in tables.items():
        if isinstance(value, Mapping) and not (value and set(value) <= set(SEARCHED)):
            yield from flattened(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value.isoformat() if hasattr(value, "isoformat") else value


def lines_of(text: str) -> dict[str, int]:
    """Dotted key -> the line where it stands; tables of a list are counted from 0."""
    found: dict[str, int] = {}
    table, counts = "", dict.fromkeys(LISTS, -1)
    for number, line in enumerate(text.splitlines(), 1):
        if repeated := re.match(r"\s*\[\[\s*([\w.-]+)\s*\]\]", line):
            each = repeated[1]
            counts[each] = counts.get(each, -1) + 1
            table = f"{each}.{counts[each]}."
            found.setdefault(table.rstrip("."), number)
        elif single := re.match(r"\s*\[\s*([\w.-]+)\s*\]", line):
            table = single[1] + "."
            found.setdefault(single[1], number)
        elif key := re.match(r"\s*([\w.-]+)\s*=", line):
            found.setdefault(table + key[1], number)
    return found


def unknown_keys(plan: PlanFile) -> Iterator[ScaleplanError]:
    """Keys that no field has, with the near one."""
    known = [*key_fields(), *PLAIN]
    for key in plan.values:
        if key not in known:
            near = near_names(key, known, 1) or [one for one in known if one.rpartition(".")[2] == key.rpartition(".")[2]]
            yield plan.fault(
                clipped(key), "no such key", hint=f"did you mean `{near[0]}`?" if near else "`scaleplan plan --init` shows the keys"
            )


def list_faults(plan: PlanFile, lists: Mapping[str, Any]) -> Iterator[ScaleplanError]:
    """What is wrong with `[[stage]]`, `[[cost]]` and `[[limit]]`."""
    for each, rows in lists.items():
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            yield plan.fault(each, f"is not a list of tables; write [[{each}]]")
            continue
        for place, row in enumerate(rows):
            for key in row:
                if key not in LISTS[each]:
                    near = near_names(key, LISTS[each], 1)
                    hint = f"did you mean `{near[0]}`?" if near else f"keys: {', '.join(LISTS[each])}"
                    yield plan.fault(f"{each}.{place}.{clipped(key)}", "no such key", hint=hint)


def with_settings(plan: PlanFile, settings: Sequence[str]) -> PlanFile:
    """The plan with `key=value` changes; a key is dotted, or the name of a field."""
    known = [*key_fields(), *PLAIN]
    changed: dict[str, Any] = {}
    faults: list[ScaleplanError] = []
    for text in settings:
        key, equals, value = text.partition("=")
        key = key_named(key.strip())
        if not equals or not value.strip():
            faults.append(
                InputError(f"`{clipped(text)}` is not of the form key=value", hint=f"for example {clipped(key) or 'training.tokens'}=2T")
            )
        elif key not in known:
            faults.append(unknown_key(key, known))
        else:
            changed[key] = setting(value.strip())
    raise_all(faults)
    return plan.with_values(changed)


def unknown_key(key: str, known: Sequence[str]) -> ScaleplanError:
    """The refusal of a key, with those that are near it: as spelled, of the same last word, of the same section."""
    section, _, last = key.rpartition(".")
    near = [*near_names(key, known), *(one for one in known if last and last in one.rpartition(".")[2].split("_"))]
    near += [FIELDS[name].key for name in (meant(last, FIELDS),) if name and FIELDS[name].key]
    listed = list(dict.fromkeys(near)) or [one for one in known if section and one.startswith(f"{section}.")]
    said = f"did you mean `{near[0]}`? " if near else ""
    named = f"keys {'near it' if near else f'of [{section}]'}: {', '.join(listed[:MOST_NAMED])}" if listed else ""
    return UnknownName("key of a plan", key, (), where=f"{said}{named}" if named else f"`{question('plan', schema=True)}` lists the keys")


MOST_NAMED = 12


def setting(text: str) -> Any:
    """The value of a change: a table of choices or a range as TOML has it, else the text."""
    if not text.startswith("{"):
        return text
    return library.parse_toml(f"value = {text}", "the change")["value"]


def key_named(name: str) -> str:
    """The dotted key of a field's name; a dotted key is itself."""
    return FIELDS[name].key if name in FIELDS and FIELDS[name].key else f"model.{name}" if name in SHAPE_WORDS else name


def read_values(plan: PlanFile) -> tuple[dict[str, Any], list[ScaleplanError]]:
    """Field -> value in base units (one that is searched stays as it is, a word that leaves it open too), and every fault."""
    found: dict[str, Any] = {}
    faults: list[ScaleplanError] = []
    fields = key_fields()
    for key, value in plan.values.items():
        if key in PLAIN:
            continue
        try:
            found[fields[key].name] = read_value(fields[key], key, value)
        except ScaleplanError as error:
            for one in getattr(error, "errors", (error,)):
                message = one.place() + spelled(one.message, keyword).removeprefix(f"{fields[key].name}: ")
                faults.append(plan.fault(key, message, spelled(one.way_out, keyword) if one.way_out else None))
    return found, faults


def read_value(field: Field, key: str, value: Any) -> Any:
    """One value of a plan."""
    if value in OPEN_WORDS.get(key, ()):
        return value
    if isinstance(value, Mapping):
        return Searched(tuple(searched_values(field, value)))
    if field.name == "model":
        return value
    if field.kind == "switch" and value in ("true", "false"):
        return value == "true"
    if field.number and isinstance(value, int | float) and not isinstance(value, bool):
        hint = f'write {key.rpartition(".")[2]} = "{value:g}{field.number}" if that is what is meant'
        raise InputError(f"`{value}` has no unit", hint=hint)
    return read(field, value)


class Searched(NamedTuple):
    """A key whose value the plan chooses among several."""

    values: tuple[Any, ...]


def searched_values(field: Field, value: Mapping[str, Any]) -> list[Any]:
    """The values of `{choices = [...]}` or `{range = "lo:hi:log:n"}`."""
    from scaleplan.ranges import values_of

    if set(value) == {"choices"} and isinstance(value["choices"], list) and value["choices"]:
        return [read(field, one) for one in value["choices"]]
    if set(value) == {"range"} and isinstance(value["range"], str):
        return values_of(value["range"], lambda text: read(field, text))
    raise InputError('is neither {choices = [...]} nor {range = "lo:hi:log:n"}')


def as_toml(values: Mapping[str, Any]) -> str:
    """A plan file with these values: dotted key -> text or number."""
    import json

    sections: dict[str, list[str]] = {}
    for key, value in values.items():
        section, _, name = key.rpartition(".")
        sections.setdefault(section, []).append(f"{name} = {json.dumps(value)}")
    blocks = [("" if not section else f"[{section}]\n") + "\n".join(lines) for section, lines in sections.items()]
    return "\n\n".join(blocks) + "\n"


__all__ = ["PlanFile", "Searched", "as_toml", "field_named", "read_plan", "read_values", "with_settings"]
