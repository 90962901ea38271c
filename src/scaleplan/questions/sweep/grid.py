"""The points of a sweep: axes of values, numbered so that the last axis varies fastest, and cut into blocks.

Blocks lie at the same points whatever part of a sweep is computed, so that the parts joined are the whole byte for byte.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from scaleplan.errors import InputError, UsageError, clipped, near_names
from scaleplan.questions.fields import Field, field_named, read
from scaleplan.ranges import values_of
from scaleplan.wording import field

BLOCK_POINTS = 1 << 16  # of a block of arrays: enough to keep numpy busy, few enough to hold the text of their rows


class Axis(NamedTuple):
    """One swept field.

    column  its name as it was given, the heading of its column
    field   the field that it sets
    values  in base units
    """

    column: str
    field: Field
    values: tuple[Any, ...]


class Block(NamedTuple):
    """A run of points: one value of each outer axis, a few of the next, all of the inner ones.

    start, stop  points, numbered over the whole grid
    spans        first and last place + 1 on each axis
    """

    start: int
    stop: int
    spans: tuple[tuple[int, int], ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Points along each axis."""
        return tuple(high - low for low, high in self.spans)


class Grid(NamedTuple):
    """Every combination of the values of the axes."""

    axes: tuple[Axis, ...]

    @property
    def n_points(self) -> int:
        """How many combinations there are."""
        return math.prod(len(axis.values) for axis in self.axes)

    def places(self, point: int) -> tuple[int, ...]:
        """The place on each axis of a point."""
        found = []
        for axis in reversed(self.axes):
            point, place = divmod(point, len(axis.values))
            found.append(place)
        return tuple(reversed(found))

    def values(self, point: int) -> tuple[Any, ...]:
        """The value of each axis at a point."""
        return tuple(axis.values[place] for axis, place in zip(self.axes, self.places(point), strict=True))

    def blocks(self, start: int, stop: int) -> Iterator[Block]:
        """The blocks that hold these points, the first and the last perhaps with others."""
        sizes = [len(axis.values) for axis in self.axes]
        split = len(sizes) - 1
        while split > 0 and math.prod(sizes[split:]) < BLOCK_POINTS:
            split -= 1
        inner = math.prod(sizes[split + 1 :])
        most = max(1, BLOCK_POINTS // inner)
        per_slab = inner * sizes[split]
        point = start
        while point < stop:
            outer, within = divmod(point, per_slab)
            low = within // inner // most * most
            high = min(low + most, sizes[split])
            first = outer * per_slab + low * inner
            places = self.places(first)
            spans = [(place, place + 1) for place in places[:split]] + [(low, high)] + [(0, size) for size in sizes[split + 1 :]]
            yield Block(first, first + (high - low) * inner, tuple(spans))
            point = first + (high - low) * inner


def grid_of(over: tuple[str, ...], known: dict[str, Field]) -> Grid:
    """The grid of `key=range` texts.

    known  name or dotted key -> field that may be swept
    """
    axes = [axis_of(text, known) for text in over]
    names = [axis.field.name for axis in axes]
    for place, name in enumerate(names):
        if name in names[:place]:
            raise UsageError(f"{field('over')} {name} is given twice", hint="give all of its values at once: a,b,c")
    return Grid(tuple(axes))


def axis_of(text: str, known: dict[str, Field]) -> Axis:
    """One axis of `key=range`."""
    column, equals, values = text.partition("=")
    column = column.strip()
    if not equals or not values.strip():
        raise InputError(f"{field('over')}: `{clipped(text)}` is not of the form key=values", hint="for example tokens=1e11:1e13:log:50")
    if column not in known:
        near = near_names(column, list(known), 1)
        raise InputError(
            f"{field('over')}: no field `{clipped(column)}` to sweep",
            hint=f"did you mean `{near[0]}`?" if near else "`-h` lists the fields",
        )
    found = known[column]
    try:
        read_values = values_in(values.strip(), lambda one: read(found._replace(kind="value"), one))
    except InputError as error:
        error.message = f"{field('over')} {clipped(column)}: {error.message}"
        raise
    if not read_values:
        raise InputError(f"{field('over')}: `{clipped(text)}` has no values", hint="for example n_devices=64,128,256")
    return Axis(column, found, tuple(read_values))


def values_in(text: str, read_one: Callable[[str], Any]) -> list[Any]:
    """A range, values with commas between them, or with semicolons where a value has commas itself: `tp8,pp2;tp4,pp4`."""
    if ";" in text:
        return [read_one(one.strip()) for one in text.split(";") if one.strip()]
    return values_of(text, read_one)


def part_of(n_points: int, part: tuple[int, int] | None) -> tuple[int, int]:
    """First point and last + 1 of a part, `k` of `n`; parts differ by one point at most."""
    if part is None:
        return 0, n_points
    k, n = part
    return n_points * (k - 1) // n, n_points * k // n


def words_of(word: Field) -> list[str]:
    """The names under which a field may be swept: its own, and the dotted key of plan files."""
    return [word.name, *([word.key] if word.key and word.key != word.name else [])]


def known_fields(names: list[str]) -> dict[str, Field]:
    """Name or dotted key -> field."""
    fields = [field_named(name) for name in names]
    return {word: one for one in fields for word in words_of(one)}
