"""A table of layouts, one a row, priced together: rows that are alike in kind are one pass over arrays."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from typing import Any, NamedTuple

from scaleplan import library
from scaleplan.chain.layout_pricing import EXPERT_SIZES, NO_ETP, Priced, Row, price_arrays, price_group
from scaleplan.errors import InputError, ScaleplanError, UsageError, clipped
from scaleplan.machine.activations import ATTENTION_KERNELS
from scaleplan.model.passes import RECOMPUTATIONS

SHAPE_SIZES = ("d_model", "n_layers", "n_heads", "n_kv_heads", "d_head", "d_ff", "n_vocab")
SIZES = (
    "seq_len", "n_devices", "tp", "pp", "cp", "dp", "ep", "n_virtual_stages", "micro_batch_size_seqs", "global_batch_size_seqs",
)  # fmt: skip
COUNTS = ("zero_stage",)  # may be 0
SHAPE_FLAGS = ("gated", "tied")
FLAGS = ("sequence_parallel",)
WORDS = ("hardware", "recompute", "attention", "precision", "stack")
OPTIONAL = (*EXPERT_SIZES, "n_shared_experts", "tp_overlap", "etp", "model")
ADDED = ("step_s", "step_s_p10", "step_s_p90", "mfu", "peak_bytes", "peak_bytes_p10", "peak_bytes_p90", "fits", "error")
MOST_ROWS = 2_000_000
LARGEST = 2**40
TRUTH = {"0": False, "1": True, "false": False, "true": True}

ALIKE = ("model", "gated", "tied", "hardware", "recompute", "attention", "precision", "stack")
"""Columns that must be equal for rows to be priced together; the rest are arrays."""


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
        groups.setdefault((*(values.get(name) for name in ALIKE), "n_experts" in values), []).append((index, values))
    for members in groups.values():
        for (index, _), found in zip(members, price_group([values for _, values in members]), strict=True):
            priced[index] = found
    return LayoutTable(columns, rows, priced)


def read_table(path: str) -> tuple[tuple[str, ...], list[dict[str, str]]]:
    """The header and the rows of a CSV file; every column that is needed must be there."""
    reader = csv.DictReader(io.StringIO(library.read_text(path)), restval="")
    try:
        columns = tuple(name.strip() for name in reader.fieldnames or ())
    except csv.Error as error:
        raise InputError(f"is not a table: {error}", file=path, line=1) from None
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
    reader.fieldnames = columns
    try:
        rows = [{name: (row.get(name) or "").strip() for name in columns} for row in reader]
    except csv.Error as error:
        raise InputError(f"is not a table: {error}", file=path, line=reader.line_num) from None
    if not rows:
        raise InputError("the table has no rows", file=path)
    if len(rows) > MOST_ROWS:
        raise UsageError(f"{len(rows):,} rows are more than the {MOST_ROWS:,} that are priced at once", hint="split the table")
    return columns, rows


def row_values(row: Mapping[str, str]) -> dict[str, Any]:
    """The cells of a row as numbers, flags and words; an error names the cell."""
    values: dict[str, Any] = {"model": row["model"]} if row.get("model") else shape_values(row)
    values |= {name: size_in(row, name, 1) for name in SIZES}
    values |= {name: size_in(row, name, 0) for name in COUNTS}
    values |= {name: flag_in(row, name) for name in FLAGS}
    values |= {name: row[name] for name in WORDS}
    for name, known in (("attention", ATTENTION_KERNELS), ("recompute", ("", *RECOMPUTATIONS))):
        if row[name] not in known:
            raise InputError(f"{name} is `{clipped(row[name])}`; it is one of {', '.join(filter(None, known))}")
    values["tp_overlap"] = flag_in(row, "tp_overlap") if row.get("tp_overlap") else False
    values["etp"] = size_in(row, "etp", 1) if row.get("etp") else NO_ETP
    check_magnitude(values)
    return values


LARGEST_BYTES = 2**60  # what arrays of whole numbers hold with room for sums
BYTES_PER_NUMBER = 64  # of a parameter with its optimizer state, of a saved activation in every copy


def check_magnitude(values: Mapping[str, Any]) -> None:
    """Refuse sizes whose bytes no array could count, and no machine hold."""
    if "model" in values:
        return
    of = {name: float(value) for name, value in values.items() if isinstance(value, int)}
    width = of["n_heads"] * of["d_head"] + 2 * of["n_kv_heads"] * of["d_head"]
    inner = max(of["d_ff"], of.get("n_experts", 1) * of.get("d_ff_expert", 0))
    params = of["n_layers"] * of["d_model"] * (2 * width + 3 * inner) + 2 * of["d_model"] * (of["n_vocab"] + of["seq_len"])
    tokens = of["micro_batch_size_seqs"] * of["seq_len"]
    scores = of["n_heads"] * of["seq_len"] if values.get("attention") == "eager" else 0.0  # fused kernels keep none
    saved = tokens * (of["n_layers"] * (8 * of["d_model"] + 2 * width + 4 * inner + scores) + 4 * of["n_vocab"])
    in_flight = of["pp"] * of["n_virtual_stages"]
    if BYTES_PER_NUMBER * max(params, saved * in_flight, of["global_batch_size_seqs"] * of["seq_len"]) > LARGEST_BYTES:
        raise InputError("the sizes of this row make more bytes than can be counted")


def shape_values(row: Mapping[str, str]) -> dict[str, Any]:
    """The model's shape, from the columns for it."""
    values: dict[str, Any] = {name: size_in(row, name, 1) for name in SHAPE_SIZES}
    values |= {name: flag_in(row, name) for name in SHAPE_FLAGS}
    if values["n_heads"] % values["n_kv_heads"]:
        raise InputError(f"n_heads {values['n_heads']} is not a multiple of n_kv_heads {values['n_kv_heads']}")
    if row.get("n_experts", "") not in ("", "0"):
        values |= {name: size_in(row, name, 1) for name in EXPERT_SIZES}
        values["n_shared_experts"] = size_in(row, "n_shared_experts", 0) if row.get("n_shared_experts") else 0
    return values


def flag_in(row: Mapping[str, str], name: str) -> bool:
    """A cell that is 0 or 1."""
    text = row.get(name, "").lower()
    if text not in TRUTH:
        raise InputError(f"{name} is `{clipped(row.get(name, ''))}`; it is 0 or 1")
    return TRUTH[text]


def size_in(row: Mapping[str, str], name: str, least: int) -> int:
    """A whole number in its range."""
    text = row.get(name, "")
    if not (text.isascii() and text.isdigit() and len(text) <= 15):
        raise InputError(f"{name} is `{clipped(text)}`; it is a whole number of at least {least}")
    if not least <= int(text) <= LARGEST:
        raise InputError(f"{name} is `{clipped(text)}`; it is from {least} to {LARGEST:,}")
    return int(text)


__all__ = ["ADDED", "LayoutTable", "price_arrays", "price_table"]
