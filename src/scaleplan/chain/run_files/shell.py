"""Flags in a launch script: comments, line ends with a backslash, variables, arrays and quotes are read as far as values need them."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Iterator

DASHES = "-" * 2
FLAG = re.compile(rf"{DASHES}([A-Za-z][A-Za-z0-9_-]*)(?:=(.*))?$", re.DOTALL)
ASSIGNED = re.compile(r"^\s*(?:export\s+|readonly\s+|local\s+)?([A-Za-z_]\w*)=(\"[^\"]*\"|'[^']*'|\$\(\([^()]*\)\)|[^\s;(]*)")
LIST = re.compile(rf"^\s*(?:export\s+)?(\w+)\+?=(?:\(|[\"'].*{DASHES}|[\"']\s*$)")
VARIABLE = re.compile(r"\$\{(\w+)(?::?-([^}]*))?\}|\$(\w+)")
SUM = re.compile(r"\$\(\(([^()]*)\)\)")
COMMENT = re.compile(r"(^|\s)#.*")
WRAPPING = "\"'()`"
ENDS = (";", "|", "||", "&&", "&", ">", ">>", "2>&1", "\\")


def flags_of(text: str) -> dict[str, str]:
    """Every flag of a script with what follows it on its line, variables put in; the last of several stands.

    Underscores in a flag's name are dashes. A switch has the empty text.
    """
    lines = list(logical_lines(text))
    variables, lists = variables_of(lines), lists_of(lines)
    found: dict[str, str] = {}
    for line in lines:
        name: str | None = None
        for word in words_of(summed(line, variables)):
            flag = FLAG.match(word)
            if flag is not None:
                name = flag[1].replace("_", "-")
                found[name] = put_in(flag[2] or "", variables)
            elif word in ENDS or is_list(word, lists):
                name = None
            elif name is not None:
                found[name] = f"{found[name]} {put_in(word, variables)}".strip()
    return found


def logical_lines(text: str) -> Iterator[str]:
    """Lines without comments, joined where they end with a backslash."""
    joined = ""
    for line in text.splitlines():
        bare = COMMENT.sub("", line).rstrip()
        if bare.endswith("\\"):
            joined += bare[:-1] + " "
        else:
            yield joined + bare
            joined = ""
    if joined:
        yield joined


def words_of(line: str) -> Iterator[str]:
    """Words of a line without the quotes, brackets and assignments around them."""
    for word in line.replace(";", " ; ").split():
        bare = word.strip(WRAPPING)
        assigned = re.match(rf"(?:\w+)\+?=[\"'(]*({DASHES}.*)$", bare)
        bare = assigned[1] if assigned else bare
        if bare:
            yield bare


def variables_of(lines: list[str]) -> dict[str, str]:
    """Variables that are set to one value."""
    found: dict[str, str] = {}
    for line in lines:
        for part in line.split(";"):
            set_to = ASSIGNED.match(part)
            if set_to is not None and DASHES not in set_to[2]:
                found[set_to[1]] = put_in(set_to[2].strip("\"'"), found)
    return found


def lists_of(lines: list[str]) -> set[str]:
    """Variables that hold flags."""
    assigned = (LIST.match(line) for line in lines)
    return {found[1] for found in assigned if found is not None}


def is_list(word: str, lists: set[str]) -> bool:
    """Whether a word stands for such a variable."""
    return word.startswith("$") and word.lstrip("${").rstrip("}").removesuffix("[@]").removesuffix("[*]") in lists


def put_in(text: str, variables: dict[str, str]) -> str:
    """A text with its variables put in, those with a default where they are not set, and whole-number arithmetic done."""

    def value(found: re.Match[str]) -> str:
        name, default = found[1] or found[3], found[2]
        return variables.get(name, found[0] if default is None else default)

    return summed(VARIABLE.sub(value, text), variables)


def summed(text: str, variables: dict[str, str]) -> str:
    """A text with its whole-number arithmetic done."""
    return SUM.sub(lambda found: computed(VARIABLE.sub(r"\1\3", found[1]), variables) or found[0], text)


OPERATIONS: dict[type[ast.operator], Callable[[int, int], int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
}


def computed(text: str, variables: dict[str, str]) -> str | None:
    """Shell arithmetic of whole numbers and variables; None where it is anything else."""
    try:
        return str(value_of(ast.parse(text.replace("/", "//").strip(), mode="eval").body, variables))
    except (SyntaxError, ValueError, KeyError, ZeroDivisionError, RecursionError):
        return None


def value_of(node: ast.expr, variables: dict[str, str]) -> int:
    """The whole number that an expression comes to."""
    if isinstance(node, ast.BinOp) and type(node.op) in OPERATIONS:
        return OPERATIONS[type(node.op)](value_of(node.left, variables), value_of(node.right, variables))
    if isinstance(node, ast.Name):
        return int(variables[node.id])
    if isinstance(node, ast.Constant) and isinstance(node.value, int):
        return node.value
    raise ValueError(ast.dump(node))


def script_of(pairs: list[tuple[str, str]]) -> str:
    """Flags one a line, joined by backslashes: to be pasted behind a command, or read back."""
    lines = [f"{DASHES}{key} {text}".rstrip() for key, text in pairs]
    return " \\\n".join(lines) + "\n"
