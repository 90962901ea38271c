"""A value of a table as people read it: three significant digits and a unit that steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from scaleplan import units
from scaleplan.answer import Column, Interval, Row
from scaleplan.wording import visible

UNKNOWN = "-"


def plain(value: float) -> str:
    """A small whole number as it is, anything else with three digits."""
    if abs(value) >= 1e6:
        return units.show_count(value)
    return str(value) if isinstance(value, int) and abs(value) < 10_000 else units.three_digits(value)


SHOWN: dict[str, Callable[[float], str]] = {
    "params": units.show_count,
    "tokens": units.show_count,
    "seqs": units.show_count,
    "steps": units.show_count,
    "devices": units.show_count,
    "int": lambda value: f"{value:,}",
    "bytes": units.show_bytes,
    "FLOP": lambda value: units.show_si(value, "FLOP"),
    "FLOP/token": lambda value: units.show_si(value, "FLOP"),
    "FLOP/s": lambda value: units.show_si(value, "FLOP/s"),
    "bytes/s": lambda value: units.show_si(value, "B/s"),
    "W": lambda value: units.show_si(value, "W"),
    "Wh": lambda value: units.show_si(value, "Wh"),
    "s": units.show_duration,
    "usd": units.show_usd,
    "kgCO2e": units.show_mass,
    "fraction": lambda value: f"{units.three_digits(100 * value) if abs(value) >= 0.001 else format(100 * value, '.3f')} %",
    "nats": lambda value: f"{value:.4f}",
    "bits": lambda value: f"{value:.4f}",
    "x": lambda value: f"{plain(value)}x",
    "tokens/param": plain,
    "text": plain,
}
"""Base unit -> a number of it for people; any other unit stands behind the number."""


def show_cell(row: Row, column: Column) -> str:
    """The cell of a row under a column."""
    unit = str(row.get("unit", "")) if column.unit == "own" else column.unit
    return show_value(row.get(column.key), unit)


def show_value(value: Any, unit: str) -> str:
    """A value in base units -> text. Unknown is a dash."""
    if value is None:
        return UNKNOWN
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, Interval):
        return shown_range(show_value(value.p10, unit), show_value(value.p90, unit))
    if isinstance(value, list | tuple):
        return ", ".join(show_value(item, unit) for item in value)
    return SHOWN[unit](value) if unit in SHOWN else f"{plain(value)} {unit}".rstrip()


def numeric(column: Column) -> bool:
    """Whether a column is set flush right."""
    return column.unit != "text"


def shown_range(low: str, high: str) -> str:
    """`927 kWh to 3.01 MWh`, but `1,770 to 5,760 h`: a unit that both share is said once."""
    number, _, unit = low.partition(" ")
    return f"{number} to {high}" if unit and high.endswith(f" {unit}") else f"{low} to {high}"
