"""The questions as functions of Python: one a command, its subject by position, its flags as keywords.

    import scaleplan as sp

    answer = sp.memory("llama-3-8b", hardware="h100-sxm", layout="tp2,dp4")
    answer.result["peak_bytes"], answer["phases.loss.total_bytes"], print(answer)

Values are the texts that the flags take, or numbers in base units; signatures and docstrings are made from `questions/fields.py`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from scaleplan import answer as answers
from scaleplan.errors import InputError, UsageError, near_names
from scaleplan.questions.asking import Question, ask
from scaleplan.questions.fields import Field
from scaleplan.questions.registry import NAMES, question_named
from scaleplan.wording import keyword


class Answer(answers.Answer):
    """What a question returns: `.result`, `.lines`, `.tables`, `.warnings`, `.charts`, and every view of them.

    answer["laws.besiroglu2024.n_params"] looks a number up by its dotted path; rows of a list go by their name or law. `print` shows
    what the command prints in a pipe; a notebook shows tables.
    """

    __slots__ = ()

    def to_json(self, *, verbose: bool = False) -> str:
        """The document that `--json` prints; with `verbose` also the lines."""
        from scaleplan.render import Style, render

        return render(self, "json", Style(verbose=verbose))

    def to(self, form: str, *, verbose: bool = False) -> str:
        """The answer as table, plain, csv, md or json."""
        from scaleplan.render import Style, render

        return render(self, form, Style(verbose=verbose))

    def __str__(self) -> str:
        from scaleplan.questions.registry import question_named

        return self.to((*question_named(self.command).formats, "table")[0]).rstrip("\n")

    def _repr_html_(self) -> str:
        from scaleplan.render.html import as_html

        return as_html(self)

    def __getitem__(self, path: Any) -> Any:
        """The value at a dotted path of the result.

        Raises KeyError where nothing is there.
        """
        if not isinstance(path, str):
            return super().__getitem__(path)
        value: Any = self.result
        for step in path.split("."):
            value = stepped(value, step, path)
        return value


NAMES_OF_ROWS = ("name", "law", "quantity", "precision", "phase", "group", "term")


def stepped(value: Any, step: str, path: str) -> Any:
    """What a step of a path leads to: a key, the row of that name, or the row of that number."""
    if isinstance(value, Mapping) and step in value:
        return value[step]
    if isinstance(value, list | tuple):
        for row in value:
            if isinstance(row, Mapping) and any(row.get(name) == step for name in NAMES_OF_ROWS):
                return row
        if step.isdigit() and int(step) < len(value):
            return value[int(step)]
    known = list(value) if isinstance(value, Mapping) else []
    near = near_names(step, [str(name) for name in known])
    raise KeyError(f"no `{step}` in `{path}`" + (f"; did you mean `{near[0]}`?" if near else ""))


def function_of(name: str) -> Callable[..., Answer]:
    """The function that asks a question."""
    question = question_named(name)

    def asked(*subject: Any, **given: Any) -> Answer:
        names = subjects_of(question, subject)
        if len(subject) > len(names):
            raise TypeError(f"{name}() takes at most {len(names)} positional arguments ({len(subject)} given)")
        unknown = [key for key in given if key not in asked.__signature__.parameters]  # type: ignore[attr-defined]  # set below
        if unknown and not question.borrows:
            raise unknown_keyword(question, unknown[0])
        values = dict(zip(names, subject, strict=False)) | given
        answer = Answer(*ask(question, {key: as_given(value) for key, value in values.items()}))
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


def as_given(value: Any) -> Any:
    """A value as the question takes it: an Answer stands for the document that it prints."""
    if isinstance(value, answers.Answer):
        from scaleplan.library import Text
        from scaleplan.render import Style, render

        return Text(render(value, "json", Style()))
    return value


def unknown_keyword(question: Question, name: str) -> Exception:
    """The error for a keyword that no field has, with the near one."""
    from scaleplan.questions.fields import meant

    known = [one.name for one in question.every_field()]
    near = [found] if (found := meant(name)) in known else near_names(name, known)
    return UsageError(
        f"{question.name}() has no keyword `{name}`", hint=f"did you mean `{near[0]}`?" if near else f"keywords: {', '.join(known)}"
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
    if one.name in ("model", "answer"):
        return "str | PathLike[str] | Answer | None"
    single = "int | float | str" if one.number is not None else literal(one) if one.choices else "str | PathLike[str]"
    return f"{single} | Sequence[{single}] | None" if one.kind == "list" else f"{single} | None"


def literal(one: Field) -> str:
    """The words that a value may be, as a type."""
    return f"Literal[{', '.join(repr(choice) for choice in one.choices)}]"


def docstring_of(question: Question) -> str:
    """What is asked, and what each keyword means."""
    lines = [question.asks, ""]
    lines += [question.more.strip(), ""] if question.more else []
    lines += [f"{one.name}: {one.explained(keyword)}" for one in question.every_field()]
    return "\n".join([*lines, "", "Raises ScaleplanError where the question cannot be answered."])
