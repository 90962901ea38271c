"""The command line: which commands there are, and what becomes of errors.

A command's module is imported when that command runs, so that `--version` and the quick answers wait for nothing they do not use.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from typer import Abort
from typer._click import Command, Context  # Typer carries its own Click and exports neither
from typer._click.exceptions import ClickException
from typer._click.formatting import HelpFormatter
from typer.core import TyperGroup, TyperOption

from scaleplan import __version__
from scaleplan.answer import INTERRUPTED
from scaleplan.cli.help_text import help_settings, write_examples
from scaleplan.cli.streams import forget_stdout, make_lenient, tell
from scaleplan.errors import ScaleplanError, clipped
from scaleplan.wording import flag

EXIT_REFUSED = 2
EXAMPLES = ("scaleplan optimal --compute 1e21", "scaleplan params gpt2", "scaleplan COMMAND -h")


class Commands(TyperGroup):
    """The group of all commands, each made when it is called."""

    def list_commands(self, ctx: Context) -> list[str]:
        from scaleplan.questions.registry import NAMES

        return list(NAMES)

    def get_command(self, ctx: Context, cmd_name: str) -> Command | None:
        from scaleplan.cli.command import QuestionCommand
        from scaleplan.questions.registry import NAMES, question_named

        if cmd_name not in NAMES:
            return None
        return QuestionCommand(question_named(cmd_name))

    def format_help_text(self, ctx: Context, formatter: HelpFormatter) -> None:
        formatter.write_paragraph()
        with formatter.indentation():
            formatter.write_text("What does it take to train and serve this language model, and is that within budget?")
        with formatter.section("Examples"):
            write_examples(formatter, EXAMPLES)

    def format_commands(self, ctx: Context, formatter: HelpFormatter) -> None:
        from scaleplan.questions.registry import COMMANDS

        for heading, commands in COMMANDS.items():
            with formatter.section(heading):
                formatter.write_dl(list(commands.items()))

    def resolve_command(self, ctx: Context, args: list[str]) -> Any:
        names = self.list_commands(ctx)
        if args and args[0] not in names and not args[0].startswith("-"):
            from scaleplan.errors import UnknownName

            raise UnknownName("command", args[0], names, where="list them with `scaleplan -h`")
        return super().resolve_command(ctx, args)


def print_version(ctx: Context, option: Any, wanted: bool) -> None:
    """--version."""
    if wanted:
        print(f"scaleplan {__version__}")
        ctx.exit()


def without_command(version: bool = False, debug: bool = False) -> None:
    """Nothing to do but for a command; help is printed where none was given."""


def app() -> Commands:
    """The command line."""
    return Commands(
        name="scaleplan",
        params=[
            TyperOption(
                param_decls=["--version", "version"],
                is_flag=True,
                is_eager=True,
                expose_value=False,
                callback=print_version,
                help="Print the version.",
            ),
            TyperOption(
                param_decls=["--debug", "debug"], is_flag=True, default=False, help="Show a traceback when scaleplan itself fails."
            ),
        ],
        callback=without_command,
        no_args_is_help=False,
        invoke_without_command=True,
        rich_markup_mode=None,
        context_settings=help_settings(),
    )


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run the command line; exit 0 answered, 1 a limit is broken, 2 no answer, 130 interrupted."""
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # a reader that has gone ends us quietly, like any other filter
    make_lenient()
    arguments = list(sys.argv[1:] if args is None else args)
    try:
        code = run(arguments)
        gc.freeze()  # what is left goes with the process: nothing of it needs to be looked through at the end
        sys.exit(code)
    except ScaleplanError as error:
        refuse(error.report(flag))
    except ClickException as error:
        from scaleplan.cli.usage import before_the_command

        option = getattr(error, "option_name", None)
        ours = before_the_command(option, arguments) if option else None
        refuse(ours.report(flag) if ours else usage_report(error))
    except (KeyboardInterrupt, Abort):
        tell("interrupted")
        sys.exit(INTERRUPTED)
    except OSError as error:  # what the system refuses is no bug of ours: a disk that is full, a folder that went away
        if "--debug" in arguments:
            raise
        if error.filename is None:
            forget_stdout()
        refuse(f"error: {clipped(error.filename or 'standard output', 200)}: {error.strerror or clipped(error)}")
    except Exception as error:  # whatever we did not foresee is our bug, and a user gets a sentence for it
        if "--debug" in arguments:
            raise
        refuse(f"error: a bug in scaleplan: {type(error).__name__}: {error}\nhint: `scaleplan --debug ...` shows where; please report it")


def run(arguments: list[str]) -> int:
    """Run the command that was asked for; its exit code."""
    if "_SCALEPLAN_COMPLETE" in os.environ:  # a shell asks for completion: Typer's own shells are needed then, and only then
        from typer._completion_classes import completion_init

        completion_init()
    elif not set(arguments) - {"--debug"}:
        arguments = ["-h"]
    return app().main(arguments, prog_name="scaleplan", standalone_mode=False) or 0


def usage_report(error: ClickException) -> str:
    """What the parser says, in our form."""
    message = error.format_message().rstrip(".")
    context = getattr(error, "ctx", None)
    hint = f"\nhint: `{context.command_path} -h` lists its options" if context is not None else ""
    return f"error: {message}{hint}"


def refuse(report: str) -> NoReturn:
    """Say why there is no answer, and end."""
    tell(report)
    sys.exit(EXIT_REFUSED)
