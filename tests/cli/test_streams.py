"""Standard output in any encoding, on a full disk, and closed; names from files are text."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from scaleplan.cli.streams import near_ascii

PROGRAM = [sys.executable, "-c", "from scaleplan.cli import main; main()"]
ESCAPES = "\x1b]0;owned\x07\x1b[31mred\x9b\u202e"


def shell(script: str, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-c", script, "sh", *PROGRAM, *args],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **env},
        errors="replace",
    )


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1"])
def test_a_table_has_the_same_digits_in_every_encoding(encoding):
    """What an encoding lacks is written in signs that read alike: rules become hyphens, numbers stay."""
    wide, narrow = (shell('"$@"', "optimal", "--compute", "1e21", PYTHONIOENCODING=one) for one in ("utf-8", encoding))

    assert narrow.returncode == 0, narrow.stderr
    assert re.sub(r"\D", "", narrow.stdout) == re.sub(r"\D", "", wide.stdout)
    assert narrow.stdout.count("?") == wide.stdout.count("?")
    assert "----" in narrow.stdout


@pytest.mark.parametrize(("sign", "near"), [("─", "-"), ("×", "x"), ("→", "->"), ("²", "2"), ("é", "e"), ("漢", "?")])
def test_characters_are_written_in_near_ones(sign, near):
    """Signs by what reads alike, letters without accents, anything else as a question mark."""
    assert near_ascii(sign) == near


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no full device")
@pytest.mark.parametrize("args", [("params", "gpt2"), ("params", "gpt2", "--json"), ("params", "-h")])
def test_a_full_disk_is_said(args):
    """Exit 2 and one error, nothing of a bug."""
    outcome = shell('"$@" > /dev/full', *args)

    assert outcome.returncode == 2
    assert outcome.stderr.startswith("error: ")
    assert "No space left" in outcome.stderr
    assert "bug" not in outcome.stderr
    assert "Exception" not in outcome.stderr


@pytest.mark.parametrize(("script", "args"), [('"$@" >&-', ("params", "gpt2")), ('"$@" <&-', ("params", "-")), ('"$@" <&-', ("fit", "-"))])
def test_a_closed_stream_is_said(script, args):
    """Exit 2, and which stream it is."""
    outcome = shell(script, *args)

    assert outcome.returncode == 2
    assert re.match(r"error: standard (in|out)put is closed\n", outcome.stderr)


@pytest.mark.parametrize("form", [(), ("--format", "plain"), ("--format", "md"), ("-v",), ("--json",)])
@pytest.mark.parametrize("command", ["params", "flops"])
def test_a_name_from_a_file_does_not_steer_the_terminal(run, tmp_path, command, form):
    """Control characters are shown, not sent; JSON reads back the same name."""
    from scaleplan.model_files import toml_value

    path = tmp_path / "evil.toml"
    shape = "n_layers = 2, d_model = 64, n_heads = 2, n_vocab = 100"
    path.write_text(f"name = {toml_value(ESCAPES)}\narchitecture = {{ {shape}, source = {toml_value(ESCAPES)} }}\n")
    outcome = run(command, path, *form)

    assert outcome.code == 0
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", outcome.stdout + outcome.stderr)
    if "--json" in form:
        assert outcome.document["inputs"]["model_shape"]["name"] == ESCAPES


def test_markdown_cells_stay_cells(run, tmp_path):
    """Bars, tags and emphasis in a name are escaped; numbers and names of keys stay as they are."""
    path = tmp_path / "evil.toml"
    path.write_text('name = "a | b <b> *x* `c`"\nn_layers = 2\nd_model = 64\nn_heads = 2\nn_vocab = 100\n')
    text = run("params", path, "--format", "md").stdout

    assert r"a \| b \<b\> \*x\* \`c\`" in text
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in text.splitlines() if line.startswith("|")}) == 1
    assert "| six_n |" in run("flops", "gpt2", "--tokens", "1B", "--format", "md").stdout


def test_an_error_does_not_steer_the_terminal(run, tmp_path):
    """Errors and warnings as well."""
    outcome = run("params", f"{tmp_path}/\x1b[2J.json")

    assert outcome.code == 2
    assert "\x1b" not in outcome.stderr


def test_ctrl_c_is_said(run, monkeypatch):
    """Exit code 130 and a word, however early the key was pressed."""

    def pressed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("scaleplan.cli.command.ask", pressed)
    outcome = run("params", "gpt2")

    assert (outcome.code, outcome.stdout, outcome.stderr) == (130, "", "interrupted\n")
