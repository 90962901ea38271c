"""Show an answer: print it in the form that was asked for, or write it whole or not at all; warnings go to stderr."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from scaleplan.answer import INTERRUPTED
from scaleplan.cli.files import append, format_of, output_path, write_by, write_files, write_pieces, write_whole
from scaleplan.cli.streams import put, tell, terminal_width
from scaleplan.errors import UnknownName, UsageError
from scaleplan.render import FORMATS_OF_EVERY_COMMAND, Style, render
from scaleplan.wording import flag, spelled

if TYPE_CHECKING:
    from scaleplan.answer import Answer, Chart
    from scaleplan.questions.asking import Question

PICTURES = (".svg", ".png", ".pdf", ".html")
HERE = "-"  # --plot without a file: in the terminal, below the tables


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
    formats = tuple(dict.fromkeys((*question.formats, *FORMATS_OF_EVERY_COMMAND)))
    if wanted.view is not None and wanted.view not in formats:
        raise UnknownName("format", wanted.view, formats)
    if wanted.as_json and wanted.view not in (None, "json"):
        raise UsageError(f"--json and --format {wanted.view} contradict each other", hint="give one of them")
    output = output_path(wanted.output, "-o") if wanted.output is not None else None
    named = format_of(output, "json" if wanted.as_json else wanted.view, formats)
    picture = picture_path(wanted.plot, charts=question.charts)
    answer = ask()
    form = "json" if wanted.as_json else wanted.view or named or formats[0]
    write_beside(answer, picture)
    show(answer, form, kept_apart(output) if output and answer.exit_code == INTERRUPTED else output, wanted)
    return answer.exit_code


def write_beside(answer: Answer, picture: Path | None) -> None:
    """Everything that is written beside the answer itself, before it: what cannot be written leaves standard output empty."""
    for name, text in answer.folder.items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        write_pieces(Path(name), [text] if isinstance(text, str) else text)
    for name, kind in answer.appended.items():
        append(Path(name), render(answer, kind, Style()))
    if picture:
        from scaleplan.render.picture import write_picture

        charts = charts_of(answer)
        write_by(picture, lambda draft: write_picture(charts, draft))


def kept_apart(output: Path) -> Path:
    """Where the answer of interrupted work goes: beside the file that was named, which stays as it was."""
    apart = output.with_name(f"{output.stem}.partial{output.suffix}")
    tell(f"interrupted: what was done is in `{apart}`; `{output}` is as it was")
    return apart


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
    width = terminal_width(sys.stdout) if output is None else None
    style = Style(
        width=width,
        colour=width is not None and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb",
        verbose=wanted.verbose,
        notes=not wanted.quiet,
    )
    if answer.stream is not None and form in answer.stream.forms:
        from scaleplan.cli.stream import write_stream

        write_stream(answer.stream, form, output, quiet=wanted.quiet)
        return
    if output is not None and output.suffix == ".toml" and ".toml" not in answer.files:
        raise UsageError(f"-o: this answer is not a preset, which `{output.name}` would be", hint="name the file .txt, .json or .csv")
    if output is not None and output.suffix in answer.files:
        write_files(output, answer.files[output.suffix])
    else:
        text = render(answer, form, style) + (drawings(answer, form, style.width) if wanted.plot == HERE else "")
        if output is None:
            put(text)
        else:
            write_whole(output, text)
    if not wanted.quiet:
        for warning in answer.warnings:
            tell(f"warning: {spelled(warning.message, flag)}")


def drawings(answer: Answer, form: str, width: int | None) -> str:
    """Every chart of the answer in letters."""
    from scaleplan.render.chart import draw

    if form not in ("table", "plain", "text"):
        raise UsageError(f"--plot in letters does not go with {form}", hint="draw into a file: --plot chart.svg")
    return "".join("\n" + draw(chart, min(width or 80, 100)) for chart in charts_of(answer))
