"""Hostile command lines, calls and files, from valid seeds, over every command and reader: none may meet a bug of the program.

    python benchmarks/fuzz.py [--cases 100000] [--seed 1] [--first 0] [--configs FOLDER]
    python benchmarks/fuzz.py --seed 1 --show 4711

Cases are those of benchmarks/fuzz_cases.py; number and seed give a case, so that each can be shown and run again. They run in one
process, with a folder of their own for files; one in 500 is run as a program too and must say the same. Wrong is: "a bug in scaleplan"
or a traceback, another exit code than the contract's, a refusal without `error:`, more than 5 s of the processor, a
number that is not finite, a size below zero, a control character, a tag that a name brought into a page, a draft left behind, and more
than 1 GiB of memory. Exits 1 where there is one.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import io
import json
import math
import multiprocessing
import os
import re
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.fuzz_cases import Case, Maker, Seeds, seeds_of

LIMIT_S = 5.0  # of the processor, however much else runs
LIMIT_WALL_S = 60.0  # of the clock, after which a case is tried again alone
LIMIT_BYTES = 2**30
SAMPLED = 500  # one of so many cases is run as a program too
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
BELOW_ZERO = re.compile(r"(^|_)(bytes|flops|tokens|params|devices|usd|wh|kgco2e)$")
DIFFERENCES = ("left_", "change", "saved_")  # what may be below zero
PAGES = (".html", ".svg", ".md")


class Outcome(NamedTuple):
    """How a case ended: its exit code (None: it took too long), what it wrote, where, and the seconds that it took.

    files  name -> text of the pages that it wrote; drafts have an empty text
    """

    code: int | None
    stdout: str
    stderr: str
    wall_s: float
    files: dict[str, str]


class Late(BaseException):
    """A case took more than LIMIT_S."""


def stop(*_: object) -> None:
    raise Late


# ------------------------------------------------------------------------------------------------------------------- running


def run(case: Case) -> Outcome:
    """One case in this process, in the current folder, which is empty before and after."""
    put_files(case)
    replaced = any(name.startswith(".scaleplan") for name in case.files)
    if replaced:
        forget()
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    kept, start = sys.stdin, time.perf_counter()
    sys.stdin = io.TextIOWrapper(io.BytesIO(case.stdin), encoding="utf-8")
    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, LIMIT_S)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = called(case)
    except Late:
        code = None
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
        sys.stdin = kept
    wall_s = time.perf_counter() - start
    texts = [stream.buffer.getvalue().decode("utf-8") for stream in (out, err)]  # type: ignore[attr-defined]
    if replaced:
        forget()
    return Outcome(code, *texts, wall_s, taken_files(case))


def called(case: Case) -> int:
    """The exit code of the command, or of the function of Python."""
    if case.keywords is not None:
        return asked_from_python(case.args[0], dict(case.keywords))
    from scaleplan.cli import main

    try:
        main(case.args)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0


def asked_from_python(name: str, keywords: dict[str, Any]) -> int:
    """Call a function, print its answer or its refusal."""
    import scaleplan
    from scaleplan.errors import ScaleplanError

    try:
        print(getattr(scaleplan, name)(**keywords).to_json())
    except ScaleplanError as error:
        print(error.report(), file=sys.stderr)
        return 2
    except Exception as error:
        print(f"error: a bug in scaleplan: {type(error).__name__}: {error}", file=sys.stderr)
        return 2
    return 0


def put_files(case: Case) -> None:
    """Write the files of a case."""
    for name, data in case.files.items():
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def taken_files(case: Case) -> dict[str, str]:
    """The pages that a case wrote and the drafts that it left; then the folder is empty again."""
    found = {}
    for path in Path().iterdir():
        if path.name not in case.files and path.is_file():
            if ".part" in path.name and path.name.startswith("."):
                found[path.name] = ""
            elif path.suffix in PAGES:
                found[path.name] = path.read_text(encoding="utf-8", errors="replace")
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return found


def forget() -> None:
    """Drop what was kept of presets, which a case replaced."""
    for name, module in list(sys.modules.items()):
        if name.startswith("scaleplan"):
            for value in list(vars(module).values()):
                if hasattr(value, "cache_clear"):
                    value.cache_clear()


def as_program(case: Case) -> Outcome:
    """The same case in a process of its own."""
    put_files(case)
    start, command = time.perf_counter(), [sys.executable, "-m", "scaleplan", *case.args]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONIOENCODING": "utf-8"}
    ended = subprocess.run(command, input=case.stdin, capture_output=True, timeout=60, check=False, env=env)
    texts = [part.decode("utf-8", "replace") for part in (ended.stdout, ended.stderr)]
    return Outcome(ended.returncode, *texts, time.perf_counter() - start, taken_files(case))


# ------------------------------------------------------------------------------------------------------------------- judging


def complaint(case: Case, outcome: Outcome) -> str | None:
    """What is wrong with an outcome."""
    if outcome.code is None:
        return f"no answer in {LIMIT_S:g} s"
    said = [line for line in outcome.stderr.splitlines() if "a bug in scaleplan" in line or "Traceback" in line]
    if said:
        return re.sub(r"[0-9]+", "N", said[0])[:110]
    if outcome.code not in ((0, 1, 2) if case.args[:1] in (["check"], ["diff"]) else (0, 2)):
        return f"exit {outcome.code}"
    if outcome.code == 2 and (outcome.stdout or not re.search(r"^error: \S", outcome.stderr, re.MULTILINE)):
        return "a refusal without `error:`, or with an answer"
    return wrong_text(case, outcome) or wrong_files(outcome) or (wrong_json(outcome.stdout) if is_json(case, outcome) else None)


def is_json(case: Case, outcome: Outcome) -> bool:
    """Whether an outcome is to be one document."""
    helped = any(word in case.args for word in ("-h", "--help", "--version"))
    return outcome.code in (0, 1) and outcome.stdout != "" and not helped and ("--json" in case.args or case.keywords is not None)


def wrong_text(case: Case, outcome: Outcome) -> str | None:
    """Characters that steer a terminal, and numbers that are none."""
    if CONTROL.search(outcome.stderr) or ("csv" not in case.args and CONTROL.search(outcome.stdout)):
        return "a control character"
    odd = re.search(r"(?<![\w.`/-])[-+]?(nan|inf)(?![\w.-])", outcome.stdout)
    given = " ".join([*case.args, written(case.keywords), case.stdin.decode("utf-8", "replace"), *map(repr, case.files.values())])
    given = given.replace("\\x00", "").replace("\0", "")  # texts of 16 bits
    return "a number that is not finite" if odd and not re.search(r"nan|inf|NaN|Inf|1e[34]\d\d|999", given) else None


def written(keywords: Mapping[str, Any] | None) -> str:
    """Keywords as text, of which a whole number may be too long to be written."""
    try:
        return repr(keywords and dict(keywords))
    except ValueError:
        return "999"


def wrong_files(outcome: Outcome) -> str | None:
    """A draft left behind, or a tag from a name in a page."""
    for name, text in outcome.files.items():
        if not text and ".part" in name:
            return "a draft left behind"
        if re.search(r"(?<!\\)<i id=marked", text):  # Markdown shows what stands behind a backslash as it is
            return f"a tag from a name in a {Path(name).suffix} file"
    return None


def wrong_json(text: str) -> str | None:
    """A document that is none, or whose sizes are below zero."""
    try:
        document = json.loads(text, parse_constant=float)
    except ValueError:
        return "not one JSON document"
    if not all(math.isfinite(value) for _, value in numbers_of(document, "")):
        return "a number that is not finite"
    for key, value in numbers_of(document.get("result"), ""):
        if value < 0 and BELOW_ZERO.search(key) and not key.startswith(DIFFERENCES):
            return f"{key} below zero"
    return None


def numbers_of(value: Any, key: str) -> Iterator[tuple[str, float]]:
    """Every number of a document with the last key above it."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield from numbers_of(item, name)
    elif isinstance(value, list):
        for item in value:
            yield from numbers_of(item, key)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield key, value


def otherwise(case: Case, outcome: Outcome) -> str | None:
    """What a program of its own says otherwise."""
    try:
        other = as_program(case)
    except subprocess.TimeoutExpired:
        return "no answer as a program"
    same = (other.code, other.stdout, other.stderr) == (outcome.code, outcome.stdout, outcome.stderr)
    return None if same else "says something else as a program"


# --------------------------------------------------------------------------------------------------------------------- cases


class Found(NamedTuple):
    """A case that ended as it must not, by its number, and what is wrong."""

    number: int
    case: Case
    said: str


def case_of(seed: int, number: int, seeds: Seeds) -> Case:
    """The case of a number."""
    return Maker(f"{seed}:{number}", seeds).case()


@contextlib.contextmanager
def own_folder() -> Iterator[None]:
    """An empty folder as the current one, which is the home too."""
    kept, homes = Path.cwd(), {name: os.environ.get(name) for name in ("HOME", "XDG_CONFIG_HOME")}
    with tempfile.TemporaryDirectory() as name:
        Path(name, "work").mkdir()
        os.chdir(Path(name, "work"))
        os.environ |= dict.fromkeys(homes, name)
        try:
            yield
        finally:
            os.chdir(kept)
            for variable, value in homes.items():
                os.environ.pop(variable) if value is None else os.environ.update({variable: value})


def found(cases: int, seed: int, configs: Path | None = None, first: int = 0, sampled: int = 0) -> Iterator[Found | int]:
    """Every case that ends as it must not; its number for one that is as it should be."""
    with own_folder():
        seeds = seeds_of(configs, lambda words: run(Case(words)).stdout)
        for number in range(first, first + cases):
            case = case_of(seed, number, seeds)
            outcome = run(case)
            gc.unfreeze()  # a command that ends freezes what is left
            if number % 100 == 0:
                gc.collect()
            said = complaint(case, outcome)
            if said is None and sampled and number % sampled == 0 and case.keywords is None:
                said = otherwise(case, outcome)
            yield number if said is None else Found(number, case, said)


def work(cases: int, seed: int, configs: Path | None, first: int, pipe: Any) -> None:
    """Send what each case comes to; end where memory is above its limit."""
    for one in found(cases, seed, configs, first, SAMPLED):
        pipe.send((one if isinstance(one, int) else one.number, None if isinstance(one, int) else one.said, peak_bytes()))
        if peak_bytes() > LIMIT_BYTES:
            return


def peak_bytes() -> int:
    """The most memory that this process had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def watched(cases: int, seed: int, configs: Path | None, first: int) -> Iterator[tuple[int, str | None]]:
    """What each case comes to, from a process that is begun anew after a case that it did not survive."""
    fork, number, end = multiprocessing.get_context("fork"), first, first + cases
    while number < end:
        take, give = fork.Pipe(duplex=False)
        worker = fork.Process(target=work, args=(end - number, seed, configs, number, give))
        worker.start()
        give.close()
        try:
            while take.poll(LIMIT_WALL_S):
                number, said, peak = take.recv()
                yield number, said or ("more than 1 GiB" if peak > LIMIT_BYTES else None)
                number += 1
            yield number, alone(seed, configs, number)  # charts are drawn by a library whose threads a fork may stop
            number += 1
        except EOFError:
            if number < end and worker.exitcode not in (0, None):
                yield number, f"ends the process: {worker.exitcode}"
                number += 1
        worker.kill()
        worker.join()


def alone(seed: int, configs: Path | None, number: int) -> str | None:
    """What a case comes to as a program, after it did not end in a process that began as a copy."""
    with own_folder():
        case = case_of(seed, number, seeds_of(configs, lambda words: run(Case(words)).stdout))
        try:
            return complaint(case, as_program(case)) if case.keywords is None else "hangs where nothing can stop it"
        except subprocess.TimeoutExpired:
            return "hangs where nothing can stop it"


def show(seed: int, number: int, configs: Path | None) -> int:
    """A case, its files and how it ends."""
    with own_folder():
        case = case_of(seed, number, seeds_of(configs, lambda words: run(Case(words)).stdout))
        outcome = run(case)
    for name, data in case.files.items():
        print(f"--- {name} ({len(data)} bytes)\n{data[:6000].decode('utf-8', 'replace')}")
    print(f"--- {shlex.join(case.args)}\n{written(case.keywords) if case.keywords is not None else case.stdin[:3000]!r}")
    print(f"{outcome.stdout[:4000]}\n{outcome.stderr[:4000]}\n{outcome.code} {complaint(case, outcome)} {outcome.wall_s:.2f} s")
    if "a bug" in outcome.stderr and case.keywords is None:
        with own_folder():
            run(case._replace(args=["--debug", *case.args]))
    return 0


def fuzz() -> int:
    """All cases; 1 where one is wrong."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--show", type=int)
    parser.add_argument("--configs", type=Path, default=Path(os.environ.get("SCALEPLAN_CONFIGS", "../shared/truth/configs")))
    asked = parser.parse_args()
    configs = asked.configs.resolve() if asked.configs.is_dir() else None
    if asked.show is not None:
        return show(asked.seed, asked.show, configs)
    start, kinds, cases = time.perf_counter(), Counter[str](), 0
    for number, said in watched(asked.cases, asked.seed, configs, asked.first):
        cases += 1
        if said is not None:
            kinds[said] += 1
            if kinds[said] <= 3:
                print(f"{said} <- --seed {asked.seed} --show {number}", flush=True)
        if cases % 5000 == 0:
            print(f"{cases:,} cases", file=sys.stderr, flush=True)
    print(f"{cases:,} cases, {sum(kinds.values())} wrong of {len(kinds)} kinds, {time.perf_counter() - start:.0f} s")
    return int(bool(kinds))


if __name__ == "__main__":
    sys.exit(fuzz())
