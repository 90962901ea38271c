"""The questions as functions of Python: one a command, its subject by position, its flags as keywords.

    import scaleplan as sp

    answer = sp.memory("llama-3-8b", hardware="h100-sxm", layout="tp2,dp4")
    answer.result["peak_bytes"], answer["phases.loss.total_bytes"], print(answer)

Values are the texts that the flags take, or numbers in base units; signatures and docstrings are made from `questions/fields.py`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from scaleplan import answer as answers
from scaleplan.errors import InputError, UnknownName, UsageError, near_names
from scaleplan.questions.asking import Question, ask
from scaleplan.questions.fields import Field, explained, shown_object
from scaleplan.questions.registry import NAMES, question_named
from scaleplan.wording import field, keyword, spelled


class Answer(answers.Answer):
    """What a question returns: `.result`, `.lines`, `.tables`, `.warnings`, `.charts`, and every view of them.

    answer["laws.besiroglu2024.n_params"] looks a number up by its dotted path; rows of a list go by their name or law. `print` shows
    what the command prints in a pipe; a notebook shows tables.
    """

    __slots__ = ()

    def to_json(self, *, verbose: bool = False) -> str:
        """The document that `--json` prints; with `verbose` also the lines."""
        from scaleplan.render import Style, render

        return render(self.unspelled(), "json", Style(verbose=verbose))

    def to(self, form: str, *, verbose: bool = False) -> str:
        """The answer as table, plain, csv, md or json."""
        from scaleplan.render import FORMATS_OF_EVERY_COMMAND, Style, render

        if form not in (known := {*FORMATS_OF_EVERY_COMMAND, *question_named(self.command).formats}):
            raise UnknownName("format", form, known)
        return render(self.unspelled(), form, Style(verbose=verbose))

    def unspelled(self) -> answers.Answer:
        """The answer whose texts name fields by marks, as renderers take it."""
        return answers.Answer(*self)

    @property
    def warnings(self) -> Sequence[answers.Caution]:
        """What to be careful of; fields are named by keyword."""
        return [one._replace(message=spelled(one.message, keyword)) for one in super().warnings]

    @property
    def tables(self) -> Sequence[answers.Table]:
        """The tables that are shown; their notes name fields by keyword."""
        return [one._replace(notes=[spelled(note, keyword) for note in one.notes]) for one in super().tables]

    @property
    def notes(self) -> Sequence[str]:
        """What is said under the tables; fields are named by keyword."""
        return [spelled(note, keyword) for note in super().notes]

    def __str__(self) -> str:
        from scaleplan.questions.registry import question_named

        return self.to((*question_named(self.command).formats, "table")[0]).rstrip("\n")

    def __repr__(self) -> str:
        """What a prompt shows: the tables; of an answer with a row a point how many there are."""
        if self.stream is not None:
            return f"<scaleplan.{self.command}: {self.stream.n_rows:,} rows>"
        return str(self)

    def _repr_html_(self) -> str:
        from scaleplan.render.html import as_html

        return as_html(self.unspelled())

    def __getitem__(self, path: Any) -> Any:
        """The value at a dotted path of the result.

        Raises KeyError where nothing is there.
        """
        if not isinstance(path, str):
            return super().__getitem__(path)
        value: Any = self.result
        steps = path.split(".")
        for place, step in enumerate(steps):
            value = stepped(value, step, ".".join(steps[:place]))
        return value


MOST_NAMES = 24  # that an error lists
NAMES_OF_ROWS = ("name", "law", "quantity", "precision", "phase", "group", "term")


def stepped(value: Any, step: str, path: str) -> Any:
    """What a step behind a path leads to: a key, the row of that name, or the row of that number."""
    if isinstance(value, Mapping) and step in value:
        return value[step]
    if isinstance(value, list | tuple):
        for row in value:
            if isinstance(row, Mapping) and any(row.get(name) == step for name in NAMES_OF_ROWS):
                return row
        if step.isdigit() and int(step) < len(value):
            return value[int(step)]
    known = [str(name) for name in value] if isinstance(value, Mapping) else names_of(value)
    listed = ", ".join(known[:MOST_NAMES]) + (", ..." if len(known) > MOST_NAMES else "")
    near = near_names(step, known)
    way_out = f"; did you mean `{near[0]}`?" if near else f"; it has {listed}" if known else ""
    raise KeyError(f"no `{step}` in {f'`{path}`' if path else 'the result'}{way_out}")


def names_of(rows: Any) -> list[str]:
    """What the rows of a list go by."""
    if not isinstance(rows, list | tuple):
        return []
    named = [next((str(row[name]) for name in NAMES_OF_ROWS if name in row), None) for row in rows if isinstance(row, Mapping)]
    return [name for name in named if name] or ([f"0 to {len(rows) - 1}"] if rows else [])


def function_of(name: str) -> Callable[..., Answer]:
    """The function that asks a question."""
    question = question_named(name)

    def asked(*subject: Any, **given: Any) -> Answer:
        names = subjects_of(question, subject)
        if len(subject) > len(names):
            raise extra_value(question, names, subject[len(names)])
        unknown = [key for key in given if key not in asked.__signature__.parameters]  # type: ignore[attr-defined]  # set below
        if unknown and not question.borrows:
            raise unknown_keyword(question, unknown[0])
        values = dict(zip(names, subject, strict=False)) | given
        answer = Answer(*ask(question, {key: as_given(key, value) for key, value in values.items()}))
        write_folder(answer.folder)
        return answer

    asked.__signature__ = signature_of(question)  # type: ignore[attr-defined]  # every function takes one
    asked.__name__ = asked.__qualname__ = name
    asked.__doc__ = docstring_of(question)
    asked.__module__ = "scaleplan"
    return asked


def subjects_of(question: Question, subject: tuple[Any, ...]) -> tuple[str, ...]:
    """The fields given by position: those of the question, and of the question that its subject names."""
    if question.borrows and subject and subject[0] in NAMES:
        return (*question.subject, *question_named(subject[0]).subject)
    return question.subject


def write_folder(folder: Mapping[str, str | Iterable[str]]) -> None:
    """The files that were asked for by name: a ledger, a timeline, plan files."""
    for name, text in folder.items():
        path = Path(name)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("w", encoding="utf-8", newline="") as file:
                file.writelines([text] if isinstance(text, str) else text)
        except OSError as error:
            raise InputError(f"cannot write `{name}`: {error.strerror}") from None


DOCUMENTS = ("model", "answer", "base_file", "head_file", "base")
"""Fields that read a document: the command line has a file or `-` for it."""


def as_given(name: str, value: Any) -> Any:
    """A value as the question takes it: an Answer stands for the document that it prints, a mapping and JSON for themselves."""
    from scaleplan.library import Text

    if isinstance(value, answers.Answer):
        from scaleplan.render import Style, render

        return Text(render(answers.Answer(*value), "json", Style()))
    if name in DOCUMENTS and isinstance(value, Mapping):
        import json

        try:
            return Text(json.dumps(value))
        except (TypeError, ValueError) as error:
            raise InputError(f"{field(name)}: a mapping of what JSON does not hold: {error}") from None
    return Text(value) if name in DOCUMENTS and isinstance(value, str) and value.lstrip()[:1] == "{" else value


def extra_value(question: Question, names: tuple[str, ...], value: Any) -> UsageError:
    """The error for a value by position that is none of the subject, with the keyword that reads it."""
    takes = f"takes {' and '.join(names)} by position and all else by keyword" if names else "takes keywords alone"
    one = question.that_reads(value)
    hint = f"say what it is: {one.name}={shown_object(value)}" if one else f"help(sp.{question.name}) lists them"
    return UsageError(f"{question.name}() {takes}: `{shown_object(value)}` is one value more", hint=hint)


def unknown_keyword(question: Question, name: str) -> Exception:
    """The error for a keyword that no field has, with the near one."""
    from scaleplan.questions.fields import meant

    known = [one.name for one in question.every_field()]
    near = [found] if (found := meant(name, known)) in known else near_names(name, known)
    return UsageError(
        f"{question.name}() has no keyword `{name}`",
        hint=f"did you mean `{near[0]}`?" if near else f"help(sp.{question.name}) lists its keywords",
    )


def signature_of(question: Question) -> inspect.Signature:
    """Subject by position, all else by keyword, each with its type."""
    parameters = [
        inspect.Parameter(
            one.name,
            inspect.Parameter.POSITIONAL_OR_KEYWORD if one.name in question.subject else inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=type_of(one),
        )
        for one in question.every_field()
    ]
    if question.borrows:
        own = len(question.subject)
        more = inspect.Parameter("subject", inspect.Parameter.VAR_POSITIONAL, annotation="Any")
        others = inspect.Parameter("given", inspect.Parameter.VAR_KEYWORD, annotation="Any")
        parameters = [*parameters[:own], more, *parameters[own:], others]
    return inspect.Signature(parameters, return_annotation="Answer")


def type_of(one: Field) -> str:
    """The type of a field's value in Python."""
    if one.kind == "switch":
        return "bool | None"
    if one.name in DOCUMENTS:
        return "str | PathLike[str] | Answer | Mapping[str, Any] | None"
    single = "int | float | str" if one.number is not None else literal(one) if one.choices else "str | PathLike[str]"
    return f"{single} | Sequence[{single}] | None" if one.kind == "list" else f"{single} | None"


def literal(one: Field) -> str:
    """The words that a value may be, as a type."""
    return f"Literal[{', '.join(repr(choice) for choice in one.choices)}]"


def docstring_of(question: Question) -> str:
    """What is asked, and what each keyword means."""
    lines = [question.asks, ""]
    lines += [explained(question.more.strip(), keyword), ""] if question.more else []
    lines += [f"{one.name}: {one.explained(keyword)}" for one in question.every_field()]
    return "\n".join([*lines, "", "Raises ScaleplanError where the question cannot be answered."])
