"""A table of training runs, as people and tracking tools export it -> columns of numbers in base units.

CSV with commas, semicolons or tabs, JSON lines or a JSON list. Columns are found by name, or named by the user. Nothing is
dropped silently: a row that cannot be used is an error that names its line (the header is line 1).
"""

from __future__ import annotations

import csv
import hashlib
import io
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from scaleplan import library, units
from scaleplan.errors import InputError, ScaleplanError, UnknownName, UsageError, clipped, raise_all

MOST_ERRORS = 10  # shown at once
MOST_COLUMNS = 2000

Cells = Mapping[str, Any]


class Quantity(NamedTuple):
    """What a column may hold: other names for it, the least value that is not a mistake of units, and the most that is conceivable.

    zero   zero is a value like others
    label  any text: which of several things a row belongs to
    """

    aliases: tuple[str, ...]
    least: float = 0.0
    unit_hint: str = ""
    most: float = 1e20
    most_hint: str | None = None
    zero: bool = False
    label: bool = False


QUANTITIES = {
    "n_params": Quantity(
        (
            "params",
            "parameters",
            "n_parameters",
            "num_params",
            "model_size",
            "model_params",
            "n",
            "non_embedding_params",
            "n_non_embedding_params",
        ),
        100,
        "if it is in millions, add `--unit n_params=1e6`",
    ),
    "n_tokens": Quantity(
        ("tokens", "training_tokens", "train_tokens", "num_tokens", "tokens_seen", "n_train_tokens", "d"),
        1000,
        "if it is in billions, add `--unit n_tokens=1e9`",
    ),
    "loss": Quantity(
        ("loss_nats", "final_loss", "val_loss", "validation_loss", "eval_loss", "test_loss", "train_loss"),
        most=30,  # above twice that of guessing among all tokens of any vocabulary
        most_hint="a loss is in nats per token; if it is a perplexity, take its logarithm",
    ),
    "compute_flops": Quantity(
        ("flops", "flop", "compute", "training_flop", "training_flops", "train_flops", "c"),
        1e6,
        "if it is in PF-days, add `--unit compute_flops=8.64e19`",
        most=1e35,
    ),
    "n_steps": Quantity(("steps", "num_steps", "training_steps")),
    "unique_tokens": Quantity(("n_unique_tokens",), 1000),
    "n_experts": Quantity(("experts", "num_experts")),
    "granularity": Quantity(()),
    "active_fraction": Quantity(()),
}
"""Columns that some form uses. Loss in nats per token; the rest are counts."""
LADDER = {
    "n_params": QUANTITIES["n_params"],
    "n_tokens": QUANTITIES["n_tokens"],
    "task_loss": Quantity(
        ("task_bpb", "correct_bpb", "bits_per_byte", "bpb", "correct_nll", "nll", "loss", *QUANTITIES["loss"].aliases), most=30
    ),
    "accuracy": Quantity(
        ("acc", "score", "task_accuracy", "exact_match", "pass_at_1"),
        most=1.0,
        most_hint="an accuracy is a fraction; of per cents, say `--unit accuracy=0.01`",
        zero=True,
    ),
    "run": Quantity(("run_id", "run_name", "name", "model"), label=True),
}
"""Columns of a ladder of models: the loss and the accuracy of one task, and which run a checkpoint is of."""


class Wanted(NamedTuple):
    """The columns that a table may have, and those that it must."""

    quantities: Mapping[str, Quantity]
    needed: tuple[str, ...]


RUNS = Wanted(QUANTITIES, ("loss",))
LADDER_RUNS = Wanted(LADDER, ("n_params", "n_tokens", "task_loss", "accuracy"))


class RunTable(NamedTuple):
    """The runs of a file.

    columns   quantity -> an array of its value in each run, in base units; `loss` is one of them
    headings  quantity -> the heading of the column it was read from
    lines     the line of each run in the file
    digest    sha256 of the file
    """

    columns: Mapping[str, Any]
    headings: Mapping[str, str]
    lines: Sequence[int]
    digest: str
    file: str

    @property
    def n_rows(self) -> int:
        return len(self.lines)


def read_runs(path: str, wanted: Mapping[str, str], scales: Mapping[str, float], kind: Wanted = RUNS) -> RunTable:
    """Read a table of runs.

    wanted  quantity -> heading, for columns that are not named as usual
    scales  quantity -> what its values are to be multiplied with
    kind    which columns it may and must have
    """
    import numpy as np

    file = "standard input" if path == "-" else path
    data = library.read_bytes(path)
    try:
        headings, rows = opened(text_of(data))
        found = chosen(headings, wanted, kind)
        for name in scales:
            if name not in found:
                raise UsageError(f"--unit: there is no column for `{clipped(name)}`", hint=f"columns that were found: {', '.join(found)}")
        values, lines = collected(rows, found, scales, kind.quantities, file)
    except ScaleplanError as error:
        raise error.located(file) from None
    if not lines:
        raise InputError("holds a heading and no runs", file=file)
    return RunTable({name: np.array(column) for name, column in values.items()}, found, lines, hashlib.sha256(data).hexdigest(), file)


def text_of(data: bytes) -> str:
    """The text of a table, in UTF-8 with or without a byte-order mark."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise InputError("is text in UTF-16", hint="save it as UTF-8")
    return library.decoded(data, "")


USUAL_HEADING = "n_params,n_tokens,loss"


def opened(text: str, heading: str = USUAL_HEADING) -> tuple[list[str], Iterator[tuple[int, Cells]]]:
    """The headings, and the rows with their line numbers; `heading` is what a table without one is told to begin with."""
    start = text.lstrip()[:1]
    if start == "[":
        return json_list(text)
    return json_lines(text) if start == "{" else delimited(text, heading)


def delimited(text: str, usual: str = USUAL_HEADING) -> tuple[list[str], Iterator[tuple[int, Cells]]]:
    """A table with a heading; the delimiter is the one that the heading holds most of."""
    heading = next((line for line in text.splitlines() if line.strip()), "")
    delimiter = max("\t;,", key=heading.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    names = [name.strip() for name in next((row for row in guarded(reader) if any(cell.strip() for cell in row)), [])]
    if len(names) > MOST_COLUMNS:
        raise InputError(f"has {len(names)} columns")
    if all(as_number(name) is not None for name in names):
        raise InputError(
            f"begins with numbers (`{clipped(heading)}`), not with a heading",
            line=1,
            hint=f"its first line must name the columns: {usual}",
        )

    def rows() -> Iterator[tuple[int, Cells]]:
        for row in guarded(reader):
            if not any(cell.strip() for cell in row):
                continue
            if len(row) != len(names):
                yield reader.line_num, {"": f"{len(row)} cells where the heading has {len(names)}"}
            else:
                yield reader.line_num, dict(zip(names, row, strict=True))

    repeated = [name for name in names if names.count(name) > 1]
    return (names + repeated[:1] if repeated else names), rows()


def guarded(reader: Any) -> Iterator[list[str]]:
    """The rows of a CSV reader; its complaints as ours."""
    while True:
        try:
            yield next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise InputError(f"is not a table: {error}", line=reader.line_num) from None


def json_lines(text: str) -> tuple[list[str], Iterator[tuple[int, Cells]]]:
    """One JSON object a line."""
    objects = [(number, parsed(line, number)) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    return headings_of(objects), iter(objects)


def json_list(text: str) -> tuple[list[str], Iterator[tuple[int, Cells]]]:
    """A list of JSON objects; their positions stand for lines."""
    whole = parsed(text, 1, list)
    objects = [
        (position, item if isinstance(item, dict) else {"": f"`{clipped(item)}` is not an object"})
        for position, item in enumerate(whole, 1)
    ]
    return headings_of(objects), iter(objects)


def parsed(text: str, line: int, kind: type = dict) -> Any:
    """JSON text of one kind."""
    value = library.parse_json(text, line=line)
    if not isinstance(value, kind):
        raise InputError(f"`{clipped(text)}` is not a JSON {'object' if kind is dict else 'list'}", line=line)
    return value


def headings_of(objects: Sequence[tuple[int, Cells]]) -> list[str]:
    """Every key that some object has."""
    return list(dict.fromkeys(key for _, cells in objects for key in cells if key))


def chosen(headings: Sequence[str], wanted: Mapping[str, str], kind: Wanted) -> dict[str, str]:
    """Quantity -> the heading of its column: the one the user named, one of that very name, else the one that is called alike."""
    for quantity, heading in wanted.items():
        if quantity not in kind.quantities:
            raise UnknownName("quantity", quantity, kind.quantities)
        if heading not in headings:
            raise UnknownName("column", heading, headings)
    taken = set(wanted.values())
    found = {name: wanted.get(name) or named_alike(name, one.aliases, headings, taken) for name, one in kind.quantities.items()}
    known = {quantity: heading for quantity, heading in found.items() if heading}
    for heading in known.values():
        if headings.count(heading) > 1:
            raise InputError(f"has two columns named `{heading}`", hint="rename one of them")
    for name in kind.needed:
        if name not in known:
            shown = ", ".join(map(clipped, headings[:24]))
            raise InputError(f"has no column `{name}`", hint=f"its columns are {shown}; name the one with `--column {name}=...`")
    return known


def named_alike(quantity: str, aliases: Sequence[str], headings: Sequence[str], taken: set[str]) -> str | None:
    """The heading that means a quantity, if there is one; several are refused."""
    simple = {heading: re.sub(r"[^a-z0-9]+", "_", heading.lower()).strip("_") for heading in headings if heading not in taken}
    for names in ((quantity,), aliases):
        matches = [heading for heading, name in simple.items() if name in names]
        if len(matches) > 1:
            raise InputError(
                f"columns {' and '.join(f'`{clipped(m)}`' for m in matches)} could both be `{quantity}`",
                hint=f"say which: `--column {quantity}={matches[0]}`",
            )
        if matches:
            return matches[0]
    return None


def collected(
    rows: Iterator[tuple[int, Cells]], headings: Mapping[str, str], scales: Mapping[str, float], kinds: Mapping[str, Quantity], file: str
) -> tuple[dict[str, list[float]], list[int]]:
    """The numbers of each column and the line of each row; every unusable row is named."""
    values: dict[str, list[float]] = {quantity: [] for quantity in headings}
    lines: list[int] = []
    errors: list[ScaleplanError] = []
    readers = [(values[q].append, reader_of(q, kinds[q], heading, scales.get(q, 1.0)), heading) for q, heading in headings.items()]
    for line, cells in rows:
        try:
            numbers = [read(cells[heading]) for _, read, heading in readers]
        except KeyError as missing:
            why = cells.get("") or f"has no `{missing.args[0]}`"
            errors.append(InputError(why, file=file, line=line))
        except InputError as error:
            errors.append(error.located(file, line))
        else:
            for (append, _, _), number in zip(readers, numbers, strict=True):
                append(number)
            lines.append(line)
        if len(errors) == MOST_ERRORS:
            break
    raise_all(errors)
    return values, lines


def reader_of(quantity: str, kind: Quantity, heading: str, scale: float) -> Callable[[Any], float]:
    """A function that reads one cell of a column: finite, above zero, and of a size that the quantity can have."""
    if kind.label:
        return label_reader(heading)

    def read(cell: Any) -> float:
        number = as_number(cell)
        if number is None:
            raise InputError(
                f"{heading} `{clipped(cell)}` is not a number" if str(cell).strip() else f"{heading} is empty", hint=hint_for(str(cell))
            )
        number *= scale
        if not math.isfinite(number):
            raise InputError(
                f"{heading} `{clipped(cell)}` is not finite", hint="a run that diverged says nothing about the law: remove its row"
            )
        if number < 0 or (number == 0 and not kind.zero):
            raise InputError(f"{heading} `{clipped(cell)}` is {'negative' if kind.zero else 'not above zero'}")
        if number < kind.least:
            raise InputError(f"{heading} `{clipped(cell)}` is too small to be {quantity}", hint=kind.unit_hint)
        if number > kind.most:
            raise InputError(f"{heading} `{clipped(cell)}` is too large to be {quantity}", hint=kind.most_hint)
        return number

    return read


def label_reader(heading: str) -> Callable[[Any], float]:
    """A function that numbers the labels of a column as they come."""
    numbers: dict[str, float] = {}

    def read(cell: Any) -> float:
        label = str(cell).strip()
        if not label:
            raise InputError(f"{heading} is empty")
        return numbers.setdefault(label, float(len(numbers)))

    return read


def as_number(cell: Any) -> float | None:
    """A cell as a number: plain, or with k, M, B, T behind it; None where it is neither."""
    if isinstance(cell, bool) or not isinstance(cell, str | int | float):
        return None
    try:
        return float(cell)
    except OverflowError:
        return math.inf
    except ValueError:
        try:
            return float(units.quantity(str(cell), units.COUNT, "a number"))
        except (InputError, OverflowError):
            return None


def hint_for(cell: str) -> str | None:
    """Advice on a cell that is not a number."""
    if re.fullmatch(r"\s*[+-]?\d+(\.\d{3})*,\d+([eE][+-]?\d+)?\s*", cell):
        return "write numbers with a decimal point: 2.5, not 2,5"
    return None


def duplicates(table: RunTable) -> list[tuple[int, int]]:
    """Pairs of lines that hold the same run: the first and its repetition."""
    seen: dict[tuple[float, ...], int] = {}
    repeated = []
    for line, row in zip(table.lines, zip(*(column.tolist() for column in table.columns.values()), strict=True), strict=True):
        if row in seen:
            repeated.append((seen[row], line))
        else:
            seen[row] = line
    return repeated
