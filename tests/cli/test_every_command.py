"""What holds for every command: help, formats, formulas, files, refusals, and what is loaded."""

from __future__ import annotations

import csv
import io
import os
import re
import shlex
import subprocess
import sys
from collections import defaultdict
from importlib.util import find_spec
from itertools import pairwise
from typing import Any

import pytest
from tests.formula import evaluate

from scaleplan.cli.app import app
from scaleplan.library import KINDS
from scaleplan.questions.fields import field_named
from scaleplan.questions.registry import NAMES, asks, question_named

COMMAND = app()
ASKED = {
    "params": "params mixtral-8x7b",
    "flops": "flops gpt2 --tokens 300B --seq-len 1024",
    "memory": "memory gpt2",
    "optimal": "optimal --compute 1e21",
    "batch": "batch --loss 2.5",
    "cost": "cost opt-175b --tokens 300B --hardware a100-sxm-80gb --n-devices 1024",
}
"""The six questions, one command line each."""
BOX = re.compile("[\u2500-\u257f]")


def subcommand(name: str) -> Any:
    found = COMMAND.get_command(None, name)
    assert found is not None
    return found


MADE = [name for name in NAMES if find_spec(f"scaleplan.questions.{name}")]


def examples(name: str) -> tuple[str, ...]:
    """The command lines in a command's help."""
    return question_named(name).examples


@pytest.mark.parametrize("name", NAMES)
def test_help_begins_with_the_question_and_shows_examples(run, name):
    """The first line of the help is the one in the list of commands; at least two examples begin with the command itself."""
    text = run(name, "-h").stdout

    assert asks(name) in " ".join(text.split())
    assert sum(line.strip().startswith(f"scaleplan {name}") for line in text.splitlines()) >= 2
    assert max(map(len, text.splitlines())) <= 100


@pytest.mark.parametrize(
    "example", [example for name in MADE for example in examples(name) if not re.search(r"[|>]|\./|\.toml|\.csv|\.json", example)]
)
def test_examples_of_the_help_run(run, example):
    """Every example that needs no file of the reader's answers."""
    outcome = run(*shlex.split(example)[1:])
    assert outcome.code == 0, outcome.stderr


VERSIONS = {"batch": 2, "cost": 3}
"""Versions of schemas, where a key has changed its meaning since the first."""


@pytest.mark.parametrize("line", ASKED.values(), ids=ASKED)
def test_the_envelope(run, line):
    """One JSON document with schema, version, inputs, result, warnings and sources."""
    document = run(*line.split(), "--json").document

    command = line.split()[0]
    assert document["schema"] == f"scaleplan.{command}/{VERSIONS.get(command, 1)}"
    assert list(document) == ["schema", "scaleplan_version", "inputs", "result", "warnings", "sources"]
    assert document["sources"]


@pytest.mark.parametrize("line", ASKED.values(), ids=ASKED)
def test_verbose_adds_only_lines(run, line):
    """With -v the document is the same but for `lines`."""
    brief, verbose = run(*line.split(), "--json").document, run(*line.split(), "--json", "-v").document

    assert verbose.pop("lines")
    assert verbose == brief


@pytest.mark.parametrize("line", ASKED.values(), ids=ASKED)
def test_every_formula_gives_its_value(run, line):
    """Evaluated with its inputs, the formula of a line is its value; most lines that are computed have one."""
    lines = run(*line.split(), "--json", "-v").document["lines"]
    with_formula = [entry for entry in lines if entry["formula"]]

    for entry in with_formula:
        assert evaluate(entry["formula"], entry["inputs"]) == pytest.approx(entry["value"], rel=1e-9), entry["key"]
    computed = [entry for entry in lines if entry["formula"] or entry["standing"] not in ("given", "published", "measured", "assumed")]
    assert len(with_formula) >= 0.8 * len(computed)


@pytest.mark.parametrize("line", ASKED.values(), ids=ASKED)
def test_every_source_is_known(run, line):
    """A citation key that sources.toml does not have cites nothing."""
    from scaleplan import library

    assert set(run(*line.split(), "--json", "-v").document["sources"]) <= set(library.sources())


@pytest.mark.parametrize("line", ASKED.values(), ids=ASKED)
def test_formats_are_views_of_one_answer(run, line):
    """JSON is JSON whatever flag asks; CSV is rectangular; plain draws no boxes; a pipe gets no colour and loses no cell."""
    args = line.split()
    as_json, plain, sheet, page = (run(*args, "--format", form).stdout for form in ("json", "plain", "csv", "md"))

    assert as_json == run(*args, "--json").stdout
    assert not BOX.search(plain)
    rows = list(csv.reader(io.StringIO(sheet)))
    assert len({len(row) for row in rows}) == 1
    assert re.search(r"^\|[-:| ]+\|$", page, re.MULTILINE)
    for text in (plain, sheet, page, run(*args).stdout):
        assert "\x1b" not in text
        assert "\u2026" not in text


def on_a_terminal(line: str, columns: int, code: int = 0) -> list[str]:
    """The lines a command shows on a real terminal of so many columns, without its colours; of a refusal those on stderr."""
    import fcntl
    import pty
    import struct
    import termios

    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    environment = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES", "NO_COLOR")} | {"TERM": "xterm"}
    child = subprocess.Popen(
        [sys.executable, "-m", "scaleplan", *line.split()],
        stdin=slave,
        stdout=slave,
        stderr=slave if code else subprocess.DEVNULL,
        env=environment,
    )
    os.close(slave)
    shown = b""
    while True:
        try:
            part = os.read(master, 65536)
        except OSError:  # the child has closed its end
            part = b""
        if not part:
            break
        shown += part
    os.close(master)
    assert child.wait() == code
    return re.sub("\x1b\\[[0-9;]*m", "", shown.decode()).replace("\r\n", "\n").split("\n")


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")
@pytest.mark.parametrize("line", ASKED.values(), ids=ASKED)
def test_tables_fit_a_terminal(run, line):
    """On 80 columns no line is longer and no heading is folded; only the words of a last column may take a second line."""
    shown = on_a_terminal(line, 80)
    piped = run(*line.split()).stdout.splitlines()
    headings = [above for above, rule in pairwise(piped) if rule and set(rule) == {"\u2500"}]

    assert max(map(len, shown)) <= 80
    assert headings
    for heading in headings:
        assert any(text.split() == heading.split() for text in shown), heading


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")
@pytest.mark.parametrize("columns", [40, 80])
def test_help_and_errors_fit_a_terminal(columns):
    """Text, flags and errors break between words; an example goes on after a backslash."""
    shown = on_a_terminal("memory -h", columns)
    examples = " ".join(line.removesuffix("\\").strip() for line in shown)

    assert max(len(line) for line in shown if "|" not in line) <= columns  # a list of words stays whole
    assert all(example in examples for example in question_named("memory").examples)
    assert max(map(len, on_a_terminal("memory gpt2 --hardware nothing-of-this-name", columns, code=2))) <= columns


@pytest.mark.parametrize("line", ASKED.values(), ids=ASKED)
def test_verbose_names_every_source(run, line):
    """-v shows people what JSON shows programs."""
    text = run(*line.split(), "-v").stdout
    assert [key for key in run(*line.split(), "--json").document["sources"] if key not in text] == []


@pytest.mark.parametrize("line", ASKED.values(), ids=ASKED)
def test_a_file_gets_what_stdout_would(run, tmp_path, line):
    """-o writes the same text, whole, and leaves stdout empty."""
    path = tmp_path / "answer.json"
    outcome = run(*line.split(), "--json", "-o", path)

    assert outcome.code == 0
    assert outcome.stdout == ""
    assert path.read_text() == run(*line.split(), "--json").stdout
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("form", ["json", "csv", "md"])
def test_the_name_of_a_file_says_its_format(run, tmp_path, form):
    """`-o answer.json` holds JSON without --json; a format that is asked for goes before the name."""
    path = tmp_path / f"answer.{form}"
    run("params", "gpt2", "-o", path)
    assert path.read_text() == run("params", "gpt2", "--format", form).stdout

    run("params", "gpt2", "--format", "plain", "-o", path)
    assert path.read_text() == run("params", "gpt2", "--format", "plain").stdout


@pytest.mark.parametrize("place", ["no-folder/out.txt", "."])
def test_an_output_that_cannot_be_is_found_before_the_work(run, tmp_path, place):
    """A missing folder and a folder itself are refused by name."""
    outcome = run("params", "gpt2", "-o", tmp_path / place)

    assert outcome.code == 2
    assert "-o: " in outcome.stderr


def test_a_flag_has_one_meaning():
    """The same flag takes the same thing and says the same of it in every command."""
    meanings: dict[str, set[tuple[Any, ...]]] = defaultdict(set)
    for name in MADE:
        for parameter in subcommand(name).params:
            for flag in parameter.opts if parameter.param_type_name == "option" else []:
                if flag != "--format":
                    meanings[flag].add((parameter.help, parameter.metavar, parameter.is_flag, parameter.multiple))

    assert {flag: said for flag, said in meanings.items() if len(said) > 1} == {}


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("paramz", "gpt2"), "did you mean `params`?"),
        (("params", "gpt2", "--frobnicate"), "--frobnicate"),
        (("params", "gpt2", "--format", "yaml"), "yaml"),
        (("params", "gpt2", "--json", "--format", "csv"), "--json"),
        (("params", "gpt2-xxl"), "did you mean `gpt2-xl`?"),
        (("cost", "gpt2", "--tokens", "1B", "--hardware", "a100-sxm-80g"), "did you mean `a100-sxm-80gb`?"),
        (("presets", "no-such-kind"), "no-such-kind"),
        (("presets", "--schema"), "--schema needs KIND"),
        (("presets", "hardware", "no-such-device"), "no-such-device"),
    ],
)
def test_a_name_that_is_not_known_is_refused_with_a_near_one(run, args, says):
    """Exit 2, `error:` first, nothing on stdout."""
    outcome = run(*args)

    assert (outcome.code, outcome.stdout) == (2, "")
    assert outcome.stderr.startswith("error: ")
    assert says in outcome.stderr


def test_a_bug_is_called_one(run, monkeypatch):
    """What we did not foresee exits 2 and says that it is ours; --debug shows where."""

    def broken(*_: Any) -> None:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr("scaleplan.render.json.bare", broken)
    outcome = run("params", "gpt2", "--json")

    assert outcome.code == 2
    assert "a bug in scaleplan: ZeroDivisionError" in outcome.stderr
    with pytest.raises(ZeroDivisionError):
        run("--debug", "params", "gpt2", "--json")


def loaded_by(*args: str) -> set[str]:
    """The modules that a fresh process has loaded when a command ends."""
    code = "import sys, atexit; atexit.register(lambda: sys.stderr.write('\\n'.join(sys.modules))); from scaleplan.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code, *args], capture_output=True, text=True, check=True)
    return {name.split(".")[0] for name in done.stderr.split("\n")}


@pytest.mark.parametrize("line", ASKED.values(), ids=ASKED)
def test_the_six_questions_load_no_heavy_library(line):
    """Closed forms need neither numpy nor scipy nor pydantic, and JSON needs no table library."""
    assert not loaded_by(*line.split(), "--json") & {"numpy", "scipy", "pydantic", "rich", "hypothesis"}


def test_the_version_loads_no_command():
    """--version imports the command line and nothing that any command needs."""
    assert not loaded_by("--version") & {"numpy", "scipy", "pydantic", "rich", "json", "tomllib", "csv"}


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGPIPE")
@pytest.mark.parametrize("line", ["presets models", "params gpt2 -v", "optimal --compute 1e21 --json -q"])
def test_a_closed_pipe_is_quiet(line):
    """`| head -1` gets its line, and nobody complains."""
    done = subprocess.run(
        ["bash", "-c", f"{shlex.quote(sys.executable)} -m scaleplan {line} | head -1"], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip()
    assert done.stderr == ""


@pytest.mark.parametrize("kind", KINDS)
def test_everything_that_is_built_in_has_a_known_source(ask, kind):
    """Every preset of every kind names sources, and sources.toml has them."""
    known = {row["name"] for row in ask("presets", "sources")["presets"]}
    rows = ask("presets", kind)["presets"]

    assert rows
    assert [row["name"] for row in rows if not row["sources"] or not set(row["sources"]) <= known] == []


def test_a_flag_that_is_listed_is_explained_where_the_help_says(run):
    """`cost -h` lists flags that other commands have too; each stands in the help of the command that it names."""
    question = question_named("cost")
    for heading, other in question.elsewhere.items():
        known = run(other, "-h").stdout
        for name in question.headings[heading]:
            assert re.search(rf"^  {field_named(name).flag}\b.*\S", known, re.MULTILINE), (name, other)
