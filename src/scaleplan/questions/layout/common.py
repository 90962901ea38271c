"""What the shapes of `layout` share: the search that is asked for, and layouts as rows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from scaleplan import library
from scaleplan.answer import INTERRUPTED, Answer, Column, Table
from scaleplan.chain.layout_search import Asked
from scaleplan.chain.lengths import chosen_length, length_cautions
from scaleplan.chain.memory import USUAL_OPTIMIZER, USUAL_PRECISION, USUAL_STACK, assumed_batch, format_cautions, stack_named
from scaleplan.chain.plausible import too_many_devices
from scaleplan.machine.candidates import LEAST_FIRST
from scaleplan.machine.offload import OFFLOADS
from scaleplan.machine.training_run import Row
from scaleplan.model.bill import bill_of
from scaleplan.questions.asking import plain
from scaleplan.questions.long_work import watched
from scaleplan.wording import field

CONVENTION = "MFU counts exact model FLOP (full attention square), HFU adds recomputation."
FORMULA_SOURCES = ("korthikanti2022", "narayanan2021", "rajbhandari2020")


def asked_of(asked: Any, n_devices: int, *, one: bool = False) -> Asked:
    """The search of a request.

    one  its recomputation and micro-batch are those of one layout, not conditions on all
    """
    length, _ = chosen_length(asked.model, asked.seq_len)
    micro = () if one or asked.micro_batch_size_seqs is None else (f"micro_batch_size_seqs={asked.micro_batch_size_seqs}",)
    return Asked(
        bill=bill_of(asked.model.arch),
        hardware=asked.hardware,
        n_devices=n_devices,
        seq_len=length,
        global_batch_size_seqs=asked.global_batch_size_seqs,
        stack=asked.stack or USUAL_STACK,
        precision=asked.precision or USUAL_PRECISION,
        optimizer=asked.optimizer or USUAL_OPTIMIZER,
        attention=asked.attention,
        recompute=LEAST_FIRST if one or asked.recompute is None else (asked.recompute,),
        expert_imbalance=asked.expert_imbalance or 1.0,
        where=(*asked.where, *micro),
        tile_overlap=asked.tp_overlap,
        offloads=OFFLOADS[: OFFLOADS.index(asked.offload or "none") + 1],
    )


__all__ = ["INTERRUPTED", "asked_of", "columns_of_rows", "completed", "inputs_of", "row_of", "watched"]


# ----------------------------------------------------------------------------------------------------------------------- rows


def row_of(row: Row) -> dict[str, Any]:
    """A layout in `result.layouts`."""
    layout, figures = row.layout, row._asdict()
    degrees = {name: int(getattr(layout, name)) for name in ("tp", "pp", "cp", "dp", "ep")}
    return {
        "layout": layout.spelled(),
        **degrees,
        "etp": int(layout.expert_tp),
        "n_virtual_stages": int(layout.n_virtual_stages),
        "zero_stage": int(layout.zero_stage),
        "n_shards": int(layout.shards) if layout.zero_stage else 1,
        "sequence_parallel": bool(layout.sequence_parallel),
        **{name: value for name, value in figures.items() if name != "layout"},
    }


def columns_of_rows(rows: Iterable[Row] = ()) -> list[Column]:
    """What a terminal shows of ranked layouts: offload where one of them has it, HFU where one recomputes; files have all."""
    rows = list(rows)
    offloaded, again = any(row.offload != "none" for row in rows), any(row.hfu != row.mfu for row in rows)
    shown = {
        "layout": Column("layout", "layout"),
        "micro_batch_size_seqs": Column("micro_batch_size_seqs", "micro-batch", "int"),
        "recompute": Column("recompute", "recompute"),
        "offload": Column("offload", "offload", "" if offloaded else "hidden"),
        "step_s": Column("step_s", "step", "s"),
        "mfu": Column("mfu", "MFU", "fraction"),
        "hfu": Column("hfu", "HFU", "fraction" if again else "hidden"),
        "tokens_per_s_per_device": Column("tokens_per_s_per_device", "tokens/s/device", "tokens"),
        "peak_bytes": Column("peak_bytes", "peak memory", "bytes"),
        "verdict": Column("verdict", "memory"),
    }
    hidden = (
        "tp", "pp", "cp", "dp", "ep", "etp", "n_virtual_stages", "zero_stage", "n_shards", "tp_overlap", "sequence_parallel",
        "step_s_p10", "step_s_p90",
    )  # fmt: skip
    return [*shown.values(), *(Column(name, name, "hidden") for name in (*hidden, "peak_bytes_p10", "peak_bytes_p90", "fits"))]


PARTS_ARE = {
    "matmul": "products with weights",
    "attention": "scores and weighted sums",
    "memory": "element-wise kernels, loss",
    "launch": "waiting for kernel launches",
    "tp": "tensor parallel collectives",
    "cp": "rings of keys and values",
    "ep": "tokens to experts and back",
    "bubble": "idle pipeline stages",
    "p2p": "transfers between stages",
    "dp": "gradient reduction, gathers",
    "optimizer": "update of the weights",
    "fixed": "data loading, logging",
}
"""What takes the seconds of a step; communication as far as computation does not hide it."""


def parts_table(title: str, rows: dict[str, dict[str, float]]) -> Table:
    """Seconds of a step by part, a column for each layout."""
    names = list(next(iter(rows.values())))
    found = [{"part": name, **{label: parts[name] for label, parts in rows.items()}, "what": PARTS_ARE[name]} for name in names]
    found = [row for row in found if any(row[label] for label in rows)]
    columns = [Column("part", "part"), *(Column(label, label, "s") for label in rows), Column("what", "what it is")]
    return Table(title, columns, sorted(found, key=lambda row: -float(row[next(iter(rows))])))


# --------------------------------------------------------------------------------------------------------------------- answers


def inputs_of(asked: Any, search: Asked) -> dict[str, Any]:
    """What was asked, and what was assumed where it was left open, in base units."""
    given = {name: plain(value) for name, value in asked._asdict().items() if value not in (None, False, ())}
    used = {
        "seq_len": search.seq_len,
        "global_batch_size_seqs": search.batch_seqs,
        "stack": search.stack,
        "precision": search.precision,
        "optimizer": search.optimizer,
        "attention": search.attention or stack_named(search.stack).attention,
    }
    return {**given, **used}


def completed(answer: Answer, asked: Any, search: Asked) -> Answer:
    """The answer with what is to be said of the model, the lengths, the batch and the number format."""
    length, why = chosen_length(asked.model, asked.seq_len)
    device = library.load("hardware", asked.hardware)
    notes = [why] if why else []
    if asked.global_batch_size_seqs is None:
        notes.append(assumed_batch(search.batch_seqs))
    if asked.stack is None:
        notes.append(f"No {field('stack')}: what stacks have in common; a named one has narrower intervals.")
    cautions = [*asked.model.cautions, *length_cautions(asked.model, length)]
    cautions += format_cautions(device.data, search.stack, search.precision)
    cautions += too_many_devices(max(getattr(asked.n_devices, "points", (search.n_devices,))), library.defaults())
    return answer._replace(
        warnings=[*cautions, *answer.warnings],
        notes=[*notes, *answer.notes],
        more_sources=[*answer.more_sources, *FORMULA_SOURCES, *stack_named(search.stack).sources, *asked.model.sources],
    )
