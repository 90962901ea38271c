"""`scaleplan memory`: what training and serving keep in memory, and what fits where."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from scaleplan import library, units
from scaleplan.answer import Answer
from scaleplan.cli.flops import chosen_length, length_cautions
from scaleplan.cli.models import with_model
from scaleplan.cli.options import BatchSizeSeqs, Capacity, Hardware, NDevices, Recompute, SeqLen, command, one_of, quantity
from scaleplan.errors import UsageError
from scaleplan.machine.activations import ATTENTION_KERNELS
from scaleplan.machine.layout import Layout, parse_layout
from scaleplan.machine.pipeline import SCHEDULES
from scaleplan.model.bill import bill_of
from scaleplan.model_files import Model
from scaleplan.plan.memory import USUAL_OPTIMIZER, USUAL_PRECISION, USUAL_STACK, Wishes, capacity_of, layout_on


def share_or_none(text: str) -> float:
    """A share from 0 on."""
    return 0.0 if text.strip() in ("0", "0.0", "0%") else units.fraction(text)


Precision = Annotated[
    str | None,
    typer.Option("--precision", metavar="NAME", help="fp32, tf32, bf16, fp16, fp8, bf16-autocast, bf16-mixed[-12|16|18|20], ..."),
]
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
    typer.Option("--schedule", parser=one_of("pipeline schedule", *SCHEDULES), metavar="NAME", help=f"{', '.join(SCHEDULES)}."),
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
) -> Answer:
    """How much memory do training and serving need, by part and precision, and what does it fit on?

    \b
    Examples:
      scaleplan memory llama-3-8b
      scaleplan memory gpt2 --precision bf16-mixed --seq-len 1024 --batch-size-seqs 8
      scaleplan memory llama-3-8b --hardware h100-sxm --layout tp2,dp4,zero1,sp
    """
    length, why = chosen_length(model, seq_len)
    if batch_size_seqs is not None and micro_batch_size_seqs is not None:
        raise UsageError("--batch-size-seqs and --micro-batch-size-seqs both say what one device takes at once", hint="give one of them")
    wishes = Wishes(
        stack=stack or USUAL_STACK,
        precision=precision or USUAL_PRECISION,
        optimizer=optimizer or USUAL_OPTIMIZER,
        attention=attention,
        recompute=recompute or "none",
        dropout=dropout,
        schedule=schedule or "1f1b",
        seq_len=length,
        micro_batch_size_seqs=batch_size_seqs or micro_batch_size_seqs or 1,
        global_batch_size_seqs=global_batch_size_seqs,
    )
    asked = inputs_of(model, wishes, layout, hardware, n_devices)
    room = room_of(hardware, capacity)
    remarks = [why] if why else []
    if layout is None and n_devices is None:
        from scaleplan.cli.memory_tables import by_precision

        answer = by_precision(bill_of(model.arch), wishes, precision, room, asked)
    else:
        from scaleplan.cli.memory_tables import by_phase

        answer = by_phase(bill_of(model.arch), layout_on(layout, n_devices), wishes, room, asked)
    return answer._replace(
        warnings=[*model.cautions, *length_cautions(model, length), *answer.warnings],
        notes=[*remarks, *answer.notes],
        more_sources=[*answer.more_sources, *model.sources],
    )


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
