"""Which room may import which, and what may be imported at all: read from the source, not from a run."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "scaleplan"
BASE = {"arithmetic", "units", "ranges", "numeric", "errors", "answer", "wording", ""}  # "" is the package itself: its version
MAY_IMPORT = {
    "units": {"errors"},
    "ranges": {"errors", "units"},
    "numeric": set(),
    "arithmetic": {"numeric"},
    "errors": {"wording"},
    "wording": set(),
    "answer": BASE,
    "limits": BASE,
    "library": BASE | {"schema", "replacements"},
    "replacements": {"errors", "numeric"},
    "schema": BASE,
    "model_files": BASE | {"library", "model", "schema"},
    "runs": BASE | {"library"},
    "model": BASE | {"model"},
    "laws": BASE | {"laws"},
    "machine": BASE | {"machine", "model"},
    "footprint": BASE | {"footprint"},
    "chain": BASE | {"chain", "footprint", "machine", "laws", "model", "library", "limits", "model_files", "runs"},
    "questions": BASE
    | {"questions", "chain", "footprint", "machine", "laws", "model", "library", "limits", "runs", "model_files", "schema"},
    "api": BASE | {"questions", "render", "library"},
    "render": BASE | {"render"},
}
"""Room -> rooms it may import from. `cli` may import all; nothing may import `cli`."""
DOMAIN = ("model", "laws", "machine", "footprint")
FILES = sorted(path for path in SOURCE.rglob("*.py"))


def room_of(path: Path) -> str:
    """The room a file is in: its folder, or its own name at the top."""
    inside = path.relative_to(SOURCE)
    return inside.parts[0] if len(inside.parts) > 1 else inside.stem


def is_run_later(node: ast.AST) -> bool:
    """Whether what stands inside is not run when the file is imported: a function, or what only type checkers read."""
    return isinstance(node, ast.FunctionDef) or (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """Every module a file imports, and whether it does so when it is itself imported."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    later = {id(node) for place in ast.walk(tree) if is_run_later(place) for node in ast.walk(place)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, id(node) not in later) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are written in full"
            if node.module == "scaleplan":
                yield from (
                    (
                        f"scaleplan.{alias.name}"
                        if (SOURCE / f"{alias.name}.py").exists() or (SOURCE / alias.name).is_dir()
                        else "scaleplan",
                        id(node) not in later,
                    )
                    for alias in node.names
                )
            else:
                yield str(node.module), id(node) not in later


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_point_one_way(path):
    """cli, api -> questions -> chain -> footprint, machine, laws -> model -> the ground; cli, api -> render -> answer."""
    room = room_of(path)
    if room in ("cli", "__main__", "__init__"):  # the command line and the package's face
        return
    used = {module.split(".")[1] if "." in module else "" for module, _ in imports(path) if module.split(".")[0] == "scaleplan"}
    beyond = used - MAY_IMPORT[room] - {room}
    assert not beyond, f"{room} may not import {sorted(beyond)}"


@pytest.mark.parametrize("path", [path for path in FILES if room_of(path) in DOMAIN], ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_domain_room_touches_nothing_outside(path):
    """Formulas read no file, no environment and no clock, print nothing, and know no command line."""
    used = {module.split(".")[0] for module, _ in imports(path)}
    assert not used & {
        "os",
        "sys",
        "io",
        "pathlib",
        "time",
        "datetime",
        "random",
        "socket",
        "subprocess",
        "typer",
        "rich",
        "pydantic",
        "tomllib",
    }
    calls = {
        node.func.id for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert not calls & {"print", "open", "input", "eval", "exec"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_heavy_libraries_are_imported_where_they_are_used(path):
    """No file loads numpy, scipy or pydantic when it is imported, but those whose whole business they are."""
    at_once = {module.split(".")[0] for module, at_import in imports(path) if at_import}
    allowed = {"pydantic"} if room_of(path) == "schema" else set()
    if path.is_relative_to(SOURCE / "laws" / "fitting") or room_of(path) == "runs":
        allowed = {"numpy"}
    assert not (at_once & {"numpy", "scipy", "pydantic", "altair"}) - allowed
