"""What a command returns: data of which every format is a view.

An `Answer` holds its inputs, the `result` that other programs read, tables and charts over it, the lines that say where
each number comes from, and warnings. The renderers in `render/` know answers and nothing else.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

Row = Mapping[str, Any]


class Interval(NamedTuple):
    """10, 50 and 90 % points of what is not known exactly (an 80 % interval and its median)."""

    p10: float
    p50: float
    p90: float

    def scaled(self, factor: float) -> "Interval":
        """The interval of the quantity times a positive factor that is known."""
        return Interval(self.p10 * factor, self.p50 * factor, self.p90 * factor)

    def plus(self, amount: float) -> "Interval":
        """The interval of the quantity and an amount that is known."""
        return Interval(self.p10 + amount, self.p50 + amount, self.p90 + amount)


class Line(NamedTuple):
    """One number and where it comes from.

    key       its path in `result`
    unit      base unit: params, tokens, FLOP, bytes, s, h, usd, Wh, kgCO2e, fraction, nats, ... ("" for a plain number)
    formula   arithmetic of names: + - * / **, parentheses, min max log exp sqrt ceil floor sum; None where nothing is computed
    inputs    a number (or a list, for `sum`) for each name of the formula, in base units
    sources   keys of presets/sources.toml
    standing  exact (a count), published, measured, fitted, estimate, assumed, given
    """

    key: str
    label: str
    value: Any
    unit: str = ""
    formula: str | None = None
    inputs: Mapping[str, Any] | None = None
    sources: Sequence[str] = ()
    standing: str = "exact"
    interval: Interval | None = None


class Column(NamedTuple):
    """A column of a table: the key of each row it shows, its heading and the unit its values are in.

    unit      as in `Line`; `text` for words; `own` where each row names the unit of its value under the key `unit`;
              `hidden` for a column that only CSV shows

    A value may be an Interval: people see `p10 to p90`, CSV has a column for each percentile.
    """

    key: str
    label: str
    unit: str = "text"


class Table(NamedTuple):
    """Rows for people and for CSV. Rows are the very objects of `result`, so that all formats agree."""

    title: str
    columns: Sequence[Column]
    rows: Sequence[Row]
    notes: Sequence[str] = ()
    total: bool = False  # the last row is a total
    detail: bool = False  # shown only where numbers are explained (-v)


class Series(NamedTuple):
    """One line of a chart, or with `low` and `high` also a band around it."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None


class Mark(NamedTuple):
    """A point worth naming in a chart."""

    name: str
    x: float
    y: float


class Axis(NamedTuple):
    """What an axis measures, in base units, and how it is divided."""

    label: str
    unit: str = ""
    log: bool = True


class Chart(NamedTuple):
    """A picture as data; how it is drawn is the renderer's business."""

    title: str
    x: Axis
    y: Axis
    series: Sequence[Series]
    marks: Sequence[Mark] = ()


class Caution(NamedTuple):
    """A warning: its kind (extrapolation, token-stock, influence, estimate, hfu-not-mfu, ...), a sentence, and its numbers."""

    kind: str
    message: str
    details: Mapping[str, Any] = {}


INTERRUPTED = 130
"""The exit code of work that the user stopped."""


class Stream(NamedTuple):
    """The rows of an answer that is too long to be held, as text.

    forms     the formats in which it can be written so
    n_rows    how many rows there are
    header    form -> what stands before the first row
    texts     form and number of rows to pass over -> text of whole rows, block by block, each with its number of rows
    identity  of all that the rows depend on: a file that was begun is continued only by the same rows;
              None: it is written whole or not at all
    """

    forms: Sequence[str]
    n_rows: int
    header: Callable[[str], str]
    texts: Callable[[str, int], Iterator[tuple[str, int]]]
    identity: Callable[[], str] | None

    def text(self, form: str) -> str:
        """All of it."""
        return self.header(form) + "".join(text for text, _ in self.texts(form, 0))


class Answer(NamedTuple):
    """The whole answer of one command.

    command    its name; with `version` the schema `scaleplan.<command>/<version>`
    inputs     what was asked, in base units
    result     the JSON contract of the command
    tables     views of it; the first one is what CSV shows
    lines      one for each number worth explaining
    charts     as they are, or how to make them where only a wish to see them is worth the work
    exit_code  1 only where `check` or `diff` found a limit broken; INTERRUPTED where the user stopped the work and it holds what was done
    files      what `-o NAME.SUFFIX` writes instead of a view, by suffix: ending of each file -> its text, or None for a file
               that must not be left over from before
    presets    name -> digest of the preset files behind the numbers
    appended   file -> format in which the answer is appended to it
    folder     file in a folder that is to be made -> its text, or the pieces of a long one
    text       what people see instead of tables, where the answer is a file itself
    stream     rows that are written as they are computed; `result` computes them when it is read
    """

    command: str
    inputs: Mapping[str, Any]
    result: Mapping[str, Any]
    tables: Sequence[Table]
    lines: Sequence[Line] = ()
    charts: Sequence[Chart] | Callable[[], Sequence[Chart]] = ()
    warnings: Sequence[Caution] = ()
    notes: Sequence[str] = ()
    more_sources: Sequence[str] = ()
    version: int = 1
    exit_code: int = 0
    files: Mapping[str, Mapping[str, str | None]] = {}
    text: str | None = None
    presets: Mapping[str, str] = {}
    appended: Mapping[str, str] = {}
    stream: Stream | None = None
    folder: Mapping[str, str | Iterable[str]] = {}

    @property
    def sources(self) -> list[str]:
        """Citation keys behind the answer, each once, in the order of first use."""
        return unique([source for line in self.lines for source in line.sources] + list(self.more_sources))

    def drawn_charts(self) -> Sequence[Chart]:
        """The charts, made now where they were not yet."""
        return self.charts() if callable(self.charts) else self.charts


def line(
    key: str,
    label: str,
    value: Any,
    unit: str = "",
    formula: str | None = None,
    *,
    sources: Sequence[str] = (),
    standing: str = "exact",
    interval: Interval | None = None,
    **inputs: Any,
) -> Line:
    """A number with the formula that gives it and the inputs of that formula, by keyword."""
    return Line(key, label, value, unit, formula, inputs if formula else None, tuple(sources), standing, interval)


class Drifted(AssertionError):
    """A line whose formula does not give its value: a mistake of ours, never of the user."""


def checked(lines: Sequence[Line]) -> Sequence[Line]:
    """The lines, each formula evaluated; whoever shows lines calls this.

    Raises Drifted where a formula and its value differ by more than 1e-9.
    """
    from scaleplan.arithmetic import evaluate

    for one in lines:
        if one.formula is not None and one.value is not None:
            found = evaluate(one.formula, one.inputs or {})
            if not abs(found - one.value) <= 1e-9 * max(abs(one.value), abs(found)):
                raise Drifted(f"{one.key}: `{one.formula}` is {found!r}, the value is {one.value!r}")
    return lines


def unique(items: Iterable[str]) -> list[str]:
    """Each item once, in the order of first appearance."""
    return list(dict.fromkeys(items))


def quantities(title: str, lines: Sequence[Line], notes: Sequence[str] = ()) -> Table:
    """A table with one row a line: what it is, its value in its own unit, and its interval if any line has one."""
    rows = [{"quantity": line.label, "key": line.key, "value": line.value, "unit": line.unit, "interval": line.interval} for line in lines]
    columns = [Column("key", "", "hidden"), Column("quantity", ""), Column("value", "value", "own")]
    if any(line.interval for line in lines):
        columns.append(Column("interval", "80 % interval", "own"))
    return Table(title, columns, rows, notes)


def intervals(lines: Sequence[Line]) -> dict[str, dict[str, float]] | None:
    """The `intervals` object of a result: the percentiles of each line that has them; None where none has."""
    return {line.key: line.interval._asdict() for line in lines if line.interval} or None
