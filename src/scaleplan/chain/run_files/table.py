"""One table `key <-> field` for each form of run file, from presets/run_files: reading goes from left to right, writing back.

A row says what a key of the file means:

    use    both: read and written; read: only read (an older name, a synonym);
           also: written beside another row, and read as saying nothing more;
           absent: the value of a field that the file does not mention
    given  `#` a whole number, `@` any text, nothing for a switch, else the one word that this row is about
    field  our field; nothing where the word changes nothing
    value  what the field is when a word or switch is given

Rows further down overrule those above.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from scaleplan import library
from scaleplan.errors import InputError, NotSupported, clipped
from scaleplan.wording import field as field_mark

NUMBER, TEXT = "#", "@"
WRITTEN = ("both", "also")
LARGEST = 2**53
OPEN, LEFT_OPEN = -1, ("shard", "global_batch_size_seqs")
LIMITS = {"zero_stage": (0, 3), "d_ff_shared": (0, LARGEST)}
NOTHING = ("", "null", "none", "~", "auto")
"""Words by which a file leaves a number open."""


class Row(NamedTuple):
    """One row of a table."""

    use: str
    key: str
    given: str
    field: str
    value: str


class Table(NamedTuple):
    """The rows of one form of file."""

    form: str
    rows: tuple[Row, ...]

    @property
    def absent(self) -> dict[str, Any]:
        """What a file that says nothing means."""
        return {row.field: value_of(row.value) for row in self.rows if row.use == "absent"}

    def key_of(self, field: str) -> str | None:
        """The key by which this form says a field, for asking after it."""
        return next((row.key for row in self.rows if row.field == field and row.use in ("both", "read")), None)


def table_named(form: str) -> Table:
    """The table of a form of file."""
    return Table(form, tuple(Row(**row) for row in library.run_file_rows(form)))


def value_of(text: str) -> Any:
    """A cell as what it means: true, false, a whole number, nothing, or a word."""
    if text in ("true", "false"):
        return text == "true"
    return int(text) if text.isdigit() else text or None


# ------------------------------------------------------------------------------------------------------------------ reading


class Reading(NamedTuple):
    """What a file says in our fields, and the keys that say nothing to us."""

    fields: dict[str, Any]
    unused: tuple[str, ...]


def read_fields(table: Table, said: Mapping[str, str]) -> Reading:
    """Fields of a file's keys; what no row knows is listed, what a known key may not say is refused."""
    known: dict[str, list[Row]] = {}
    for row in table.rows:
        if row.use != "absent":
            known.setdefault(row.key, []).append(row)
    for key, text in said.items():
        if key in known:
            check_said(key, text, known[key])
    fields = table.absent
    for row in table.rows:
        if row.use in ("both", "read") and row.field and row.key in said and matches(row, said[row.key]):
            value = read_value(row, said[row.key])
            if value is not None:
                fields[row.field] = value
    return Reading(fields, tuple(key for key in said if key not in known))


def matches(row: Row, text: str) -> bool:
    """Whether a row is about what the file says."""
    return row.given in (NUMBER, TEXT) or same_word(row.given, text)


def same_word(given: str, text: str) -> bool:
    """Words of files differ in capitals and in underscores."""
    return given.lower() == text.lower() or (given == "" and text.lower() == "true")


def read_value(row: Row, text: str) -> Any:
    """The value of a field; None where the file leaves it open."""
    if row.given == NUMBER:
        return None if text.lower() in NOTHING else in_range(row, whole_number(row.key, text))
    return text if row.given == TEXT else value_of(row.value)


def whole_number(key: str, text: str) -> int:
    """A whole number, underscores allowed."""
    digits = text.replace("_", "").removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) < 17 and int(digits) < LARGEST):
        raise InputError(f"`{clipped(key)}` is `{clipped(text)}`; it is a whole number")
    return int(text.replace("_", ""))


def in_range(row: Row, value: int) -> int:
    """A number that its field can be; -1 leaves some fields open."""
    least, most = LIMITS.get(row.field, (1, LARGEST))
    if value == OPEN and row.field in LEFT_OPEN:
        return value
    if not least <= value <= most:
        raise InputError(f"`{clipped(row.key)}` is `{value}`; it is from {least} to {most:,}")
    return value


def check_said(key: str, text: str, rows: list[Row]) -> None:
    """Refuse a word that none of a key's rows is about; a switch takes true and false."""
    words = [row.given for row in rows if row.given not in (NUMBER, TEXT)]
    if len(words) < len(rows) or any(same_word(word, text) for word in words) or (text.lower() == "false" and {"", "true"} & set(words)):
        return
    if text == "" and "" not in words:
        raise InputError(f"`{clipped(key)}` has no value", hint=f"it is one of {', '.join(words)}")
    known = ", ".join(word or "nothing" for word in words)
    raise NotSupported(f"`{clipped(key)}` is `{clipped(text)}`, which scaleplan does not price", hint=f"it prices {known}")


# ------------------------------------------------------------------------------------------------------------------ writing


def write_pairs(table: Table, fields: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(key, text) of every field that is not what its absence means; a switch has no text. What no row says is refused by name."""
    absent = table.absent
    pairs: list[tuple[str, str]] = []
    said = {name for name, value in fields.items() if value is None or (name in absent and absent[name] == value)}
    for row in table.rows:
        value = fields.get(row.field)
        if row.use not in WRITTEN or value is None or (row.use == "both" and row.field in said):
            continue
        if row.given in (NUMBER, TEXT) or value_of(row.value) == value:
            pairs.append((row.key, str(value) if row.given in (NUMBER, TEXT) else row.given))
            if row.use == "both":
                said.add(row.field)
    for name in fields:
        if name not in said:
            raise NotSupported(f"a {table.form} file cannot say {field_mark(name)} `{clipped(fields[name])}`")
    return pairs


def flattened(data: Mapping[str, Any], before: str = "") -> Iterable[tuple[str, str]]:
    """Nested tables as dotted keys and texts; lists are one text."""
    for key, value in data.items():
        if isinstance(value, Mapping):
            yield from flattened(value, f"{before}{key}.")
        else:
            yield before + str(key), text_of(value)


def text_of(value: Any) -> str:
    """A parsed value as a file would write it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "null" if value is None else ",".join(map(text_of, value)) if isinstance(value, list) else str(value)


def nested(pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Dotted keys as nested tables, texts as values."""
    found: dict[str, Any] = {}
    for key, text in pairs:
        *outer, last = key.split(".")
        inner = found
        for name in outer:
            inner = inner.setdefault(name, {})
        inner[last] = value_of(text or "true")
    return found
