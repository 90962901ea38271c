"""The Typer application: which commands there are, and what becomes of errors.

A command's module is imported when that command runs, so that `--version` and the quick answers wait for nothing they do not use.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Annotated, Any, NoReturn

import typer
from typer._click import Command, Context  # Typer carries its own Click and exports neither
from typer._click.exceptions import ClickException
from typer.core import TyperCommand, TyperGroup

from scaleplan import __version__
from scaleplan.errors import ScaleplanError
from scaleplan.wording import flag

COMMANDS = {
    "params": "How many parameters, of which kind, in which convention?",
    "flops": "How much compute to train and to serve, 6N and 2N beside the exact count?",
    "memory": "How much memory do training and serving need, by part and precision, and what does it fit on?",
    "layout": "Does each given layout fit, and how much memory does it need?",
    "cost": "How many device-days, days, dollars, kWh and kg of CO2e does training take?",
    "check": "Is it within the limits?",
    "optimal": "How large a model on how many tokens, and what loss, by each scaling law?",
    "batch": "How large may a batch be before it wastes tokens?",
    "fit": "What law do my own runs follow, and how sure is it?",
    "presets": "What is built in, each value with its source?",
}
"""Command -> the question it answers: the first line of its help. Its module is scaleplan.cli.<command>."""

EXIT_REFUSED = 2
EXIT_INTERRUPTED = 130
HELP = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


class OneCommand(TyperCommand):
    """A command whose --plot may stand without a file."""

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, [given for place, arg in enumerate(args) for given in spelled_out(arg, args[place + 1 :])])


def spelled_out(arg: str, rest: list[str]) -> list[str]:
    """A bare `--plot` is `--plot -`: draw here. It is bare when no picture file follows."""
    bare = arg == "--plot" and not (rest and rest[0].lower().endswith(PICTURES))
    return [arg, "-"] if bare and rest[:1] != ["-"] else [arg]


PICTURES = (".svg", ".png", ".pdf", ".html")


class Commands(TyperGroup):
    """A group whose commands are imported one at a time."""

    def list_commands(self, ctx: Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Context, cmd_name: str) -> Command | None:
        if cmd_name not in COMMANDS:
            return None
        function = getattr(import_module(f"scaleplan.cli.{cmd_name}"), cmd_name)
        single = typer.Typer(add_completion=False, rich_markup_mode=None, context_settings=HELP)
        single.command(name=cmd_name, cls=OneCommand)(function)
        return typer.main.get_command(single)

    def format_commands(self, ctx: Context, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def resolve_command(self, ctx: Context, args: list[str]) -> Any:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from scaleplan.errors import UnknownName

            raise UnknownName("command", args[0], COMMANDS, where="list them with `scaleplan -h`")
        return super().resolve_command(ctx, args)


app = typer.Typer(cls=Commands, rich_markup_mode=None, add_completion=False, invoke_without_command=True, context_settings=HELP)


def print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"scaleplan {__version__}")
        raise typer.Exit


@app.callback()
def scaleplan(
    ctx: typer.Context,
    version: Annotated[bool, typer.Option("--version", callback=print_version, is_eager=True, help="Print the version.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show a traceback when scaleplan itself fails.")] = False,
) -> None:
    """What does it take to train and serve this language model, and is that within budget?

    \b
    Examples:
      scaleplan optimal --compute 1e21
      scaleplan params gpt2
      scaleplan COMMAND -h
    """
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run the command line; exit 0 answered, 1 a limit is broken, 2 no answer, 130 interrupted."""
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # a reader that has gone ends us quietly, like any other filter
    arguments = list(sys.argv[1:] if args is None else args)
    try:
        sys.exit(app(arguments, prog_name="scaleplan", standalone_mode=False) or 0)
    except ScaleplanError as error:
        refuse(error.report(flag))
    except ClickException as error:
        refuse(usage_report(error))
    except (KeyboardInterrupt, typer.Abort):
        sys.exit(EXIT_INTERRUPTED)
    except Exception as error:  # whatever we did not foresee is our bug, and a user gets a sentence for it
        if "--debug" in arguments:
            raise
        refuse(f"error: a bug in scaleplan: {type(error).__name__}: {error}\nhint: `scaleplan --debug ...` shows where; please report it")


def usage_report(error: ClickException) -> str:
    """What the parser says, in our form."""
    message = error.format_message().rstrip(".")
    context = getattr(error, "ctx", None)
    hint = f"\nhint: `{context.command_path} -h` lists its options" if context is not None else ""
    return f"error: {message}{hint}"


def refuse(report: str) -> NoReturn:
    print(report, file=sys.stderr)
    sys.exit(EXIT_REFUSED)
