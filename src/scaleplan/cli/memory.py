"""`scaleplan memory`: what training and serving keep in memory, and what fits where."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from scaleplan import library, units
from scaleplan.answer import Answer, Caution
from scaleplan.chain.default_layout import USUAL_NODE, training_layout
from scaleplan.chain.lengths import chosen_length, length_cautions
from scaleplan.chain.memory import (
    USUAL_OPTIMIZER,
    USUAL_PRECISION,
    USUAL_STACK,
    Wishes,
    capacity_of,
    format_missing,
    layout_on,
    stack_named,
)
from scaleplan.chain.memory_inverse import FEWEST, LARGEST
from scaleplan.cli.memory_phases import by_phase, fewest_devices
from scaleplan.cli.memory_served import served
from scaleplan.cli.memory_tables import by_precision
from scaleplan.cli.models import LoraOption, bill_with, with_model
from scaleplan.cli.options import BatchSizeSeqs, Capacity, Hardware, NDevices, Precision, Recompute, SeqLen, command, one_of, quantity
from scaleplan.errors import UsageError
from scaleplan.machine.activations import ATTENTION_KERNELS
from scaleplan.machine.layout import Layout, parse_layout
from scaleplan.machine.memory import OFFLOADS
from scaleplan.machine.recipe import PRECISIONS
from scaleplan.machine.schedules import SCHEDULES
from scaleplan.model_files import Model


def share_or_none(text: str) -> float:
    """A share from 0 on."""
    return 0.0 if text.strip() in ("0", "0.0", "0%") else units.fraction(text)


Optimizer = Annotated[str | None, typer.Option("--optimizer", metavar="NAME", help="adamw, adamw-8bit, adafactor, sgd, lion, muon, ...")]
Attention = Annotated[
    str | None,
    typer.Option(
        "--attention", parser=one_of("attention kernel", *ATTENTION_KERNELS), metavar="NAME", help="eager, sdpa, flash, fa1, fa2, fa3."
    ),
]
StackName = Annotated[
    str | None, typer.Option("--stack", metavar="STACK", help="Whose code runs; `scaleplan presets stacks` lists them.", show_default=False)
]
Dropout = Annotated[float | None, quantity("--dropout", share_or_none, "Dropout: masks are kept where it is above 0.", metavar="P")]
LayoutOption = Annotated[
    Layout | None,
    typer.Option(
        "--layout", parser=parse_layout, metavar="LAYOUT", help="Degrees of parallelism: tp8,pp8,dp4,sp,zero1.", show_default=False
    ),
]
MicroBatch = Annotated[
    int | None, quantity("--micro-batch-size-seqs", units.count, "Sequences that one pipeline takes at once.", metavar="B")
]
GlobalBatch = Annotated[int | None, quantity("--global-batch-size-seqs", units.count, "Sequences of a whole step.", metavar="B")]
Schedule = Annotated[
    str | None,
    typer.Option("--pipeline-schedule", parser=one_of("pipeline schedule", *SCHEDULES), metavar="NAME", help=f"{', '.join(SCHEDULES)}."),
]
Offload = Annotated[
    str | None,
    typer.Option(
        "--offload", parser=one_of("thing to offload", *OFFLOADS), metavar="NAME", help="What the host keeps: none, optimizer, all."
    ),
]
RecomputeEvery = Annotated[
    int | None, quantity("--recompute-every", units.count, "With full recomputation, layers in a row from one kept input.", metavar="K")
]
FrozenFormat = Annotated[
    str | None, typer.Option("--frozen-format", metavar="NAME", help="Format of weights that are not trained: int4, int8.")
]
Inference = Annotated[bool, typer.Option("--inference", help="Serve instead of train: weights and the cache of keys and values.")]
CachePrecision = Annotated[
    str | None, typer.Option("--cache-precision", metavar="NAME", help="Keys and values while serving: bf16, fp8, int8.")
]
CacheBlock = Annotated[
    int | None,
    quantity("--cache-block-tokens", units.count, "Tokens of a block of a paged cache; the last block is paid whole.", metavar="N"),
]
Largest = Annotated[
    str | None,
    typer.Option("--largest", parser=one_of("quantity to make as large as fits", *LARGEST), metavar="NAME", help=f"{', '.join(LARGEST)}."),
]
Fewest = Annotated[
    str | None,
    typer.Option("--fewest", parser=one_of("quantity to make as small as fits", *FEWEST), metavar="NAME", help=f"{', '.join(FEWEST)}."),
]


@command
@with_model
def memory(
    model: Model,
    precision: Precision = None,
    optimizer: Optimizer = None,
    attention: Attention = None,
    recompute: Recompute = None,
    dropout: Dropout = None,
    stack: StackName = None,
    seq_len: SeqLen = None,
    batch_size_seqs: BatchSizeSeqs = None,
    micro_batch_size_seqs: MicroBatch = None,
    global_batch_size_seqs: GlobalBatch = None,
    layout: LayoutOption = None,
    hardware: Hardware = None,
    capacity: Capacity = None,
    n_devices: NDevices = None,
    schedule: Schedule = None,
    offload: Offload = None,
    recompute_every: RecomputeEvery = None,
    lora: LoraOption = None,
    frozen_format: FrozenFormat = None,
    inference: Inference = False,
    cache_precision: CachePrecision = None,
    cache_block_tokens: CacheBlock = None,
    largest: Largest = None,
    fewest: Fewest = None,
) -> Answer:
    """How much memory do training and serving need, by part and precision, and what does it fit on?

    \b
    Examples:
      scaleplan memory llama-3-8b
      scaleplan memory gpt2 --precision bf16-mixed --seq-len 1024 --batch-size-seqs 8
      scaleplan memory llama-3-8b --hardware h100-sxm --layout tp2,dp4,zero1,sp
      scaleplan memory llama-2-70b --inference --precision int4 --batch-size-seqs 8 --capacity 80GiB
      scaleplan memory llama-3-8b --hardware h100-sxm --layout dp8,zero3 --largest seq-len
    """
    length, why = chosen_length(model, seq_len)
    if batch_size_seqs is not None and micro_batch_size_seqs is not None:
        raise UsageError("--batch-size-seqs and --micro-batch-size-seqs both say what one device takes at once", hint="give one of them")
    wishes = Wishes(
        stack=stack or USUAL_STACK,
        precision=precision or ("bf16" if inference else USUAL_PRECISION),
        optimizer=optimizer or USUAL_OPTIMIZER,
        attention=attention,
        recompute=recompute or "none",
        dropout=dropout,
        schedule=schedule or "1f1b",
        offload=offload or "none",
        recompute_every=recompute_every or 1,
        frozen_format=frozen_format,
        seq_len=length,
        micro_batch_size_seqs=batch_size_seqs or micro_batch_size_seqs or 1,
        global_batch_size_seqs=global_batch_size_seqs,
    )
    asked = inputs_of(model, wishes, layout, hardware, n_devices)
    room = room_of(hardware, capacity)
    bill = bill_with(model, lora)
    inverse = wanted(largest, fewest, room)
    node = node_size(hardware)
    if inference:
        answer = served(bill, layout, wishes, (cache_precision, cache_block_tokens), room, asked, (n_devices, node, inverse))
    elif inverse == "n-devices" and layout is None and room is not None:
        answer = fewest_devices(bill, wishes, room, asked, node)
    elif layout is None and n_devices is not None and room is not None:
        choice = training_layout(bill, n_devices, wishes, room[1], node)
        answer = by_phase(bill, choice.layout, wishes, room, asked, inverse, choice)
    elif inverse is None and layout is None and n_devices is None:
        answer = by_precision(bill, wishes, precision, room, asked)
    else:
        answer = by_phase(bill, layout_on(layout, n_devices), wishes, room, asked, inverse)
    return answer._replace(
        warnings=[*model.cautions, *length_cautions(model, length), *format_cautions(wishes, hardware, inference), *answer.warnings],
        notes=[*([why] if why else []), *answer.notes],
        more_sources=[*answer.more_sources, *model.sources],
    )


def format_cautions(wishes: Wishes, hardware: str | None, inference: bool) -> list[Caution]:
    """A device that has no arithmetic in the format that was asked for."""
    if hardware is None:
        return []
    precision = PRECISIONS.get(wishes.precision) if inference else stack_named(wishes.stack).precision(wishes.precision)
    said = None if precision is None else format_missing(library.load("hardware", hardware).data, precision)
    return [] if said is None else [Caution("number-format", said)]


def node_size(hardware: str | None) -> int:
    """Devices of one node; 8 where the device's preset does not say."""
    data = library.load("hardware", hardware).data if hardware is not None else {}
    return int(data.get("intranode", {}).get("n_devices_per_node", USUAL_NODE))


def wanted(largest: str | None, fewest: str | None, room: tuple[str, int] | None) -> str | None:
    """The quantity of an inverse question; there is one at most, and it needs to know what it should fit."""
    if largest is not None and fewest is not None:
        raise UsageError("--largest and --fewest ask two questions", hint="ask one at a time")
    if (largest or fewest) and room is None:
        flag = "--largest" if largest else "--fewest"
        raise UsageError(f"{flag} {largest or fewest}: what should it fit?", hint="add --hardware or --capacity 80GiB")
    return largest or fewest


def inputs_of(model: Model, wishes: Wishes, layout: Layout | None, hardware: str | None, n_devices: int | None) -> dict[str, Any]:
    """What was asked, as far as it was said or assumed."""
    said = {"model": model.label, **wishes._asdict(), "layout": layout and layout.spelled(), "hardware": hardware, "n_devices": n_devices}
    return {key: value for key, value in said.items() if value is not None}


def room_of(hardware: str | None, capacity: float | None) -> tuple[str, int] | None:
    """The device to fit on: its name and memory."""
    if capacity is not None:
        return hardware or "--capacity", int(capacity)
    if hardware is None:
        return None
    preset = library.load("hardware", hardware)
    return preset.name, capacity_of(preset.data, preset.name)
