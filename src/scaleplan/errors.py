"""Every error that the program raises on purpose: what is wrong, where, and the way out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate
from typing import Any

from scaleplan.wording import keyword, spelled, visible


class ScaleplanError(Exception):
    """Something the user can mend.

    message  what is wrong, with the value that was seen in backticks; fields are marked, and `str` spells them
    way_out  how to mend it, or None, likewise marked; `hint` spells it
    file     the file the value came from, or None
    line     its line in that file, counted from 1, or None
    partial  what could be answered all the same, or None
    """

    def __init__(
        self, message: str, *, hint: str | None = None, file: str | None = None, line: int | None = None, partial: Any = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.way_out = hint
        self.file = file
        self.line = line
        self.partial = partial
        if hint is not None:  # what Python shows under an error that nobody caught
            self.add_note(spelled(f"hint: {hint}", keyword))

    @property
    def hint(self) -> str | None:
        """The way out, or None: fields by keyword, a command as a call."""
        return None if self.way_out is None else shown_lines(spelled(self.way_out, keyword))

    def located(self, file: str, line: int | None = None) -> ScaleplanError:
        """The same error, with the file (and line) filled in where it had none."""
        self.file = self.file or file
        self.line = self.line if self.line is not None else line
        return self

    def __str__(self) -> str:
        """What is wrong, as Python spells it: fields by keyword."""
        return shown_lines(spelled(f"{self.place()}{self.message}", keyword))

    def place(self) -> str:
        """The file and line that the value came from, before the message; empty where there is none."""
        if not self.file:
            return ""
        name = one_line(self.file)
        return f"{name}: " if self.line is None else f"{name}:{self.line}: "

    def report(self, spell: Callable[[str], str] = keyword) -> str:
        """The lines for stderr: `error: ...`, then `hint: ...`; `spell` says how a field is named (flag, keyword, plan key)."""
        hint = f"\nhint: {self.way_out}" if self.way_out else ""
        return shown_lines(spelled(f"error: {self.place()}{self.message}{hint}", spell))


class UsageError(ScaleplanError):
    """The command line asks for something that has no meaning: flags that are missing or contradict each other."""


class InputError(ScaleplanError):
    """A value or a file cannot be understood."""


MOST_LISTED = 32
"""Names that an error lists whole."""


class UnknownName(ScaleplanError):
    """A name that is not in the list it should be in."""

    def __init__(self, what: str, name: str, known: Iterable[str], *, where: str | None = None) -> None:
        known = sorted(known)
        close = near_names(name, known)
        words = set(parts_of(name.lower()))
        meant = [*close[:1], *(k for k in close[1:] if words <= set(parts_of(k.lower())))]
        guess = f"did you mean {' or '.join(f'`{k}`' for k in meant)}? " if meant else ""
        listing = where or (f"known: {', '.join(known)}" if len(known) <= MOST_LISTED else "")
        super().__init__(f"no {what} named `{clipped(name)}`", hint=(guess + listing).strip() or None)


class NotSupported(ScaleplanError):
    """A question that has a meaning and that scaleplan refuses to guess at."""


class SeveralErrors(ScaleplanError):
    """More than one thing is wrong; all of them are reported."""

    def __init__(self, errors: Sequence[ScaleplanError]) -> None:
        super().__init__(f"{len(errors)} errors")
        self.errors = tuple(errors)

    def located(self, file: str, line: int | None = None) -> ScaleplanError:
        for error in self.errors:
            error.located(file, line)
        return self

    def __str__(self) -> str:
        return "\n".join(map(str, self.errors))

    def report(self, spell: Callable[[str], str] = keyword) -> str:
        return "\n".join(error.report(spell) for error in self.errors)


def shown_lines(text: str) -> str:
    """Lines for people: what a file or a user brought in steers no terminal."""
    return "\n".join(map(visible, text.split("\n")))


def raise_all(errors: Sequence[ScaleplanError]) -> None:
    """Raise what was collected: nothing, the one error, or all of them together."""
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise SeveralErrors(errors)


def clipped(text: object, limit: int = 60) -> str:
    """A value as it was seen, cut so that hostile input cannot flood a terminal; control characters are shown, not sent."""
    shown = one_line(str(text)[: limit + 1])
    return shown if len(shown) <= limit else shown[:limit] + "..."


def one_line(text: str) -> str:
    """A text on one line, in characters that steer no terminal."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def near_names(name: str, known: Sequence[str], count: int = 3) -> list[str]:
    """The known names most like `name`, best first: a slip away, with all of its parts, spelled alike, or starting alike."""
    from difflib import get_close_matches

    name = name[:80].lower()
    parts = parts_of(name)
    whole = [k for k in known if len(parts) > 1 and set(parts) <= set(parts_of(k.lower()))]
    family = sorted((k for k in known if "".join(parts) in beginnings(k)), key=len)
    found = list(dict.fromkeys([*get_close_matches(name, known, count, 0.9), *whole, *family]))
    found = found or get_close_matches(name, known, count, 0.6)
    return found[:count] or [k for k in known if name and (k.startswith(name) or name.startswith(k))][:count]


def beginnings(name: str) -> list[str]:
    """The first words of a name, written together: `llama-2-70b` begins with llama, llama2 and llama270b."""
    return list(accumulate(parts_of(name.lower())))


def parts_of(name: str) -> list[str]:
    """The words of a name: `llama-2-70b` is llama, 2 and 70b."""
    return "".join(c if c.isalnum() else " " for c in name).split()
