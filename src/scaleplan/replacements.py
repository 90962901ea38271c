"""Files of users in the place of tables of ours (prices.csv, grid.csv, defaults.toml, ...): held against ours before they are used.

A table of assumptions must have the keys of the built-in one and values of the same kinds; a CSV table the columns that are read,
with cells that those who read them can use. All faults are told at once.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from scaleplan.errors import InputError, clipped, raise_all
from scaleplan.numeric import is_number

MOST_FAULTS = 10  # told at once
ABOUT = ("source", "date", "note")
BOUNDS = {"pue": (1.0, math.inf), "whole_run_mfu": (0.0, 1.0), "goodput": (0.0, 1.0)}
"""Table -> what its numbers may be; others are not negative where ours are not."""
OPEN = ("whole_run_mfu.over_six_n.", "whole_run_mfu.by_size.n_params")
"""Numbers of such a table that mean something else."""
MAYBE_NONE = ("water.",)
"""Numbers that may be 0: a site that is cooled by air takes no water."""
NAMES_OF = {"default_generation": "generation"}
"""Key of a table -> the table beside it whose names it takes."""

Fault = tuple[str, str]  # dotted key, what is wrong


class Cells(NamedTuple):
    """What the cells of a column may be: numbers between two bounds, whole or not, or texts of a form; empty or not."""

    least: float | None = None
    most: float = math.inf
    whole: bool = False
    form: str = ""
    empty: bool = False


DATE = Cells(form=r"\d{4}(-\d\d(-\d\d)?)?")
TEXT, MAYBE = Cells(form=r".+"), Cells(form=r".*", empty=True)
YEAR = Cells(1900, 2200, whole=True, empty=True)
COLUMNS: Mapping[str, Mapping[str, Cells]] = {
    "prices": {
        "device": TEXT,
        "term": TEXT,
        "provider": TEXT,
        "usd_per_device_hour": Cells(0.0),
        "date": DATE,
        "region": MAYBE,
        "instance": MAYBE,
        "n_devices_per_instance": Cells(1, whole=True, empty=True),
        "basis": MAYBE,
        "source": MAYBE,
    },
    "grid": {
        "zone": TEXT,
        "name": TEXT,
        "kind": TEXT,
        "kgco2e_per_kwh": Cells(0.0, empty=True),
        "iso2": MAYBE,
        "provider": MAYBE,
        "same_as": MAYBE,
        "carbon_free_fraction": Cells(0.0, 1.0, empty=True),
        "year": YEAR,
        "pue": Cells(1.0, empty=True),
        "pue_year": YEAR,
        "site_water_l_per_kwh": Cells(0.0, empty=True),
        "plant_water_l_per_kwh": Cells(0.0, empty=True),
        "date": DATE._replace(empty=True),
        "source": MAYBE,
    },
}
"""Table -> its columns; those whose cells may be empty may be left out."""


def check_rows(kind: str, heading: Sequence[str], rows: Sequence[tuple[int, Sequence[str]]], path: str) -> list[dict[str, str]]:
    """The rows of a user's table with every column; InputError names line and column of all that is wrong.

    rows  line of the file and cells
    """
    columns = COLUMNS[kind]
    lacking = [name for name, cells in columns.items() if name not in heading and not cells.empty]
    strange = [name for name in heading if name not in columns]
    twice = sorted({name for name in heading if heading.count(name) > 1})
    faults = [f"lacks the column `{name}`" for name in lacking]
    faults += [f"has a column `{clipped(name)}`, which nothing reads" for name in strange]
    faults += [f"has two columns `{clipped(name)}`" for name in twice]
    if faults:
        hint = f"the columns are {', '.join(columns)}"
        raise_all([InputError(fault, file=path, line=1, hint=hint) for fault in faults[:MOST_FAULTS]])
    if not rows:
        raise InputError("holds a heading and no rows", file=path)
    wrong = list(faults_of_rows(columns, heading, rows, path))
    raise_all(wrong[:MOST_FAULTS])
    absent = dict.fromkeys((name for name in columns if name not in heading), "")
    return [dict(zip(heading, cells, strict=True)) | absent for _, cells in rows]


def faults_of_rows(
    columns: Mapping[str, Cells], heading: Sequence[str], rows: Sequence[tuple[int, Sequence[str]]], path: str
) -> Iterator[InputError]:
    """Every cell that cannot be used."""
    for line, cells in rows:
        if len(cells) != len(heading):
            yield InputError(f"{len(cells)} cells under {len(heading)} headings", file=path, line=line)
            continue
        for name, text in zip(heading, cells, strict=True):
            if said := wrong_cell(columns[name], text):
                yield InputError(f"{name} is `{clipped(text)}`; it is {said}", file=path, line=line)


def wrong_cell(wanted: Cells, text: str) -> str | None:
    """What a cell should be, where it is something else."""
    if not text:
        return None if wanted.empty else "not empty"
    if wanted.least is None:
        return None if re.fullmatch(wanted.form, text) else "a date: 2026-11-30" if wanted.form == DATE.form else "one line of text"
    kind = "a whole number" if wanted.whole else "a number"
    between = f"{kind} from {wanted.least:g}" + (f" to {wanted.most:g}" if math.isfinite(wanted.most) else "")
    try:
        value = int(text) if wanted.whole else float(text)
    except ValueError:
        return between
    return None if math.isfinite(value) and wanted.least <= value <= wanted.most else between


# ------------------------------------------------------------------------------------------------------------ assumptions


def check_assumptions(data: Mapping[str, Any], ours: Mapping[str, Any], path: str, line: Callable[[str], int | None] | None = None) -> None:
    """Refuse a user's table of assumptions that has not the keys and kinds of ours; `line` gives the line of a dotted key."""
    faults = sorted(faults_of(data, ours, ""), key=lambda fault: fault[1].startswith("is missing"))
    shown = [InputError(f"`{clipped(key)}` {said}", file=path, line=line(key) if line else None) for key, said in faults[:MOST_FAULTS]]
    if len(faults) > len(shown):
        shown[-1].way_out = f"{len(faults) - len(shown)} more; start from a copy of the built-in file of this name"
    raise_all(shown)


def faults_of(value: Any, ours: Any, key: str) -> Iterator[Fault]:
    """What is wrong with a value, held against ours."""
    if isinstance(ours, Mapping):
        yield from faults_of_table(value, ours, key)
    elif isinstance(ours, list):
        yield from faults_of_list(value, ours, key)
    elif isinstance(ours, bool | str):
        if not isinstance(value, type(ours)):
            yield key, f"is {kind_of(value)}; it is {'text' if isinstance(ours, str) else 'true or false'}"
    elif isinstance(value, bool) or not is_number(value):
        yield key, f"is {kind_of(value)}; it is a number"
    elif said := out_of_bounds(value, ours, key):
        yield key, said


def faults_of_list(value: Any, ours: Sequence[Any], key: str) -> Iterator[Fault]:
    """What is wrong with a list: numbers are the two ends of a range, others as many as one likes."""
    if not isinstance(value, list) or not value:
        yield key, f"is {kind_of(value)}; it is a list" + (" of one or more" if value == [] else "")
        return
    faults = [fault for place, item in enumerate(value) for fault in faults_of(item, ours[min(place, len(ours) - 1)], f"{key}[{place}]")]
    yield from faults
    if not faults and is_number(ours[0]) and not (len(value) == 2 and value[0] < value[1]):
        yield key, f"is {kind_of(value)}; it is two numbers, the smaller first"


def faults_of_table(value: Any, ours: Mapping[str, Any], key: str) -> Iterator[Fault]:
    """What is wrong with a table. Where ours holds tables alone, their keys are names, and more of the same kind may be added."""
    if not isinstance(value, Mapping):
        yield key, f"is {kind_of(value)}; it is a table"
        return
    inside = f"{key}." if key else ""
    ours = {name: item for name, item in ours.items() if name not in ABOUT}
    named = all(isinstance(item, Mapping) for item in ours.values()) and key != ""
    for name, item in value.items():
        if name in ours:
            yield from faults_of(item, ours[name], inside + name)
        elif named and name not in ABOUT:
            yield from faults_of(item, next(iter(ours.values())), inside + name)
        elif name not in ABOUT:
            yield inside + name, "is read by nothing"
        elif not isinstance(item, str) and not (isinstance(item, list) and all(isinstance(one, str) for one in item)):
            yield inside + name, f"is {kind_of(item)}; it is text"
    yield from ((inside + name, "is missing") for name in ours if name not in value)
    for name, table in NAMES_OF.items():
        if isinstance(value.get(name), str) and isinstance(value.get(table), Mapping) and value[name] not in value[table]:
            yield inside + name, f"is `{clipped(value[name])}`; it is one of {table}: {', '.join(map(clipped, value[table]))}"
    for before in ("", "factor_"):
        yield from faults_of_ends(value.get(f"{before}p10"), value.get(f"{before}p90"), f"{inside}{before}")


def faults_of_ends(low: Any, high: Any, key: str) -> Iterator[Fault]:
    """What is wrong with the ends of an interval: the draws between them are those of a logarithm."""
    if isinstance(low, int | float) and isinstance(high, int | float):
        if low > high:
            yield f"{key}p10", f"is {low:g}, above p90, {high:g}"
        elif low == 0 < high and key.startswith(MAYBE_NONE):
            yield f"{key}p10", "is 0; it is a number above 0"


def out_of_bounds(value: float, ours: float, key: str) -> str | None:
    """What is wrong with the size of a number; where ours is above zero others are, because a quotient or a logarithm needs it."""
    least, most = BOUNDS.get(key.split(".", maxsplit=1)[0], (0.0 if ours >= 0 else -math.inf, math.inf))
    if key.startswith(OPEN):
        least, most = 0.0, math.inf
    above = least == 0 < ours and not key.startswith(MAYBE_NONE)
    if math.isfinite(value) and (least < value if above else least <= value) and value <= most:
        return None
    upper = "" if not math.isfinite(most) else f" and at most {most:g}" if above else f" to {most:g}"
    return f"is {value:g}; it is a number {'above' if above else 'from'} {least:g}{upper}"


def kind_of(value: Any) -> str:
    """A value as a message shows it, with what it is."""
    words = {bool: "true or false", str: "text", list: "a list", dict: "a table"}
    return f"`{clipped(value)}`" + (f", {words[type(value)]}" if type(value) in words else "")
