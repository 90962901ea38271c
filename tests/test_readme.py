"""README shows what the program prints."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```console\n\$ (scaleplan[^\n]*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)

PYTHON = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(("line", "shown"), BLOCKS, ids=[line for line, _ in BLOCKS])
def test_readme_shows_what_the_command_prints(run, line, shown):
    """Every `$ scaleplan` block runs and prints what stands below it."""
    first, *rest = line.split(" | ")
    outcome = run(*shlex.split(first)[1:])
    for following in rest:
        outcome = run(*shlex.split(following)[1:], stdin=outcome.stdout.encode())

    assert outcome.stdout.rstrip() == shown.rstrip()


def test_every_block_of_the_readme_is_run():
    """No command line stands in README that this file does not run."""
    assert len(BLOCKS) == README.count("$ scaleplan")
    assert len(BLOCKS) >= 8


@pytest.mark.parametrize("code", PYTHON)
def test_python_of_the_readme_runs(code, capsys):
    """What README shows of the Python side works."""
    exec(compile(code, "README.md", "exec"), {})
    assert capsys.readouterr().out
