"""What `check` and `diff` are about: a plan file, which is walked, or the JSON that any command printed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from scaleplan import library
from scaleplan.answer import Caution
from scaleplan.errors import InputError, UsageError
from scaleplan.wording import field

if TYPE_CHECKING:
    from scaleplan.questions.plan.case import Case

PRINTED = "give it a plan file, or what a command printed with --json"


class Document(NamedTuple):
    """A document and what is known of how it came about.

    command  whose answer it is
    result   the numbers
    inputs   what was asked
    presets  name -> digest of the presets behind it, where the document says
    case     the plan behind it; None where only its answer is at hand
    """

    name: str
    command: str
    result: Mapping[str, Any]
    inputs: Mapping[str, Any]
    presets: Mapping[str, str]
    case: Case | None


def read_document(path: str, settings: Sequence[str] = ()) -> Document:
    """A plan file walked, or an answer as it was printed.

    settings  changes to the keys of a plan
    Raises InputError for what is neither.
    """
    name = "the answer" if isinstance(path, library.Text) else "standard input" if path == "-" else path
    text = library.read_text(path)
    if text.lstrip()[:1] in ("{", "[") and not is_toml(text):
        if settings:
            raise UsageError(f"{field('set')} changes a plan, and `{name}` is an answer", hint="give the plan file")
        return answer_of(text, name)
    return plan_document(library.Text.named(text, name), name, settings)


def is_toml(text: str) -> bool:
    """A plan that begins with a table: `[model]`, which JSON never has alone in a line."""
    first = text.lstrip().split("\n", 1)[0].split("#", 1)[0].strip()
    return first.startswith("[") and first.endswith("]") and first.strip("[]").replace("_", "a").replace(".", "a").isalnum()


def plan_document(text: library.Text, name: str, settings: Sequence[str]) -> Document:
    """The answer to a plan file."""
    from scaleplan.questions.asking import requested
    from scaleplan.questions.plan.whole import explain, solve
    from scaleplan.questions.registry import question_named

    _, request = requested(question_named("plan"), {"plan_file": text, "set": list(settings) or None})
    solved = solve(request)
    answer = explain(request, solved)
    return Document(name, "plan", answer.result, answer.inputs, answer.presets, solved.case)


def answer_of(text: str, name: str) -> Document:
    """A JSON document that a command printed."""
    try:
        document = library.parse_json(text, name, finite=True)
    except InputError as error:
        error.way_out = error.way_out or PRINTED
        raise
    if not isinstance(document, dict) or not isinstance(document.get("result"), dict):
        raise InputError("has no `result`: this is not an answer of scaleplan", hint=PRINTED, file=name)
    command = str(document.get("schema", "")).removeprefix("scaleplan.").split("/")[0]
    return Document(name, command, document["result"], table(document, "inputs"), table(document, "presets"), None)


def other_presets(document: Document, base: Document) -> list[Caution]:
    """A warning where two documents were made with different presets."""
    mine, theirs = document.presets, base.presets
    differing = sorted(name for name in mine if name in theirs and mine[name] != theirs[name])
    if not differing:
        return []
    return [Caution("presets", f"`{document.name}` and `{base.name}` were made with different presets: {', '.join(differing)}")]


def table(document: Mapping[str, Any], key: str) -> dict[str, Any]:
    """A table of a document; empty where it has none."""
    found = document.get(key)
    return found if isinstance(found, dict) else {}
