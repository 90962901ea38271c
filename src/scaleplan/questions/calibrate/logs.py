"""Seconds of a step and peak bytes from the logs that training programs write: the median of their rows.

CSV and JSON lines with `step_s` and `peak_bytes`, or with the names that Weights & Biases exports and torchtitan's metrics have; the
standard output of Megatron-LM and of torchtitan.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterator, Mapping
from statistics import median
from typing import Any, NamedTuple

from scaleplan import library
from scaleplan.errors import InputError, clipped

STEP_COLUMNS = {
    "step_s": 1.0,
    "step_time": 1.0,
    "step_time_s": 1.0,
    "iteration-time": 1.0,  # Megatron-LM to Weights & Biases
    "iteration_time": 1.0,
    "time_metrics/end_to_end(s)": 1.0,  # torchtitan
    "perf/step_time": 1.0,
    "train/step_time": 1.0,
    "step_time_ms": 1e-3,
    "elapsed time per iteration (ms)": 1e-3,
}
"""Heading -> seconds of its unit."""
GIB = 2**30
PEAK_COLUMNS = {
    "peak_bytes": 1.0,
    "memory/max_reserved(GiB)": GIB,
    "memory/max_active(GiB)": GIB,
    "max-reserved-bytes": 1.0,
    "mem-max-allocated-bytes": 1.0,
}
"""Heading -> bytes of its unit."""
EXACT = ("step_s", "peak_bytes")
"""Headings of our own: a cell without a number is a fault. Exports of others have rows in which a quantity was not logged."""
MEGATRON = re.compile(r"iteration\s+\d+\s*/\s*\d+.*?elapsed time per iteration \(ms\):\s*([^\s|]+)")
MEGATRON_PEAK = re.compile(r"memory \(MB\).*?max (?:reserved|allocated):\s*([^\s|]+)(?:.*max reserved:\s*([^\s|]+))?")
TITAN = re.compile(r"step:\s*\d+\s.*?loss:.*?tps:\s*([\d,.]+)")
TITAN_PEAK = re.compile(r"memory:\s*([\d.]+)GiB")
MIB = 2**20  # what Megatron-LM calls MB
ANSI = re.compile(r"\x1b\[[0-9;]*m")


class Measured(NamedTuple):
    """Medians of a log.

    n_rows  steps that it has
    """

    step_s: float
    peak_bytes: float | None
    n_rows: int


class Rows(NamedTuple):
    """What the rows of a log say."""

    steps: list[float]
    peaks: list[float]


def measured_of(text: str, name: str, tokens_per_device: float | None) -> Measured:
    """The medians of a log.

    name               of the file, for messages
    tokens_per_device  of a step over the devices: torchtitan prints tokens a second of a device
    Raises InputError that names the line of what cannot be read.
    """
    lines = ANSI.sub("", text).splitlines()
    rows = rows_of(lines, name, tokens_per_device)
    if not rows.steps:
        raise InputError("no step time: no column `step_s`, and no line of a known log", hint=KNOWN, file=name)
    return Measured(median(rows.steps), median(rows.peaks) if rows.peaks else None, len(rows.steps))


KNOWN = "CSV or JSON lines with step_s (and peak_bytes), a Weights & Biases export, or what Megatron-LM or torchtitan prints"


def rows_of(lines: list[str], name: str, tokens_per_device: float | None) -> Rows:
    """The rows of a log of any known kind."""
    if any(MEGATRON.search(line) for line in lines):
        return megatron_rows(lines, name)
    if any(TITAN.search(line) for line in lines):
        return titan_rows(lines, name, tokens_per_device)
    first = next((line for line in lines if line.strip()), "")
    return table_rows(json_rows(lines, name) if first.lstrip().startswith("{") else csv_rows(lines), name)


# -------------------------------------------------------------------------------------------------------------- printed lines


def megatron_rows(lines: list[str], name: str) -> Rows:
    """Megatron-LM's standard output: milliseconds of iterations, MiB of the fullest moment."""
    rows = Rows([], [])
    for number, line in enumerate(lines, 1):
        if found := MEGATRON.search(line):
            rows.steps.append(1e-3 * number_of(found[1], name, number))
        elif found := MEGATRON_PEAK.search(line):
            rows.peaks.append(MIB * number_of(found[2] or found[1], name, number))
    return rows


def titan_rows(lines: list[str], name: str, tokens_per_device: float | None) -> Rows:
    """torchtitan's standard output: tokens a second of a device, GiB of reserved memory."""
    if tokens_per_device is None:
        raise InputError("tokens a second say how long a step is only with its batch", hint="give the plan a batch size", file=name)
    rows = Rows([], [])
    for number, line in enumerate(lines, 1):
        if found := TITAN.search(line):
            rows.steps.append(tokens_per_device / number_of(found[1].replace(",", ""), name, number))
            if peak := TITAN_PEAK.search(line):
                rows.peaks.append(GIB * number_of(peak[1], name, number))
    return rows


# --------------------------------------------------------------------------------------------------------------------- tables


def csv_rows(lines: list[str]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Line and cells of each row."""
    reader = csv.DictReader(lines)
    for row in reader:
        yield reader.line_num, {heading_of(key): value for key, value in row.items() if isinstance(key, str)}


def json_rows(lines: list[str], name: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Line and values of each object."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        row = library.parse_json(line, name, line=number)
        if not isinstance(row, dict):
            raise InputError(f"`{clipped(line)}` is not an object", file=name, line=number)
        yield number, row


def heading_of(text: str) -> str:
    """A heading without the name of the run, which Weights & Biases puts before ` - `."""
    return text.strip().rpartition(" - ")[2]


def table_rows(rows: Iterator[tuple[int, Mapping[str, Any]]], name: str) -> Rows:
    """Steps and peaks of the columns that are known."""
    found = Rows([], [])
    any_row = False
    for number, row in rows:
        any_row = True
        found.steps.extend(cells_of(row, STEP_COLUMNS, name, number))
        found.peaks.extend(cells_of(row, PEAK_COLUMNS, name, number))
    if any_row and not found.steps:
        raise InputError("no column `step_s`", hint=KNOWN, file=name)
    return found


def cells_of(row: Mapping[str, Any], columns: Mapping[str, float], name: str, number: int) -> Iterator[float]:
    """The number of the first known column of a row, in base units."""
    heading = next((one for one in columns if one in row), None)
    if heading is None:
        return
    cell = row[heading]
    if heading not in EXACT and (cell is None or not str(cell).strip()):
        return
    yield columns[heading] * number_of(cell, name, number)


def number_of(cell: Any, name: str, line: int) -> float:
    """A number above zero; the fault names its line."""
    try:
        value = float(cell)
    except (TypeError, ValueError):
        value = math.nan
    if not (value > 0 and math.isfinite(value)):
        raise InputError(f"`{clipped(cell)}` is not a number above zero", file=name, line=line)
    return value
