"""Commands that are not yet made from a question."""

from __future__ import annotations

from importlib import import_module

import typer
from typer._click import Command, Context
from typer.core import TyperCommand

from scaleplan.cli.command import spelled_out


class OneCommand(TyperCommand):
    """A command whose --plot may stand without a file."""

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, [given for place, arg in enumerate(args) for given in spelled_out(arg, args[place + 1 :])])


def old_command(name: str) -> Command:
    """A command from its function in cli/."""
    function = getattr(import_module(f"scaleplan.cli.{name}"), name)
    settings = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
    single = typer.Typer(add_completion=False, rich_markup_mode=None, context_settings=settings)
    single.command(name=name, cls=OneCommand)(function)
    return typer.main.get_command(single)
