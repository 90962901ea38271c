"""What the parser could not read, in our words, with the way out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from scaleplan.errors import ScaleplanError, UsageError, clipped
from scaleplan.questions.fields import field_named
from scaleplan.wording import flag

if TYPE_CHECKING:
    from scaleplan.questions.asking import Question

NUMBER = re.compile(r"\$?[+-]?\d[\d_,.]*([eE][+-]?\d+)?[A-Za-z%/-]*")
UNIT = re.compile(r"[A-Za-z%][A-Za-z0-9%/-]{0,15}")
PICTURES = (".svg", ".png", ".pdf", ".html")


def parser_error(message: str, question: Question, args: Sequence[str]) -> UsageError | None:
    """A complaint of the parser about the arguments of a question, as ours; None where it is none that is known."""
    if message.startswith("Got unexpected extra argument"):
        return extra_argument(question, args, extra_words(message))
    if found := re.fullmatch(r"Option '([^']+)' (?:requires an argument|requires \d+ arguments)\.?", message):
        return UsageError(f"{found[1]} has no value", hint=value_hint(found[1]))
    if found := re.fullmatch(r"Option '([^']+)' does not take a value\.?", message):
        return UsageError(f"{found[1]} takes no value", hint=f"write `{found[1]}` alone")
    return None


def extra_words(message: str) -> str:
    """What stands in brackets at the end of the parser's message."""
    return message.partition("(s) (")[2].removesuffix(".").removesuffix(")") or message.partition(" (")[2].removesuffix(".").removesuffix(
        ")"
    )


def extra_argument(question: Question, args: Sequence[str], extra: str) -> UsageError:
    """A word that no flag takes: a unit apart from its number, a number without its flag, a second subject."""
    words = extra.split(" ")
    word = next((one for one in words if one in args), extra)
    before = args[args.index(word) - 1] if word in args[1:] else ""
    if before == "--plot":
        hint = f"a picture is a {', '.join(PICTURES[:-1])} or {PICTURES[-1]} file"
    elif NUMBER.fullmatch(before) and UNIT.fullmatch(word):
        hint = f"a number and its unit are one word: `{clipped(before + word)}`, or in quotes"
    elif NUMBER.fullmatch(word) and (one := question.that_reads(word)):
        hint = f"say what it is: `{one.flag} {clipped(word)}`"
    elif question.subject:
        hint = (
            f"`scaleplan {question.name}` takes {'one ' if len(question.subject) == 1 else ''}{' and '.join(map(flag, question.subject))}"
        )
    else:
        hint = f"`scaleplan {question.name} -h` lists its options"
    return UsageError(f"`{clipped(word)}` belongs to no option", hint=hint)


def value_hint(option: str) -> str | None:
    """What a flag wants, from its field."""
    try:
        one = field_named(option.lstrip("-").replace("-", "_"))
    except (KeyError, ScaleplanError):
        return None
    return f"`{option} {one.metavar}`: {one.explained(flag)}"


def before_the_command(option: str, args: Sequence[str]) -> UsageError | None:
    """An option of a command that stands before it; None where no command follows."""
    from scaleplan.questions.registry import NAMES

    name = option.split("=", maxsplit=1)[0]
    place = next((place for place, word in enumerate(args) if word in NAMES), None)
    if name == "-V":
        return UsageError("no option `-V`", hint="did you mean `--version`?")
    if place is None:
        return None
    moved = " ".join(["scaleplan", *args[place:], *args[:place]])
    return UsageError(f"`{clipped(name)}` stands before the command", hint=f"options follow it: `{clipped(moved, 120)}`")
