"""Answer -> text, one module a format. Knows answers; knows no files, no flags, no terminal."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import NamedTuple

from scaleplan.answer import Answer
from scaleplan.wording import flag, spelled


class Style(NamedTuple):
    """How much to show, and on what.

    width    columns of the terminal; None in a pipe or a file, where nothing is cut
    colour   whether the terminal shows colour
    verbose  show formula, inputs, source and standing of each line
    notes    show the remarks under the tables
    """

    width: int | None = None
    colour: bool = False
    verbose: bool = False
    notes: bool = True


FORMATS = {
    "table": ("scaleplan.render.plain", "as_table"),
    "plain": ("scaleplan.render.plain", "as_plain"),
    "md": ("scaleplan.render.plain", "as_markdown"),
    "csv": ("scaleplan.render.csv", "as_csv"),
    "json": ("scaleplan.render.json", "as_json"),
    "text": ("scaleplan.render.plain", "as_plain"),
    "html": ("scaleplan.render.html", "as_html_text"),
    "junit": ("scaleplan.render.junit", "as_junit"),
    "github": ("scaleplan.render.github", "as_github"),
}
"""Format -> module and function, imported when it is used."""

FORMATS_OF_EVERY_COMMAND = ("table", "plain", "md", "csv", "json")


def render(answer: Answer, form: str, style: Style) -> str:
    """The answer as text, ending in a newline; fields are spelled as flags, so that a text says the same wherever it is read."""
    if answer.text is not None and form in ("table", "plain", "text", "md"):
        return answer.text
    if answer.stream is not None and form in answer.stream.forms:
        return answer.stream.text(form)
    module, name = FORMATS[form]
    function: Callable[[Answer, Style], str] = getattr(import_module(module), name)
    return spelled(function(answer, style), flag)
