"""Tables of runs: every form that tools export is read, and every row that cannot be used is named."""

from __future__ import annotations

import json

import numpy as np
import pytest

from scaleplan.errors import InputError, ScaleplanError, UnknownName, UsageError
from scaleplan.runs import duplicates, read_runs

ROWS = [(1e8, 2e9, 3.5), (2e8, 4e9, 3.25), (4e8, 8e9, 3.0)]
CSV = "n_params,n_tokens,loss\n" + "".join(f"{n!r},{d!r},{loss!r}\n" for n, d, loss in ROWS)


@pytest.fixture
def read(tmp_path):
    """The table of a file with this content."""

    def from_content(content, wanted=None, scales=None):
        path = tmp_path / "runs.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_runs(str(path), wanted or {}, scales or {})

    return from_content


def same(table):
    """Whether a table holds ROWS."""
    return np.array_equal(np.column_stack([table.columns[name] for name in ("n_params", "n_tokens", "loss")]), ROWS)


@pytest.mark.parametrize(
    "content",
    [
        CSV,
        CSV.encode("utf-8-sig"),
        CSV.replace("\n", "\r\n"),
        CSV.replace(",", "\t"),
        CSV.replace(",", ";"),
        CSV.replace("\n", "\n\n"),
        CSV.replace("n_params", '"n_params"'),
        "".join(json.dumps(dict(zip(("n_params", "n_tokens", "loss"), row, strict=True))) + "\n" for row in ROWS),
        json.dumps([dict(zip(("n_params", "n_tokens", "loss"), row, strict=True)) for row in ROWS]),
        "Model Size,Training Tokens,Final Loss\n100M,2B,3.5\n200M,4B,3.25\n400M,8B,3.0\n",
    ],
    ids=["csv", "bom", "crlf", "tabs", "semicolons", "blank lines", "quotes", "json lines", "json list", "other names and suffixes"],
)
def test_the_same_runs_in_every_form(read, content):
    """However a table is written, the same numbers come out."""
    assert same(read(content))


def test_columns_are_named_and_scaled(read):
    """`--column n_params=params_m --unit n_params=1e6`."""
    table = read(
        "params_m,tok,final\n100,2e9,3.5\n200,4e9,3.25\n400,8e9,3\n",
        {"n_params": "params_m", "n_tokens": "tok", "loss": "final"},
        {"n_params": 1e6},
    )

    assert same(table)
    assert table.headings["n_params"] == "params_m"
    assert table.lines == [2, 3, 4]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("1e9,2e10,nan", "loss `nan` is not finite"),
        ("1e9,inf,2.5", "n_tokens `inf` is not finite"),
        ("-1e9,2e10,2.5", "n_params `-1e9` is not above zero"),
        ("1e9,0,2.5", "n_tokens `0` is not above zero"),
        ("1e9,lots,2.5", "n_tokens `lots` is not a number"),
        ("1e9,,2.5", "n_tokens is empty"),
        ("1e9,2e10", "2 cells where the heading has 3"),
        ('1e9,2e10,"2,5"', "loss `2,5` is not a number"),
        ("57,2e10,2.5", "too small to be n_params"),
        ("1e9,20,2.5", "too small to be n_tokens"),
        ("1e9,2e10,31.5", "too large to be loss"),
        ("1e30,2e10,2.5", "too large to be n_params"),
        ("1e400,2e10,2.5", "not finite"),
    ],
)
def test_a_row_that_cannot_be_used_is_named_with_its_line(read, row, said):
    """The third line of the file, what is wrong in it, and nothing is dropped."""
    lines = CSV.splitlines()
    with pytest.raises(InputError, match=said) as refused:
        read("\n".join([*lines[:2], row, *lines[2:]]))

    assert refused.value.line == 3
    assert refused.value.file.endswith("runs.csv")


def test_every_bad_row_is_named_at_once(read):
    """Two of them: two errors, so that a table is mended in one go."""
    with pytest.raises(ScaleplanError) as refused:
        read(CSV + "1e9,2e10,nan\n1e9,many,2\n")

    assert refused.value.report().count("error:") == 2


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is empty"),
        ("n_params,n_tokens,loss\n", "no runs"),
        ("n_params,n_tokens\n1e9,2e10\n", "no column `loss`"),
        ("n_params,loss,loss\n1e9,2,2\n", "two columns named `loss`"),
        ("n_params,val_loss,train_loss\n1e9,2,2\n", "could both be `loss`"),
        ("1e9,2e10,2.5\n1e8,2e9,3\n", "not with a heading"),
        (bytes(range(256)) * 8, "not text|NUL"),
        (CSV.encode("utf-16"), "UTF-16"),
        ('{"loss": 2,\n', "not valid JSON"),
        ('"n_params,n_tokens,loss\n1,2,3', "is not a table"),
        ("[1, 2]", "no column `loss`"),
    ],
)
def test_what_is_no_table_is_refused(read, content, said):
    """Each with what is wrong with it."""
    with pytest.raises(InputError, match=said):
        read(content)


def test_a_column_or_quantity_that_is_not_there_is_refused(read):
    """Near names are offered; a unit for nothing is an error too."""
    with pytest.raises(UnknownName, match="no column named `los`"):
        read(CSV, {"loss": "los"})
    with pytest.raises(UnknownName, match="no quantity named `n_parms`"):
        read(CSV, {"n_parms": "n_params"})
    with pytest.raises(UsageError, match="no column for `n_steps`"):
        read(CSV, {}, {"n_steps": 2.0})


def test_a_table_that_is_too_large_is_refused_at_once(tmp_path):
    """A sparse file of a gigabyte is not read to its end."""
    path = tmp_path / "huge.csv"
    with path.open("wb") as file:
        file.write(CSV.encode())
        file.truncate(2**30)

    with pytest.raises(InputError, match="larger than 64 MiB"):
        read_runs(str(path), {}, {})


def test_runs_that_are_there_twice_are_found(read):
    """Line 5 repeats line 2; another loss of the same size and tokens is another seed, not a repetition."""
    table = read(CSV + "1e8,2e9,3.5\n1e8,2e9,3.49\n")

    assert duplicates(table) == [(2, 5)]


def test_the_digest_is_that_of_the_file(read):
    """sha256, so that a law can be traced to its table (computed with sha256sum)."""
    assert read("loss\n2.5\n").digest == "46f79899299a0b2fa88a0a4fb1f2f9e00b1394e245a4d9ac7fa6b0ee9c82b1a2"
