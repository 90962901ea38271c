"""How a text names a field of a question or shows a question: by a mark, which whoever shows the text spells.

    field("seq_len")                        -> --seq-len on a command line, seq_len in Python, [training] seq_len in a plan file
    question("params", "gpt2", lora="rank=8")  -> scaleplan params gpt2 --lora rank=8, or sp.params("gpt2", lora="rank=8")

The marks are private-use characters, which `errors.clipped` never lets through from what a user typed.
"""

from __future__ import annotations

import re
from collections.abc import Callable

OPEN, CLOSE = "\ue000", "\ue001"
ASK, END = "\ue002", "\ue003"
QUOTE, ESCAPE = "\ue004", "\ue005"  # for marks that no format of text changes on the way
MARKS = (OPEN, CLOSE, ASK, END, QUOTE, ESCAPE)
FIELD = re.compile(f"{OPEN}([a-z0-9_]+){CLOSE}")
QUESTION = re.compile(f"{ASK}([^{END}]*){END}")


def field(name: str) -> str:
    """The mark of a field, to be put into a message, hint or note."""
    return f"{OPEN}{name}{CLOSE}"


def fields(*names: str, joined: str = " and ") -> str:
    """The marks of several fields in a row: `a, b and c`."""
    marks = [field(name) for name in names]
    return joined.join([", ".join(marks[:-1]), marks[-1]]) if len(marks) > 1 else "".join(marks)


def question(command: str, *subject: str, **given: str | bool) -> str:
    """The mark of a question that the reader may ask; True and False stand for a switch."""
    import json

    return ASK + json.dumps([command, list(subject), given]).replace('"', QUOTE).replace("\\", ESCAPE) + END


SUBJECTS = {
    "model": "MODEL",
    "runs": "RUNS",
    "answer": "ANSWER",
    "kind": "KIND",
    "name": "NAME",
    "plan_file": "PLAN",
    "swept": "PLAN",
    "command": "COMMAND",
    "base_file": "BASE",
    "head_file": "HEAD",
}
"""Fields that stand on a command line without a flag."""
OFF = {"tied": "--untied"}
"""Switches whose absence has a word of its own."""
FLAGS = {"from_file": "--from"}
"""Flags whose word is one that Python keeps for itself."""


def flag(name: str) -> str:
    """A field as the command line spells it."""
    return SUBJECTS.get(name) or option(name)


def option(name: str) -> str:
    """A field that is given with a flag, whether or not other commands take it without one."""
    return FLAGS.get(name) or "--" + name.replace("_", "-")


def keyword(name: str) -> str:
    """A field as Python spells it."""
    return name


def spelled(text: str, spell: Callable[[str], str]) -> str:
    """The text with each mark spelled by `spell`; questions are shown as a call where `spell` is `keyword`, else as a command line."""
    if ASK in text:
        text = QUESTION.sub(lambda found: shown(found[1], spell), text)
    return FIELD.sub(lambda found: spell(found[1]), text) if OPEN in text else text


def visible(text: str) -> str:
    """A text without control characters, which are shown and not sent: what comes from files must not steer a terminal."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in MARKS else repr(c)[1:-1] for c in text)


def shown(mark: str, spell: Callable[[str], str]) -> str:
    """A question as it is asked in Python or in a shell; what is no mark of ours, as it stands."""
    import json

    try:
        command, subject, given = json.loads(mark.replace(QUOTE, '"').replace(ESCAPE, "\\"))
    except ValueError:
        return mark
    if spell is keyword:
        values = [json.dumps(word) for word in subject]
        values += [f"{name}={value if isinstance(value, bool) else json.dumps(value)}" for name, value in given.items()]
        return f"sp.{command}({', '.join(values)})"
    from shlex import quote

    words = [quote(word) for word in subject]
    for name, value in given.items():
        words += (
            [option(name), quote(value)]
            if isinstance(value, str)
            else [option(name) if value else OFF.get(name, f"--no-{option(name)[2:]}")]
        )
    return " ".join(["scaleplan", command, *words])


QUOTED = re.compile(r"`[^`\n]+`")
NO_BREAK = "\N{NO-BREAK SPACE}"


def wrapped(text: str, width: int | None) -> list[str]:
    """A line broken between words where it is wider than the terminal; what is indented stays so.

    What stands in backticks is to be copied: it is broken only where it does not fit into a line.
    """
    if width is None or len(text) <= width:
        return [text]
    from textwrap import wrap

    indent = text[: len(text) - len(text.lstrip())]
    room = width - len(indent) - 1  # for a comma behind it
    kept = QUOTED.sub(lambda found: found[0].replace(" ", NO_BREAK) if len(found[0]) <= room else found[0], text)
    lines = wrap(kept, width, initial_indent=indent, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
    return [line.replace(NO_BREAK, " ") for line in lines] or [text]
