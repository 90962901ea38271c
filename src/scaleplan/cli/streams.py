"""Standard output and standard error: in any encoding, on a full disk, and where they are closed."""

from __future__ import annotations

import codecs
import os
import sys
import unicodedata
from contextlib import suppress
from io import TextIOWrapper
from typing import TextIO

from scaleplan.errors import InputError
from scaleplan.wording import visible, wrapped

NEAR = {
    "─": "-",
    "━": "-",
    "│": "|",
    "×": "x",
    "·": "*",
    "±": "+-",
    "→": "->",
    "←": "<-",
    "≤": "<=",
    "≥": ">=",
    "≈": "~",
    "−": "-",
    "–": "-",
    "—": "-",
    "…": "...",
    "‘": "'",
    "’": "'",
    "“": '"',
    "”": '"',
}
"""Characters that texts use and ASCII lacks -> what reads alike."""
HANDLER = "scaleplan.near"
USUAL_WIDTH, LEAST_WIDTH = 80, 20


def near(error: UnicodeError) -> tuple[str, int]:
    """What is written for characters that an encoding lacks: letters without accents, signs that read alike, else `?`."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(near_ascii, error.object[error.start : error.end])), error.end


def near_ascii(character: str) -> str:
    """One character in ASCII."""
    if character in NEAR:
        return NEAR[character]
    plain = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode("ascii")
    return plain or "?"


def make_lenient() -> None:
    """Let both streams write what their encoding lacks in other characters, unless the user said what becomes of those."""
    codecs.register_error(HANDLER, near)
    for stream, usual in ((sys.stdout, ("strict", "surrogateescape")), (sys.stderr, ("backslashreplace",))):
        if isinstance(stream, TextIOWrapper) and stream.errors in usual and codecs.lookup(stream.encoding).name != "utf-8":
            stream.reconfigure(errors=HANDLER)


def terminal_width(stream: TextIO | None) -> int | None:
    """Columns of the terminal that a stream goes to; None where it goes to a file or a pipe."""
    if stream is None or not stream.isatty():
        return None
    with suppress(ValueError):
        return max(int(os.environ.get("COLUMNS", "")), LEAST_WIDTH)
    with suppress(OSError):
        return max(os.get_terminal_size(stream.fileno()).columns or USUAL_WIDTH, LEAST_WIDTH)
    return USUAL_WIDTH


def put(text: str) -> None:
    """Write an answer to standard output, all of it or an error."""
    if sys.stdout is None:
        raise InputError("standard output is closed", hint="write to a file: -o FILE")
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:  # where there is no SIGPIPE: a reader that has gone wants no more
        forget_stdout()
    except OSError as error:
        forget_stdout()
        raise InputError(f"cannot write to standard output: {error.strerror}") from None


def forget_stdout() -> None:
    """Drop what could not be written, so that the end of the program does not try it once more."""
    if sys.stdout is not None:
        with suppress(OSError):  # closed all the same
            sys.stdout.close()


def tell(text: str) -> None:
    """Lines for people on standard error, if it is there: as wide as its terminal, without characters that would steer it."""
    if sys.stderr is None:
        return
    with suppress(OSError):  # nobody is left to be told
        width = terminal_width(sys.stderr)
        lines = [line for said in text.split("\n") for line in wrapped(visible(said), width)]
        print("\n".join(lines), file=sys.stderr, flush=True)
