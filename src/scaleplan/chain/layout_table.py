"""A table of layouts, one a row, priced together: rows that are alike in kind are one pass over arrays."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import IO, Any, NamedTuple

from scaleplan import library
from scaleplan.chain.columns import TextColumn, columns_of, constant
from scaleplan.chain.layout_pricing import EXPERT_SIZES, NO_ETP, Priced, nothing_known, price_group
from scaleplan.errors import InputError, UsageError, clipped
from scaleplan.machine.activations import ATTENTION_KERNELS
from scaleplan.model.passes import RECOMPUTATIONS
from scaleplan.numeric import maximum

SHAPE_SIZES = ("d_model", "n_layers", "n_heads", "n_kv_heads", "d_head", "d_ff", "n_vocab")
SIZES = (
    "seq_len", "n_devices", "tp", "pp", "cp", "dp", "ep", "n_virtual_stages", "micro_batch_size_seqs", "global_batch_size_seqs",
)  # fmt: skip
COUNTS = ("zero_stage",)  # may be 0
SHAPE_FLAGS = ("gated", "tied")
FLAGS = ("sequence_parallel",)
WORDS = ("hardware", "recompute", "attention", "precision", "stack")
ADDED = ("step_s", "step_s_p10", "step_s_p90", "mfu", "peak_bytes", "peak_bytes_p10", "peak_bytes_p90", "fits", "error")
MOST_ROWS = 2_000_000  # that are held at once
ROWS_AT_ONCE = 100_000
CHARACTERS_AT_ONCE = 1 << 20
LARGEST = 2**40
TRUTH = {"0": False, "1": True, "false": False, "true": True}

ALIKE = ("model", "gated", "tied", "hardware", "recompute", "attention", "precision", "stack")
"""Columns that must be equal for rows to be priced together; the rest are arrays."""


class Block(NamedTuple):
    """Rows that follow each other in a file: the texts of each column, and what is known of the rows."""

    texts: Mapping[str, Sequence[str]]
    priced: Priced


class LayoutTable(NamedTuple):
    """A file of layouts whose header is known; its rows are read and priced block by block.

    n_rows  lines of the file below its header
    """

    path: str
    columns: tuple[str, ...]
    n_rows: int

    def blocks(self) -> Iterator[Block]:
        """All rows in their order, priced."""
        with opened(self.path) as lines:
            rows = csv.reader(lines)
            try:
                next(rows)
                filled = filter(None, rows)
                while some := columns_of(self.columns, islice(filled, ROWS_AT_ONCE)):
                    yield price_block(some)
            except csv.Error as error:
                raise InputError(f"is not a table: {error}", file=name_of(self.path), line=rows.line_num) from None


def table_at(given: str) -> LayoutTable:
    """A table of layouts: every column that is needed must be there, and a row."""
    path, n_lines = checked_text(given)
    with opened(path) as lines:
        rows = csv.reader(lines)
        try:
            columns = tuple(name.strip() for name in next(rows, ()))
            check_columns(columns, name_of(path))
            if next(filter(None, rows), None) is None:
                raise InputError("the table has no rows", file=name_of(path))
        except csv.Error as error:
            raise InputError(f"is not a table: {error}", file=name_of(path), line=rows.line_num) from None
    return LayoutTable(path, columns, max(1, n_lines - 1))


def opened(path: str) -> IO[str]:
    """The text of a file, line by line; of standard input or a text itself, all of it."""
    if isinstance(path, library.Text):
        return io.StringIO(path, newline="")
    with Path(path).open("rb") as file:
        encoding = "utf-16" if file.read(2) in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    return Path(path).open(encoding=encoding, newline="")


def checked_text(path: str) -> tuple[str, int]:
    """A file that is text throughout, or the text of standard input, and its number of lines; InputError for any other."""
    if path == "-" or isinstance(path, library.Text):
        path = library.Text(library.read_text(path))
    elif not Path(path).is_file() or Path(path).stat().st_size <= 2:
        path = library.Text(library.read_text(path))  # which says what is wrong
    try:
        with opened(path) as lines:
            n_lines = 0
            while some := lines.read(CHARACTERS_AT_ONCE):
                if "\0" in some:
                    raise InputError("holds NUL bytes: this is not a text file", file=name_of(path))
                n_lines += some.count("\n")
    except UnicodeDecodeError:
        raise InputError("is not text in UTF-8", file=name_of(path)) from None
    except OSError as error:
        raise InputError(f"cannot read `{clipped(path, 200)}`: {error.strerror}") from None
    return path, n_lines


def name_of(path: str) -> str:
    """What errors call a file."""
    return "standard input" if isinstance(path, library.Text) else path


def check_columns(columns: tuple[str, ...], path: str) -> None:
    """Refuse a header that lacks a column or has one twice."""
    shape = () if "model" in columns else (*SHAPE_SIZES, *SHAPE_FLAGS)
    missing = [name for name in (*shape, *SIZES, *COUNTS, *FLAGS, *WORDS) if name not in columns]
    if missing:
        raise InputError(
            f"the table lacks {', '.join(f'`{name}`' for name in missing)}",
            hint="one column for each size, degree and choice",
            file=path,
            line=1,
        )
    if len(set(columns)) < len(columns):
        twice = next(name for name in columns if columns.count(name) > 1)
        raise InputError(f"the column `{clipped(twice)}` is there twice", file=path, line=1)


# -------------------------------------------------------------------------------------------------------------------- pricing


def price_block(columns: Mapping[str, TextColumn]) -> Block:
    """Price the rows of a block: those that are alike in kind in one pass."""
    values = Values(columns)
    values.read()
    found = nothing_known(values.n)
    found.error[:] = values.errors
    for rows in alike(values):
        one = values.row(int(rows[0]))
        numbers = {name: values.numbers[name][rows] for name, value in one.items() if isinstance(value, int)}
        found.put(rows, price_group(one, numbers))
    return Block({name: column.texts() for name, column in columns.items()}, found)


def alike(values: Values) -> Iterator[Any]:
    """The places of the rows of each kind, without those that have an error."""
    import numpy as np

    codes = values.routed.astype(np.int64)
    for name in ALIKE:
        some = np.where(values.named, 0, values.numbers[name]) if name in SHAPE_FLAGS else values.column(name).places
        _, codes = np.unique(codes * (int(some.max()) + 1) + some, return_inverse=True)
    places = np.flatnonzero(values.errors == "")
    places = places[np.argsort(codes[places], kind="stable")]
    if len(places):
        yield from np.split(places, np.flatnonzero(np.diff(codes[places])) + 1)


# ---------------------------------------------------------------------------------------------------------------------- cells


class Values:
    """The cells of a block as numbers, an array a column, and the first error of each row.

    named   rows whose model is a name, which have no shape
    routed  rows with experts
    """

    def __init__(self, columns: Mapping[str, TextColumn]) -> None:
        import numpy as np

        self.columns, self.n = columns, len(next(iter(columns.values())).places)
        self.errors = np.full(self.n, "", dtype=object)
        self.numbers: dict[str, Any] = {}
        self.named = self.is_among("model", {""}, inside=False)
        self.routed = self.is_among("n_experts", {"", "0"}, inside=False) & ~self.named

    def column(self, name: str) -> TextColumn:
        """A column; empty texts where the table has none."""
        return self.columns.get(name) or constant("", self.n)

    def is_among(self, name: str, words: set[str], *, inside: bool = True) -> Any:
        """Which cells of a column are one of these words, or none of them."""
        column = self.column(name)
        return column.spread([(text in words) == inside for text in column.different], bool)

    def take(self, name: str, reader: Callable[[str, str], int], wanted: Any = True) -> None:
        """Read a column: each of its different texts once; a bad one is the error of the wanted rows that hold it."""
        column = self.column(name)
        known, faults = [], []
        for text in column.different:
            number, fault = 0, ""
            try:
                number = int(reader(name, text))
            except InputError as error:
                fault = error.message
            known.append(number)
            faults.append(fault)
        self.numbers[name] = column.spread(known, int)
        if any(faults):
            said = column.spread(faults, object)
            self.refuse((said != "") & wanted, said)

    def refuse(self, rows: Any, said: Any) -> None:
        """The error of some rows, unless they have one already."""
        new = rows & (self.errors == "")
        self.errors[new] = said[new] if hasattr(said, "shape") else said

    def read(self) -> None:
        """All columns that are known, in the order in which errors are told."""
        self.read_shape()
        for name in SIZES:
            self.take(name, size_of)
        for name in COUNTS:
            self.take(name, count_of)
        for name in FLAGS:
            self.take(name, flag_of)
        self.take("attention", attention_of)
        self.take("recompute", recompute_of)
        self.take("tp_overlap", flag_or_not)
        self.take("etp", degree_or_none)
        for name in ("attention", "recompute"):
            del self.numbers[name]
        self.refuse(
            ~self.named & too_large(self.numbers, self.is_among("attention", {"eager"})),
            "the sizes of this row make more bytes than can be counted",
        )

    def read_shape(self) -> None:
        """The model's shape, where no model is named."""
        import numpy as np

        for name in SHAPE_SIZES:
            self.take(name, size_of, ~self.named)
        for name in SHAPE_FLAGS:
            self.take(name, flag_of, ~self.named)
        heads, kv = self.numbers["n_heads"], self.numbers["n_kv_heads"]
        broken = ~self.named & (heads % np.maximum(kv, 1) != 0)
        said = np.full(self.n, "", dtype=object)
        for row in np.flatnonzero(broken):
            said[row] = f"n_heads {heads[row]} is not a multiple of n_kv_heads {kv[row]}"
        self.refuse(broken, said)
        for name in EXPERT_SIZES:
            self.take(name, size_of, self.routed)
        self.take("n_shared_experts", count_or_none, self.routed)

    def row(self, place: int) -> dict[str, Any]:
        """A row without error as numbers, flags and words."""
        own = (*SIZES, *COUNTS, *FLAGS, "tp_overlap", "etp")
        shape = () if self.named[place] else (*SHAPE_SIZES, *SHAPE_FLAGS)
        experts = (*EXPERT_SIZES, "n_shared_experts") if self.routed[place] else ()
        values: dict[str, Any] = {"model": self.column("model").at(place)} if self.named[place] else {}
        values |= {name: int(self.numbers[name][place]) for name in (*shape, *experts, *own)}
        values |= {name: bool(values[name]) for name in (*SHAPE_FLAGS, *FLAGS, "tp_overlap") if name in values}
        return values | {name: self.column(name).at(place) for name in WORDS}


def row_values(row: Mapping[str, str]) -> dict[str, Any]:
    """The cells of one row as numbers, flags and words; an error names the cell."""
    values = Values({name: constant(text, 1) for name, text in row.items()})
    values.read()
    if values.errors[0]:
        raise InputError(values.errors[0])
    return values.row(0)


LARGEST_BYTES = 2**60  # what arrays of whole numbers hold with room for sums
BYTES_PER_NUMBER = 64  # of a parameter with its optimizer state, of a saved activation in every copy


def too_large(numbers: Mapping[str, Any], stores_scores: Any) -> Any:
    """Rows whose bytes no array could count, and no machine hold.

    stores_scores  rows whose attention keeps the square of scores; fused kernels keep none
    """
    of = {name: column.astype(float) for name, column in numbers.items()}
    width = of["n_heads"] * of["d_head"] + 2 * of["n_kv_heads"] * of["d_head"]
    inner = maximum(of["d_ff"], of["n_experts"] * of["d_ff_expert"])
    params = of["n_layers"] * of["d_model"] * (2 * width + 3 * inner) + 2 * of["d_model"] * (of["n_vocab"] + of["seq_len"])
    tokens = of["micro_batch_size_seqs"] * of["seq_len"]
    scores = of["n_heads"] * of["seq_len"] * stores_scores
    saved = tokens * (of["n_layers"] * (8 * of["d_model"] + 2 * width + 4 * inner + scores) + 4 * of["n_vocab"])
    in_flight = of["pp"] * of["n_virtual_stages"]
    largest = maximum(params, maximum(saved * in_flight, of["global_batch_size_seqs"] * of["seq_len"]))
    return BYTES_PER_NUMBER * largest > LARGEST_BYTES


def flag_of(name: str, text: str) -> bool:
    """A cell that is 0 or 1."""
    if text.lower() not in TRUTH:
        raise InputError(f"{name} is `{clipped(text)}`; it is 0 or 1")
    return TRUTH[text.lower()]


def flag_or_not(name: str, text: str) -> bool:
    """The same; empty is 0."""
    return flag_of(name, text) if text else False


def size_of(name: str, text: str, least: int = 1) -> int:
    """A whole number in its range."""
    if not (text.isascii() and text.isdigit() and len(text) <= 15):
        raise InputError(f"{name} is `{clipped(text)}`; it is a whole number of at least {least}")
    if not least <= int(text) <= LARGEST:
        raise InputError(f"{name} is `{clipped(text)}`; it is from {least} to {LARGEST:,}")
    return int(text)


def count_of(name: str, text: str) -> int:
    """A whole number that may be 0."""
    return size_of(name, text, 0)


def count_or_none(name: str, text: str) -> int:
    """The same; empty is 0."""
    return count_of(name, text) if text else 0


def degree_or_none(name: str, text: str) -> int:
    """A degree that may be left open."""
    return size_of(name, text) if text else NO_ETP


def attention_of(name: str, text: str) -> int:
    """One of the attention kernels."""
    return place_of(name, text, ATTENTION_KERNELS)


def recompute_of(name: str, text: str) -> int:
    """One of the recomputations, or none said."""
    return place_of(name, text, ("", *RECOMPUTATIONS))


def place_of(name: str, text: str, known: Sequence[str]) -> int:
    """The place of a word among those that are known."""
    if text not in known:
        raise InputError(f"{name} is `{clipped(text)}`; it is one of {', '.join(filter(None, known))}")
    return list(known).index(text)


def check_held(table: LayoutTable) -> None:
    """Refuse to hold more rows at once than memory has room for."""
    if table.n_rows > MOST_ROWS:
        hint = "split the table, or write it to a CSV file, which is streamed"
        raise UsageError(f"{table.n_rows:,} rows are more than the {MOST_ROWS:,} that are held at once", hint=hint)


__all__ = ["ADDED", "Block", "LayoutTable", "check_held", "row_values", "table_at"]
