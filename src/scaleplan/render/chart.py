"""Chart -> letters, for a terminal: series as symbols, bands as dots, marks as capitals, ticks at round numbers."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from scaleplan.answer import Axis, Chart, Series
from scaleplan.render.cells import show_value

SYMBOLS = "*+xo#%@=" + "abcdefghijklmnpqrstuvwyz"
BAND = "."
MARKS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
HEIGHT = 18
MANTISSAS = ((1, 2, 5), (1, 3), (1,))  # of the ticks of a logarithmic axis, densest first
FEWEST_TICKS = 3
MARGIN = 11  # columns left of the frame, for the labels of the vertical axis


class Scale(NamedTuple):
    """Where the values of an axis fall on so many cells."""

    axis: Axis
    low: float
    high: float
    cells: int

    def cell(self, value: float) -> int | None:
        """The cell of a value; None outside the frame."""
        if not math.isfinite(value) or (self.axis.log and value <= 0):
            return None
        low, high, here = (self.place(v) for v in (self.low, self.high, value))
        position = round((here - low) / (high - low) * (self.cells - 1)) if high > low else 0
        return position if 0 <= position < self.cells else None

    def place(self, value: float) -> float:
        return math.log10(value) if self.axis.log else value

    def ticks(self, most: int) -> list[float]:
        """Round values inside the frame, at most so many."""
        return rounded(self.low, self.high, most, log=self.axis.log)


def draw(chart: Chart, width: int = 80, height: int = HEIGHT) -> str:
    """The chart in at most `width` columns, its legend below."""
    x, y = scale_of(chart.x, [s.x for s in chart.series], width - MARGIN - 1), scale_of(chart.y, shown_heights(chart), height)
    cells = [[" "] * x.cells for _ in range(y.cells)]
    for series in chart.series:
        fill(cells, series, x, y)
    for symbol, series in zip(SYMBOLS * len(chart.series), chart.series, strict=False):
        for point in points(series, x):
            put(cells, x.cell(point[0]), y.cell(point[1]), symbol)
    for letter, mark in zip(MARKS, chart.marks, strict=False):
        put(cells, x.cell(mark.x), y.cell(mark.y), letter)
    return "\n".join([chart.title, *framed(cells, x, y), *legend(chart)]) + "\n"


def shown_heights(chart: Chart) -> list[Sequence[float]]:
    """Every height that is drawn."""
    heights = [part for s in chart.series for part in (s.y, s.low, s.high) if part is not None]
    return [*heights, [mark.y for mark in chart.marks]]


def scale_of(axis: Axis, values: Sequence[Sequence[float]], cells: int) -> Scale:
    """The range of all values, so that each falls inside."""
    known = [v for part in values for v in part if math.isfinite(v) and (v > 0 or not axis.log)]
    low, high = (min(known), max(known)) if known else (1.0, 10.0)
    if low == high:
        low, high = (low / 2, high * 2) if axis.log else (low - 1, high + 1)
    return Scale(axis, low, high, max(cells, 10))


def points(series: Series, x: Scale) -> Iterator[tuple[float, float]]:
    """The points of a series and, between neighbours, one for each column, so that a line has no gaps."""
    pairs = list(zip(series.x, series.y, strict=True))
    yield from pairs
    for (x0, y0), (x1, y1) in pairwise(pairs):
        start, end = x.cell(x0), x.cell(x1)
        steps = abs(end - start) if start is not None and end is not None else 0
        for i in range(1, steps):
            share = i / steps
            if x.axis.log:
                yield x0 * (x1 / x0) ** share, y0 * (y1 / y0) ** share if y0 > 0 and y1 > 0 else y0 + (y1 - y0) * share
            else:
                yield x0 + (x1 - x0) * share, y0 + (y1 - y0) * share


def fill(cells: list[list[str]], series: Series, x: Scale, y: Scale) -> None:
    """The band of a series."""
    if series.low is None or series.high is None:
        return
    low = dict(found_columns(points(series._replace(y=series.low), x), x))
    high = dict(found_columns(points(series._replace(y=series.high), x), x))
    for column in low.keys() & high.keys():
        bottom, top = y.cell(low[column]), y.cell(high[column])
        for row in range(bottom or 0, (top if top is not None else y.cells - 1) + 1):
            put(cells, column, row, BAND)


def found_columns(pairs: Iterator[tuple[float, float]], x: Scale) -> Iterator[tuple[int, float]]:
    for px, py in pairs:
        column = x.cell(px)
        if column is not None:
            yield column, py


def put(cells: list[list[str]], column: int | None, row: int | None, symbol: str) -> None:
    if column is not None and row is not None:
        cells[len(cells) - 1 - row][column] = symbol


def framed(cells: list[list[str]], x: Scale, y: Scale) -> list[str]:
    """Rows with the labels of the vertical axis, then the horizontal axis and its labels."""
    labels = {y.cells - 1 - (y.cell(tick) or 0): tick_label(tick, y.axis.unit) for tick in y.ticks(6)}
    rows = [f"{labels.get(i, ''):>{MARGIN - 2}} |{''.join(row)}".rstrip() for i, row in enumerate(cells)]
    line, words = ["-"] * x.cells, [" "] * (x.cells + MARGIN)
    for tick in x.ticks(5):
        column, label = x.cell(tick) or 0, tick_label(tick, x.axis.unit)
        line[column] = "+"
        start = max(0, min(column + MARGIN - len(label) // 2, x.cells + MARGIN - len(label)))
        if all(c == " " for c in words[max(0, start - 1) : start + len(label) + 1]):
            words[start : start + len(label)] = label
    return [y.axis.label, *rows, " " * (MARGIN - 1) + "+" + "".join(line), "".join(words).rstrip(), f"{x.axis.label:>{x.cells + MARGIN}}"]


def legend(chart: Chart) -> list[str]:
    """Which symbol is which series, and where the marks are."""
    found = [f"  {symbol} {series.name}" for symbol, series in zip(SYMBOLS * len(chart.series), chart.series, strict=False)]
    if any(series.low is not None for series in chart.series):
        found.append(f"  {BAND} 80 % interval")
    places = [f"{show_value(m.x, chart.x.unit)}, {show_value(m.y, chart.y.unit)}" for m in chart.marks]
    return found + [f"  {letter} {m.name}: {place}" for letter, m, place in zip(MARKS, chart.marks, places, strict=False)]


def tick_label(value: float, unit: str) -> str:
    """A round number without the zeros that say nothing: 4M, 1 ZFLOP."""
    return re.sub(r"(\.\d*?)0+(?!\d)", lambda found: found[1].rstrip("."), show_value(value, unit))


def rounded(low: float, high: float, most: int, *, log: bool) -> list[float]:
    """Round values between two, at most so many: evenly spaced, or on a logarithmic axis 1, 2, 5 times powers of ten."""
    if log:
        for mantissas in MANTISSAS:
            ticks = [m * 10.0**power for power in powers_of_ten(low, high) for m in mantissas if inside(m * 10.0**power, low, high)]
            if FEWEST_TICKS <= len(ticks) <= most:
                return ticks
        whole = [10.0**power for power in powers_of_ten(low, high) if inside(10.0**power, low, high)]
        if len(whole) > most:
            return whole[:: math.ceil(len(whole) / most)]
    size = 10 ** math.floor(math.log10((high - low) / most))
    step = next(s * size for s in (1, 2, 5, 10, 20) if (high - low) / (s * size) <= most)
    first = math.ceil(low / step - 1e-9)
    return [i * step for i in range(first, math.floor(high / step + 1e-9) + 1)]


def powers_of_ten(low: float, high: float) -> range:
    """Exponents of the decades that two values span."""
    return range(math.floor(math.log10(low)), math.floor(math.log10(high)) + 1)


def inside(value: float, low: float, high: float) -> bool:
    """Whether a tick falls between two values, or on one of them but for rounding."""
    return low * (1 - 1e-9) <= value <= high * (1 + 1e-9)
