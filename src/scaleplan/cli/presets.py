"""`scaleplan presets`: what is built in, each value with its source and date."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any

import typer

from scaleplan import library
from scaleplan.answer import Answer, Column, Row, Table, unique
from scaleplan.cli.options import command
from scaleplan.errors import UnknownName, UsageError

Kind = Annotated[str | None, typer.Argument(metavar="[KIND]", help=", ".join(library.KINDS), show_default=False)]
Name = Annotated[str | None, typer.Argument(metavar="[NAME]", help="One preset of that kind.", show_default=False)]
Schema = Annotated[bool, typer.Option("--schema", help="The JSON Schema of files of that kind, for your own.")]


@command
def presets(kind: Kind = None, name: Name = None, schema: Schema = False) -> Answer:
    """What is built in, each value with its source?

    \b
    Examples:
      scaleplan presets hardware
      scaleplan presets laws besiroglu2024
      scaleplan presets models --format csv
    """
    if kind is None:
        if schema:
            raise UsageError("--schema of which kind?", hint="for example `scaleplan presets laws --schema`")
        return kinds()
    if kind not in library.KINDS:
        raise UnknownName("kind of preset", kind, library.KINDS)
    if schema:
        return schema_of(kind)
    return listing(kind) if name is None else one(kind, name)


def kinds() -> Answer:
    """The kinds and how many there are of each."""
    found = [{"kind": kind, "n_presets": len(list(entries(kind)))} for kind in library.KINDS]
    table = Table("Presets", [Column("kind", "kind"), Column("n_presets", "presets", "int")], found)
    return Answer(
        "presets",
        {},
        {"kinds": found},
        [table],
        notes=["`scaleplan presets KIND` lists one kind, `scaleplan presets KIND NAME` shows one preset."],
    )


def schema_of(kind: str) -> Answer:
    """What a file of this kind must hold."""
    from scaleplan.schema import SCHEMAS, json_schema

    if kind not in SCHEMAS:
        raise UnknownName("kind of file with a schema", kind, SCHEMAS)
    schema = json_schema(kind)
    fields = [
        {"key": key, "required": key in schema.get("required", ()), "meaning": about.get("description") or about.get("title")}
        for key, about in schema["properties"].items()
    ]
    table = Table("", [Column("key", "key"), Column("required", "required"), Column("meaning", "meaning")], fields)
    return Answer("presets", {"kind": kind}, {"json_schema": schema}, [table], notes=["--json prints the JSON Schema itself."])


def listing(kind: str) -> Answer:
    """Every preset of a kind, with the figures that people compare."""
    columns, figures = OVERVIEWS.get(kind, ([], lambda _: {}))
    found = [{"kind": kind, "name": name, "sources": cited} | figures(data) for name, cited, data in entries(kind)]
    if kind == "models":  # in the order in which the field grew
        found.sort(key=lambda row: (row["year"] or 0, row["n_params"]))
    table = Table("", [Column("name", "name"), *columns, *([] if columns else [Column("sources", "sources")])], found)
    return Answer("presets", {"kind": kind}, {"presets": found}, [table], more_sources=unique(s for row in found for s in row["sources"]))


def one(kind: str, name: str) -> Answer:
    """Every value of one preset."""
    if kind in library.SINGULAR or kind == "hardware":
        preset = library.load(kind, name)
        name, values = preset.name, list(sourced_values(preset.data))
    else:
        known = {entry: (cited, data) for entry, cited, data in entries(kind)}
        if name not in known:
            raise UnknownName(f"{kind} entry", name, known, where=f"list them with `scaleplan presets {kind}`")
        cited, data = known[name]
        values = [
            {"key": key, "value": value, "source": cited[0], "date": date_of(data)}
            for key, value in data.items()
            if key not in ("source", "date") and value not in (None, "")
        ]
    table = Table(
        name,
        [Column("key", "key"), Column("value", "value"), Column("source", "source"), Column("date", "date")],
        [{**row, "value": written(row["value"])} for row in values],
    )
    return Answer(
        "presets", {"kind": kind, "name": name}, {"values": values}, [table], more_sources=unique(row["source"] for row in values)
    )


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
    source = own if isinstance(own, str) else own[0]
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


def of_device(data: Mapping[str, Any]) -> Row:
    """16-bit peak, memory and power of a device."""
    peak = data.get("peak_flops_per_s", {})
    memory = data.get("memory", {})
    return {
        "year": data.get("year"),
        "flops_per_s": peak.get("bf16", peak.get("fp16")),
        "capacity_bytes": memory.get("capacity_bytes"),
        "bandwidth_bytes_per_s": memory.get("bandwidth_bytes_per_s"),
        "tdp_w": data.get("power", {}).get("tdp_w"),
    }


def of_model(data: Mapping[str, Any]) -> Row:
    """When, how large, on how many tokens, at what compute."""
    from scaleplan.model.bill import bill_of
    from scaleplan.model_files import arch_of_preset

    n_params = bill_of(arch_of_preset(data)).n_params()
    training = data.get("training", {})
    tokens = training.get("n_tokens")
    return {
        "year": training.get("year"),
        "n_params": n_params,
        "n_tokens": tokens,
        "compute_flops": training.get("compute_flops"),
        "tokens_per_param": tokens / n_params if tokens else None,
    }


def of_law(data: Mapping[str, Any]) -> Row:
    """Which N it means, how well confirmed it is, and what it is."""
    convention = data.get("convention", {})
    return {"title": data.get("title"), "n_params_kind": convention.get("n_params"), "standing": data.get("standing")}


def of_price(data: Mapping[str, Any]) -> Row:
    """Dollars for an hour of one device, and the day."""
    rate = data.get("usd_per_device_hour")
    return {"usd_per_device_hour": float(rate) if rate else None, "date": data.get("date")}


def of_zone(data: Mapping[str, Any]) -> Row:
    """Grams and year."""
    return {"title": data.get("name"), "kgco2e_per_kwh": float(data["kgco2e_per_kwh"]), "year": data.get("year")}


def of_source(data: Mapping[str, Any]) -> Row:
    """What it is."""
    return {"title": data.get("title")}


OVERVIEWS: dict[str, tuple[list[Column], Callable[[Mapping[str, Any]], Row]]] = {
    "hardware": (
        [
            Column("year", "year"),
            Column("flops_per_s", "16-bit peak", "FLOP/s"),
            Column("capacity_bytes", "memory", "bytes"),
            Column("bandwidth_bytes_per_s", "bandwidth", "bytes/s"),
            Column("tdp_w", "power", "W"),
        ],
        of_device,
    ),
    "models": (
        [
            Column("year", "year"),
            Column("n_params", "N", "params"),
            Column("n_tokens", "D", "tokens"),
            Column("compute_flops", "C", "FLOP"),
            Column("tokens_per_param", "D/N", "tokens/param"),
        ],
        of_model,
    ),
    "laws": ([Column("n_params_kind", "N"), Column("standing", "standing"), Column("title", "title")], of_law),
    "prices": ([Column("usd_per_device_hour", "$/device-hour", "usd"), Column("date", "date")], of_price),
    "grid": ([Column("title", "zone"), Column("kgco2e_per_kwh", "kgCO2e/kWh", ""), Column("year", "year")], of_zone),
    "sources": ([Column("title", "title")], of_source),
}
