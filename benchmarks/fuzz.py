"""Hostile command lines and files, from valid seeds, over every command and reader: none may meet a bug of the program.

    python benchmarks/fuzz.py [--cases 100000] [--seed 1] [--configs FOLDER]

Each case is one command in this process: an example of a question with words changed, added or dropped, or a command that reads a file
(a preset, a config, an answer, a table) of which values or bytes were damaged. Exits 1 where a case ends in "a bug in scaleplan" or a
traceback, takes more than 5 s, prints a number that is not finite, or where the process needs more than 1 GiB.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import random
import re
import resource
import shlex
import signal
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from scaleplan.cli import main
from scaleplan.library import built_in
from scaleplan.model_files import toml_value
from scaleplan.questions.registry import NAMES, question_named

LIMIT_S = 5
LIMIT_BYTES = 2**30
VALUES = (
    *(
        "0",
        "-1",
        "1",
        "2",
        "7",
        "8",
        "1e3",
        "4096",
        "1B",
        "70B",
        "1e21",
        "1e40",
        "0.4",
        "40%",
        "2.5",
        "1e-30",
        "1e300",
        "nan",
        "inf",
        "9" * 59,
    ),
    *(
        "",
        " ",
        "x",
        "é",
        "\x1b[31mred",
        "[red]x[/red]",
        "1,000",
        "²",
        "80G",
        "80GiB",
        "30d",
        "$5",
        "400W",
        "385g/kWh",
        "\n",
        "a=b",
        "-",
        "/",
        ".",
    ),
    *(
        "gpt2",
        "h100-sxm",
        "all",
        "kaplan2020",
        "bf16-mixed",
        "full",
        "tp2,dp4",
        "dp8,zero3",
        "tp0",
        "usd<=5",
        "tokens=1e9:1e10:log:3",
        "1:2:lin:3",
    ),
)
JUNK: tuple[Any, ...] = (0, -1, 1.5, True, "x", "", [], {}, [[]], {"a": 1}, 1e300, 10**30, 2**63, float("nan"), float("inf"), "12", ["y"])
SKIPPED = ("serve", "emit", "dask", "port")  # that start a server or a cluster, or write a folder
READERS = {
    "models": ("params", "flops", "memory", "memory --hardware h100-sxm --layout tp2,dp4", "cost --tokens 1T --hardware h100-sxm"),
    "laws": ("optimal --compute 1e21 --law", "batch --n-params 1B --tokens 20B --law", "optimal --n-params 1B --tokens 20B --law"),
    "hardware": ("memory gpt2 --layout dp2 --hardware", "cost --n-params 1B --tokens 20B --hardware"),
    "stacks": ("memory gpt2 --stack", "memory gpt2 --hardware h100-sxm --layout dp2 --stack"),
}
ANSWERED = ("cost gpt2 --tokens 300B --hardware h100-sxm --n-devices 8 --json", "params gpt2 --json")


class Case(NamedTuple):
    """A command line, and what it reads from standard input."""

    args: list[str]
    stdin: bytes = b""


class Outcome(NamedTuple):
    """How a command ended: its exit code (None: it took too long), what it wrote, and the seconds it took."""

    code: int | None
    stdout: str
    stderr: str
    wall_s: float


class Late(BaseException):
    """A command took more than LIMIT_S."""


def stop(*_: object) -> None:
    raise Late


def run(case: Case) -> Outcome:
    """One command in this process."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    kept, start = sys.stdin, time.perf_counter()
    sys.stdin = io.TextIOWrapper(io.BytesIO(case.stdin), encoding="utf-8")
    code: int | None = 0
    signal.signal(signal.SIGALRM, stop)
    signal.alarm(LIMIT_S)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main(case.args)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0
    except Late:
        code = None
    finally:
        signal.alarm(0)
        sys.stdin = kept
    texts = [stream.buffer.getvalue().decode("utf-8") for stream in (out, err)]  # type: ignore[attr-defined]
    return Outcome(code, *texts, time.perf_counter() - start)


def complaint(case: Case, outcome: Outcome) -> str | None:
    """What is wrong with an outcome."""
    if outcome.code is None:
        return f"no answer in {LIMIT_S} s"
    bug = next((line for line in outcome.stderr.splitlines() if "a bug in scaleplan" in line or "Traceback" in line), None)
    if bug:
        return re.sub(r"[0-9]+", "N", bug)[:100]
    if outcome.code not in ((0, 1, 2) if case.args[0] in ("check", "diff") else (0, 2)):
        return f"exit {outcome.code}"
    if outcome.code == 2 and (outcome.stdout or not re.search(r"^error: \S", outcome.stderr, re.MULTILINE)):
        return "a refusal without `error:`, or with an answer"
    if outcome.code == 0 and "--json" in case.args and re.search(r"\b(NaN|Infinity)\b", outcome.stdout):
        return "a number that is not finite"
    if re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", outcome.stderr):
        return "a control character"
    return None


# ----------------------------------------------------------------------------------------------------------------- cases


class Maker:
    """Draws cases; the same seed gives the same ones."""

    def __init__(self, seed: int, folder: Path, configs: Path | None) -> None:
        self.draw, self.folder = random.Random(seed), folder
        self.questions = [question_named(name) for name in NAMES]
        self.lines = [line for question in self.questions for line in map(single, question.examples) if line]
        self.presets = {kind: sorted((built_in() / kind).glob("*.toml")) for kind in READERS}
        self.configs = [json.loads(path.read_text()) for path in sorted(configs.glob("*.json"))] if configs else []
        self.answers = [json.loads(run(Case(line.split())).stdout) for line in ANSWERED]
        self.n_files = 0

    def case(self) -> Case:
        """Any."""
        return self.draw.choice((self.line, self.line, self.preset, self.config, self.answer, self.runs))()

    def line(self) -> Case:
        """An example with words changed, dropped and added."""
        words = list(self.draw.choice(self.lines))
        question = question_named(words[0])
        for _ in range(self.draw.choice((0, 1, 1, 2))):
            place = self.draw.randrange(1, len(words)) if len(words) > 1 else 0
            if place and self.draw.random() < 0.7:
                words[place] = self.draw.choice(VALUES)
            elif place:
                del words[place]
        fields = [one for one in question.own_fields() if one.name not in SKIPPED]
        for one in self.draw.sample(fields, min(len(fields), self.draw.choice((0, 1, 1, 2, 3)))):
            words += [one.flag] if one.kind == "switch" else [one.flag, self.value(one)]
        words += self.draw.choice(([], ["--json"], ["--json", "-v"], ["--format", "md"], ["--format", "csv"], ["-v"]))
        return Case([word.replace("\0", "") for word in words if word not in ("-o", "--serve", "--emit", "--plot")])

    def value(self, one: Any) -> str:
        """A value for a field: often a word it knows."""
        return self.draw.choice(one.choices) if one.choices and self.draw.random() < 0.6 else self.draw.choice(VALUES)

    def preset(self) -> Case:
        """A preset with some values replaced or gone."""
        kind = self.draw.choice(sorted(READERS))
        data = tomllib.loads(self.draw.choice(self.presets[kind]).read_text(encoding="utf-8"))
        for _ in range(self.draw.choice((1, 1, 2))):
            self.damage(data)
        text = "".join(f"{key} = {toml_value(value)}\n" for key, value in data.items())
        path = self.file(text.encode("utf-8", "replace"), "toml")
        command, *rest = self.draw.choice(READERS[kind]).split()
        args = [command, path, *rest] if kind == "models" else [command, *rest, path]
        return Case([*args, *self.draw.choice(([], ["--json"]))])

    def config(self) -> Case:
        """A Hugging Face config, or a table of layouts where no configs were given, with some values replaced."""
        if not self.configs:
            return self.line()
        data = json.loads(json.dumps(self.draw.choice(self.configs)))
        self.damage(data)
        command, *rest = self.draw.choice(READERS["models"]).split()
        return Case([command, self.file(json.dumps(data).encode(), "json"), *rest, "--json"])

    def answer(self) -> Case:
        """An answer with damaged values, checked or read as a model."""
        data = json.loads(json.dumps(self.draw.choice(self.answers)))
        self.damage(data)
        args = self.draw.choice(
            (["check", "-", "--limit", f"usd{self.draw.choice(('<=', '>=', '<'))}{self.draw.choice(VALUES)}"], ["params", "-"])
        )
        return Case(args, self.bytes(json.dumps(data).encode()))

    def runs(self) -> Case:
        """A table of runs."""
        heading = self.draw.choice(("n_params,n_tokens,loss", "n_params,compute_flops,loss", "a,b,loss", "n_params;n_tokens;loss"))
        rows = [
            ",".join(f"{10 ** self.draw.uniform(low, high):.5g}" for low, high in ((6, 10), (8, 12), (0.3, 0.6)))
            for _ in range(self.draw.choice((0, 1, 5, 8, 20)))
        ]
        if rows and self.draw.random() < 0.4:
            rows[-1] = ",".join(self.draw.choice(VALUES).replace("\n", "") for _ in range(3))
        more = self.draw.choice(
            ([], ["--compute", "1e24"], ["--form", "kaplan"], ["--compare"], ["--bootstrap", "3"], ["--design", "1e21"])
        )
        return Case(["fit", self.file("\n".join([heading, *rows]).encode(), "csv"), *more, "--json"])

    def damage(self, data: Any) -> None:
        """Replace or drop one value somewhere in nested data."""
        while True:
            keys = list(data) if isinstance(data, dict) else list(range(len(data)))
            if not keys:
                return
            key = self.draw.choice(keys)
            if isinstance(data[key], dict | list) and data[key] and self.draw.random() < 0.8:
                data = data[key]
                continue
            if self.draw.random() < 0.15:
                del data[key]
            else:
                data[key] = self.draw.choice(JUNK)
            return

    def bytes(self, data: bytes) -> bytes:
        """Sometimes with a byte changed, cut off, in another encoding or with other line ends."""
        place = self.draw.randrange(len(data) or 1)
        kinds = (
            lambda: data[:place] + bytes([self.draw.randrange(256)]) + data[place + 1 :],
            lambda: data[:place],
            lambda: data.replace(b"\n", b"\r"),
            lambda: data.decode("utf-8", "replace").encode("utf-16"),
            lambda: b"\xef\xbb\xbf" + data,
        )
        return self.draw.choice(kinds)() if self.draw.random() < 0.15 else data

    def file(self, data: bytes, ending: str) -> str:
        """The path of a file that holds the data, perhaps damaged; a few hundred names are used in turn."""
        self.n_files = (self.n_files + 1) % 500
        path = self.folder / f"{self.n_files}.{ending}"
        path.write_bytes(self.bytes(data))
        return str(path)


def single(example: str) -> list[str]:
    """The words of an example that is one command, without what it writes; else nothing."""
    words = shlex.split(example.replace("\\\n", " "))
    return [] if {"|", ">", "-o", "--serve", "--emit", "--plot"} & set(words) else words[1:]


def found(cases: int, seed: int, configs: Path | None = None) -> Iterator[tuple[Case, Outcome, str]]:
    """Every case that ends as it must not, with what is wrong."""
    with tempfile.TemporaryDirectory() as name:
        kept = Path.cwd()
        os.chdir(name)
        try:
            maker = Maker(seed, Path(name), configs)
            for _ in range(cases):
                case = maker.case()
                outcome = run(case)
                if said := complaint(case, outcome):
                    yield case, outcome, said
        finally:
            os.chdir(kept)


def fuzz() -> int:
    """All cases; 1 where one is wrong."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--configs", type=Path, default=Path(os.environ.get("SCALEPLAN_CONFIGS", "../shared/truth/configs")))
    asked = parser.parse_args()
    start, kinds = time.perf_counter(), Counter[str]()
    for case, _, said in found(asked.cases, asked.seed, asked.configs.resolve() if asked.configs.is_dir() else None):
        kinds[said] += 1
        if kinds[said] <= 2:
            print(f"{said} <- {' '.join(map(shlex.quote, case.args))[:300]}", flush=True)
    wall_s = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(f"{asked.cases:,} cases, {sum(kinds.values())} wrong of {len(kinds)} kinds, {peak / 2**20:.0f} MiB, {wall_s:.0f} s")
    return int(bool(kinds) or peak > LIMIT_BYTES)


if __name__ == "__main__":
    sys.exit(fuzz())
