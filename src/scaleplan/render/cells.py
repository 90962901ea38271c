"""A value of a table as people read it: three significant digits and a unit that steps."""

from __future__ import annotations

from typing import Any

from scaleplan import units
from scaleplan.answer import Column, Interval, Row

UNKNOWN = "-"
COUNTED = {"params", "tokens", "seqs", "steps", "devices"}
SI = {"FLOP": "FLOP", "FLOP/s": "FLOP/s", "FLOP/token": "FLOP", "Wh": "Wh", "W": "W", "bytes/s": "B/s"}
RATIO = {"x": "x", "tokens/param": ""}


def show_cell(row: Row, column: Column) -> str:
    """The cell of a row under a column."""
    unit = str(row.get("unit", "")) if column.unit == "own" else column.unit
    return show_value(row.get(column.key), unit)


def show_value(value: Any, unit: str) -> str:  # noqa: PLR0911 - one line a kind of unit
    """A value in base units -> text. Unknown is a dash."""
    if value is None:
        return UNKNOWN
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value
    if isinstance(value, Interval):
        return shown_range(show_value(value.p10, unit), show_value(value.p90, unit))
    if isinstance(value, list | tuple):
        return ", ".join(show_value(item, unit) for item in value)
    if unit in COUNTED:
        return units.show_count(value)
    if unit == "int":
        return f"{value:,}"
    if unit == "bytes":
        return units.show_bytes(value)
    if unit in SI:
        return units.show_si(value, SI[unit])
    if unit == "s":
        return units.show_duration(value)
    if unit == "usd":
        return units.show_usd(value)
    if unit == "kgCO2e":
        return units.show_mass(value)
    if unit == "fraction":
        return f"{units.three_digits(100 * value) if abs(value) >= 0.001 else format(100 * value, '.3f')} %"
    if unit in ("nats", "bits"):
        return f"{value:.4f}"
    if abs(value) >= 1e6:
        text = units.show_count(value)
    else:
        text = str(value) if isinstance(value, int) and abs(value) < 10_000 else units.three_digits(value)
    return f"{text}{RATIO[unit]}" if unit in RATIO else f"{text} {unit}".rstrip() if unit != "text" else text


def numeric(column: Column) -> bool:
    """Whether a column is set flush right."""
    return column.unit != "text"


def shown_range(low: str, high: str) -> str:
    """`927 kWh to 3.01 MWh`, but `1,770 to 5,760 h`: a unit that both share is said once."""
    number, _, unit = low.partition(" ")
    return f"{number} to {high}" if unit and high.endswith(f" {unit}") else f"{low} to {high}"
