"""A table of layouts, one a row, priced together: rows that are alike in kind are one pass over arrays."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from scaleplan import library
from scaleplan.chain.memory import USUAL_OPTIMIZER, Wishes, capacity_of, pass_of, stack_named
from scaleplan.chain.memory import errors_of as errors_of_peaks
from scaleplan.errors import InputError, ScaleplanError, UsageError, clipped
from scaleplan.machine.activations import ATTENTION_KERNELS
from scaleplan.machine.held import Formats
from scaleplan.machine.layout import Layout, fixed_sizes, rules
from scaleplan.machine.memory import Training, fits, peak_bytes
from scaleplan.machine.peak_interval import peak_interval
from scaleplan.machine.recipe import optimizer_named
from scaleplan.machine.stack import Stack
from scaleplan.model.arch import Arch
from scaleplan.model.bill import bill_of
from scaleplan.model.passes import RECOMPUTATIONS
from scaleplan.model.shape import arch_of_shape

SIZES = (
    "d_model", "n_layers", "n_heads", "n_kv_heads", "d_head", "d_ff", "n_vocab", "seq_len", "n_devices", "tp", "pp", "cp", "dp", "ep",
    "n_virtual_stages", "micro_batch_size_seqs", "global_batch_size_seqs",
)  # fmt: skip
COUNTS = ("zero_stage",)  # may be 0
FLAGS = ("gated", "tied", "sequence_parallel")
WORDS = ("hardware", "recompute", "attention", "precision", "stack")
EXPERT_SIZES = ("n_experts", "n_experts_per_token", "d_ff_expert")
OPTIONAL = (*EXPERT_SIZES, "n_shared_experts", "tp_overlap")
ADDED = ("step_s", "step_s_p10", "step_s_p90", "mfu", "peak_bytes", "peak_bytes_p10", "peak_bytes_p90", "fits", "error")
MOST_ROWS = 2_000_000
LARGEST = 2**40
TRUTH = {"0": False, "1": True, "false": False, "true": True}

ALIKE = ("gated", "tied", "recompute", "attention", "precision", "stack")
"""Columns that must be equal for rows to be priced together; the rest are arrays."""

Row = Mapping[str, Any]


class Priced(NamedTuple):
    """What is known of one row; an `error` says why nothing is."""

    peak_bytes: int | None = None
    fits: bool | None = None
    error: str = ""
    peak_bytes_p10: int | None = None
    peak_bytes_p90: int | None = None

    def cells(self) -> dict[str, Any]:
        """The columns that are added to the row."""
        return {**dict.fromkeys(ADDED), **self._asdict()}


class LayoutTable(NamedTuple):
    """The rows of a file as they stood in it, and what is known of each."""

    columns: tuple[str, ...]
    rows: list[dict[str, str]]
    priced: list[Priced]


def price_table(path: str) -> LayoutTable:
    """Read a table of layouts and price every row that can be."""
    columns, rows = read_table(path)
    priced: list[Priced] = [Priced()] * len(rows)
    groups: dict[tuple[Any, ...], list[tuple[int, Row]]] = {}
    for index, row in enumerate(rows):
        try:
            values = row_values(row)
        except ScaleplanError as error:
            priced[index] = Priced(error=error.message)
            continue
        groups.setdefault((*(values[name] for name in ALIKE), "n_experts" in values), []).append((index, values))
    for members in groups.values():
        for (index, _), found in zip(members, price_group([values for _, values in members]), strict=True):
            priced[index] = found
    return LayoutTable(columns, rows, priced)


def read_table(path: str) -> tuple[tuple[str, ...], list[dict[str, str]]]:
    """The header and the rows of a CSV file; every column that is needed must be there."""
    reader = csv.DictReader(io.StringIO(library.read_text(path)), restval="")
    columns = tuple(name.strip() for name in reader.fieldnames or ())
    missing = [name for name in (*SIZES, *COUNTS, *FLAGS, *WORDS) if name not in columns]
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
    reader.fieldnames = columns
    rows = [{name: (row.get(name) or "").strip() for name in columns} for row in reader]
    if not rows:
        raise InputError("the table has no rows", file=path)
    if len(rows) > MOST_ROWS:
        raise UsageError(f"{len(rows):,} rows are more than the {MOST_ROWS:,} that are priced at once", hint="split the table")
    return columns, rows


def row_values(row: Mapping[str, str]) -> dict[str, Any]:
    """The cells of a row as numbers, flags and words; an error names the cell."""
    values: dict[str, Any] = {name: size_in(row, name, 1) for name in SIZES}
    values |= {name: size_in(row, name, 0) for name in COUNTS}
    for name in FLAGS:
        if row[name].lower() not in TRUTH:
            raise InputError(f"{name} is `{clipped(row[name])}`; it is 0 or 1")
        values[name] = TRUTH[row[name].lower()]
    values |= {name: row[name] for name in WORDS}
    for name, known in (("attention", ATTENTION_KERNELS), ("recompute", RECOMPUTATIONS)):
        if row[name] not in known:
            raise InputError(f"{name} is `{clipped(row[name])}`; it is one of {', '.join(known)}")
    if row.get("n_experts", "") not in ("", "0"):
        values |= {name: size_in(row, name, 1) for name in EXPERT_SIZES}
        values["n_shared_experts"] = size_in(row, "n_shared_experts", 0) if row.get("n_shared_experts") else 0
    return values


def size_in(row: Mapping[str, str], name: str, least: int) -> int:
    """A whole number in its range."""
    text = row.get(name, "")
    if not (text.isascii() and text.isdigit() and len(text) <= 15):
        raise InputError(f"{name} is `{clipped(text)}`; it is a whole number of at least {least}")
    if not least <= int(text) <= LARGEST:
        raise InputError(f"{name} is `{clipped(text)}`; it is from {least} to {LARGEST:,}")
    return int(text)


# ------------------------------------------------------------------------------------------------------------------ pricing


def price_group(rows: Sequence[Row]) -> list[Priced]:
    """Rows of one kind, priced in one pass; a name that is not known is the error of all of them."""
    try:
        stack = stack_named(rows[0]["stack"])
        stack.precision(rows[0]["precision"])
    except ScaleplanError as error:
        return [Priced(error=error.message)] * len(rows)
    return price_arrays(rows, stack)


def price_arrays(rows: Sequence[Row], stack: Stack) -> list[Priced]:
    """One formula for all rows: what is a number elsewhere is an array here."""
    columns = columns_of(rows)
    arch = arch_of_columns(columns, gated=rows[0]["gated"], tied=rows[0]["tied"])
    layout = layout_of_columns(columns)
    errors = errors_of(rows, columns, arch, layout)
    run = run_of_columns(columns, rows[0], stack, layout)
    peaks = peak_bytes(bill_of(arch), layout, run)
    capacity, unknown = capacities([row["hardware"] for row in rows])
    errors = [error or unknown.get(row["hardware"], "") for error, row in zip(errors, rows, strict=True)]
    low, _, high = peak_interval(peaks, layout, errors_of_peaks(stack.name))
    return [
        Priced(error=error) if error else Priced(int(peak), bool(held), "", int(p10), int(p90))
        for error, peak, held, p10, p90 in zip(errors, peaks, fits(peaks, capacity), low, high, strict=True)
    ]


def columns_of(rows: Sequence[Row]) -> dict[str, Any]:
    """The numbers of the rows as arrays of whole numbers."""
    import numpy as np

    names = [name for name, value in rows[0].items() if isinstance(value, int)]
    return {name: np.array([row[name] for row in rows], dtype=np.int64) for name in names}


def arch_of_columns(columns: Mapping[str, Any], *, gated: bool, tied: bool) -> Arch:
    """Gated models are those of today (RMS norm, no biases, rotation), plain ones are GPTs with a table of positions."""
    words: dict[str, Any] = {name: columns[name] for name in ("d_model", "n_layers", "n_heads", "n_kv_heads", "d_head", "d_ff", "n_vocab")}
    words |= {"gated": gated, "tied": tied, "norm": "rms" if gated else "layer"}
    if not gated:
        words["n_positions"] = columns["seq_len"]
    if "n_experts" in columns:
        words |= {name: columns[name] for name in (*EXPERT_SIZES, "n_shared_experts")}
    return arch_of_shape(words)


def layout_of_columns(columns: Mapping[str, Any]) -> Layout:
    """The degrees of parallelism as arrays."""
    degrees = {name: columns[name] for name in ("tp", "pp", "cp", "dp", "ep", "n_virtual_stages", "zero_stage")}
    return Layout(**degrees, sequence_parallel=columns["sequence_parallel"] > 0)


def run_of_columns(columns: Mapping[str, Any], one: Row, stack: Stack, layout: Layout) -> Training:
    """A step of training on each row's layout."""
    import numpy as np

    from scaleplan.machine.activations import Batch

    wishes = Wishes(precision=one["precision"], attention=one["attention"], recompute=one["recompute"])
    micro = columns["micro_batch_size_seqs"]
    return Training(
        batch=Batch(micro, columns["seq_len"]),
        n_micro_batches=np.maximum(1, columns["global_batch_size_seqs"] // (layout.dp * micro)),
        formats=Formats(stack.precision(one["precision"]), optimizer_named(USUAL_OPTIMIZER)),
        how=pass_of(wishes, stack)._replace(one_sequence=False),
        stack=stack,
    )


def errors_of(rows: Sequence[Row], columns: Mapping[str, Any], arch: Arch, layout: Layout) -> list[str]:
    """The first rule that each row breaks, or nothing."""
    import numpy as np

    errors = [""] * len(rows)
    n, product = columns["n_devices"], layout.n_devices
    for index in np.flatnonzero(n != product):
        errors[index] = f"tp, pp, cp and dp make {product[index]} devices, n_devices is {n[index]}"
    micro, in_all = columns["micro_batch_size_seqs"], columns["global_batch_size_seqs"]
    for rule in rules(layout, fixed_sizes(arch), columns["seq_len"], micro, in_all):
        for index in np.flatnonzero(~np.broadcast_to(rule.holds, len(rows))):
            errors[index] = errors[index] or rule.says(int(index))
    return errors


def capacities(names: Sequence[str]) -> tuple[Any, dict[str, str]]:
    """Memory of each row's device, and what is wrong with those that are not known."""
    import numpy as np

    found: dict[str, float] = {}
    unknown: dict[str, str] = {}
    for name in dict.fromkeys(names):
        try:
            preset = library.load("hardware", name)
            found[name] = capacity_of(preset.data, preset.name)
        except ScaleplanError as error:
            found[name], unknown[name] = 0, error.message
    return np.array([found[name] for name in names], dtype=float), unknown
