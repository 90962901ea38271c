"""The command line: parse, call, render."""

from scaleplan.cli.app import main

__all__ = ["main"]
