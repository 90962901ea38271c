"""`scaleplan fit`: your own law from your own runs, with intervals."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from scaleplan import units
from scaleplan.answer import Answer
from scaleplan.cli.options import Compute, Hardware, Mfu, NKind, UsdPerDeviceHour, command_in, quantity
from scaleplan.errors import InputError, UsageError, clipped
from scaleplan.laws.convention import NON_EMBEDDING, TOTAL

if TYPE_CHECKING:
    from scaleplan.laws.fitting.fit import Fit
    from scaleplan.laws.fitting.newton import Minima
    from scaleplan.runs import RunTable

MOST_RESAMPLES = 1_000_000
MOST_JOBS = 64
KINDS = {"total": TOTAL, "non-embedding": NON_EMBEDDING}
BY_SLICES = ("isoflop", "envelope")

Item = TypeVar("Item")


def assigned(flag: str, texts: Sequence[str] | None) -> dict[str, str]:
    """What `name=value` flags say: name -> value."""
    found = {}
    for text in texts or ():
        name, equals, value = text.partition("=")
        if not equals or not name.strip() or not value.strip():
            raise InputError(f"{flag}: `{clipped(text)}` is not of the form NAME=VALUE")
        found[name.strip()] = value.strip()
    return found


Runs = Annotated[str, typer.Argument(metavar="RUNS", help="Table of runs (CSV, TSV, JSON lines), or `-` for standard input.")]
ColumnNames = Annotated[
    list[str] | None,
    typer.Option("--column", metavar="NAME=HEADING", help="n_params=params_m: the column that holds it."),
]
Scales = Annotated[
    list[str] | None,
    typer.Option("--unit", metavar="NAME=FACTOR", help="n_params=1e6: the column is in millions."),
]
Form = Annotated[
    str, typer.Option("--form", metavar="FORM", help="additive, additive-tied, over-training, kaplan, repeating, isoflop, envelope, ...")
]
Bootstrap = Annotated[int | None, quantity("--bootstrap", units.count, "Refit that many resamples for intervals: 4000.", metavar="N")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Of the resamples; the same seed gives the same bytes.")]
Jobs = Annotated[int, typer.Option("--jobs", min=1, max=MOST_JOBS, help="Threads that share the resamples; results do not depend on it.")]
Compare = Annotated[bool, typer.Option("--compare", help="Rank the forms by their error on the largest runs, left out of the fit.")]
Design = Annotated[float | None, quantity("--design", units.flops, "Propose the next runs to spend this compute on: 1e21.", metavar="FLOP")]


@command_in(charts=True)
def fit(
    runs: Runs,
    column: ColumnNames = None,
    unit: Scales = None,
    law_form: Form = "additive",
    n_kind: NKind = None,
    bootstrap: Bootstrap = None,
    seed: Seed = 0,
    jobs: Jobs = 1,
    compute: Compute = None,
    compare: Compare = False,
    design: Design = None,
    hardware: Hardware = None,
    mfu: Mfu = None,
    usd_per_device_hour: UsdPerDeviceHour = None,
) -> Answer:
    """What law do my own runs follow, and how sure is it?

    The table has columns n_params, n_tokens (or compute_flops) and loss in nats per token, one run a row. --compute is the budget
    whose optimum is asked for (100 times the largest run if not given); -o my-law.toml writes a law that `optimal --law` takes.

    \b
    Examples:
      scaleplan fit runs.csv
      scaleplan fit runs.csv --bootstrap 4000 --seed 42 -o my-law.toml
      scaleplan fit runs.csv --column n_params=params_m --unit n_params=1e6
      scaleplan fit runs.csv --compare
      scaleplan fit runs.csv --design 1e21 --hardware h100-sxm
    """
    from scaleplan.cli import fit_answer

    if bootstrap and bootstrap > MOST_RESAMPLES:
        raise UsageError(f"--bootstrap: {bootstrap} resamples are more than {MOST_RESAMPLES}")
    if design is None and any(given is not None for given in (hardware, mfu, usd_per_device_hour)):
        raise UsageError("--hardware, --mfu and --usd-per-device-hour price the runs of --design", hint="add `--design FLOP`")
    if n_kind == "both":
        raise UsageError("--n-kind both: a law means one N", hint="`total` or `non-embedding`")
    table, kind, remarks = read(runs, assigned("--column", column), assigned("--unit", unit), n_kind)
    asked = fit_answer.Asked(law_form, kind, bootstrap or 0, seed, compute)
    if compare:
        from scaleplan.cli.fit_compare import comparison

        return comparison(table)
    if law_form in BY_SLICES:
        from scaleplan.cli.fit_slices import sliced

        return sliced(table, asked, remarks)
    if law_form == "repeating":
        from scaleplan.cli.fit_repeating import repeating

        return repeating(table, asked, remarks)
    fitted = fit_runs(table, law_form)
    if design is not None:
        from scaleplan.cli.fit_design import designed

        return designed(table, fitted, design, compute, hardware, mfu, usd_per_device_hour)
    draws, interrupted = resampled(fitted, asked, jobs)
    return fit_answer.answer_of(table, fitted, draws, asked, remarks, interrupted=interrupted)


def read(path: str, columns: Mapping[str, str], scales: Mapping[str, str], wanted: str | None) -> tuple[RunTable, str, list[str]]:
    """The table of runs with N of the kind that is wanted, that kind, and remarks on how it was read."""
    from scaleplan.laws.convention import converted_params
    from scaleplan.runs import read_runs

    table = read_runs(path, columns, {name: factor(name, text) for name, text in scales.items()})
    if "n_params" not in table.columns:
        return table, KINDS[wanted or "total"], []
    heading = table.headings["n_params"]
    given = NON_EMBEDDING if "non" in heading.lower() and "emb" in heading.lower() else TOTAL
    kind = KINDS[wanted] if wanted else given
    if kind == given:
        return table, kind, [f"N is read from `{heading}` as {words(kind)} parameters."]
    converted = converted_params(table.columns["n_params"], given, kind)
    remark = f"N is read from `{heading}` as {words(given)} parameters and converted to {words(kind)} ones for a usual shape (pearce2024)."
    return table._replace(columns={**table.columns, "n_params": converted}), kind, [remark]


def words(kind: str) -> str:
    """`non_embedding` -> `non-embedding`."""
    return kind.replace("_", "-")


def factor(name: str, text: str) -> float:
    """What a column is to be multiplied with: `1e6`, `M`."""
    try:
        return float(units.amount(text if text[0].isdigit() else f"1{text}"))
    except InputError as error:
        error.message = f"--unit {name}: {error.message}"
        raise


def fit_runs(table: RunTable, form: str) -> Fit:
    """The fit of a form; a refusal names the file."""
    from scaleplan.cli.fit_answer import predictors
    from scaleplan.laws.fitting.fit import fit as fit_shape
    from scaleplan.laws.fitting.shapes import shape

    wanted = shape(form)
    try:
        return fit_shape(wanted, predictors(table), table.columns["loss"])
    except InputError as error:
        raise error.located(table.file) from None


def resampled(fitted: Fit, asked: Any, jobs: int) -> tuple[list[Minima], bool]:
    """The parts of the bootstrap that were done, and whether it was interrupted."""
    from scaleplan.laws.fitting.bootstrap import bootstrap, parts

    done: list[Minima] = []
    if not asked.n_resamples:
        return done, False
    work = bootstrap(fitted.problem, fitted.theta, asked.n_resamples, asked.seed, jobs)
    try:
        done.extend(watched(work, parts(asked.n_resamples)))  # what has come is kept when an interrupt ends it
    except KeyboardInterrupt:
        if not done:
            raise
        return done, True
    return done, False


def watched(items: Iterable[Item], sizes: Sequence[int]) -> Iterator[Item]:
    """The items as they come; on a terminal a bar on stderr shows how far the work is."""
    if not sys.stderr.isatty():
        yield from items
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("resamples", total=sum(sizes))
        for size, item in zip(sizes, items, strict=True):
            progress.advance(task, size)
            yield item
