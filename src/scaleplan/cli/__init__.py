"""The command line: parse, call, render."""

import gc

gc.set_threshold(100_000)  # a command that starts makes thousands of objects and no garbage: collecting them is a tenth of its time

from scaleplan.cli.app import main  # noqa: E402 - what is imported here is what the line above is about

__all__ = ["main"]
