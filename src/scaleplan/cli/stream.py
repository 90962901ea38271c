"""Write rows as they are computed: to stdout, or into a file that an interrupted command leaves with whole rows and continues."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import IO, Any

from scaleplan.answer import Stream
from scaleplan.cli.files import write_pieces
from scaleplan.cli.streams import put, tell, terminal_width
from scaleplan.errors import InputError, clipped

CHUNK_BYTES = 1 << 20
LONGEST_NAME = 240  # of a file, in bytes, to which a mark can add its own


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
    mark = mark_of(output)
    header = stream.header(form)
    progress = Progress(stream.n_rows, 0)
    try:
        with held(mark, output) as known:
            size, done = kept(output, header) if begun(known, f"{stream.identity()} {form}") else (0, 0)
            if done and not quiet:
                tell(f"{output}: {done:,} of {stream.n_rows:,} rows are there; continuing")
            progress.add(done)
            write_rows(stream, form, output, size, done, progress)
            mark.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"-o: cannot write `{clipped(output, 200)}`: {error.strerror}") from None
    except KeyboardInterrupt:
        progress.end()
        size, done = kept(output, header)
        os.truncate(output, size)
        said = f"interrupted: {done:,} of {stream.n_rows:,} rows are in {output}; the same command continues"
        tell(said)
        raise KeyboardInterrupt(said) from None
    finally:
        progress.end()


def write_rows(stream: Stream, form: str, output: Path, size: int, done: int, progress: Progress) -> None:
    """The rows that a file has not yet, after its first `size` bytes."""
    with output.open("r+b" if size else "wb") as file:
        file.truncate(size)
        file.seek(size)
        if not size:
            file.write(stream.header(form).encode())
        for text, n in stream.texts(form, done):
            file.write(text.encode())
            file.flush()
            progress.add(n)


def mark_of(output: Path) -> Path:
    """The file beside another that says what is being written into it."""
    if len(output.name.encode()) <= LONGEST_NAME:
        return output.with_name(f".{output.name}.sweep")
    from hashlib import sha256

    return output.with_name(f".{sha256(output.name.encode()).hexdigest()}.sweep")


@contextmanager
def held(mark: Path, output: Path) -> Iterator[IO[str]]:
    """The mark, which no other run may have at the same time."""
    with mark.open("a+", encoding="utf-8") as file:
        try:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except ImportError:  # where there are no such locks
            pass
        except BlockingIOError:
            raise InputError(f"-o: another sweep is writing `{clipped(output, 200)}`", hint="give another file, or wait for it") from None
        yield file


def begun(mark: IO[str], identity: str) -> bool:
    """Whether a file was begun with the same rows; from now on it is."""
    mark.seek(0)
    same = mark.read(2 * len(identity)) == identity
    mark.truncate(0)
    mark.write(identity)
    mark.flush()
    return same


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
