"""Single mutations of the formula rooms, each held against the tests that reach it: how many are noticed.

    python benchmarks/mutants.py [--n 400] [--seed 7] [--only machine/goodput model/mixers] [--map FILE] [--every] [--again FILE]
    python benchmarks/mutants.py --only machine/goodput --every --tests machine/test_goodput.py

A mutation swaps + and -, * and /, ** and *, drops one side of such an operation, doubles a constant, moves a comparison by one step or
swaps the smaller of two for the larger. Nothing of the checkout is changed: tests are collected once, and each mutation is made in a copy
of that process, where the tests that reach its line are run until one fails. One that lives is tried again on a changed copy of the
sources, with all tests that reach it. `--map` keeps which tests reach which line, found by running them once; tests in the file of a
module's name (test_goodput.py) are tried on all of it. `--tests` tries those of some files on every mutation, without a map; `--again`
the mutations that an earlier output names. Without --only the five places where a wrong formula would be believed are tried whole
(WHOLE), the rest by a sample of --n.

benchmarks/mutants_reviewed.csv lists mutations that change nothing that anybody could see, each with its reason; they are not tried.
Exits 1 where fewer than 92 % are noticed, or one lives in WHOLE, and prints each that does.
"""

from __future__ import annotations

import argparse
import ast
import csv
import importlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import types
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("model", "laws", "machine", "footprint")
WHOLE = (
    "machine/goodput", "machine/run_time", "machine/pipeline", "machine/schedules", "machine/schedule_order", "machine/serving_memory",
    "model/mixers/mamba", "model/mixers/mamba2", "model/mixers/rwkv", "model/mixers/gated_delta", "model/mixers/latent",
    "model/mixers/linear",
)  # fmt: skip
"""Goodput, pipelines and their order, the serving workspace, scans (Mamba, RWKV, the delta rule) and latent attention (MLA)."""
TESTS = ("machine", "model", "laws", "footprint", "published", "chain", "presets", "questions")
BAR = 0.92
LIMIT_S = 30  # of the processor for one test: one that does not end notices the mutation
MOST_TESTS = 150  # of those that reach a line, the narrowest
COPIED = ("src", "presets", "tests", "benchmarks", "docs", "examples", "scripts", "pyproject.toml", "README.md", "CHANGELOG.md")
SWAPPED: Mapping[type, type] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.Pow: ast.Mult,
    ast.FloorDiv: ast.Mult,
}
COMPARISONS: Mapping[type, type] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
}  # fmt: skip
OTHERS = {"min": "max", "max": "min", "minimum": "maximum", "maximum": "minimum"}
SHOWN_IN = ("InputError", "UsageError", "NotSupported", "UnknownName", "ScaleplanError", "Rule")
"""Calls whose arguments are messages."""


class Mutant(NamedTuple):
    """One change: the file below the checkout, its line, the function around it, what stood there and what stands there now.

    name  the constant or type that it is a part of, where it is in no function
    place, number  which node of the module it is, in the order of `ast.walk`, and which of its changes
    """

    path: Path
    line: int
    function: str
    before: str
    after: str
    name: str | None
    place: int
    number: int

    @property
    def module(self) -> str:
        return ".".join(self.path.with_suffix("").parts[1:])

    @property
    def tree(self) -> ast.Module:
        """The changed module."""
        tree = ast.parse((ROOT / self.path).read_text(encoding="utf-8"))
        target = list(ast.walk(tree))[self.place]
        replace(tree, target, changes(target)[self.number](target))
        return tree

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What it is known by, wherever its line is."""
        return str(self.path), self.function, self.before, self.after


# -------------------------------------------------------------------------------------------------------------------- making


def sites(path: Path) -> Iterator[Mutant]:
    """Every mutation of a file."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    places = {id(node): place for place, node in enumerate(ast.walk(tree))}
    for node, function, name in inside(tree, "", None):
        for number, change in enumerate(changes(node)):
            before, after = ast.unparse(node), ast.unparse(change(node))
            yield Mutant(path, node.lineno, function, before, after, name, places[id(node)], number)  # type: ignore[attr-defined]


Place = tuple[ast.AST, str, str | None]


def inside(node: ast.AST, function: str, name: str | None) -> Iterator[Place]:
    """Every node that is computed, the function around it, and the constant or type that it is a part of; no annotations and messages."""
    for child in ast.iter_child_nodes(node):
        if is_message(child) or child is getattr(node, "annotation", None) or child is getattr(node, "returns", None):
            continue
        where, whose = function, name
        if isinstance(child, ast.FunctionDef | ast.ClassDef):
            where = f"{function}.{child.name}" if function else child.name
            whose = child.name if isinstance(child, ast.ClassDef) else None
        elif isinstance(node, ast.FunctionDef) and isinstance(child, ast.arguments):  # defaults
            whose = node.name
        elif not function and isinstance(child, ast.Assign | ast.AnnAssign):
            whose = ast.unparse(child.targets[0] if isinstance(child, ast.Assign) else child.target)
        yield child, where, whose
        yield from inside(child, where, whose)


def is_message(node: ast.AST) -> bool:
    """A text for people, or a call that makes one."""
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in SHOWN_IN)


def changes(node: ast.AST) -> list[Callable[[Any], ast.AST]]:
    """The ways in which a node is changed; each takes the node of a copy and gives what stands in its place."""
    if isinstance(node, ast.BinOp) and type(node.op) in SWAPPED and not of_text(node):
        return [swapped, lambda one: one.left, lambda one: one.right]
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in COMPARISONS:
        return [] if is_text(node.comparators[0]) else [compared]
    if isinstance(node, ast.Constant) and type(node.value) in (int, float) and node.value:
        return [lambda one: ast.Constant(2 * one.value)]
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in OTHERS:
        return [other_extreme]
    return []


def swapped(node: ast.BinOp) -> ast.AST:
    return ast.BinOp(node.left, SWAPPED[type(node.op)](), node.right)


def compared(node: ast.Compare) -> ast.AST:
    return ast.Compare(node.left, [COMPARISONS[type(node.ops[0])]()], node.comparators)


def other_extreme(node: ast.Call) -> ast.AST:
    assert isinstance(node.func, ast.Name)
    return ast.Call(ast.Name(OTHERS[node.func.id], ast.Load()), node.args, node.keywords)


def is_text(node: ast.AST) -> bool:
    """A text, or a container of some."""
    if isinstance(node, ast.Tuple | ast.List | ast.Set):
        return any(map(is_text, node.elts))
    return isinstance(node, ast.JoinedStr | ast.List | ast.ListComp) or (isinstance(node, ast.Constant) and not is_number(node))


def is_number(node: ast.Constant) -> bool:
    return isinstance(node.value, int | float) and not isinstance(node.value, bool)


def of_text(node: ast.BinOp) -> bool:
    """An operation on texts, lists or types, whose change is an error at once and tells nothing."""
    return is_text(node.left) or is_text(node.right)


def replace(tree: ast.AST, target: ast.AST, by: ast.AST) -> None:
    """Put a node in the place of another."""
    ast.copy_location(by, target)
    for parent in ast.walk(tree):
        for name, value in ast.iter_fields(parent):
            if value is target:
                setattr(parent, name, by)
            elif isinstance(value, list) and any(item is target for item in value):
                value[[item is target for item in value].index(True)] = by
    ast.fix_missing_locations(tree)


def reviewed() -> set[tuple[str, str, str, str]]:
    """Mutations that change nothing that anybody could see."""
    with (Path(__file__).with_name("mutants_reviewed.csv")).open(newline="", encoding="utf-8") as lines:
        return {(row["path"], row["function"], row["before"], row["after"]) for row in csv.DictReader(lines)}


# --------------------------------------------------------------------------------------------------------------------- reach


class Reach(NamedTuple):
    """Which tests reach a line of a file; the width of a test is the number of lines that it reaches.

    at_import  lines that are reached while tests are collected
    """

    tests: Mapping[tuple[str, int], Sequence[str]]
    width: Mapping[str, int]
    at_import: set[tuple[str, int]]

    def of(self, mutant: Mutant, new: Iterable[pytest.Item] = ()) -> list[str]:
        """The tests that may notice a mutation: of its own module first, the narrowest first; of the new ones, those of its module.

        Where nothing is known of what they reach, all of them.
        """
        if not self.tests:
            return [item.nodeid for item in new]
        found = {test for place in self.places(mutant) for test in self.tests.get(place, ())}
        own = f"test_{mutant.path.stem}.py"
        found |= {item.nodeid for item in new if item.path.name == own and item.nodeid not in self.width}
        return sorted(found, key=lambda test: (own not in test, self.width.get(test, 0), test))[:MOST_TESTS]

    def places(self, mutant: Mutant) -> Iterator[tuple[str, int]]:
        """The line of a mutation; of a constant or a default, every line that names it or its type."""
        if mutant.name is None:
            yield str(mutant.path), mutant.line
            return
        if (own := defined(mutant)) is not None:
            yield from ((str(mutant.path), number) for number in range(own.lineno, (own.end_lineno or own.lineno) + 1))
        word = re.compile(rf"\b{mutant.name}\b")
        for path in sorted((ROOT / "src/scaleplan").rglob("*.py")):
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
                if word.search(line):
                    yield str(path.relative_to(ROOT)), number


def defined(mutant: Mutant) -> ast.FunctionDef | ast.ClassDef | None:
    """The function or type whose default a mutation changes."""
    tree = ast.parse((ROOT / mutant.path).read_text(encoding="utf-8"))
    return next((node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == mutant.name), None)


def reach_of(data_file: Path) -> Reach:
    """From coverage data with a context for each test."""
    from coverage import CoverageData

    data, width = CoverageData(str(data_file)), Counter[str]()
    tests: dict[tuple[str, int], list[str]] = {}
    at_import = set()
    data.read()
    for name in data.measured_files():
        path = "src" + name.rpartition("/src")[2]
        for line, contexts in data.contexts_by_lineno(name).items():
            tests[path, line] = sorted({context.partition("|")[0] for context in contexts if context})
            width.update(tests[path, line])
            if "" in contexts:
                at_import.add((path, line))
    return Reach(tests, width, at_import)


def measure_reach(folder: Path, data_file: Path) -> None:
    """Run all tests once with coverage."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *(f"tests/{room}" for room in TESTS)]
    command += ["--cov=src/scaleplan", "--cov-context=test", "--cov-report="]
    subprocess.run(command, cwd=folder, env=environment(folder) | {"COVERAGE_FILE": str(data_file)}, check=True)


def environment(folder: Path) -> dict[str, str]:
    return {"PYTHONPATH": str(folder / "src"), "PATH": "/usr/bin:/bin", "HOME": str(folder)}


# -------------------------------------------------------------------------------------------------------------------- trying


class Trials:
    """A plugin of pytest: instead of running the tests that were collected, try every mutation on some of them."""

    def __init__(self, mutants: Sequence[Mutant], reach: Reach) -> None:
        self.mutants, self.reach = mutants, reach
        self.alive: list[Mutant] = []
        self.items: list[pytest.Item] = []
        self.failed_without = ""

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Each mutation in a copy of this process; now and then none, which must not fail."""
        self.items, by_name = session.items, {item.nodeid: item for item in session.items}
        start = time.perf_counter()
        for number, mutant in enumerate(self.mutants, 1):
            items = [by_name[test] for test in self.reach.of(mutant, self.items) if test in by_name]
            if number % 50 == 1 and noticed_in_copy(None, items):
                self.failed_without = next((item.nodeid for item in items if noticed_in_copy(None, [item])), str(mutant.path))
                return True
            if not noticed_in_copy(mutant, items):
                self.alive.append(mutant)
                print(shown(mutant), file=sys.stderr, flush=True)
            if number % 100 == 0:
                print(f"{number} tried, {len(self.alive)} alive, {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
        return True


def noticed_in_copy(mutant: Mutant | None, items: Sequence[pytest.Item]) -> bool:
    """Whether a test fails, or does not end, in a copy of this process with the mutation; None is none."""
    child = os.fork()
    if child == 0:
        code = 0
        try:
            quiet = os.open(os.devnull, os.O_WRONLY)
            os.dup2(quiet, 1)
            os.dup2(quiet, 2)
            if mutant is not None:
                mutate_here(mutant)
            code = int(fails(items))
        except BaseException:  # a change that cannot be run at all
            code = 1
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status) != 0


def fails(items: Sequence[pytest.Item]) -> bool:
    """Whether one of the tests fails; one that does not end ends the process."""
    from _pytest.runner import runtestprotocol

    for item in items:
        signal.setitimer(signal.ITIMER_PROF, LIMIT_S)
        if any(report.failed for report in runtestprotocol(item, log=False, nextitem=None)):
            return True
    return False


def mutate_here(mutant: Mutant) -> None:
    """Give the module of the mutation its changed functions, defaults and constants, wherever they have been imported to."""
    module = importlib.import_module(mutant.module)
    changed = types.ModuleType(mutant.module)
    changed.__dict__.update({"__file__": module.__file__, "__package__": module.__package__})
    exec(compile(mutant.tree, str(mutant.path), "exec"), changed.__dict__)
    for name, new in vars(changed).items():
        old = vars(module).get(name)
        if name.startswith("__") or getattr(new, "__module__", mutant.module) != mutant.module:
            continue
        if isinstance(new, type):
            give_class(old, new)
        elif hasattr(bare(new), "__code__"):
            give_function(bare(old), bare(new))
        elif old is not new and repr(old) != repr(new):
            give_value(name, old, new)


def give_class(old: Any, new: Any) -> None:
    """Methods and defaults of a type."""
    for name, inner in vars(new).items():
        if hasattr(bare(inner), "__code__") and name in vars(old):
            give_function(bare(vars(old)[name]), bare(inner))
        elif isinstance(inner, int | float | str | tuple) and not name.startswith("_") and name in vars(old):
            setattr(old, name, inner)
    if hasattr(new, "_field_defaults"):
        old._field_defaults.update(new._field_defaults)


def give_function(old: Any, new: Any) -> None:
    """Code and defaults of a function."""
    if old.__code__.co_freevars == new.__code__.co_freevars:
        old.__code__ = new.__code__
    old.__defaults__, old.__kwdefaults__ = new.__defaults__, new.__kwdefaults__


def give_value(name: str, old: Any, new: Any) -> None:
    """A constant, in every module that has taken it."""
    for place in list(sys.modules.values()):
        if getattr(place, "__name__", "").startswith(("scaleplan", "tests")) and vars(place).get(name) is old:
            setattr(place, name, new)


def bare(found: Any) -> Any:
    """A function without property, cache, static or class method around it."""
    for name in ("fget", "func", "__func__", "__wrapped__"):
        found = getattr(found, name, found)
    return found


def noticed_in_sources(mutant: Mutant, folder: Path, tests: Sequence[str]) -> bool:
    """Whether a test fails on a copy of the sources with the mutation."""
    target = folder / mutant.path
    kept = target.read_text(encoding="utf-8")
    target.write_text(ast.unparse(mutant.tree), encoding="utf-8")
    names = folder / "tests.txt"
    names.write_text("\n".join(tests), encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", f"@{names}"]
    try:
        return subprocess.run(command, cwd=folder, env=environment(folder), capture_output=True, check=False).returncode != 0
    finally:
        target.write_text(kept, encoding="utf-8")


def alive_of(mutants: Sequence[Mutant], reach: Reach, folder: Path, tests: Sequence[str] = TESTS) -> list[Mutant]:
    """Those that no test notices; constants, and what else is computed while tests are collected, need a process of their own."""
    trials = Trials(mutants, reach)
    pytest.main(
        ["-q", "-s", "-p", "no:cacheprovider", "-p", "no:unraisableexception", *(f"tests/{name}" for name in tests)], plugins=[trials]
    )
    if trials.failed_without:
        raise SystemExit(f"{trials.failed_without} fails without a mutation")
    early = [one for one in trials.alive if one.name is not None or (str(one.path), one.line) in reach.at_import]
    return [one for one in trials.alive if one not in early or not noticed_in_sources(one, folder, reach.of(one, trials.items))]


def shown(mutant: Mutant) -> str:
    """A mutation in a line."""
    return f"{mutant.path}:{mutant.line}: {mutant.function}: {mutant.before}  ->  {mutant.after}"


# ------------------------------------------------------------------------------------------------------------------ measuring


def again(listed: Path) -> list[Mutant]:
    """Those that an earlier output names, wherever their lines are now."""
    lines = {re.sub(r"^(\S+?):[0-9]+: ", r"\1: ", line) for line in listed.read_text(encoding="utf-8").splitlines()}
    paths = {Path(line.partition(": ")[0]) for line in lines if line.startswith("src/")}
    found = [one for path in sorted(paths) if (ROOT / path).is_file() for one in sites(path)]
    return [one for one in found if shown(one).replace(f":{one.line}: ", ": ", 1) in lines and one.key not in reviewed()]


def drawn(only: Sequence[str], n: int, seed: int, *, every: bool) -> list[Mutant]:
    """All of the files that were named, or of WHOLE and a sample of the others."""
    files = [path.relative_to(ROOT) for room in ROOMS for path in sorted((ROOT / "src/scaleplan" / room).rglob("*.py"))]
    whole = [path for path in files if starts(path, only or WHOLE)]
    known = reviewed()
    found = [one for path in whole for one in sites(path) if one.key not in known]
    if only and not every:
        return random.Random(seed).sample(found, min(n, len(found)))
    others = [] if only else [one for path in files if path not in whole for one in sites(path) if one.key not in known]
    return found + (others if every else random.Random(seed).sample(others, min(n, len(others))))


def starts(path: Path, prefixes: Sequence[str]) -> bool:
    """Whether a file is one of those, or in one of those folders."""
    name = str(path.with_suffix("")).removeprefix("src/scaleplan/")
    return any(name == prefix or name.startswith(prefix.rstrip("/") + "/") for prefix in prefixes)


def measure() -> int:
    """Draw mutants, try them, print those that live; 1 where too many do."""
    parser = argparse.ArgumentParser(description="Mutants of the formula rooms.")
    parser.add_argument("--n", type=int, default=400)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--only", nargs="+", default=(), help="files or folders below src/scaleplan")
    parser.add_argument("--every", action="store_true", help="all mutations, no sample")
    parser.add_argument("--map", type=Path, help="file that keeps which tests reach which line")
    parser.add_argument("--again", type=Path, help="an earlier output, whose mutations are tried again")
    parser.add_argument("--tests", nargs="+", help="files or folders below tests, all of which are tried on every mutation")
    asked = parser.parse_args()
    mutants = again(asked.again) if asked.again else drawn(asked.only, asked.n, asked.seed, every=asked.every)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in COPIED:
            (shutil.copytree if (ROOT / part).is_dir() else shutil.copy)(ROOT / part, folder / part)
        data_file = asked.map or folder / "reach"
        if not asked.tests and not data_file.exists():
            measure_reach(folder, data_file)
        os.chdir(ROOT)
        sys.path.insert(0, str(ROOT / "src"))  # these sources, wherever the package is installed from
        reach = Reach({}, {}, set()) if asked.tests else reach_of(data_file)
        alive = alive_of(mutants, reach, folder, asked.tests or TESTS)
    for one in alive:
        print(shown(one))
    whole = [one for one in alive if starts(one.path, WHOLE)]
    share = 1 - len(alive) / max(len(mutants), 1)
    print(f"{len(mutants) - len(alive)} of {len(mutants)} noticed ({share:.1%}); {len(whole)} alive where none may be")
    return int(share < BAR or bool(whole))


if __name__ == "__main__":
    sys.exit(measure())
