"""Layouts: the fastest that fit, one explained, the fewest devices for a deadline, device counts compared, a table of given ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from scaleplan.errors import UsageError
from scaleplan.questions.asking import Question, Shape
from scaleplan.questions.registry import asks
from scaleplan.wording import field, fields

if TYPE_CHECKING:
    from scaleplan.chain.cost_inputs import Watts
    from scaleplan.chain.run_files.run_file import RunFile
    from scaleplan.machine.layout import Layout
    from scaleplan.model_files import Model
    from scaleplan.ranges import WholeRange


class TableOfLayouts(NamedTuple):
    """A CSV file of layouts, one a row."""

    table: str


class Ranked(NamedTuple):
    """The fastest layouts of a model on so many devices."""

    model: Model
    hardware: str
    n_devices: int
    seq_len: int | None = None
    global_batch_size_seqs: int | None = None
    micro_batch_size_seqs: int | None = None
    stack: str | None = None
    precision: str | None = None
    optimizer: str | None = None
    attention: str | None = None
    recompute: str | None = None
    offload: str | None = None
    expert_imbalance: float | None = None
    tp_overlap: bool = False
    where: tuple[str, ...] = ()
    top: int | None = None
    ledger: str | None = None
    schedules: bool = False
    trace: str | None = None
    emit: str | None = None

    def check(self) -> None:
        """A run file is of one layout; raises UsageError."""
        check_emitted(self.emit, top=self.top, schedules=self.schedules)


class Explained(NamedTuple):
    """One layout, given as such or by a run file, beside the fastest ones."""

    model: Model
    hardware: str
    n_devices: int | None = None
    explain: Layout | None = None
    from_file: RunFile | None = None
    seq_len: int | None = None
    global_batch_size_seqs: int | None = None
    micro_batch_size_seqs: int | None = None
    stack: str | None = None
    precision: str | None = None
    optimizer: str | None = None
    attention: str | None = None
    recompute: str | None = None
    offload: str | None = None
    pipeline_schedule: str | None = None
    stage_layers: tuple[int, ...] | None = None
    expert_imbalance: float | None = None
    tp_overlap: bool = False
    where: tuple[str, ...] = ()
    top: int | None = None
    ledger: str | None = None
    schedules: bool = False
    trace: str | None = None
    emit: str | None = None

    def check(self) -> None:
        """A schedule and stages need a pipeline, a run file is of this layout alone; raises UsageError."""
        check_emitted(self.emit, top=self.top, schedules=self.schedules, where=self.where, ledger=self.ledger)
        piped = self.explain is not None and self.explain.pp > 1
        for name in ("pipeline_schedule", "stage_layers"):
            if getattr(self, name) is not None and not piped:
                raise UsageError(f"{field(name)} needs a pipeline", hint=f"give {field('explain')} with pp2 or more")
        if self.schedules and self.pipeline_schedule is not None:
            raise UsageError(f"{fields('schedules', 'pipeline_schedule')} contradict each other", hint=f"{field('schedules')} compares all")


def check_emitted(emit: str | None, **beside: object) -> None:
    """What is printed is the run file alone; raises UsageError."""
    idle = [name for name, value in beside.items() if value] if emit is not None else []
    if idle:
        raise UsageError(f"{fields(*idle)} beside {field('emit')} changes nothing: the run file alone is printed")


class Fewest(NamedTuple):
    """The fewest devices on which a run finishes in time."""

    model: Model
    hardware: str
    tokens: float
    deadline: float
    n_devices: WholeRange
    seq_len: int | None = None
    global_batch_size_seqs: int | None = None
    micro_batch_size_seqs: int | None = None
    stack: str | None = None
    precision: str | None = None
    optimizer: str | None = None
    attention: str | None = None
    recompute: str | None = None
    offload: str | None = None
    expert_imbalance: float | None = None
    tp_overlap: bool = False
    where: tuple[str, ...] = ()


class OverCounts(NamedTuple):
    """The best layout on each of several device counts: time, dollars, energy, and where adding devices stops paying."""

    model: Model
    hardware: str
    n_devices: WholeRange
    tokens: float
    seq_len: int | None = None
    global_batch_size_seqs: int | None = None
    micro_batch_size_seqs: int | None = None
    stack: str | None = None
    precision: str | None = None
    optimizer: str | None = None
    attention: str | None = None
    recompute: str | None = None
    offload: str | None = None
    expert_imbalance: float | None = None
    tp_overlap: bool = False
    where: tuple[str, ...] = ()
    law: tuple[str, ...] = ()
    usd_per_device_hour: float | None = None
    price_term: str | None = None
    provider: str | None = None
    device_power: Watts = None
    system_power: Watts = None
    pue: float | None = None

    def check(self) -> None:
        """One law tells the loss of the run; raises UsageError."""
        if len(self.law) > 1:
            raise UsageError(f"one {field('law')} tells the loss of the run, not {len(self.law)}", hint="give one")


RANGE = {"n_devices": "ranges:whole_range"}
PRICES = (("usd_per_device_hour", "price_term"), ("usd_per_device_hour", "provider"))
QUESTION = Question(
    name="layout",
    asks=asks("layout"),
    subject=("model",),
    headings={
        "Hardware and run": (
            "hardware", "n_devices", "global_batch_size_seqs", "seq_len", "precision", "stack", "optimizer", "attention",
            "expert_imbalance",
        ),
        "The search": ("where", "recompute", "offload", "tp_overlap", "micro_batch_size_seqs", "top", "ledger"),
        "One layout": ("explain", "from_file", "pipeline_schedule", "stage_layers", "schedules", "trace", "emit"),
        "Device counts": (
            "tokens", "deadline", "law", "usd_per_device_hour", "price_term", "provider", "device_power", "system_power", "pue",
        ),
        "Given layouts": ("table",),
    },
    shapes=(
        Shape("table", TableOfLayouts, "a table of layouts", "layout.of_table", "layout.results:PricedTable", ("table",)),
        Shape(
            "explained", Explained, "explaining one layout", "layout.explained", "layout.results:ExplainedLayout",
            ("explain", "from_file"),
        ),
        Shape(
            "fewest", Fewest, "the fewest devices in time", "layout.fewest", "layout.results:FewestDevices", ("deadline",), readers=RANGE,
        ),
        Shape(
            "front", OverCounts, "comparing device counts", "layout.over_counts", "layout.results:DeviceCounts", ("n_devices~:,",),
            together=PRICES, readers=RANGE,
        ),
        Shape("ranked", Ranked, "ranking layouts", "layout.ranked", "layout.results:RankedLayouts"),
    ),
    examples=(
        "scaleplan layout llama-3-8b --hardware h100-sxm --n-devices 64 --where 'tp<=4'",
        "scaleplan layout llama-3-8b --hardware h100-sxm --n-devices 64 --explain tp2,pp8,dp4,sp,zero1",
        "scaleplan layout llama-3-8b --hardware h100-sxm --n-devices 8:64 --tokens 300B --deadline 60d",
        "scaleplan layout llama-3-8b --hardware h100-sxm --n-devices 8:64 --tokens 300B",
        "scaleplan layout --table layouts.csv -o priced.csv",
    ),
    charts=True,
    takes_shape=True,
)  # fmt: skip
