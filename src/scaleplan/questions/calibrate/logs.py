"""Seconds of a step and peak bytes from the logs that training programs write: the median of the rows of each setting.

CSV and JSON lines with `step_s` and `peak_bytes`, or with the names that Weights & Biases exports and torchtitan's metrics have; the
standard output of Megatron-LM (and of what is built on it: Megatron-DeepSpeed, Megatron-Bridge, NeMo) and of torchtitan. A file is read
line by line; of very many steps evenly some are kept.
"""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from statistics import median
from typing import Any, NamedTuple

from scaleplan.errors import InputError, clipped
from scaleplan.questions.calibrate.settings import setting_key

STEP_COLUMNS = {
    "step_s": 1.0,
    "step_time": 1.0,
    "step_time_s": 1.0,
    "iteration-time": 1.0,  # Megatron-LM to Weights & Biases
    "iteration_time": 1.0,
    "time_metrics/end_to_end(s)": 1.0,  # torchtitan
    "perf/step_time": 1.0,
    "train/step_time": 1.0,
    "train_step_timing in s": 1.0,  # NeMo
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
    "peak_memory_usage": 1.0,  # NeMo
}
"""Heading -> bytes of its unit."""
EXACT = ("step_s", "peak_bytes")
"""Headings of our own: a cell without a number is a fault. Exports of others have rows in which a quantity was not logged."""
NOT_LOGGED = ("", "nan", "null", "none", "n/a")
ITERATION = r"iteration\s+\d+\s*/\s*\d+.*?"
MEGATRON = re.compile(ITERATION + r"elapsed time per iteration \((m?s)\):\s*([^\s|]+)")
NEMO = re.compile(ITERATION + r"train_step_timing in (s):\s*([^\s|]+)")
NEMO_PEAK = re.compile(r"peak_memory_usage:\s*(\d+)")
MEGATRON_PEAK = re.compile(r"memory \(MB\).*?max (?:reserved|allocated):\s*([^\s|]+)(?:.*max reserved:\s*([^\s|]+))?")
TITAN = re.compile(r"step:\s*\d+\s.*?loss:.*?(?:tps|wps):\s*([\d,.]+)")
TITAN_PEAK = re.compile(r"memory:\s*([\d.]+)GiB")
MIB = 2**20  # what Megatron-LM calls MB
SECONDS = {"s": 1.0, "ms": 1e-3}
ANSI = re.compile(r"\x1b\[[0-9;]*m")
MOST_KEPT = 1 << 16  # of the steps of one setting


class Measured(NamedTuple):
    """Medians of the rows of a log that ran alike.

    settings  `key=value` texts of plan keys that the rows themselves name
    n_rows    steps that it has
    """

    step_s: float
    peak_bytes: float | None
    n_rows: int
    settings: tuple[str, ...] = ()


class Sample:
    """Numbers of which evenly some are kept: every one, then every second, every fourth, ..."""

    def __init__(self) -> None:
        self.kept: list[float] = []
        self.stride, self.seen = 1, 0

    def add(self, value: float) -> None:
        """One more number."""
        if self.seen % self.stride == 0:
            self.kept.append(value)
        self.seen += 1
        if len(self.kept) > MOST_KEPT:
            self.kept, self.stride = self.kept[::2], 2 * self.stride


class Rows:
    """Steps and peaks of each setting."""

    def __init__(self) -> None:
        self.steps: dict[tuple[str, ...], Sample] = {}
        self.peaks: dict[tuple[str, ...], Sample] = {}

    def add(self, step_s: float | None, peak_bytes: float | None, settings: tuple[str, ...] = ()) -> None:
        """What one line says."""
        for samples, value in ((self.steps, step_s), (self.peaks, peak_bytes)):
            if value is not None:
                samples.setdefault(settings, Sample()).add(value)

    def medians(self) -> list[Measured]:
        """Of each setting, in the order in which they came."""
        return [
            Measured(median(steps.kept), median(self.peaks[key].kept) if key in self.peaks else None, steps.seen, key)
            for key, steps in self.steps.items()
        ]


KNOWN = "CSV or JSON lines with step_s (and peak_bytes), a Weights & Biases export, or what Megatron-LM or torchtitan prints"


def measured_of(lines: Iterable[str], name: str, tokens_per_device: float | None) -> list[Measured]:
    """The medians of a log.

    name               of the file, for messages
    tokens_per_device  of a step over the devices: torchtitan prints tokens a second of a device
    Raises InputError that names the line of what cannot be read.
    """
    plain = enumerate((ANSI.sub("", line) for line in lines), 1)
    first = next(((number, line) for number, line in plain if line.strip()), None)
    if first is None:
        raise InputError("is empty: no step time", hint=KNOWN, file=name)
    numbered = chain([first], plain)
    if is_json(first[1]):
        rows = table_rows(json_rows(numbered, name), name)
    elif (separator := separator_of(first[1])) is not None:
        rows = table_rows(csv_rows(numbered, separator, name), name)
    else:
        rows = printed_rows(numbered, name, tokens_per_device)
    if not rows.steps:
        raise InputError("no step time: no column `step_s`, and no line of a known log", hint=KNOWN, file=name)
    return rows.medians()


# -------------------------------------------------------------------------------------------------------------- printed lines


def printed_rows(lines: Iterable[tuple[int, str]], name: str, tokens_per_device: float | None) -> Rows:
    """What a program printed: lines that say a step's time or memory, among others."""
    rows = Rows()
    for number, line in lines:
        if found := MEGATRON.search(line) or NEMO.search(line):
            peak = NEMO_PEAK.search(line)
            rows.add(SECONDS[found[1]] * number_of(found[2], name, number), float(peak[1]) if peak else None)
        elif found := MEGATRON_PEAK.search(line):
            rows.add(None, MIB * number_of(found[2] or found[1], name, number))
        elif found := TITAN.search(line):
            peak = TITAN_PEAK.search(line)
            rate = number_of(found[1].replace(",", ""), name, number)
            rows.add(seconds_at(rate, tokens_per_device, name), (GIB * float(peak[1]) or None) if peak else None)
    return rows


def seconds_at(tokens_per_s: float, tokens_per_device: float | None, name: str) -> float:
    """Seconds of a step at a rate of one device."""
    if tokens_per_device is None:
        raise InputError("tokens a second say how long a step is only with its batch", hint="give the plan a batch size", file=name)
    return tokens_per_device / tokens_per_s


# --------------------------------------------------------------------------------------------------------------------- tables


def is_json(line: str) -> bool:
    """Whether a line is an object."""
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def separator_of(heading: str) -> str | None:
    """What separates the columns of a table, by its first line; None where it is not the heading of one with a known column."""
    for separator in ",;\t":
        try:
            cells = next(csv.reader([heading.lstrip("\ufeff")], delimiter=separator), [])
        except csv.Error:
            return None
        if any(heading_of(cell) in STEP_COLUMNS for cell in cells):
            return separator
    return None


def csv_rows(lines: Iterable[tuple[int, str]], separator: str, name: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Line and cells of each row."""
    numbers: list[int] = []

    def texts() -> Iterator[str]:
        for number, line in lines:
            numbers[:] = [number]
            yield line.lstrip("\ufeff") if number == 1 else line

    try:
        for row in csv.DictReader(texts(), delimiter=separator):
            yield numbers[0], {heading_of(key): value for key, value in row.items() if isinstance(key, str)}
    except csv.Error as error:
        raise InputError(f"line {numbers[0]}: {error}", file=name) from None


def json_rows(lines: Iterable[tuple[int, str]], name: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Line and values of each object."""
    for number, line in lines:
        if not line.strip():
            continue
        try:
            row = json.loads(line)  # others write NaN for what was not logged
        except (ValueError, RecursionError):
            raise InputError(f"line {number}: `{clipped(line.strip())}` is not JSON", file=name) from None
        if not isinstance(row, dict):
            raise InputError(f"line {number}: `{clipped(line.strip())}` is not an object", file=name)
        yield number, row


def heading_of(text: str) -> str:
    """A heading without the name of the run, which Weights & Biases puts before ` - `."""
    return text.strip().rpartition(" - ")[2]


def table_rows(rows: Iterator[tuple[int, Mapping[str, Any]]], name: str) -> Rows:
    """Steps and peaks of the columns that are known, by what the plan keys among the columns say."""
    found = Rows()
    for number, row in rows:
        step_s, peak_bytes = (cell_of(row, columns, name, number) for columns in (STEP_COLUMNS, PEAK_COLUMNS))
        found.add(step_s, peak_bytes, settings_of(row))
    return found


def settings_of(row: Mapping[str, Any]) -> tuple[str, ...]:
    """The plan keys that a row names, with their values."""
    told = {key: row[heading] for heading in row if (key := setting_key(heading)) is not None}
    return tuple(f"{key}={value}" for key, value in told.items() if not not_logged(value))


def not_logged(cell: Any) -> bool:
    """Whether a cell says nothing."""
    return cell is None or str(cell).strip().lower() in NOT_LOGGED


def cell_of(row: Mapping[str, Any], columns: Mapping[str, float], name: str, number: int) -> float | None:
    """The number of the first known column of a row, in base units; None where it was not logged."""
    heading = next((one for one in columns if one in row), None)
    if heading is None or (heading not in EXACT and not_logged(row[heading])):
        return None
    return columns[heading] * number_of(row[heading], name, number)


def number_of(cell: Any, name: str, line: int) -> float:
    """A number above zero; the fault names its line."""
    try:
        value = float(cell)
    except (TypeError, ValueError):
        value = math.nan
    if not (value > 0 and math.isfinite(value)):
        raise InputError(f"line {line}: `{clipped(cell)}` is not a number above zero", file=name)
    return value
