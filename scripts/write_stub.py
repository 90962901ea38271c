"""Write `src/scaleplan/__init__.pyi`, the signatures that type checkers see, from the fields of the questions.

    python scripts/write_stub.py

A test compares the file with what this writes.
"""

from __future__ import annotations

import inspect
from importlib.util import find_spec
from pathlib import Path

import scaleplan
from scaleplan.api import docstring_of, signature_of
from scaleplan.questions.registry import question_named

STUB = Path(__file__).parents[1] / "src" / "scaleplan" / "__init__.pyi"
MANY = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
HEAD = """# Written by scripts/write_stub.py from the fields of the questions; edit those instead.
from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any, Literal

"""


def stub() -> str:
    """The whole stub file."""
    imports = [f"from {module} import {name} as {name}" for name, module in sorted(scaleplan.CORE.items(), key=lambda item: item[::-1])]
    functions = [function_stub(name) for name in scaleplan.QUESTIONS if find_spec(f"scaleplan.questions.{name}")]
    return HEAD + "\n".join(imports) + "\n\n__version__: str\n__all__: list[str]\n\n" + "\n".join(functions)


def function_stub(name: str) -> str:
    """One function with its keywords, one a line."""
    question = question_named(name)
    signature = signature_of(question)
    lines = []
    keyword_only = False
    for parameter in signature.parameters.values():
        if parameter.kind in MANY:
            keyword_only = True
            lines.append(f"    {MANY[parameter.kind]}{parameter.name}: {parameter.annotation},")
            continue
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY and not keyword_only:
            keyword_only = True
            lines.append("    *,")
        lines.append(f"    {parameter.name}: {parameter.annotation} = None,".replace("'", '"'))
    about = docstring_of(question).split("\n")[0]
    return f"def {name}(\n" + "\n".join(lines) + f'\n) -> Answer:\n    """{about}"""\n'


if __name__ == "__main__":
    STUB.write_text(stub(), encoding="utf-8")
