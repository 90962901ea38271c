"""The command line: parse, call, render."""

import gc

gc.set_threshold(100_000)  # a command that starts makes thousands of objects and no garbage: collecting them is a tenth of its time

try:
    from scaleplan.cli.app import main
except KeyboardInterrupt:  # pressed before there was anything to interrupt
    raise SystemExit(130) from None

__all__ = ["main"]
