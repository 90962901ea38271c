"""How much memory training and serving take: by precision on one device, under a layout, or while serving."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from scaleplan.errors import UsageError
from scaleplan.questions.asking import Question, Shape
from scaleplan.questions.registry import asks
from scaleplan.wording import field, fields

if TYPE_CHECKING:
    from scaleplan.chain.run_files.run_file import RunFile
    from scaleplan.machine.layout import Layout
    from scaleplan.model.adapters import Lora
    from scaleplan.model.sparsity import Sparsity
    from scaleplan.model_files import Model


class ByPrecision(NamedTuple):
    """Training on one device that holds everything, several precisions side by side or one."""

    model: Model
    precision: str | None = None
    optimizer: str | None = None
    attention: str | None = None
    recompute: str | None = None
    recompute_every: int | None = None
    dropout: float | None = None
    stack: str | None = None
    seq_len: int | None = None
    batch_size_seqs: int | None = None
    micro_batch_size_seqs: int | None = None
    lora: Lora | None = None
    frozen_format: str | None = None
    hardware: str | None = None
    capacity: float | None = None
    usable_share: float | None = None

    def check(self) -> None:
        """Groups of layers exist only where all of a layer is recomputed; raises UsageError."""
        check_groups(self.recompute, self.recompute_every)
        check_frozen(self)


class ByLayout(NamedTuple):
    """Training under a layout, by phase of a step."""

    model: Model
    layout: Layout | None = None
    n_devices: int | None = None
    from_file: RunFile | None = None
    stage_layers: tuple[int, ...] | None = None
    precision: str | None = None
    optimizer: str | None = None
    attention: str | None = None
    recompute: str | None = None
    recompute_every: int | None = None
    dropout: float | None = None
    stack: str | None = None
    seq_len: int | None = None
    batch_size_seqs: int | None = None
    micro_batch_size_seqs: int | None = None
    global_batch_size_seqs: int | None = None
    pipeline_schedule: str | None = None
    offload: str | None = None
    lora: Lora | None = None
    frozen_format: str | None = None
    hardware: str | None = None
    capacity: float | None = None
    usable_share: float | None = None
    largest: str | None = None
    fewest: str | None = None

    def check(self) -> None:
        """A pipeline schedule needs a pipeline, groups of layers full recomputation; raises UsageError."""
        check_groups(self.recompute, self.recompute_every)
        check_frozen(self)
        for name in ("pipeline_schedule", "stage_layers"):
            if getattr(self, name) is not None and (self.layout is None or self.layout.pp == 1):
                raise UsageError(f"{field(name)} needs a pipeline", hint=f"give {field('layout')} with pp2 or more")
        if self.fewest is not None and self.n_devices is not None:
            check_fewest()


class Serving(NamedTuple):
    """Weights and the KV cache while serving."""

    inference: bool
    model: Model
    precision: str | None = None
    sparsity: Sparsity | None = None
    cache_precision: str | None = None
    cache_block_tokens: int | None = None
    seq_len: int | None = None
    batch_size_seqs: int | None = None
    stack: str | None = None
    lora: Lora | None = None
    hardware: str | None = None
    capacity: float | None = None
    usable_share: float | None = None
    layout: Layout | None = None
    n_devices: int | None = None
    largest: str | None = None
    fewest: str | None = None

    def check(self) -> None:
        """Raises UsageError where the adapter and the field name different formats of the weights."""
        base = None if self.lora is None else self.lora.base
        if base is not None and self.precision not in (None, base):
            problem = f"{field('lora')} keeps frozen weights in {base}, {field('precision')} says {self.precision}"
            raise UsageError(problem, hint=f"leave out {field('precision')}, or give {field('lora')} without base")
        if self.fewest is not None and self.n_devices is not None:
            check_fewest()


def check_fewest() -> None:
    """Raises UsageError for a number of devices beside the question for the fewest."""
    problem = f"{fields('fewest', 'n_devices')} contradict each other"
    raise UsageError(problem, hint=f"the number of devices is what {field('fewest')} finds")


def check_frozen(asked: ByPrecision | ByLayout) -> None:
    """Raises UsageError where the adapter and the field name different formats of the frozen weights."""
    base = None if asked.lora is None else asked.lora.base
    if base is not None and asked.frozen_format not in (None, base):
        problem = f"{field('lora')} keeps frozen weights in {base}, {field('frozen_format')} says {asked.frozen_format}"
        raise UsageError(problem, hint=f"leave out {field('frozen_format')}, or give {field('lora')} with base={asked.frozen_format}")


def check_groups(recompute: str | None, every: int | None) -> None:
    """Raises UsageError for groups of layers that nothing recomputes."""
    if every is not None and recompute != "full":
        raise UsageError(f"{field('recompute_every')} needs {field('recompute')} full", hint=f"add {field('recompute')} full")


BATCHES = ("batch_size_seqs", "micro_batch_size_seqs")
ROOM = ("hardware", "capacity")
INVERSE = {"largest": ROOM, "fewest": ROOM}
SHARE = {"usable_share": ROOM}
QUESTION = Question(
    name="memory",
    asks=asks("memory"),
    subject=("model",),
    headings={
        "Most used": ("hardware", "layout", "precision", "seq_len", "batch_size_seqs", "inference"),
        "Hardware and layout": (
            "n_devices", "from_file", "capacity", "usable_share", "stack", "pipeline_schedule", "stage_layers", "offload",
        ),
        "Training step": (
            "micro_batch_size_seqs", "global_batch_size_seqs", "optimizer", "recompute",
            "recompute_every", "attention", "dropout", "lora", "frozen_format",
        ),
        "Serving": ("cache_precision", "cache_block_tokens", "sparsity"),
        "Inverse": ("largest", "fewest"),
    },
    shapes=(
        Shape(
            "serving",
            Serving,
            "serving",
            "memory.serving",
            "memory.results:ServingMemory",
            ("inference",),
            together=(("largest", "fewest"),),
            needs=INVERSE | SHARE,
        ),
        Shape(
            "layout",
            ByLayout,
            "training under a layout",
            "memory.by_layout",
            "memory.results:LayoutMemory",
            ("layout", "n_devices", "largest", "fewest", "from_file"),
            together=(BATCHES, ("largest", "fewest")),
            needs={**INVERSE, **SHARE, "frozen_format": ("lora",)},
        ),
        Shape(
            "precisions",
            ByPrecision,
            "training on one device",
            "memory.by_precision",
            "memory.results:PrecisionsMemory",
            together=(BATCHES,),
            needs={**SHARE, "frozen_format": ("lora",)},
        ),
    ),
    examples=(
        "scaleplan memory llama-3-8b",
        "scaleplan memory gpt2 --precision bf16-mixed --seq-len 1024 --batch-size-seqs 8",
        "scaleplan memory llama-3-8b --hardware h100-sxm --layout tp2,dp4,zero1,sp",
        "scaleplan memory llama-2-70b --inference --precision int4 --batch-size-seqs 8 --capacity 80GiB",
        "scaleplan memory llama-3-8b --hardware h100-sxm --layout dp8,zero3 --largest seq-len",
        "scaleplan memory llama-3-8b --inference --precision w8a8 --sparsity 2:4 --hardware a100-sxm-80gb",
    ),
    takes_shape=True,
)  # fmt: skip
