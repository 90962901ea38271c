"""README and docs show what the program prints."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from scaleplan.cli.app import app

ROOT = Path(__file__).parents[1]
PAGES = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))}
FENCED = re.compile(r"^```console\n(\$ scaleplan.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = [(name, block) for name, page in PAGES.items() for block in FENCED.findall(page)]
COMMAND = re.compile(r"^(?:    |\$ )(scaleplan [^\n]*(?:\\\n[^\n]*)*)", re.MULTILINE)
PYTHON = re.findall(r"^```python\n(.*?)^```$", PAGES["README.md"], re.MULTILINE | re.DOTALL)


@pytest.fixture
def plans(run, tmp_path, monkeypatch):
    """The files that docs speak of: `plan.toml` as `plan --init` writes it, `head.toml` with twice the tokens and an MFU."""
    monkeypatch.chdir(tmp_path)
    starter = run("plan", "--init").stdout
    head = starter.replace('tokens = "1T"', 'tokens = "2T"').replace("# [run]", '[run]\nmfu = "40%"')
    assert '"2T"' in head and "\nmfu" in head
    for name, text in (("plan.toml", starter), ("head.toml", head)):
        (tmp_path / name).write_text(text, encoding="utf-8")


@pytest.mark.parametrize(("page", "block"), BLOCKS, ids=[f"{name}: {block.splitlines()[0]}" for name, block in BLOCKS])
@pytest.mark.usefixtures("plans")
def test_a_page_shows_what_the_command_prints(run, page, block):
    """Every `$ scaleplan` runs and prints what stands below it; in a list of commands alone each has an answer."""
    lines = block.splitlines()
    commands = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    for line in commands:
        first, *rest = line.split(" | ")
        outcome = run(*shlex.split(first)[1:])
        for following in rest:
            outcome = run(*shlex.split(following)[1:], stdin=outcome.stdout.encode())
        assert outcome.code in (0, 1), outcome.stderr
    if len(commands) < len(lines):
        assert outcome.stdout.rstrip() == "\n".join(lines[1:]).rstrip()


def test_every_block_of_the_readme_is_run():
    """No command line stands in README that this file does not run."""
    assert sum(name == "README.md" for name, _ in BLOCKS) == PAGES["README.md"].count("$ scaleplan")
    assert len(BLOCKS) >= 20


@pytest.mark.parametrize("page", PAGES)
def test_options_in_docs_are_known(page):
    """Whatever a page tells to type, the command and its flags are there."""
    group = app()
    for line in COMMAND.findall(PAGES[page]):
        for part in line.replace("\\\n", " ").split(" | "):
            if not part.startswith("scaleplan "):
                continue
            _, name, *words = shlex.split(part, comments=True)
            if name.startswith("-"):
                continue
            command = group.get_command(None, name)
            assert command is not None, part
            command.borrow(words)
            known = {spelling for one in command.params for spelling in (*one.opts, *one.secondary_opts)} | {"-h", "--help"}
            assert {word.split("=")[0] for word in words if re.match(r"--?[a-z]", word)} <= known, part


@pytest.mark.parametrize("code", PYTHON)
def test_python_of_the_readme_runs(code, capsys):
    """What README shows of the Python side works."""
    exec(compile(code, "README.md", "exec"), {})
    assert capsys.readouterr().out
