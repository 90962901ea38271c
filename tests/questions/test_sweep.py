"""Sweeps: rows are those of the question asked alone, parts join to the whole, an interrupted file is continued."""

from __future__ import annotations

import csv
import io
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.cases import GPT3_PLAN

import scaleplan
from scaleplan.errors import ScaleplanError
from scaleplan.questions.sweep.grid import Axis, Grid, known_fields, part_of

PLAN = f"""{GPT3_PLAN}[[cost]]
name = "people"
usd = 1000
per = "day"
"""
IN_ARRAYS = ("tokens=1e11,3e11,1e13", "n_devices=8,1000", "mfu=0.2,0.5", "goodput=0.9,1", "usd_per_device_hour=1,2.5", "pue=1.1,1.5",
             "grid_intensity=385g/kWh,0.1kg/kWh")  # fmt: skip


@pytest.fixture
def plan(tmp_path: Path) -> str:
    path = tmp_path / "plan.toml"
    path.write_text(PLAN)
    return str(path)


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


@pytest.mark.parametrize("over", IN_ARRAYS)
def test_arrays_give_what_each_point_gives_alone(plan, over):
    """A block of points in one pass has the numbers of `plan` with the values written into it."""
    key = over.partition("=")[0]
    second = "mfu=0.3,0.4" if key == "tokens" else "tokens=2e11,4e11"
    for row in scaleplan.sweep(plan, over=[over, second]).result["rows"]:
        alone = scaleplan.plan(plan, **{name: value for name, value in row.items() if "." not in name and name != "layout"})
        for path in (path for path in row if "." in path):
            expected = alone[path]["value"]
            assert row[path] == (expected if expected is None else pytest.approx(expected, rel=1e-12)), path


def test_the_last_grid_is_the_fastest(plan):
    """Points come in the order of nested loops, the first grid outermost; numbers are written as they were read."""
    rows = scaleplan.sweep(plan, over={"tokens": "1e11:1e13:log:3", "training.seq_len": [1024, 2048]}).result["rows"]

    assert [(row["tokens"], row["training.seq_len"]) for row in rows] == list(itertools.product((10**11, 10**12, 10**13), (1024, 2048)))


@given(sizes=st.lists(st.integers(1, 9), min_size=1, max_size=4), n_parts=st.integers(1, 7), most=st.integers(1, 40))
@settings(max_examples=200, deadline=None)
def test_blocks_cover_every_point_once(sizes, n_parts, most):
    """Blocks of any part are some of the blocks of the whole; together they hold each point of the part exactly once, in order."""
    import scaleplan.questions.sweep.grid as grids

    field = known_fields(["tokens"])["tokens"]
    grid = Grid(tuple(Axis(f"x{place}", field, tuple(range(size))) for place, size in enumerate(sizes)))
    usual, grids.BLOCK_POINTS = grids.BLOCK_POINTS, most
    try:
        whole = list(grid.blocks(0, grid.n_points))
        assert [block.start for block in whole] == [0, *(block.stop for block in whole)][:-1]
        assert whole[-1].stop == grid.n_points
        for block in whole:
            inside = list(itertools.product(*(axis.values[low:high] for axis, (low, high) in zip(grid.axes, block.spans, strict=True))))
            assert inside == [grid.values(point) for point in range(block.start, block.stop)]
        parts = [part_of(grid.n_points, (k, n_parts)) for k in range(1, n_parts + 1)]
        assert [start for start, _ in parts] == [0, *(stop for _, stop in parts)][:-1]
        assert parts[-1][1] == grid.n_points
        for start, stop in parts:
            assert set(grid.blocks(start, stop)) <= set(whole)
    finally:
        grids.BLOCK_POINTS = usual


@pytest.mark.parametrize("form", ["csv", "jsonl"])
@pytest.mark.parametrize(
    "args",
    [
        ("PLAN", "--over", "tokens=1e11:1e13:log:23", "--over", "n_devices=8,16,64"),
        ("cost", "gpt2", "--hardware", "h100-sxm", "--over", "tokens=1B,2B,3B,4B,5B"),
    ],
)
def test_parts_join_to_the_whole(run, plan, form, args):
    """Byte for byte, whatever the number of parts: in arrays and point by point."""
    asked = ("sweep", *(plan if arg == "PLAN" else arg for arg in args), "--format", form)
    whole = run(*asked).stdout

    for n in (2, 4, 7):
        assert "".join(run(*asked, "--part", f"{k}/{n}").stdout for k in range(1, n + 1)) == whole


def test_every_format_has_the_same_numbers(run, plan):
    """CSV, JSON lines and the one JSON document."""
    args = ("sweep", plan, "--over", "tokens=1e11:1e13:log:4", "--over", "n_devices=8,16")
    sheet = rows_of(run(*args).stdout)
    lines = [json.loads(line) for line in run(*args, "--format", "jsonl").stdout.splitlines()]
    document = run(*args, "--json").document["result"]

    assert document["rows"] == lines
    assert document["columns"] == list(sheet[0]) == list(lines[0])
    assert [[None if value == "" else float(value) for value in row.values()] for row in sheet] == [list(row.values()) for row in lines]


def test_any_question_can_be_swept(run):
    """The flags of the question follow; a row is the answer of the question asked alone."""
    text = run("sweep", "cost", "llama-3-8b", "--hardware", "h100-sxm", "--tokens", "1T", "--over", "n_devices=64,128").stdout
    for row in rows_of(text):
        alone = run("cost", "llama-3-8b", "--hardware", "h100-sxm", "--tokens", "1T", "--n-devices", row["n_devices"], "--json").document[
            "result"
        ]
        assert float(row["wall_s"]) == alone["wall_s"]
        assert float(row["intervals.usd.p90"]) == alone["intervals"]["usd"]["p90"]


def test_a_point_without_an_answer_says_why(run):
    """Its numbers are empty, the reason is in the last column, and the others are answered."""
    rows = rows_of(run("sweep", "cost", "gpt2", "--tokens", "1B", "--over", "hardware=h100-sxm,h100-sxn,a100-sxm-80gb").stdout)

    assert [bool(row["usd"]) for row in rows] == [True, False, True]
    assert ["h100-sxn" in row["error"] for row in rows] == [False, True, False]


def test_a_sweep_without_any_answer_is_refused(run):
    """The error of the first point, nothing on stdout."""
    outcome = run("sweep", "cost", "gpt2", "--tokens", "1B", "--over", "hardware=x,y")

    assert (outcome.code, outcome.stdout) == (2, "")


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ((), "nothing to sweep"),
        (("PLAN",), "--over"),
        (("PLAN", "--over", "tokenz=1,2"), "did you mean `tokens`?"),
        (("PLAN", "--over", "tokens"), "key=values"),
        (("PLAN", "--over", "tokens=many"), "many"),
        (("PLAN", "--over", "tokens=1,2", "--over", "tokens=3"), "twice"),
        (("PLAN", "--over", "tokens=1e9:1e10:log:3", "--part", "5/4"), "5/4"),
        (("PLAN", "--over", "tokens=1,2", "--engine", "dask"), "--scheduler"),
        (("PLAN", "--over", "tokens=1,2", "--scheduler", "tcp://127.0.0.1:1"), "--engine"),
        (("check", "--over", "tokens=1,2"), "check"),
        (("cost", "gpt2", "--hardware", "h100-sxm", "--over", "tokens=1B,2B", "--set", "a=b"), "--set"),
        (("no-such-plan.toml", "--over", "tokens=1,2"), "no-such-plan.toml"),
    ],
)
def test_what_cannot_be_swept_is_refused(run, plan, args, says):
    """Exit 2, the reason, nothing on stdout."""
    outcome = run("sweep", *(plan if arg == "PLAN" else arg for arg in args))

    assert (outcome.code, outcome.stdout) == (2, "")
    assert says in outcome.stderr


def test_python_streams_rows(plan):
    """Rows are computed when they are read: the last of many, without those before it."""
    rows = scaleplan.sweep(plan, over={"tokens": "1e11:1e13:log:10000", "n_devices": "1:1000:lin:1000"}).result["rows"]

    assert len(rows) == 10_000_000
    assert rows[-1]["n_devices"] == 1000
    assert rows[-1]["tokens"] == 10**13
    with pytest.raises(IndexError):
        rows[len(rows)]


# ---------------------------------------------------------------------------------------------------------------- interrupted


def command(*args: Any) -> list[str]:
    return [sys.executable, "-m", "scaleplan", *map(str, args)]


def test_an_interrupted_file_is_continued(run, plan, tmp_path):
    """Rows that are whole stay, a torn one is written again, and the end is the same bytes."""
    args = ("sweep", plan, "--over", "tokens=1e11:1e13:log:40", "--over", "n_devices=8,16,64")
    whole = run(*args).stdout
    path = tmp_path / "grid.csv"
    run(*args, "-o", path)
    mark = tmp_path / ".grid.csv.sweep"
    assert path.read_text() == whole
    assert not mark.exists()

    identity = identity_of(args, path)
    for cut in (0, 5, len(whole) // 2, len(whole) - 1, len(whole)):
        path.write_text(whole[:cut])
        mark.write_text(identity)
        outcome = run(*args, "-o", path)
        assert path.read_text() == whole
        assert ("continuing" in outcome.stderr) == (whole[:cut].count("\n") > 1)
        assert not mark.exists()


def identity_of(args: tuple[str, ...], path: Path) -> str:
    """What the mark beside a begun file says."""
    answer = scaleplan.sweep(args[1], over=[args[3], args[5]])
    return f"{answer.stream.identity()} csv"


def test_a_file_of_other_rows_is_not_continued(run, plan, tmp_path):
    """A plan that has changed begins anew."""
    args = ("sweep", plan, "--over", "tokens=1e11:1e13:log:5", "--over", "n_devices=8,16")
    path = tmp_path / "grid.csv"
    path.write_text(run(*args).stdout[:900])
    (tmp_path / ".grid.csv.sweep").write_text(identity_of(args, path))
    changed = (*args, "--set", "site.pue=1.7")
    run(*changed, "-o", path)

    assert path.read_text() == run(*changed).stdout


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_ctrl_c_keeps_whole_rows_and_says_so(plan, tmp_path):
    """Exit 130; what was done is in the file, and the same command ends it."""
    path = tmp_path / "grid.csv"
    asked = command("sweep", "cost", "gpt2", "--hardware", "h100-sxm", "--over", "tokens=1e9:1e12:log:3000", "-o", path)
    inherited = signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # what a shell runs in the background ignores it, and so would the child
    child = subprocess.Popen(asked, stderr=subprocess.PIPE, text=True)
    signal.signal(signal.SIGINT, inherited)
    while not (path.exists() and path.read_bytes().count(b"\n") > 20):
        assert child.poll() is None
        time.sleep(0.02)
    os.kill(child.pid, signal.SIGINT)
    _, said = child.communicate(timeout=60)

    text = path.read_text()
    assert child.returncode == 130
    assert f"{text.count(chr(10)) - 1:,} of 3,000 rows" in said
    assert text.endswith("\n")
    subprocess.run(asked, check=True, capture_output=True)
    assert path.read_text().startswith(text)
    assert path.read_text().count("\n") == 3001


# -------------------------------------------------------------------------------------------------------------------- cluster


def test_a_cluster_that_loses_a_worker_writes_the_same_bytes(run, tmp_path):
    """Two worker processes, one killed in the middle: every row once, in order."""
    pytest.importorskip("distributed")
    args = ("cost", "gpt2", "--hardware", "h100-sxm", "--over", "tokens=1e9:1e12:log:400", "--over", "n_devices=8,64")
    path = tmp_path / "grid.csv"
    environment = os.environ | {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "10", "DASK_DISTRIBUTED__WORKER__DAEMON": "False"}
    address = tmp_path / "scheduler.json"
    common = {"env": environment, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    options = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(address)]
    scheduler = subprocess.Popen([sys.executable, "-m", "distributed.cli.dask_scheduler", *options], **common)
    workers = []
    try:
        while not address.exists():
            assert scheduler.poll() is None
            time.sleep(0.05)
        time.sleep(0.2)
        found = json.loads(address.read_text())["address"]
        options = ["--nthreads", "1", "--no-nanny", "--no-dashboard", "--local-directory", str(tmp_path)]
        workers = [subprocess.Popen([sys.executable, "-m", "distributed.cli.dask_worker", found, *options], **common) for _ in range(2)]
        asked = command("sweep", *args, "--engine", "dask", "--scheduler", found, "-o", path)
        child = subprocess.Popen(asked, stderr=subprocess.PIPE, text=True)
        while not (path.exists() and path.read_bytes().count(b"\n") > 50):
            assert child.poll() is None, child.stderr.read()
            time.sleep(0.02)
        workers[0].kill()
        _, said = child.communicate(timeout=120)
        assert child.returncode == 0, said
    finally:
        for process in (*workers, scheduler):
            process.kill()
            process.wait()

    assert path.read_text() == run("sweep", *args).stdout


def test_without_a_scheduler_the_cluster_is_refused(run, monkeypatch):
    """No Dask, or nobody who answers: a sentence, and the way out."""
    args = ("sweep", "cost", "gpt2", "--hardware", "h100-sxm", "--over", "tokens=1B,2B", "--engine", "dask", "--scheduler")
    monkeypatch.setitem(sys.modules, "distributed", None)
    outcome = run(*args, "tcp://127.0.0.1:9")

    assert outcome.code == 2
    assert "scaleplan[dask]" in outcome.stderr


def test_a_sweep_that_fails_on_the_way_is_an_error(plan):
    """An answer for a field that no sweep has is refused by name."""
    with pytest.raises(ScaleplanError, match="frobnicate"):
        scaleplan.sweep("cost", "gpt2", hardware="h100-sxm", over="tokens=1B", frobnicate=1)


POINTS = ("sweep", "optimal", "--over", "compute=1e18:1e20:log:3", "--law", "hoffmann2022-3", "-o")


def test_a_file_may_have_the_longest_name_there_is(run, tmp_path):
    """255 bytes: the mark beside it has a shorter one, and goes."""
    path = tmp_path / ("n" * 251 + ".csv")

    assert run(*POINTS, path).code == 0
    assert len(path.read_text().splitlines()) == 4
    assert list(tmp_path.iterdir()) == [path]


def test_two_sweeps_do_not_write_one_file(run, tmp_path):
    """The second is refused while the first holds its mark, and the file is as it was."""
    fcntl = pytest.importorskip("fcntl")
    path, mark = tmp_path / "grid.csv", tmp_path / ".grid.csv.sweep"
    path.write_text("before\n")
    with mark.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        outcome = run(*POINTS, path)

        assert (outcome.code, path.read_text()) == (2, "before\n")
        assert "another sweep is writing" in outcome.stderr
    assert run(*POINTS, path).code == 0 and not mark.exists()
