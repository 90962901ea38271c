"""Show an answer: print it in the form that was asked for, or write it whole or not at all; warnings go to stderr."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from scaleplan.errors import InputError, UnknownName, UsageError
from scaleplan.render import FORMATS_OF_EVERY_COMMAND, Style, render
from scaleplan.wording import flag, spelled

if TYPE_CHECKING:
    from scaleplan.answer import Answer, Chart
    from scaleplan.questions.asking import Question

PICTURES = (".svg", ".png", ".pdf", ".html")
HERE = "-"  # --plot without a file: in the terminal, below the tables
NAMED_FORMATS = (".json", ".csv", ".md")


class Shown(NamedTuple):
    """How an answer is wanted: the flags that every command has."""

    as_json: bool
    view: str | None
    output: str | None
    verbose: bool
    quiet: bool
    plot: str | None


def shown(question: Question, wanted: Shown, ask: Callable[[], Answer]) -> int:
    """Ask and show; the exit code. What cannot be written is found out before any work is done."""
    formats = (*question.formats, *FORMATS_OF_EVERY_COMMAND)
    if wanted.view is not None and wanted.view not in formats:
        raise UnknownName("format", wanted.view, formats)
    if wanted.as_json and wanted.view not in (None, "json"):
        raise UsageError(f"--json and --format {wanted.view} contradict each other", hint="give one of them")
    output = output_path(wanted.output, "-o") if wanted.output is not None else None
    picture = picture_path(wanted.plot, charts=question.charts)
    answer = ask()
    form = "json" if wanted.as_json else wanted.view or format_of(output) or formats[0]
    show(answer, form, output, wanted)
    for name, text in answer.folder.items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        write_whole(Path(name), text)
    for name, kind in answer.appended.items():
        append(Path(name), render(answer, kind, Style()))
    if picture:
        from scaleplan.render.picture import write_picture

        write_picture(charts_of(answer), picture)
    return answer.exit_code


def output_path(text: str, given: str) -> Path:
    """A file that can be written."""
    path = Path(text)
    if path.is_dir():
        raise InputError(f"{given}: `{text}` is a folder, not a file")
    if not path.parent.is_dir():
        raise InputError(f"{given}: there is no folder `{path.parent}`")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise InputError(f"{given}: `{text}` cannot be written")
    return path


def format_of(output: Path | None) -> str | None:
    """The format that the name of a file asks for; None where it asks for none."""
    return output.suffix.removeprefix(".") if output and output.suffix in NAMED_FORMATS else None


def picture_path(plot: str | None, *, charts: bool) -> Path | None:
    """The file to draw into, found writable before any work is done."""
    if plot is not None and not charts:
        raise UsageError("--plot: this command has nothing to draw", hint="leave it out")
    if plot in (None, HERE):
        return None
    from scaleplan.render.picture import KINDS

    path = output_path(str(plot), "--plot")
    if path.suffix not in KINDS:
        raise UnknownName("kind of picture", path.suffix or path.name, KINDS)
    return path


def charts_of(answer: Answer) -> Sequence[Chart]:
    """The charts of an answer that has some."""
    charts = answer.drawn_charts()
    if not charts:
        raise UsageError("this answer has nothing to draw")
    return charts


def show(answer: Answer, form: str, output: Path | None, wanted: Shown) -> None:
    """Print the answer, or write it whole or not at all; warnings go to stderr."""
    terminal = output is None and sys.stdout.isatty()
    style = Style(
        width=terminal_width() if terminal else None,
        colour=terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb",
        verbose=wanted.verbose,
        notes=not wanted.quiet,
    )
    if output is not None and output.suffix == ".toml" and ".toml" not in answer.files:
        raise UsageError(f"-o: this answer is not a preset, which `{output.name}` would be", hint="name the file .txt, .json or .csv")
    if output is not None and output.suffix in answer.files:
        write_files(output, answer.files[output.suffix])
    else:
        text = render(answer, form, style) + (drawings(answer, form, style.width) if wanted.plot == HERE else "")
        if output is None:
            sys.stdout.write(text)
            sys.stdout.flush()
        else:
            write_whole(output, text)
    if not wanted.quiet:
        for warning in answer.warnings:
            print(f"warning: {spelled(warning.message, flag)}", file=sys.stderr)


def append(path: Path, text: str) -> None:
    """Add to the end of a file."""
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise InputError(f"cannot write `{path}`: {error.strerror}") from None


def drawings(answer: Answer, form: str, width: int | None) -> str:
    """Every chart of the answer in letters."""
    from scaleplan.render.chart import draw

    if form not in ("table", "plain", "text"):
        raise UsageError(f"--plot in letters does not go with {form}", hint="draw into a file: --plot chart.svg")
    return "".join("\n" + draw(chart, min(width or 80, 100)) for chart in charts_of(answer))


def terminal_width() -> int:
    """Columns of the terminal."""
    import shutil

    return shutil.get_terminal_size().columns


def write_files(path: Path, texts: Mapping[str, str | None]) -> None:
    """Write files that belong together, named alike but for their endings."""
    for ending, text in texts.items():
        beside = path.with_name(path.stem + ending)
        if text is None:
            beside.unlink(missing_ok=True)
        else:
            write_whole(beside, text)


def write_whole(path: Path, text: str) -> None:
    """Write a file so that it is never seen half written; a device such as /dev/null is written to directly."""
    if path.exists() and not path.is_file():
        path.write_text(text, encoding="utf-8")
        return
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        draft.write_text(text, encoding="utf-8")
        draft.replace(path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise InputError(f"-o: cannot write `{path}`: {error.strerror}") from None
