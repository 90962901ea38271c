"""What law the runs of the user follow: constants, a comparison of forms, the next runs, optima by slices, repeated data, a task."""

from __future__ import annotations

from typing import NamedTuple

from scaleplan.errors import UsageError
from scaleplan.questions.asking import Question, Shape
from scaleplan.questions.registry import asks
from scaleplan.wording import field

MOST_RESAMPLES = 1_000_000
MOST_JOBS = 64
BY_SLICES = ("isoflop", "envelope")
REPEATING = "repeating"
LADDER = "ladder"


def check_kind(n_kind: str | None) -> None:
    """A law means one N."""
    if n_kind == "both":
        raise UsageError(f"{field('n_kind')} both: a law means one N", hint="`total` or `non-embedding`")


def check_resamples(bootstrap: int | None) -> None:
    """No more resamples than can be held."""
    if bootstrap is not None and bootstrap > MOST_RESAMPLES:
        raise UsageError(f"{field('bootstrap')}: {bootstrap} resamples are more than {MOST_RESAMPLES}")


class OfForms(NamedTuple):
    """The forms ranked by their error on the largest runs."""

    runs: str
    compare: bool
    column: tuple[str, ...] = ()
    unit: tuple[str, ...] = ()
    n_kind: str | None = None

    def check(self) -> None:
        """A law means one N."""
        check_kind(self.n_kind)


class OfDesign(NamedTuple):
    """The next runs that a budget buys, and what they would tell; with a device also what they cost."""

    runs: str
    design: float
    column: tuple[str, ...] = ()
    unit: tuple[str, ...] = ()
    n_kind: str | None = None
    form: str | None = None
    compute: float | None = None
    hardware: str | None = None
    mfu: float | None = None
    usd_per_device_hour: float | None = None

    def check(self) -> None:
        """Designs rest on the covariance of a fitted form."""
        check_kind(self.n_kind)
        if self.form in (*BY_SLICES, REPEATING):
            raise UsageError(f"{field('form')} {self.form} has no covariance that {field('design')} could narrow", hint="additive has")


class OfSlices(NamedTuple):
    """N_opt against compute without a form for the loss."""

    runs: str
    form: str
    column: tuple[str, ...] = ()
    unit: tuple[str, ...] = ()
    n_kind: str | None = None
    bootstrap: int | None = None
    seed: int = 0
    compute: float | None = None

    def check(self) -> None:
        """A law means one N; resamples fit in memory."""
        check_kind(self.n_kind)
        check_resamples(self.bootstrap)


class OfRepeating(NamedTuple):
    """What repeated data and excess parameters are worth, in two steps."""

    runs: str
    form: str
    column: tuple[str, ...] = ()
    unit: tuple[str, ...] = ()
    n_kind: str | None = None

    def check(self) -> None:
        """A law means one N."""
        check_kind(self.n_kind)


class OfLadder(NamedTuple):
    """A two-step law of the accuracy on a task, from a ladder of models."""

    runs: str
    form: str = LADDER
    task: str | None = None
    family: str | None = None
    column: tuple[str, ...] = ()
    unit: tuple[str, ...] = ()
    n_kind: str | None = None
    bootstrap: int | None = None
    seed: int = 0

    def check(self) -> None:
        """A task has the form of a ladder; a law means one N; resamples fit in memory."""
        if self.form != LADDER:
            raise UsageError(f"{field('form')} {self.form} is of a loss, not of {field('task')}", hint=f"{field('form')} {LADDER}")
        check_kind(self.n_kind)
        check_resamples(self.bootstrap)


class OfLaw(NamedTuple):
    """The constants of one form, with intervals from resamples where they are asked for."""

    runs: str
    column: tuple[str, ...] = ()
    unit: tuple[str, ...] = ()
    n_kind: str | None = None
    form: str | None = None
    bootstrap: int | None = None
    seed: int = 0
    jobs: int = 1
    compute: float | None = None

    def check(self) -> None:
        """A law means one N; resamples fit in memory, threads in a machine."""
        check_kind(self.n_kind)
        check_resamples(self.bootstrap)
        if self.jobs > MOST_JOBS:
            raise UsageError(f"{field('jobs')}: {self.jobs} threads are more than {MOST_JOBS}")


PRICED = {"hardware": ("design",), "mfu": ("hardware",), "usd_per_device_hour": ("hardware",)}
DRAWN = {"seed": ("bootstrap",)}
QUESTION = Question(
    name="fit",
    asks=asks("fit"),
    subject=("runs",),
    headings={
        "Table": ("column", "unit", "n_kind"),
        "Law": ("form", "bootstrap", "seed", "compute", "jobs"),
        "Ladder of a task": ("task", "family"),
        "Forms beside each other": ("compare",),
        "Next runs": ("design", "hardware", "mfu", "usd_per_device_hour"),
    },
    shapes=(
        Shape("comparison", OfForms, "a comparison of forms", "fit.comparison", "fit.results:Comparison", ("compare",)),
        Shape("design", OfDesign, "the next runs", "fit.design", "fit.results:Design", ("design",), needs=PRICED),
        Shape("slices", OfSlices, "optima by slices", "fit.slices", "fit.results:Slices", ("form=isoflop|envelope",), needs=DRAWN),
        Shape("repeating", OfRepeating, "a law of repeated data", "fit.repeating", "fit.results:RepeatingLaw", ("form=repeating",)),
        Shape("ladder", OfLadder, "a task law from a ladder", "fit.ladder", "fit.results:LadderLaw", (f"form={LADDER}", "task", "family")),
        Shape("law", OfLaw, "the law of one form", "fit.law", "fit.results:FittedLaw", needs=DRAWN | {"jobs": ("bootstrap",)}),
    ),
    examples=(
        "scaleplan fit runs.csv",
        "scaleplan fit runs.csv --bootstrap 4000 --seed 42 -o my-law.toml",
        "scaleplan fit runs.csv --column n_params=params_m --unit n_params=1e6",
        "scaleplan fit runs.csv --compare",
        "scaleplan fit runs.csv --design 1e21 --hardware h100-sxm",
        "scaleplan fit ladder.csv --form ladder --task mmlu -o my-task.toml",
    ),
    more=(
        "The table has columns n_params, n_tokens (or compute_flops) and loss in nats per token, one run a row. A budget in FLOP is the "
        "one whose optimum is asked for (100 times the largest run if not given); -o my-law.toml writes a law that `optimal` takes. "
        "A ladder has columns n_params, n_tokens, task_loss and accuracy, and `run` where several rows are checkpoints of one."
    ),
    charts=True,
)
