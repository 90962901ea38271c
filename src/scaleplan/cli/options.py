"""The flags that commands share: each name has one meaning, one unit and one help text, here.

`quantity` makes a flag that reads a number with its unit and names itself when it cannot. `command` turns a function that
returns an `Answer` into a command with the flags that every command has (--json, --format, -o, -v, -q).
"""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from scaleplan import units
from scaleplan.answer import Answer, Chart
from scaleplan.errors import InputError, ScaleplanError, UnknownName, UsageError
from scaleplan.render import FORMATS_OF_EVERY_COMMAND, Style, render


def quantity(flag: str, read: Callable[[str], Any], help: str, *more: str, metavar: str = "NUMBER") -> Any:  # noqa: A002 - Typer's own word
    """A flag whose text `read` turns into base units; an error names the flag."""

    def parse(text: str) -> Any:
        try:
            return read(text)
        except ScaleplanError as error:
            error.message = f"{flag}: {error.message}"
            raise

    return typer.Option(flag, *more, parser=parse, metavar=metavar, help=help, show_default=False)


def output_path(text: str, flag: str = "-o") -> Path:
    """A file that can be written, found out before any work is done."""
    path = Path(text)
    if path.is_dir():
        raise InputError(f"{flag}: `{text}` is a folder, not a file")
    if not path.parent.is_dir():
        raise InputError(f"{flag}: there is no folder `{path.parent}`")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise InputError(f"{flag}: `{text}` cannot be written")
    return path


def one_of(what: str, *names: str) -> Callable[[str], str]:
    """A reader of one of a few words."""

    def word(text: str) -> str:
        if text not in names:
            raise UnknownName(what, text, names)
        return text

    return word


def format_option(formats: Sequence[str]) -> Any:
    """The flag that takes one of the formats."""
    return typer.Option(
        "--format",
        parser=one_of("format", *formats),
        metavar="|".join(formats),
        help=f"How to print the answer (default: {formats[0]}).",
        show_default=False,
    )


COMMON = {
    "as_json": Annotated[bool, typer.Option("--json", help="One JSON document, base units, full digits.")],
    "format_name": None,  # differs by command
    "output": Annotated[
        Path | None,
        typer.Option("-o", parser=output_path, metavar="FILE", help="Write to a file instead; .json, .csv and .md say the format."),
    ],
    "verbose": Annotated[bool, typer.Option("-v", help="Show formula, inputs, source and standing of each number.")],
    "quiet": Annotated[bool, typer.Option("-q", help="No remarks and no warnings.")],
}
"""The flags of every command."""


Plot = Annotated[
    str | None,
    typer.Option(
        "--plot", metavar="[FILE]", help="Draw it: below the tables, or into a .svg, .png, .pdf or .html file.", show_default=False
    ),
]
Returns = Callable[..., Answer]


def command(function: Returns) -> Callable[..., int]:
    """A command from a function that returns its Answer: adds the common flags and shows the answer in the form asked for."""
    return command_in()(function)


def command_in(*formats: str, charts: bool = False) -> Callable[[Returns], Callable[..., int]]:
    """As `command`, with more flags.

    formats  those that this command has beside the usual ones; the first is then its default
    charts   whether its answers hold charts: adds --plot
    """
    known = [*formats, *FORMATS_OF_EVERY_COMMAND]

    def made(function: Returns) -> Callable[..., int]:
        def run(
            *,
            as_json: bool,
            format_name: str | None,
            output: Path | None,
            verbose: bool,
            quiet: bool,
            plot: str | None = None,
            **asked: Any,
        ) -> int:
            if as_json and format_name not in (None, "json"):
                raise UsageError(f"--json and --format {format_name} contradict each other", hint="give one of them")
            picture = picture_path(plot)
            answer = function(**asked)
            form = "json" if as_json else format_name or format_of(output) or known[0]
            show(answer, form, output, verbose=verbose, quiet=quiet, plot=plot == HERE)
            if picture:
                draw_file(answer, picture)
            return answer.exit_code

        run.__signature__ = signature(function, known, charts=charts)  # type: ignore[attr-defined]  # every function takes one
        run.__annotations__ = {}  # Typer reads the signature; the annotations of `run` itself would be in its way
        run.__name__, run.__doc__, run.__module__ = function.__name__, function.__doc__, function.__module__
        return run

    return made


def format_of(output: Path | None) -> str | None:
    """The format that the name of a file asks for; None where it asks for none."""
    suffix = output.suffix.removeprefix(".") if output else ""
    return suffix if suffix in ("json", "csv", "md") else None


HERE = "-"  # --plot without a file: in the terminal, below the tables


def picture_path(plot: str | None) -> Path | None:
    """The file to draw into, found writable before any work is done."""
    if plot in (None, HERE):
        return None
    from scaleplan.render.picture import KINDS

    path = output_path(str(plot), flag="--plot")
    if path.suffix not in KINDS:
        raise UnknownName("kind of picture", path.suffix or path.name, KINDS)
    return path


def draw_file(answer: Answer, path: Path) -> None:
    """The charts of the answer as a picture."""
    from scaleplan.render.picture import write_picture

    write_picture(charts_of(answer), path)


def charts_of(answer: Answer) -> Sequence[Chart]:
    """The charts of an answer that has some."""
    charts = answer.drawn_charts()
    if not charts:
        raise UsageError("this answer has nothing to draw")
    return charts


def signature(function: Returns, formats: Sequence[str], *, charts: bool) -> inspect.Signature:
    """The parameters of the function and the common ones, by keyword."""
    own = inspect.signature(function, eval_str=True).parameters.values()
    kinds = COMMON | {"format_name": Annotated[str | None, format_option(formats)]} | ({"plot": Plot} if charts else {})
    common = (
        inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, default=None if name in ("format_name", "output", "plot") else False, annotation=kind
        )
        for name, kind in kinds.items()
    )
    return inspect.Signature([*(p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own), *common])


def show(answer: Answer, form: str, output: Path | None, *, verbose: bool, quiet: bool, plot: bool = False) -> None:
    """Print the answer, or write it whole or not at all; warnings go to stderr."""
    terminal = output is None and sys.stdout.isatty()
    style = Style(
        width=terminal_width() if terminal else None,
        colour=terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb",
        verbose=verbose,
        notes=not quiet,
    )
    if output is not None and output.suffix == ".toml" and ".toml" not in answer.files:
        raise UsageError(f"-o: this answer is not a preset, which `{output.name}` would be", hint="name the file .txt, .json or .csv")
    if output is not None and output.suffix in answer.files:
        write_files(output, answer.files[output.suffix])
    else:
        text = render(answer, form, style) + (drawings(answer, form, style.width) if plot else "")
        if output is None:
            sys.stdout.write(text)
            sys.stdout.flush()
        else:
            write_whole(output, text)
    if not quiet:
        for warning in answer.warnings:
            print(f"warning: {warning.message}", file=sys.stderr)


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


# Shared quantities. Each is an annotation of a command's parameter; all are optional unless the command says otherwise.

Compute = Annotated[float | None, quantity("--compute", units.flops, "Training compute in FLOP: 1e21, 10 PF-days.", metavar="FLOP")]
NParams = Annotated[int | None, quantity("--n-params", units.count, "Parameters of a model known by its size alone.", metavar="N")]
NActiveParams = Annotated[
    int | None, quantity("--n-active-params", units.count, "Parameters that one token uses (mixture of experts).", metavar="N")
]
Tokens = Annotated[float | None, quantity("--tokens", units.amount, "Training tokens: 300B.", metavar="D")]
NSteps = Annotated[int | None, quantity("--n-steps", units.count, "Optimizer steps; with a batch size, instead of --tokens.", metavar="S")]
Text = Annotated[
    float | None, quantity("--text", units.n_bytes, "Training text: 96GB; with --bytes-per-token, instead of --tokens.", metavar="BYTES")
]
BytesPerToken = Annotated[float | None, quantity("--bytes-per-token", units.amount, "Bytes of text in one token: 4.2.", metavar="B")]
BatchSizeTokens = Annotated[int | None, quantity("--batch-size-tokens", units.count, "Tokens in a batch.", metavar="B")]
BatchSizeSeqs = Annotated[int | None, quantity("--batch-size-seqs", units.count, "Sequences in a batch.", metavar="B")]
SeqLen = Annotated[int | None, quantity("--seq-len", units.count, "Tokens in a sequence.", metavar="S")]
KINDS_OF_SHAPE = ("llama", "gpt", "moe")
Like = Annotated[
    str | None,
    typer.Option(
        "--like",
        parser=one_of("kind of shape", *KINDS_OF_SHAPE),
        metavar="KIND",
        help=f"What kind of shapes: {', '.join(KINDS_OF_SHAPE)}.",
        show_default=False,
    ),
]
Loss = Annotated[float | None, quantity("--loss", units.amount, "Loss in nats per token.", metavar="L")]
Hardware = Annotated[
    str | None, typer.Option("--hardware", metavar="DEVICE", help="A device preset or TOML file; `scaleplan presets hardware` lists them.")
]
NDevices = Annotated[int | None, quantity("--n-devices", units.count, "Number of devices.", metavar="N")]
Capacity = Annotated[float | None, quantity("--capacity", units.n_bytes, "Memory of one device: 80GiB.", metavar="BYTES")]
Law = Annotated[
    list[str] | None,
    typer.Option(
        "--law",
        metavar="LAW",
        help="A law preset or TOML file, or `all`; may be repeated. `scaleplan presets laws` lists them.",
        show_default=False,
    ),
]
UniqueTokens = Annotated[
    float | None, quantity("--unique-tokens", units.amount, "How many different tokens exist; more than that repeats them.", metavar="U")
]
InferenceTokens = Annotated[
    float | None, quantity("--inference-tokens", units.amount, "Tokens the trained model will serve; counts their compute.", metavar="I")
]
Mfu = Annotated[float | None, quantity("--mfu", units.fraction, "Model FLOP utilisation: 0.4 or 40%.", metavar="SHARE")]
FlopsKind = Annotated[
    str | None,
    typer.Option(
        "--flops-kind",
        parser=one_of("kind of FLOP", "model", "hardware"),
        metavar="model|hardware",
        help="Whether a rate counts recomputed FLOP.",
    ),
]
Recompute = Annotated[
    str | None,
    typer.Option(
        "--recompute",
        parser=one_of("recomputation", "none", "selective", "per-op", "full"),
        metavar="none|selective|per-op|full",
        help="Which activations are computed twice.",
    ),
]
UsdPerDeviceHour = Annotated[
    float | None, quantity("--usd-per-device-hour", units.usd, "Price of an hour of one device: 2.5.", metavar="USD")
]
NKind = Annotated[
    str | None,
    typer.Option(
        "--n-kind",
        parser=one_of("kind of N", "total", "non-embedding", "both"),
        metavar="total|non-embedding|both",
        help="Mean N with or without embeddings, converted; else each its own.",
        show_default=False,
    ),
]
Precision = Annotated[
    str | None,
    typer.Option("--precision", metavar="NAME", help="fp32, tf32, bf16, fp16, fp8, bf16-autocast, bf16-mixed[-12|16|18|20], ..."),
]
