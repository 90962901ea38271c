"""DPO, reward models, fine-tuning and distillation: responses are given, so nothing is written and training alone takes time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from scaleplan import library
from scaleplan.answer import Answer, Caution, Line, intervals, line, quantities
from scaleplan.chain.cost_inputs import mfu_input
from scaleplan.chain.lengths import chosen_length, length_cautions
from scaleplan.chain.memory import USUAL_PRECISION, Setup, format_cautions
from scaleplan.chain.post_training import trainer_of
from scaleplan.chain.run_cost import Input
from scaleplan.chain.spread import factors, interval_of, over
from scaleplan.chain.step_time import wide_format
from scaleplan.machine.device import device_of
from scaleplan.machine.memory import Room
from scaleplan.machine.post_training import Method, Models, PhaseBytes, TokenFlops, device_hours, given_phases, token_flops
from scaleplan.model.adapters import adapted_bill
from scaleplan.model.items import Bill
from scaleplan.model.params import count_params
from scaleplan.questions.priced import Price, price_given
from scaleplan.questions.rl.common import (
    beside,
    flops_lines,
    flops_result,
    inputs_of,
    layout_notes,
    memory_cautions,
    memory_lines,
    memory_note,
    memory_result,
    memory_table,
    room_of,
    trainer_setup,
    usd_lines,
)
from scaleplan.wording import field

if TYPE_CHECKING:
    from scaleplan.questions.rl import OfGiven

PAIR = 2  # sequences of a preference: the response that is preferred, and the other
PAIRED = ("dpo", "reward-model")


class Solved(NamedTuple):
    """FLOP of a token, memory by phase, and the rate of the devices."""

    method: Method
    flops: TokenFlops
    setup: Setup
    phases: tuple[PhaseBytes, ...]
    room: Room
    peak_flops_per_s: float
    mfu: Input
    price: Price


def solve(asked: OfGiven) -> Solved:
    """Training on so many tokens."""
    bill = adapted_bill(asked.model.arch, asked.lora)
    length, _ = chosen_length(asked.model, asked.seq_len)
    usual_micro = PAIR if asked.method in PAIRED else 1
    setup = trainer_setup(asked, bill, asked.n_devices, length, None, usual_micro)
    device = device_of(asked.hardware, library.load("hardware", asked.hardware).data)
    frozen = beside(setup, asked.n_teacher_params or 0)
    trainer = trainer_of(setup, reference=has_reference(asked), reward_bytes=frozen)
    method: Method = "lora" if asked.lora is not None else asked.method  # type: ignore[assignment]  # the field has these words alone
    return Solved(
        method,
        token_flops(method, models_of(asked, bill)),
        setup,
        given_phases(trainer),
        room_of(asked, device.capacity_bytes),
        device.peak_flops_per_s(wide_format(asked.precision or USUAL_PRECISION)),
        mfu_input(library.defaults(), float(bill.n_active_params())) if asked.mfu is None else Input(asked.mfu),
        price_given(asked),
    )


def has_reference(asked: OfGiven) -> bool:
    """Whether a frozen reference stands beside the policy."""
    return asked.method == "dpo" and not asked.no_reference


def models_of(asked: OfGiven, bill: Bill) -> Models:
    """The models that take part; the weights of an adapter are not those of the policy."""
    adapter = int(count_params(bill).n_trainable_params) if asked.lora is not None else 0
    policy = bill.n_active_params() - adapter
    return Models(policy, reference=policy if has_reference(asked) else 0, teacher=asked.n_teacher_params or 0, adapter=adapter)


def explain(asked: OfGiven, solved: Solved) -> Answer:
    """The answer for one run."""
    memory = memory_result(solved.phases, solved.room)
    lines = lines_of(asked, solved, memory)
    by_key = {one.key: one for one in lines}
    result = {
        "method": solved.method,
        "layout": solved.setup.layout.spelled(),
        "n_devices": asked.n_devices,
        "tokens": asked.tokens,
        **{key: by_key[key].value if key in by_key else None for key in ("flops", "wall_s", "device_hours", "usd")},
        "flops_per_token": flops_result(solved.flops),
        "mfu": solved.mfu.value,
        **memory,
        "intervals": intervals(lines) or {},
    }
    title = f"{solved.method}: {asked.tokens:.3g} tokens on {asked.n_devices:,} x {asked.hardware}"
    shown = [by_key[key] for key in ("flops", "wall_s", "device_hours", "usd", "peak_bytes") if key in by_key]
    return Answer(
        "rl",
        inputs_of(asked, layout=result["layout"], mfu=solved.mfu.value),
        result,
        [quantities(title, shown), memory_table(memory)],
        lines,
        warnings=[*cautions(asked, solved, memory), *solved.price.cautions()],
        notes=[*notes_of(asked, solved), memory_note(memory, solved.room), *solved.price.notes()],
        more_sources=asked.model.sources,
    )


def lines_of(asked: OfGiven, solved: Solved, memory: dict[str, Any]) -> list[Line]:
    """FLOP, wall time, device-hours, dollars, memory."""
    per_token = float(solved.flops.total)
    flops = per_token * asked.tokens
    wall = flops / (asked.n_devices * solved.peak_flops_per_s * solved.mfu.value)
    slower = None if solved.mfu.spread is None else over(factors(solved.mfu.spread))
    work: dict[str, Any] = {"flops_per_token": per_token, "tokens": asked.tokens}
    rate: dict[str, Any] = {"flops": flops, "n_devices": asked.n_devices}
    rate |= {"peak_flops_per_s": solved.peak_flops_per_s, "mfu": solved.mfu.value}
    spent: dict[str, Any] = {"wall_s": wall, "n_devices": asked.n_devices}
    said: dict[str, Any] = {"standing": "estimate", "sources": solved.mfu.sources, "interval": interval_of(wall, slower)}
    n_hours = device_hours(wall, 1, asked.n_devices)
    known: dict[str, Any] = {"standing": "estimate", "interval": interval_of(n_hours, slower)}
    hours = line("device_hours", "device-hours", n_hours, "h", "wall_s * n_devices / 3600", **known, **spent)
    return [
        *flops_lines(solved.flops, solved.method),
        line("flops", "FLOP", flops, "FLOP", "flops_per_token * tokens", standing="estimate", **work),
        line("wall_s", "wall time", wall, "s", "flops / (n_devices * peak_flops_per_s * mfu)", **said, **rate),
        hours,
        *usd_lines("usd", "dollars", hours, solved.price, slower),
        *memory_lines(memory),
    ]


def notes_of(asked: OfGiven, solved: Solved) -> list[str]:
    """What was assumed."""
    _, why = chosen_length(asked.model, asked.seq_len)
    notes = [*([why] if why else []), *layout_notes(asked, solved.setup)]
    if asked.mfu is None:
        why = "that of published pre-training runs of this size; short sequences reach less"
        notes.append(f"No {field('mfu')}: {solved.mfu.value:.2g}, {why}.")
    if asked.method in PAIRED:
        notes.append(f"{field('tokens')} are those of both responses, each with its prompt.")
    if asked.method == "distillation":
        notes.append("The teacher holds as many parameters as are active for a token; one of experts holds more.")
    return notes


def cautions(asked: OfGiven, solved: Solved, memory: dict[str, Any]) -> list[Caution]:
    """What goes beyond the model or the device."""
    length, _ = chosen_length(asked.model, asked.seq_len)
    device = library.load("hardware", asked.hardware).data
    return [
        *asked.model.cautions,
        *length_cautions(asked.model, length),
        *format_cautions(device, asked.stack, asked.precision),
        *memory_cautions(memory, solved.room),
    ]
