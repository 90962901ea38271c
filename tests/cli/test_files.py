"""`-o`: the file that was named, whole, and no other."""

from __future__ import annotations

import os
import re
import stat

import pytest

from scaleplan.cli import files
from scaleplan.errors import InputError

TABLE = "n_params,n_tokens,loss\n" + "".join(
    f"{n},{d},{1.7 + 400 / n**0.34 + 410 / d**0.28 + wobble}\n"
    for n, d, wobble in zip(
        [10**7, 3 * 10**7, 10**8, 3 * 10**8, 10**9, 3 * 10**9] * 2,
        [10**9, 10**10, 2 * 10**9, 3 * 10**10, 4 * 10**9, 10**11, 10**10, 10**9, 10**10, 2 * 10**9, 10**11, 3 * 10**9],
        [0.001, -0.002, 0.003, 0.001, -0.001, 0.002, -0.003, 0.001, 0.0, 0.002, -0.001, 0.001],
        strict=True,
    )
)


@pytest.fixture
def runs(tmp_path):
    path = tmp_path / "runs.csv"
    path.write_text(TABLE)
    return path


@pytest.mark.parametrize("exists", [True, False])
def test_a_link_is_followed_and_stays(run, tmp_path, exists):
    """The target holds the answer, also where it was not there yet."""
    target, link = tmp_path / "target.json", tmp_path / "link.json"
    if exists:
        target.write_text("old")
    link.symlink_to(target)

    assert run("params", "gpt2", "-o", link).code == 0
    assert link.is_symlink()
    assert target.read_text() == run("params", "gpt2", "--json").stdout
    assert sorted(tmp_path.iterdir()) == [link, target]


def test_permissions_are_kept(run, tmp_path):
    """A file that is replaced keeps its mode; a new one has the usual."""
    path, new = tmp_path / "a.json", tmp_path / "b.json"
    path.write_text("old")
    path.chmod(0o640)
    run("params", "gpt2", "-o", path)
    run("params", "gpt2", "-o", new)
    mask = os.umask(0)
    os.umask(mask)

    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert stat.S_IMODE(new.stat().st_mode) == 0o666 & ~mask


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("x" * 300 + ".json", "cannot be written"),
        ("x" * 5000, "cannot be written"),
        ("", "is empty"),
        (".", "is a folder"),
        ("nowhere/a.json", "no folder"),
        ("loop.json", "cannot be written"),
    ],
)
def test_a_name_that_cannot_be_written_is_refused(run, tmp_path, monkeypatch, name, said):
    """Before any work, with exit 2."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loop.json").symlink_to("loop.json")
    outcome = run("params", "gpt2", "-o", name)

    assert (outcome.code, outcome.stdout) == (2, "")
    assert re.match(f"error: -o: .*{said}", outcome.stderr)


def test_the_longest_name_is_written(run, tmp_path):
    """The draft beside it has a short name of its own."""
    path = tmp_path / ("x" * 250 + ".json")

    assert run("params", "gpt2", "-o", path).code == 0
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["a.pdf", "a.xlsx", "a.html", "a.png"])
def test_a_suffix_that_cannot_be_written_is_refused(run, tmp_path, name):
    """No table of letters in a .pdf; a format that is asked for goes before the name, and case does not matter."""
    outcome = run("params", "gpt2", "-o", tmp_path / name)

    assert outcome.code == 2
    assert name[1:] in outcome.stderr
    assert run("params", "gpt2", "--format", "plain", "-o", tmp_path / name).code == 0
    run("params", "gpt2", "-o", tmp_path / "A.JSON")
    assert (tmp_path / "A.JSON").read_text().startswith("{")


@pytest.mark.parametrize("more", [(), ("--bootstrap", "20")])
def test_a_table_of_somebody_else_is_neither_overwritten_nor_deleted(run, runs, tmp_path, more):
    """A law would be read with the draws beside it: those of others are left, and nothing is written."""
    draws = tmp_path / "law.draws.csv"
    draws.write_text("precious")
    outcome = run("fit", runs, *more, "-o", tmp_path / "law.toml")

    assert outcome.code == 2
    assert "law.draws.csv" in outcome.stderr
    assert draws.read_text() == "precious"
    assert not (tmp_path / "law.toml").exists()


def test_the_files_of_an_earlier_run_are_replaced(run, runs, tmp_path):
    """With draws, again, and without them, when those of before go."""
    law, draws = tmp_path / "law.toml", tmp_path / "law.draws.csv"
    for _ in range(2):
        assert run("fit", runs, "--bootstrap", "20", "-o", law).code == 0
        assert draws.read_text().startswith("e_nats,a,b,alpha,beta\n")
    assert run("fit", runs, "-o", law).code == 0
    assert sorted(tmp_path.iterdir()) == [law, runs]


def test_a_pair_is_written_as_one(tmp_path, monkeypatch):
    """Where the second draft fails, the first file is as it was and nothing is left over."""
    first = tmp_path / "law.toml"
    first.write_text("old")
    write, written = files.write_new, []

    def failing(path, text):
        if written:
            raise OSError(28, "No space left on device")
        written.append(path)
        write(path, text)

    monkeypatch.setattr(files, "write_new", failing)
    with pytest.raises(InputError, match="No space left"):
        files.write_files(first, {".toml": "new", ".draws.csv": "a,b\n"})

    assert first.read_text() == "old"
    assert list(tmp_path.iterdir()) == [first]
