"""A command made from its question: flags from the fields, help under headings, completion of names."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from typer._click import Context  # Typer carries its own Click and exports none of it
from typer._click.exceptions import ClickException, NoSuchOption
from typer._click.formatting import HelpFormatter
from typer._click.types import StringParamType
from typer.core import TyperArgument, TyperCommand, TyperOption

from scaleplan.answer import INTERRUPTED
from scaleplan.cli.help_text import help_settings, write_examples, write_list, write_section
from scaleplan.cli.progress import bar, interruptible
from scaleplan.cli.show import HERE, PICTURES, Shown, shown
from scaleplan.cli.streams import tell
from scaleplan.cli.usage import parser_error
from scaleplan.questions.asking import INTERRUPT, WATCH, Question, ask
from scaleplan.questions.fields import SHAPE_WORDS, Field, explained, field_named, meant
from scaleplan.questions.registry import NAMES, question_named
from scaleplan.render import FORMATS_OF_EVERY_COMMAND
from scaleplan.wording import flag

TEXT = StringParamType()
SHAPE_HEADING = "Model shape, instead of MODEL"
MATRIX = "params"  # the command whose help explains every word of a shape


class QuestionCommand(TyperCommand):
    """The command of one question."""

    def __init__(self, question: Question) -> None:
        self.question = question
        options = [option_of(one) for one in question.own_fields()]
        own = {one.name for one in question.own_fields()}
        shape = [option_of(field_named(name)) for name in SHAPE_WORDS if question.takes_shape and name not in own]
        arguments = [argument_of(field_named(name)) for name in question.subject]
        super().__init__(
            name=question.name,
            params=[*arguments, *options, *shape, *output_options(question)],
            callback=self.answer,
            context_settings=help_settings(),
            rich_markup_mode=None,
        )

    def answer(self, **given: Any) -> int:
        """Ask, and show the answer as it was wanted; the exit code."""
        WATCH.set(bar)
        INTERRUPT.set(interruptible)
        wanted = {name: given.pop(name) for name in Shown._fields}
        present = {name: None if value == () else value for name, value in given.items()}
        try:
            return shown(self.question, Shown(**wanted), lambda: ask(self.question, present))
        except KeyboardInterrupt as stop:  # here, because the parser makes a silent end of it
            if not stop.args:
                tell("interrupted")
            return INTERRUPTED

    def borrow(self, args: list[str]) -> None:
        """Take on the flags of the question that the subject names."""
        name = next((arg for place, arg in enumerate(args) if arg in NAMES and not is_flag(args, place - 1)), None)
        if name is None or not self.question.borrows:
            return
        other = question_named(name)
        own = {one.name for one in self.params}
        named = [argument_of(field_named(one)) for one in other.subject]
        words = [field_named(word) for word in SHAPE_WORDS if other.takes_shape]
        flags = [option_of(one) for one in (*other.own_fields(), *words)]
        self.params += [one for one in (*named, *{flag.name: flag for flag in flags}.values()) if one.name not in own]

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        self.borrow(args)
        try:
            return super().parse_args(ctx, [given for place, arg in enumerate(args) for given in spelled_out(arg, args[place + 1 :])])
        except NoSuchOption as error:
            raise better(error) from None
        except ClickException as error:
            ours = parser_error(error.format_message(), self.question, args)
            raise ours or error from None

    def format_help_text(self, ctx: Context, formatter: HelpFormatter) -> None:
        question = self.question
        formatter.write_paragraph()
        with formatter.indentation():
            formatter.write_text(question.asks)
            if question.more:
                formatter.write_paragraph()
                formatter.write_text(explained(question.more, flag))
        with formatter.section("Examples"):
            write_examples(formatter, question.examples)

    def format_options(self, ctx: Context, formatter: HelpFormatter) -> None:
        by_name = {one.name: one for one in self.params}
        subject = [record for name in self.question.subject if (record := argument_record(field_named(name)))]
        if subject:
            with formatter.section("Arguments"):
                formatter.write_dl(subject)
        for heading, names in self.question.headings.items():
            if (explained_by := self.question.elsewhere.get(heading)) is not None:
                write_list(formatter, heading, [usage_of(by_name[name]) for name in names], explained_by)
            else:
                write_section(formatter, heading, [by_name[name].get_help_record(ctx) for name in names])
        output = [one.get_help_record(ctx) for one in self.params if one.name in Shown._fields]
        write_section(formatter, "Output", [*output, ("-h, --help", "Show this message and exit.")])
        own = {name for names in self.question.headings.values() for name in names}
        words = [by_name[name] for name in SHAPE_WORDS if name in by_name and name not in own]
        if words and self.question.name == MATRIX:
            write_section(formatter, SHAPE_HEADING, [one.get_help_record(ctx) for one in words])
        elif words:
            write_list(formatter, SHAPE_HEADING, [usage_of(one) for one in words], MATRIX)


def is_flag(args: list[str], place: int) -> bool:
    """Whether a flag stands at a place, whose value then follows."""
    return place >= 0 and args[place].startswith("-")


def usage_of(option: Any) -> str:
    """A flag in a list without explanations."""
    return "/".join([*option.opts, *option.secondary_opts]) + (f" {option.metavar}" if option.metavar else "")


def argument_record(subject: Field) -> tuple[str, str]:
    """What stands without a flag, in the help."""
    return f"[{subject.metavar}{' ...' if subject.kind == 'list' else ''}]", subject.explained(flag)


def argument_of(subject: Field) -> TyperArgument:
    """What stands without a flag."""
    nargs = -1 if subject.kind == "list" else 1
    return TyperArgument(
        param_decls=[subject.name],
        type=TEXT,
        required=False,
        nargs=nargs,
        metavar=f"[{subject.metavar}]",
        autocompletion=completer(subject),
    )


def option_of(one: Field) -> TyperOption:
    """The flag of a field. What it means is read by the question, so that Python and plan files read alike."""
    if one.kind == "switch":
        names = [f"{one.flag}/{one.off}" if one.off else one.flag, one.name]
        return TyperOption(param_decls=names, is_flag=True, default=None if one.off else False, help=one.explained(flag))
    return TyperOption(
        param_decls=[one.flag, one.name],
        type=TEXT,
        default=None,
        multiple=one.kind == "list",
        metavar=one.metavar,
        help=one.explained(flag),
        autocompletion=completer(one),
    )


def completer(one: Field) -> Callable[..., list[str]] | None:
    """Completion of a value: the words that it may be, or the names of presets."""
    if one.choices:
        return lambda ctx, args, incomplete: list(one.choices)
    if one.presets:
        return lambda ctx, args, incomplete: preset_names(one.presets)
    if one.name in KNOWN_WORDS:
        return lambda ctx, args, incomplete: KNOWN_WORDS[one.name]()
    return None


def preset_names(kind: str) -> list[str]:
    """The presets of a kind."""
    from scaleplan.library import names

    return names(kind)


def kinds() -> list[str]:
    """What `presets` lists."""
    from scaleplan.library import KINDS

    return [*KINDS, "schemas"]


def precisions() -> list[str]:
    """Names of precisions."""
    from scaleplan.machine.recipe import ALIASES, NARROW, OPEN_RECIPE, PRECISIONS
    from scaleplan.machine.serving_formats import SERVING_FORMATS

    return list(dict.fromkeys([*PRECISIONS, *OPEN_RECIPE, *NARROW, *ALIASES, *SERVING_FORMATS]))


def recomputations() -> list[str]:
    """What may be recomputed."""
    from scaleplan.model.passes import MODULES, RECOMPUTATIONS

    return [*RECOMPUTATIONS, *MODULES]


KNOWN_WORDS: dict[str, Callable[[], list[str]]] = {"kind": kinds, "precision": precisions, "recompute": recomputations}


def output_options(question: Question) -> list[TyperOption]:
    """The flags that every command has."""
    formats = tuple(dict.fromkeys((*question.formats, *FORMATS_OF_EVERY_COMMAND)))
    plot = TyperOption(
        param_decls=["--plot", "plot"],
        type=TEXT,
        default=None,
        metavar="[FILE]",
        help="Draw it: below the tables, or into a .svg, .png, .pdf or .html file.",
        hidden=not question.charts,
    )
    choice = TyperOption(
        param_decls=["--format", "view"],
        type=TEXT,
        default=None,
        metavar="|".join(formats),
        help=f"How to print the answer (default: {formats[0]}).",
        autocompletion=lambda ctx, args, incomplete: list(formats),
    )
    return [
        on_or_off("--json", "as_json", "One JSON document, base units, full digits."),
        choice,
        TyperOption(param_decls=["-o", "output"], type=TEXT, default=None, metavar="FILE", help=OUTPUT),
        on_or_off("-v", "verbose", "Formula, inputs, source and standing of each number."),
        on_or_off("-q", "quiet", "No notes and no warnings."),
        plot,
    ]


OUTPUT = "Write to a file; .json, .csv, .md say the format."


def on_or_off(flag_text: str, name: str, about: str) -> TyperOption:
    """A flag without a value."""
    return TyperOption(param_decls=[flag_text, name], is_flag=True, default=False, help=about)


def spelled_out(arg: str, rest: list[str]) -> Iterator[str]:
    """A bare `--plot` is `--plot -`: draw here. It is bare when no picture file follows."""
    bare = arg == "--plot" and not (rest and rest[0].lower().endswith(PICTURES))
    yield from [arg, HERE] if bare and rest[:1] != [HERE] else [arg]


def better(error: NoSuchOption) -> Exception:
    """An unknown flag, with the one that people mean by it."""
    from scaleplan.errors import UsageError, clipped, near_names

    name = error.option_name.lstrip("-").split("=")[0]
    flags = {str(one.name): one.opts[0] for one in error.ctx.command.params if one.opts[0].startswith("--")} if error.ctx else {}
    found = meant(name, flags)
    if found is None and (near := near_names("--" + name, list(flags.values()))):
        hint = f"did you mean `{near[0]}`?"
    elif found and found in flags:
        hint = meaning(name, field_named(found))
    elif found and (command := question_of(error)) and found in command.subject:
        hint = f"it stands without a flag: `scaleplan {command.name} {flag(found)}`"
    elif found and flag(found) != error.option_name:
        hint = f"that is `{flag(found)}`, which this command does not have"
    else:
        hint = f"`{error.ctx.command_path if error.ctx else 'scaleplan'} -h` lists its options"
    return UsageError(f"no option `{clipped(error.option_name)}`", hint=hint)


def question_of(error: NoSuchOption) -> Question | None:
    """The question of the command that has no such option."""
    command = error.ctx.command if error.ctx else None
    return command.question if isinstance(command, QuestionCommand) else None


def meaning(name: str, one: Field) -> str:
    """How to say what was meant."""
    if one.name == "layout" and name in ("tp", "pp", "dp", "cp", "ep", "vpp", "zero"):
        return f"degrees of parallelism are given together: `--layout {name}8` or `--layout tp8,pp4,dp2`"
    return f"did you mean `{one.flag}{f' {one.metavar}' if one.choices else ''}`? {one.explained(flag)}"


def command_path() -> str:
    """How the program was called, for messages."""
    return Path(sys.argv[0]).name or "scaleplan"
