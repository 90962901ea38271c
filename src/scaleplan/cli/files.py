"""Files that the command line writes: whole or not at all, and no file but those that were named."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from scaleplan.errors import InputError, UsageError, clipped

FORMATS = {".json": "json", ".jsonl": "jsonl", ".csv": "csv", ".md": "md", ".html": "html", ".xml": "junit"}
"""Suffix -> the format that it asks for, where a command has it."""
ANY = ("", ".txt", ".log", ".out", ".toml")  # that ask for none, or for a preset


def output_path(text: str, given: str) -> Path:
    """A file that can be written, as far as can be told beforehand."""
    path, shown = Path(text), clipped(text, 200)
    if not text.strip():
        raise InputError(f"{given}: the name of the file is empty")
    try:
        if path.is_dir():
            raise InputError(f"{given}: `{shown}` is a folder, not a file")
        if not path.parent.is_dir():
            raise InputError(f"{given}: there is no folder `{clipped(path.parent, 200)}`")
        target = path.resolve()
        exists = target.exists()
    except (OSError, ValueError, RuntimeError) as error:  # too long, a NUL, a loop of links
        raise InputError(f"{given}: `{shown}` cannot be written: {reason(error)}") from None
    if not target.parent.is_dir():
        raise InputError(f"{given}: there is no folder `{clipped(target.parent, 200)}`, to which `{shown}` links")
    if not os.access(target if exists else target.parent, os.W_OK):
        raise InputError(f"{given}: `{shown}` cannot be written")
    return path


def reason(error: Exception) -> str:
    """Why the system refused, in its words."""
    return (isinstance(error, OSError) and error.strerror) or clipped(error, 120)


def format_of(output: Path | None, wanted: str | None, formats: tuple[str, ...]) -> str | None:
    """The format that the name of a file asks for, None where it asks for none.

    Raises UsageError for a suffix that cannot be written, unless a format was asked for, which goes before the name.
    """
    if output is None:
        return None
    suffix = output.suffix.lower()
    named = FORMATS.get(suffix)
    if wanted is None and (named or suffix not in ANY) and named not in formats:
        known = [ending for ending, form in FORMATS.items() if form in formats]
        hint = f"name the file {', '.join(known)} or .txt, or give a --format"
        raise UsageError(f"-o: cannot write a `{clipped(output.suffix)}` file", hint=hint)
    return named


def write_whole(path: Path, text: str) -> None:
    """Write a file so that it is never seen half written; a device such as /dev/null is written to directly."""
    replace_all({path: text})


def write_files(path: Path, texts: Mapping[str, str | None]) -> None:
    """Write files that belong together, named alike but for their endings; None is one that must not be left from before.

    Raises InputError where a file beside the one that was named is not one of an earlier answer: it is not ours to overwrite.
    """
    beside = {path.with_name(path.stem + ending): text for ending, text in texts.items()}
    foreign = next((other for other in beside if other != path and other.exists() and not belongs(other, path)), None)
    if foreign is not None:
        raise InputError(
            f"-o: `{clipped(foreign.name)}` would be read with `{clipped(path.name)}`, but does not come from an earlier one",
            hint="choose another name, or move that file away",
        )
    replace_all(beside)


def belongs(table: Path, preset: Path) -> bool:
    """Whether a table was written with a preset: its headings are keys of it."""
    try:
        with table.open(encoding="utf-8") as lines:
            headings = lines.readline(10_000).strip().split(",")
        said = preset.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return False
    return all(f"\n{name} = " in said for name in headings)


def replace_all(texts: Mapping[Path, str | None]) -> None:
    """Write all of the files before the first is put in its place; None removes a file. A link is followed and stays."""
    drafts: dict[Path, Path] = {}
    try:
        for path, text in texts.items():
            if text is not None:
                target = path.resolve()
                if target.exists() and not target.is_file():  # a device, a pipe
                    target.write_text(text, encoding="utf-8", newline="")
                else:
                    drafts[target] = drafted(target, lambda draft, text=text: write_new(draft, text))  # type: ignore[misc]  # bound
        for target, draft in drafts.items():
            draft.replace(target)
        for path in (path for path, text in texts.items() if text is None):
            path.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"cannot write `{clipped(next(iter(texts)), 200)}`: {reason(error)}") from None
    finally:
        for draft in drafts.values():
            with suppress(OSError):
                draft.unlink(missing_ok=True)


def drafted(target: Path, write: Callable[[Path], object]) -> Path:
    """A file beside the target, of a name that no other run has, written and with the permissions of the target."""
    draft = target.with_name(f".{os.urandom(8).hex()}.part{target.suffix[:10]}")
    try:
        write(draft)
        if target.exists():
            draft.chmod(target.stat().st_mode)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    return draft


def write_by(path: Path, write: Callable[[Path], object]) -> None:
    """Let a function write a file, which is then put in its place whole; a link is followed and stays."""
    target = path.resolve()
    try:
        drafted(target, write).replace(target)
    except OSError as error:
        raise InputError(f"cannot write `{clipped(path, 200)}`: {reason(error)}") from None


def write_pieces(path: Path, pieces: Iterable[str]) -> None:
    """Write a long file piece by piece, whole or not at all; a device such as /dev/null is written to directly."""

    def write(draft: Path) -> None:
        with draft.open("w", encoding="utf-8", newline="") as file:
            file.writelines(pieces)

    write(path) if path.exists() and not path.is_file() else write_by(path, write)


def write_new(path: Path, text: str) -> None:
    """Write a file that must not exist yet."""
    with path.open("x", encoding="utf-8", newline="") as file:
        file.write(text)


def append(path: Path, text: str) -> None:
    """Add to the end of a file."""
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(text)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot write `{clipped(path, 200)}`: {reason(error)}") from None
