"""PPO and GRPO: memory by phase, a step by part, the share of rollout, device-hours and dollars."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from scaleplan import library
from scaleplan.answer import Answer, Caution, intervals, quantities
from scaleplan.chain.lengths import length_cautions
from scaleplan.chain.memory import USUAL_PRECISION, Setup, format_cautions
from scaleplan.chain.post_training import USUAL_ENGINE, RlRun, RlStep, assumptions, most_at_once, rl_step, trainer_of
from scaleplan.chain.serving import ServingChoices, deployment_of
from scaleplan.chain.serving_layout import growing
from scaleplan.errors import NotSupported, UsageError
from scaleplan.machine.layout import Layout
from scaleplan.machine.memory import Room
from scaleplan.machine.post_training import MIB, Lengths, PhaseBytes, Rollout, RolloutEngine, Trainer, rl_phases
from scaleplan.machine.serving_memory import serving_memory
from scaleplan.machine.serving_pass import Deployment
from scaleplan.model.bill import bill_of
from scaleplan.numeric import ceil_div
from scaleplan.questions.priced import Price, price_given
from scaleplan.questions.rl.common import (
    beside,
    flops_result,
    inputs_of,
    layout_notes,
    memory_cautions,
    memory_note,
    memory_result,
    memory_table,
    room_of,
    trainer_setup,
)
from scaleplan.questions.rl.lines import lines_of
from scaleplan.units import show_bytes
from scaleplan.wording import field

if TYPE_CHECKING:
    from scaleplan.questions.rl import OfRollouts

LENGTHS = ("n_prompt_tokens", "n_output_tokens", "max_output_tokens")
AWAKE_BYTES = 700 * MIB  # of an engine beside weights and cache


class Solved(NamedTuple):
    """The run, its step, the memory of a device by phase, and the price."""

    on: Deployment
    run: RlRun
    step: RlStep
    setup: Setup
    phases: tuple[PhaseBytes, ...]
    room: Room
    price: Price


def solve(asked: OfRollouts) -> Solved:
    """A step of the run, the engine's cache being what the trainer leaves."""
    bill = bill_of(asked.model.arch)
    training = asked.n_devices - (asked.n_rollout_devices or 0)
    sequences = asked.n_prompts * asked.n_responses
    rollout = rollout_of(asked)
    setup = trainer_setup(asked, bill, training, longest(rollout), asked.global_batch_size_seqs or sequences)
    trainer = trainer_beside(asked, setup)
    on = deployment_of(bill, ServingChoices(asked.hardware, asked.engine_layout or Layout(), "bf16", None, USUAL_ENGINE, 1))
    room = room_of(asked, on.device.capacity_bytes)
    on, cache = engine_on(asked, on, rollout, trainer, room)
    run = run_of(asked, on, rollout, cache)
    engine = RolloutEngine(weights_of(on), cache, int(bill.n_layers), bucket_bytes=bucket_of(on))
    phases = rl_phases(trainer, engine, colocated=asked.n_rollout_devices is None, offload=not asked.keep_trainer)
    return Solved(on, run, rl_step(bill, on, run), setup, phases, room, price_given(asked))


def trainer_beside(asked: OfRollouts, setup: Setup) -> Trainer:
    """The trainer with the other models of the method; for PPO they are as large as the policy unless said otherwise."""
    ppo = asked.method == "ppo"
    n = setup.bill.n_params()
    reward = asked.n_reward_params or (n if ppo else 0)
    found = trainer_of(setup, reference=not asked.no_reference, value=ppo, reward_bytes=beside(setup, reward))
    return found._replace(value_bytes=round(found.value_bytes * (asked.n_value_params or n) / n))


def longest(rollout: Rollout) -> int:
    """Tokens of the longest sequence."""
    return int(rollout.lengths.prompt + rollout.lengths.max_response)


def rollout_of(asked: OfRollouts) -> Rollout:
    """The rollouts of a step."""
    usual = assumptions()["lengths"]
    lengths = Lengths(*(usual[name] if getattr(asked, name) is None else getattr(asked, name) for name in LENGTHS))
    return Rollout(
        asked.n_prompts, asked.n_responses, lengths, not asked.no_prefix_caching, asked.kept_share or 1.0, float(asked.tool_wait or 0.0)
    )


def run_of(asked: OfRollouts, on: Deployment, rollout: Rollout, cache: int) -> RlRun:
    """The run as the chain takes it."""
    active, ppo = on.bill.n_active_params(), asked.method == "ppo"
    return RlRun(
        "ppo" if ppo else "grpo",
        rollout,
        asked.n_devices,
        on.layout,
        train_batch_size_seqs=asked.global_batch_size_seqs,
        n_rollout_devices=asked.n_rollout_devices,
        asynchronous=asked.asynchronous,
        n_epochs=asked.n_epochs or 1,
        reference=not asked.no_reference,
        n_reward_params=asked.n_reward_params or (active if ppo else 0),
        n_value_params=(asked.n_value_params or active) if ppo else 0,
        precision=asked.precision or USUAL_PRECISION,
        mfu=asked.mfu,
        cache_bytes=cache,
    )


# ------------------------------------------------------------------------------------------------------------------- engine


def weights_of(on: Deployment) -> int:
    """Bytes of weights on a device of an engine."""
    return int(serving_memory(on.bill, on.layout, on.serving).weights_bytes)


def bucket_of(on: Deployment) -> int:
    """New weights that arrive at once on a device of an engine: a layer's share, as stacks send them in buckets."""
    return int(ceil_div(weights_of(on), on.bill.n_layers))


def cache_left(asked: OfRollouts, on: Deployment, trainer: Trainer, room: Room) -> int:
    """What the engine's cache may have: the usable memory less weights, workspace, and whatever else stays there.

    On devices of its own a layer of new weights arrives beside the old ones; on shared devices the trainer's states may stay.
    """
    weights = weights_of(on)
    if asked.n_rollout_devices is not None:
        stays = bucket_of(on)
    else:
        stays = int(trainer.resident_bytes + trainer.value_bytes) if asked.keep_trainer else 0
    return int(room.usable_bytes - weights - AWAKE_BYTES - stays)


def engine_on(asked: OfRollouts, on: Deployment, rollout: Rollout, trainer: Trainer, room: Room) -> tuple[Deployment, int]:
    """The engine with its cache: as given, else the least tensor parallelism that holds a sequence.

    Raises NotSupported where none holds one, and UsageError for an engine larger than the devices that write.
    """
    writing = asked.n_rollout_devices or asked.n_devices
    for layout in growing(on) if asked.engine_layout is None else (asked.engine_layout,):
        there = on._replace(layout=layout)
        cache = cache_left(asked, there, trainer, room)
        if layout.n_devices > writing:
            break
        if cache > 0 and most_at_once(there, rollout, cache):
            return there, cache
    if asked.engine_layout is not None and asked.engine_layout.n_devices > writing:
        raise UsageError(
            f"a rollout engine of {asked.engine_layout.n_devices:,} devices does not fit {writing:,}",
            hint=f"a smaller {field('engine_layout')}",
        )
    weights = show_bytes(weights_of(on._replace(layout=asked.engine_layout or on.layout)))
    raise NotSupported(
        f"no memory for the cache of one sequence in a rollout engine on {on.device.name}: {weights} of weights a device",
        hint=f"a larger {field('engine_layout')}, or more devices"
        + (f", or leave out {field('keep_trainer')}" if asked.keep_trainer else ""),
    )


# --------------------------------------------------------------------------------------------------------------- the answer


def explain(asked: OfRollouts, solved: Solved) -> Answer:
    """The answer for one run."""
    on, run = solved.on, solved.run
    memory = memory_result(solved.phases, solved.room)
    lines = lines_of(solved, memory, asked.n_rl_steps)
    result = result_of(asked, solved, memory, {one.key: one.value for one in lines}) | {"intervals": intervals(lines) or {}}
    by_key = {one.key: one for one in lines}
    used = dict(zip(LENGTHS, run.rollout.lengths, strict=True)) | {"mfu": solved.step.trainer.mfu, "method": run.method}
    used |= {"layout": result["layout"], "engine_layout": result["engine_layout"]}
    title = f"{run.method.upper()}: {asked.n_prompts:,} x {asked.n_responses:,} responses a step on {run.n_devices:,} x {on.device.name}"
    return Answer(
        "rl",
        inputs_of(asked, **used),
        result,
        [quantities(title, [by_key[key] for key in TOP if key in by_key and by_key[key].value]), memory_table(memory)],
        lines,
        warnings=[*cautions(asked, solved, memory), *solved.price.cautions()],
        notes=[*notes_of(asked, solved, result), memory_note(memory, solved.room), *solved.price.notes()],
        more_sources=[*on.engine.sources, *asked.model.sources],
    )


TOP = (
    "rollout_s", "log_probs_s", "judges_s", "training_s", "sync_s", "step_s", "rollout_share", "tokens_per_s_per_device",
    "whole_step_mfu", "device_hours_per_step", "usd_per_step", "wall_s", "device_hours", "usd", "peak_bytes",
)  # fmt: skip


def result_of(asked: OfRollouts, solved: Solved, memory: dict[str, Any], known: dict[str, Any]) -> dict[str, Any]:
    """The keys that other programs read."""
    run, step = solved.run, solved.step
    writing = run.n_rollout_devices or run.n_devices
    told = (
        "prefill_s", "decode_s", "wait_s", "rollout_s", "log_probs_s", "judges_s", "training_s", "sync_s", "step_s", "rollout_share",
        "tokens_per_s_per_device", "whole_step_mfu", "device_hours_per_step", "usd_per_step", "wall_s", "device_hours", "usd",
    )  # fmt: skip
    return {
        "method": run.method,
        "layout": solved.setup.layout.spelled(),
        "engine_layout": solved.on.layout.spelled(),
        "n_devices": run.n_devices,
        "n_engines": step.n_engines,
        "n_rollout_devices": writing,
        "n_training_devices": int(solved.setup.layout.n_devices),
        "colocated": run.n_rollout_devices is None,
        "n_updates": step.n_updates,
        "tokens_per_step": known["tokens_per_step"],
        "share_cut": run.rollout.lengths.share_cut,
        **{key: known.get(key) for key in told},
        "rollout_bound": step.rollout.bound,
        "n_rl_steps": asked.n_rl_steps,
        "flops_per_token": flops_result(step.flops),
        "mfu": step.trainer.mfu,
        **memory,
    }


def notes_of(asked: OfRollouts, solved: Solved, result: dict[str, Any]) -> list[str]:
    """What was assumed, and what sets the end of a rollout."""
    run = solved.run
    bound = {"throughput": "the engines' throughput", "longest response": "the longest response"}[result["rollout_bound"]]
    told = f"Its end is set by {bound}; {result['share_cut']:.1%} of responses reach the limit."
    share = f"Rollout alone takes {result['rollout_share']:.0%} of the step"
    notes = [f"{share}, the rest of it hidden behind training. {told}" if run.asynchronous else f"{share}. {told}"]
    lengths = dict(zip(LENGTHS, run.rollout.lengths, strict=True))
    if assumed := [f"{field(name)} {value:,}" for name, value in lengths.items() if getattr(asked, name) is None]:
        notes.append(f"Assumed: {', '.join(assumed)} (GRPO on mathematics, published); time follows them.")
    notes += layout_notes(asked, solved.setup)
    if asked.engine_layout is None:
        notes.append(f"No {field('engine_layout')}: {result['engine_layout']}, the least tensor parallelism that holds a sequence.")
    if asked.n_rollout_devices is not None:
        more = show_bytes(weights_of(solved.on))
        notes.append(f"New weights reach the engine a layer at a time; an engine that takes all at once needs {more} beside its own.")
    if asked.mfu is None:
        notes.append(f"No {field('mfu')}: {solved.step.trainer.mfu} in the training pass, from published runs; not that of the whole step.")
    if run.method == "ppo":
        open_ = [name for name in ("n_reward_params", "n_value_params") if getattr(asked, name) is None]
        notes += [f"No {field(name)}: as large as the policy." for name in open_]
    return notes


def cautions(asked: OfRollouts, solved: Solved, memory: dict[str, Any]) -> list[Caution]:
    """What goes beyond the model or the device."""
    return [
        *asked.model.cautions,
        *length_cautions(asked.model, longest(solved.run.rollout)),
        *format_cautions(library.load("hardware", asked.hardware).data, asked.stack, asked.precision),
        *memory_cautions(memory, solved.room),
    ]
