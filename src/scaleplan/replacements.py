"""Files of users in the place of tables of ours (prices.csv, grid.csv, defaults.toml, ...): held against ours before they are used.

A table of assumptions must have the keys of the built-in one and values of the same kinds; a CSV table the columns that are read,
with cells that those who read them can use. All faults are told at once.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from scaleplan.errors import InputError, clipped, raise_all
from scaleplan.numeric import is_number

MOST_FAULTS = 10  # told at once
ABOUT = ("source", "date", "note")
BOUNDS = {
    "pue": (1.0, math.inf),
    "whole_run_mfu": (0.0, 1.0),
    "goodput": (0.0, 1.0),
    "power.system_over_device": (1.01, math.inf),  # a host draws something
    "spread": (0.0, 10.0),  # of a logarithm
    "calibration": (0.0, 10.0),
}
"""Beginning of a key -> what its numbers may be; others are not negative where ours are not."""
FARTHEST = 1000.0
"""How many times ours, or what part of it, a number may be: beyond that its unit is another."""
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
    named = key != "" and bool(ours) and all(isinstance(item, Mapping) for item in ours.values())
    faults: list[Fault] = []
    for name, item in value.items():
        if name in ours:
            faults += faults_of(item, ours[name], inside + name)
        elif named and name not in ABOUT:
            faults += faults_of(item, next(iter(ours.values())), inside + name)
        elif name not in ABOUT:
            faults.append((inside + name, "is read by nothing"))
        elif not isinstance(item, str) and not (isinstance(item, list) and all(isinstance(one, str) for one in item)):
            faults.append((inside + name, f"is {kind_of(item)}; it is text"))
    faults += [(inside + name, "is missing") for name in ours if name not in value]
    yield from faults or faults_between(value, key)


def faults_between(table: Mapping[str, Any], key: str) -> Iterator[Fault]:
    """What is wrong between the values of a table that are right by themselves."""
    inside = f"{key}." if key else ""
    for name, names in NAMES_OF.items():
        if name in table and table[name] not in table[names]:
            yield inside + name, f"is `{clipped(table[name])}`; it is one of {names}: {', '.join(map(clipped, table[names]))}"
    for name in table:
        if name.endswith("p10"):
            yield from faults_of_interval(table, name.removesuffix("p10"), key)


def faults_of_interval(table: Mapping[str, Any], before: str, key: str) -> Iterator[Fault]:
    """What is wrong with an interval, `before` in front of p10 and p90: the draws between its points are those of a logarithm."""
    middle = next((name for name in (f"{before}p50", before.rstrip("_"), key) if name in table), None)
    names = [name for name in (f"{before}p10", middle, f"{before}p90") if name is not None and name in table]
    inside = f"{key}." if key else ""
    for low, high in pairwise(names):
        if table[low] > table[high]:
            yield inside + low, f"is {table[low]:g}, above {high}, {table[high]:g}"
        elif table[low] == 0 < table[high] and inside.startswith(MAYBE_NONE):
            yield inside + low, "is 0; it is a number above 0"


def out_of_bounds(value: float, ours: float, key: str) -> str | None:
    """What is wrong with the size of a number; where ours is above zero others are, because a quotient or a logarithm needs it."""
    usual = (0.0 if ours >= 0 else -math.inf, math.inf)
    least, most = next((bounds for beginning, bounds in BOUNDS.items() if key.startswith(beginning)), usual)
    if key.startswith(OPEN):
        least, most = 0.0, math.inf
    above = least == 0 < ours and not key.startswith(MAYBE_NONE)
    if not math.isfinite(value) or not (least < value if above else least <= value) or value > most:
        upper = "" if not math.isfinite(most) else f" and at most {most:g}" if above else f" to {most:g}"
        return f"is {value:g}; it is a number {'above' if above else 'from'} {least:g}{upper}"
    if value and ours and not ours / FARTHEST <= value <= ours * FARTHEST:
        beyond = "above" if value > ours else "below"
        return f"is {value:g}, more than {FARTHEST:g} times {beyond} the built-in {ours:g}: is its unit the same?"
    return None


def kind_of(value: Any) -> str:
    """A value as a message shows it, with what it is."""
    words = {bool: "true or false", str: "text", list: "a list", dict: "a table"}
    return f"`{clipped(value)}`" + (f", {words[type(value)]}" if type(value) in words else "")
