"""Every value of a preset with its source and date, read from files and tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from scaleplan import library
from scaleplan.errors import UnknownName
from scaleplan.wording import question


def written(value: Any) -> str:
    """A value as it stands in the file, with digits grouped."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ", ".join(map(written, value))
    if isinstance(value, float):
        return f"{value:.10g}".replace("e+", "e")
    return f"{value:_}" if isinstance(value, int) and abs(value) >= 10_000 else str(value)


def sourced_values(data: Mapping[str, Any], prefix: str = "", source: str = "", date: str = "") -> Iterator[dict[str, Any]]:
    """Dotted key, value, source and date of every value of a preset; a value without a source has that of the table around it."""
    own = data.get("source", source)
    source = own if isinstance(own, str) else next(iter(own), "")
    if not source:  # the heading of a file (title, year, ...) comes from what the file cites first
        source = next(library.cited(data), "")
    date = str(data.get("date") or date or next(dates(data), ""))
    for key, value in data.items():
        if isinstance(value, Mapping):
            yield from sourced_values(value, f"{prefix}{key}.", source, date)
        elif key not in ("source", "date", "name"):
            yield {"key": prefix + key, "value": value, "source": source, "date": date}


def dates(data: Any) -> Iterator[str]:
    """Every date in a parsed file."""
    if isinstance(data, Mapping):
        for key, value in data.items():
            yield from [str(value)] if key == "date" else dates(value)


def date_of(data: Mapping[str, Any]) -> str:
    """The day an entry of a table is of, or was read."""
    return str(data.get("date") or data.get("date_read") or data.get("year") or "")


def entries(kind: str) -> Iterator[tuple[str, list[str], Mapping[str, Any]]]:
    """Name, citation keys and content of everything of a kind."""
    if kind == "sources":
        for key, data in library.sources().items():
            yield key, [key], data
    elif kind in ("prices", "grid"):
        for row in library.rows(kind):
            yield (
                (row["zone"] if kind == "grid" else "/".join(row[k] for k in ("provider", "region", "device", "term"))),
                [row["source"]],
                row,
            )
    else:
        for preset in library.all_of(kind):
            yield preset.name, preset.sources, preset.data


def values_of(kind: str, name: str) -> tuple[str, list[dict[str, Any]]]:
    """Name and values of one preset, each with key, source and date."""
    if kind in library.SINGULAR or kind == "hardware":
        preset = library.load(kind, name)
        return preset.name, list(sourced_values(preset.data))
    known = {entry: (cited, data) for entry, cited, data in entries(kind)}
    if name not in known:
        name = named_otherwise(kind, name, known)
    cited, data = known[name]
    return name, [
        {"key": key, "value": value, "source": cited[0], "date": date_of(data)}
        for key, value in data.items()
        if key not in ("source", "date") and value not in (None, "")
    ]


def named_otherwise(kind: str, name: str, known: Iterable[str]) -> str:
    """The entry that a name stands for: a zone by its code or name. Raises UnknownName, of a device with one of its prices."""
    if kind == "grid":
        from scaleplan.footprint.carbon import find_zone

        return find_zone(library.rows("grid"), name)["zone"]
    where = f"list them with `{question('presets', kind)}`"
    if kind == "prices":
        device = library.full_name("hardware", name)
        own = next((entry for entry in known if entry.split("/")[2] == device), None)
        where = f"an entry is provider/region/device/term, like `{own}`; {where}" if own else where
        known = () if own else known
    raise UnknownName(f"{kind} entry", name, known, where=where)
