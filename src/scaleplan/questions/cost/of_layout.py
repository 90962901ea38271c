"""The cost of a run under a layout: its rate is that of the layout's steps, with a goodput for stops and restarts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from scaleplan import library
from scaleplan.answer import INTERRUPTED, Answer, Caution, Column, Interval, Line, Table, line
from scaleplan.chain.cost_given import Costing, assumptions, cautions, costing, in_time
from scaleplan.chain.cost_inputs import peak_input
from scaleplan.chain.lengths import chosen_length
from scaleplan.chain.memory import assumed_batch, format_cautions
from scaleplan.chain.run_cost import Input, RunCost, run_cost
from scaleplan.chain.run_step import step_of, with_devices_in_time
from scaleplan.chain.sizes import batch_of
from scaleplan.numeric import ceil_div
from scaleplan.questions.cost import Run
from scaleplan.questions.cost.answers import answer_of, side_by_side
from scaleplan.questions.cost.of_run import length_notes, model_cautions
from scaleplan.questions.cost.work import Work, work_lines, work_of
from scaleplan.questions.long_work import watched
from scaleplan.units import show_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scaleplan.chain.layout_step import LayoutStep
    from scaleplan.questions.cost import UnderLayout


class Costed(NamedTuple):
    """The compute of the run, its step and how many there are, the device, the inputs of its cost, and the cost."""

    work: Work
    step: LayoutStep
    n_steps: Any
    device: library.Preset
    costing: Costing
    assumed: list[str]
    cost: RunCost
    is_complete: bool = True


def solve(asked: UnderLayout) -> Costed:
    """The cost of a run under its layout, or under the fastest that fits; its tokens and rates of price and power may be arrays."""
    device, defaults, model = library.load("hardware", asked.hardware), library.defaults(), asked.model
    length, _ = chosen_length(model, asked.seq_len)
    given: Mapping[str, Any] = asked._asdict()
    batch_tokens = batch_of(given, length)
    work = work_of(as_run(asked, batch_tokens))
    with watched("device counts") as progress:
        given = with_devices_in_time(given, model, work.tokens, length, batch_tokens, defaults, progress)
    with watched("layouts") as progress:
        step = step_of(given, model, length, batch_tokens, progress)
    if step.recompute != "none":
        work = work_of(as_run(asked, batch_tokens)._replace(recompute=step.recompute))
    n_steps = ceil_div(work.tokens, step.batch_tokens)
    rate = step.run_mfu(work.training_flops, n_steps, peak_input(device).value)
    told = {**given, "n_devices": step.layout.n_devices, "mfu": rate.value, "mfu_of": "step"}
    flops = Input(work.training_flops, work.standing, model.sources)
    found = costing(told, device, defaults, training_flops=flops, n_active_params=work.n_active, convention=work.convention)
    assumed = assumptions(told, found, device)
    found = found._replace(inputs=in_time(told, found.inputs._replace(mfu=rate)))
    return Costed(work, step, n_steps, device, found, assumed, run_cost(found.inputs), not progress.cut_short)


def as_run(asked: UnderLayout, batch_tokens: Any) -> Run:
    """The run whose FLOP are counted."""
    shared = {name: value for name, value in asked._asdict().items() if name in Run._fields and name != "recompute"}
    batch = {} if asked.n_steps is None else {"batch_size_tokens": batch_tokens, "batch_size_seqs": None}
    return Run(**(shared | batch))


def explain(asked: UnderLayout, solved: Costed) -> Answer:
    """The answer of one run, with its step."""
    work, step, defaults = solved.work, solved.step, library.defaults()
    found = solved.costing
    answer = answer_of(
        asked,
        found,
        solved.cost,
        [
            *stopped_notes(solved),
            *length_notes(as_run(asked, None)),
            *batch_notes(asked, step),
            step.hours_words(found.inputs.goodput.value),
            *step.elsewhere_words(),
            *solved.assumed,
        ],
        said={"seq_len": step.seq_len, "stack": step.stack},
        first={
            "training_flops": work.training_flops,
            "flops_convention": work.convention,
            "hardware_flops": work.hardware_flops,
            "step": step_row(solved),
        },
        before=[*work_lines(as_run(asked, None)._replace(recompute=step.recompute), work), *step_lines(solved)],
        compared=side_by_side(as_run(asked, None), found.inputs, solved.device, defaults),
        warnings=[*model_cautions(as_run(asked, None)), *cautions(asked._asdict(), found, defaults), *step_cautions(asked, solved)],
    )
    exit_code = 0 if solved.is_complete else INTERRUPTED
    return answer._replace(tables=[*answer.tables, parts_table(step)], exit_code=exit_code)


def stopped_notes(solved: Costed) -> list[str]:
    """That the search for the layout was not ended."""
    return [] if solved.is_complete else [f"Interrupted: `{solved.step.layout_text}` is the fastest of the layouts priced so far."]


def step_row(solved: Costed) -> dict[str, Any]:
    """The step as the result has it."""
    step = solved.step
    return {
        "layout": step.layout_text,
        "stack": step.stack,
        "global_batch_size_seqs": step.global_batch_size_seqs,
        "micro_batch_size_seqs": step.micro_batch_size_seqs,
        "recompute": step.recompute,
        "n_steps": solved.n_steps,
        "step_s": step.step_s.p50,
        "step_s_p10": step.step_s.p10,
        "step_s_p90": step.step_s.p90,
        "mfu": step.mfu,
        "hfu": step.hfu,
        "tokens_per_s_per_device": step.tokens_per_s_per_device,
        "peak_bytes": int(step.peak_bytes.p50),
        "peak_bytes_p10": int(step.peak_bytes.p10),
        "peak_bytes_p90": int(step.peak_bytes.p90),
        "capacity_bytes": step.capacity_bytes,
        "verdict": step.verdict,
        "parts": dict(step.parts),
        "is_complete": solved.is_complete,
    }


def step_lines(solved: Costed) -> list[Line]:
    """Steps, and the time and memory of one."""
    step, tokens = solved.step, solved.work.tokens
    batch: dict[str, Any] = {"global_batch_size_seqs": step.global_batch_size_seqs, "seq_len": step.seq_len}
    formula = "ceil(tokens / (global_batch_size_seqs * seq_len))"
    parts: dict[str, Any] = {"parts": list(step.parts.values())}
    return [
        line("step.n_steps", "steps", solved.n_steps, "", formula, standing="estimate", tokens=tokens, **batch),
        line(
            "step.step_s", f"step with {step.layout_text}", step.step_s.p50, "s", "sum(parts)", standing="estimate",
            sources=("layout-runs",), interval=Interval(*step.step_s), **parts,
        ),
        line(
            "step.peak_bytes", "peak memory of a device", int(step.peak_bytes.p50), "bytes", standing="estimate", interval=step.peak_bytes,
        ),
    ]  # fmt: skip


def parts_table(step: LayoutStep) -> Table:
    """Seconds of a step by part."""
    rows: list[dict[str, Any]] = [{"part": name, "seconds": seconds} for name, seconds in step.parts.items() if seconds]
    columns = [Column("part", "part"), Column("seconds", "seconds", "s")]
    return Table(f"A step of {step.layout_text}", columns, sorted(rows, key=lambda row: -float(row["seconds"])), detail=True)


def batch_notes(asked: UnderLayout, step: LayoutStep) -> list[str]:
    """Which batch was taken where none was given."""
    given = (asked.batch_size_tokens, asked.batch_size_seqs, asked.global_batch_size_seqs)
    return [assumed_batch(step.global_batch_size_seqs)] if all(one is None for one in given) else []


def step_cautions(asked: UnderLayout, solved: Costed) -> list[Caution]:
    """What is to be doubted of the step: its number format on the device, and its memory."""
    return [*format_cautions(solved.device.data, asked.stack, asked.precision), *memory_cautions(solved.step)]


def memory_cautions(step: LayoutStep) -> list[Caution]:
    """A layout that does not fit, or may not."""
    if step.verdict == "fits":
        return []
    words = "may not fit" if step.verdict == "unsure" else "does not fit"
    held = f"peak memory {show_bytes(int(step.peak_bytes.p50))} of {show_bytes(step.capacity_bytes)}"
    return [Caution("memory", f"`{step.layout_text}` {words}: {held}", {"peak_bytes_p90": int(step.peak_bytes.p90)})]
