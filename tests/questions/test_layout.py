"""`layout --table`: a table of layouts has the numbers of `memory --layout`, row by row."""

from __future__ import annotations

import csv
import io

import pytest

import scaleplan as sp

SHAPE = {"d_model": 2048, "n_layers": 16, "n_heads": 16, "n_kv_heads": 8, "d_head": 128, "d_ff": 8192, "n_vocab": 32000}
SIZES = SHAPE | {"seq_len": 2048, "cp": 1, "ep": 1, "hardware": "h100-sxm", "attention": "flash"}
LAYOUTS = [
    {"tp": 1, "pp": 1, "dp": 8, "zero_stage": 3, "sequence_parallel": 0, "recompute": "full", "gated": 1, "tied": 0, "micro": 1},
    {"tp": 2, "pp": 2, "dp": 2, "zero_stage": 1, "sequence_parallel": 1, "recompute": "none", "gated": 1, "tied": 0, "micro": 2},
    {"tp": 4, "pp": 1, "dp": 2, "zero_stage": 0, "sequence_parallel": 1, "recompute": "selective", "gated": 0, "tied": 1, "micro": 1},
    {"tp": 1, "pp": 4, "dp": 1, "zero_stage": 1, "sequence_parallel": 0, "recompute": "per-op", "gated": 0, "tied": 1, "micro": 4},
]


ASKED = ("layout", "--format", "csv", "--table")


def row_of(layout: dict) -> dict:
    """A row of the table."""
    micro = layout["micro"]
    n_devices = layout["tp"] * layout["pp"] * layout["dp"]
    more = {"n_devices": n_devices, "n_virtual_stages": 1, "micro_batch_size_seqs": micro}
    more |= {"global_batch_size_seqs": 2 * micro * layout["dp"] * layout["pp"], "precision": "bf16-mixed", "stack": "megatron23"}
    kv_heads = {"n_kv_heads": SHAPE["n_kv_heads"] if layout["gated"] else SHAPE["n_heads"]}
    return SIZES | {key: value for key, value in layout.items() if key != "micro"} | more | kv_heads


def memory_of(row: dict) -> dict:
    """The same layout as a question of its own."""
    parts = [f"{part}{row[part]}" for part in ("tp", "pp", "dp")] + [f"zero{row['zero_stage']}"] + ["sp"] * row["sequence_parallel"]
    kind = {"gated": True, "norm": "rms"} if row["gated"] else {"norm": "layer", "n_positions": row["seq_len"]}
    names = ("seq_len", "micro_batch_size_seqs", "global_batch_size_seqs", "recompute", "attention", "precision", "stack", "hardware")
    given = {name: row[name] for name in (*SHAPE, *names)}
    return sp.memory(**given, **kind, tied=bool(row["tied"]), layout=",".join(parts)).result


@pytest.fixture
def table(tmp_path):
    """The layouts as a file."""
    rows = [row_of(layout) for layout in LAYOUTS]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    file = tmp_path / "layouts.csv"
    file.write_text(text.getvalue())
    return file


def test_a_row_keeps_its_columns_and_gains_what_was_found(run, table):
    """CSV has the columns of the file as they stood there, then those that are added."""
    rows = list(csv.DictReader(io.StringIO(run("layout", "--table", table, "--format", "csv").stdout)))

    assert [row["tp"] for row in rows] == ["1", "2", "4", "1"]
    assert all(row["peak_bytes"] and row["fits"] in ("0", "1", "true", "false") and not row["error"] for row in rows)


def test_a_file_that_is_not_there_is_refused():
    """By its name."""
    with pytest.raises(sp.ScaleplanError, match="no-such"):
        sp.layout(table="no-such.csv")


def test_a_row_has_the_bytes_of_its_own_question(table):
    """Peak, interval and verdict of each row are those of `memory --layout`, to the byte."""
    for row, layout in zip(sp.layout(table=table).result["rows"], LAYOUTS, strict=True):
        alone = memory_of(row_of(layout))

        assert (row["peak_bytes"], row["fits"]) == (alone["peak_bytes"], alone["fits"])
        assert [row[f"peak_bytes_{end}"] for end in ("p10", "p90")] == [alone["intervals"]["peak_bytes"][end] for end in ("p10", "p90")]


def test_blocks_do_not_change_what_is_written(run, table, monkeypatch):
    """A table that is priced a row at a time is written as one that is priced at once."""
    whole = run(*ASKED, table).stdout
    monkeypatch.setattr("scaleplan.chain.layout_table.ROWS_AT_ONCE", 1)

    assert run(*ASKED, table).stdout == whole


def test_a_row_with_an_error_has_nothing_else(run, table):
    """Its reason stands in it, `fits` and all figures are empty, and the rows around it are priced."""
    lines = table.read_text().splitlines()
    table.write_text("\n".join([*lines[:2], lines[2].replace("h100-sxm", "nope"), lines[3].replace(",4,", ",x,", 1), lines[4]]) + "\n")
    rows = list(csv.DictReader(io.StringIO(run(*ASKED, table).stdout)))

    assert [bool(row["error"]) for row in rows] == [False, True, True, False]
    assert [row["peak_bytes"] + row["fits"] + row["step_s"] for row in rows[1:3]] == ["", ""]
    assert rows[0]["fits"] and rows[3]["fits"]


def test_what_cannot_be_read_leaves_no_file(run, table, tmp_path):
    """A fault behind many good rows leaves the file that was there as it was."""
    with table.open("ab") as lines:
        lines.write(b"\xff\xfe\n")
    out = tmp_path / "priced.csv"
    out.write_text("before")

    assert run("layout", "--table", table, "-o", out).code == 2
    assert out.read_text() == "before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["layouts.csv", "priced.csv"]
