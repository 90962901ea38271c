"""Single mutations of the formula rooms, each held against the tests of its room: how many are noticed.

    python benchmarks/mutants.py [--n 120] [--seed 7] [--only machine/goodput]

A mutation swaps + and -, * and /, doubles a constant, or moves a comparison by one step. The source is changed in a copy of the checkout,
so that the checkout itself is left alone. Exits 1 where fewer than 92 % are noticed, and prints each that is not.
"""

from __future__ import annotations

import argparse
import ast
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
ROOMS = ("model", "laws", "machine", "footprint")
BAR = 0.92
LIMIT_S = 240
COPIED = ("src", "presets", "tests", "benchmarks", "pyproject.toml", "README.md", "CHANGELOG.md")
OPERATORS: dict[type, type] = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult}
COMPARISONS: dict[type, type] = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq}


class Mutant(NamedTuple):
    """One change: the file, the line, what stood there and what stands there now, and the whole text."""

    path: Path
    line: int
    before: str
    after: str
    text: str

    @property
    def room(self) -> str:
        return self.path.parts[2]


def sites(path: Path) -> Iterator[Mutant]:
    """Every mutation of a file."""
    source = (ROOT / path).read_text(encoding="utf-8")
    count = len(list(ast.walk(ast.parse(source))))
    for position in range(count):
        tree = ast.parse(source)
        node = list(ast.walk(tree))[position]
        before = ast.unparse(node) if isinstance(node, ast.expr) else ""
        if changed(node) and not is_text(node):
            yield Mutant(path, node.lineno, before, ast.unparse(node), ast.unparse(tree))  # type: ignore[attr-defined]


def changed(node: ast.AST) -> bool:
    """Mutate a node in its place, if it is one of those that are mutated."""
    if isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
        node.op = OPERATORS[type(node.op)]()
    elif isinstance(node, ast.Compare) and type(node.ops[0]) in COMPARISONS:
        node.ops[0] = COMPARISONS[type(node.ops[0])]()
    elif isinstance(node, ast.Constant) and isinstance(node.value, int | float) and not isinstance(node.value, bool) and node.value:
        node.value *= 2
    else:
        return False
    return True


def is_text(node: ast.AST) -> bool:
    """An operation on texts or types, whose change is an error at once and tells nothing."""
    if not isinstance(node, ast.BinOp):
        return False
    return any(isinstance(side, ast.Constant | ast.JoinedStr) and not number(side) for side in (node.left, node.right))


def number(node: ast.AST) -> bool:
    """A constant that is a number."""
    return isinstance(node, ast.Constant) and isinstance(node.value, int | float)


def noticed(mutant: Mutant, folder: Path) -> bool:
    """Whether a test of the room fails, or does not end."""
    target = folder / mutant.path
    kept = target.read_text(encoding="utf-8")
    target.write_text(mutant.text, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", f"tests/{mutant.room}", "tests/chain"]
    env = {"PYTHONPATH": str(folder / "src"), "PATH": "/usr/bin:/bin"}
    try:
        code = subprocess.run(command, cwd=folder, env=env, capture_output=True, timeout=LIMIT_S, check=False).returncode
    except subprocess.TimeoutExpired:
        return True
    finally:
        target.write_text(kept, encoding="utf-8")
    return code != 0


def measure() -> int:
    """Draw mutants, try them, print those that live; 1 where too many do."""
    parser = argparse.ArgumentParser(description="Mutants of the formula rooms.")
    parser.add_argument("--n", type=int, default=120)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--only", default="", help="files whose path below src/scaleplan begins so")
    asked = parser.parse_args()
    files = [path.relative_to(ROOT) for room in ROOMS for path in sorted((ROOT / "src/scaleplan" / room).rglob("*.py"))]
    files = [path for path in files if str(path).removeprefix("src/scaleplan/").startswith(asked.only)]
    draw = random.Random(asked.seed)
    every = [mutant for path in draw.sample(files, min(len(files), asked.n)) for mutant in sites(path)]
    drawn = draw.sample(every, min(len(every), asked.n))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in COPIED:
            (shutil.copytree if (ROOT / part).is_dir() else shutil.copy)(ROOT / part, folder / part)
        alive = [mutant for mutant in drawn if not noticed(mutant, folder)]
    for one in alive:
        print(f"{one.path}:{one.line}: {one.before}  ->  {one.after}")
    share = 1 - len(alive) / max(len(drawn), 1)
    print(f"{len(drawn) - len(alive)} of {len(drawn)} noticed ({share:.1%})")
    return int(share < BAR)


if __name__ == "__main__":
    sys.exit(measure())
