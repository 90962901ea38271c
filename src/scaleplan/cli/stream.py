"""Write rows as they are computed: to stdout, or into a file that an interrupted command leaves with whole rows and continues."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import IO, Any

from scaleplan.answer import Stream
from scaleplan.cli.files import write_pieces
from scaleplan.cli.streams import put, tell, terminal_width
from scaleplan.errors import InputError

CHUNK_BYTES = 1 << 20


def write_stream(stream: Stream, form: str, output: Path | None, *, quiet: bool) -> None:
    """All rows in one format."""
    if output is None or (output.exists() and not output.is_file()):
        to_pipe(stream, form, output)
    elif stream.identity is None:
        write_pieces(output, pieces(stream, form))
    else:
        to_file(stream, form, output, quiet=quiet)


def to_pipe(stream: Stream, form: str, output: Path | None) -> None:
    """Rows to standard output or to a device."""
    progress = Progress(stream.n_rows, 0, shown=output is None and terminal_width(sys.stdout) is None)
    with nullcontext() if output is None else output.open("w", encoding="utf-8") as out:
        write: Callable[[str], Any] = put if out is None else out.write
        write(stream.header(form))
        try:
            for text, n in stream.texts(form, 0):
                write(text)
                progress.add(n)
        finally:
            progress.end()


def pieces(stream: Stream, form: str) -> Iterator[str]:
    """The header and the rows as they are computed, while a terminal is told how far they are."""
    progress = Progress(stream.n_rows, 0)
    try:
        yield stream.header(form)
        for text, n in stream.texts(form, 0):
            progress.add(n)
            yield text
    finally:
        progress.end()


def to_file(stream: Stream, form: str, output: Path, *, quiet: bool) -> None:
    """Rows into a file; while it is not whole, a mark beside it says which rows these are."""
    assert stream.identity is not None
    mark = output.with_name(f".{output.name}.sweep")
    identity = f"{stream.identity()} {form}"
    header = stream.header(form)
    size, done = kept(output, header) if begun(mark, identity) else (0, 0)
    if done and not quiet:
        tell(f"{output}: {done:,} of {stream.n_rows:,} rows are there; continuing")
    progress = Progress(stream.n_rows, done)
    try:
        with output.open("r+b" if size else "wb") as file:
            file.truncate(size)
            file.seek(size)
            mark.write_text(identity, encoding="utf-8")
            if not size:
                file.write(header.encode())
            for text, n in stream.texts(form, done):
                file.write(text.encode())
                file.flush()
                progress.add(n)
        mark.unlink()
    except OSError as error:
        raise InputError(f"-o: cannot write `{output}`: {error.strerror}") from None
    except KeyboardInterrupt:
        progress.end()
        size, done = kept(output, header)
        os.truncate(output, size)
        tell(f"interrupted: {done:,} of {stream.n_rows:,} rows are in {output}; the same command continues")
        raise
    finally:
        progress.end()


def begun(mark: Path, identity: str) -> bool:
    """Whether a file was begun with the same rows."""
    try:
        return mark.read_text(encoding="utf-8") == identity
    except OSError:
        return False


def kept(output: Path, header: str) -> tuple[int, int]:
    """Bytes of the whole rows in a file, header included, and how many rows they are; nothing where the header is not whole."""
    try:
        with output.open("rb") as file:
            if file.read(len(header.encode())) != header.encode():
                return 0, 0
            return whole_rows(file, len(header.encode()))
    except OSError:
        return 0, 0


def whole_rows(file: IO[bytes], size: int) -> tuple[int, int]:
    """The end of the last whole row, and the number of rows before it."""
    end, rows = size, 0
    while chunk := file.read(CHUNK_BYTES):
        last = chunk.rfind(b"\n")
        rows += chunk.count(b"\n")
        end = size + last + 1 if last >= 0 else end
        size += len(chunk)
    return end, rows


class Progress:
    """How far the rows are, on a terminal's stderr."""

    def __init__(self, total: int, done: int, *, shown: bool = True) -> None:
        self.total, self.done = total, done
        self.shown = shown and sys.stderr is not None and sys.stderr.isatty()
        self.said = ""

    def add(self, n: int) -> None:
        """So many rows more."""
        self.done += n
        percent = f"{self.done:,} of {self.total:,} rows ({100 * self.done // max(1, self.total)} %)"
        if self.shown and percent != self.said:
            self.said = percent
            sys.stderr.write(f"\r{percent}")
            sys.stderr.flush()

    def end(self) -> None:
        """Leave the line empty."""
        if self.said:
            sys.stderr.write("\r" + " " * len(self.said) + "\r")
            sys.stderr.flush()
            self.said = ""
