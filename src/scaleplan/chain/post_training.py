"""A run of reinforcement learning put together from a model, a device and lengths: step time, share of rollout, device-hours, memory."""

from __future__ import annotations

from typing import Any, NamedTuple

from scaleplan import library
from scaleplan.answer import Interval
from scaleplan.chain.memory import USUAL_PRECISION, Setup
from scaleplan.chain.step_time import wide_format
from scaleplan.machine.activations import Batch
from scaleplan.machine.inverse import largest
from scaleplan.machine.layout import Layout
from scaleplan.machine.memory import fits
from scaleplan.machine.post_training import (
    Method,
    Models,
    Rollout,
    RolloutTime,
    StepTime,
    TokenFlops,
    Trainer,
    TrainingRate,
    device_hours,
    rollout_time,
    step_time,
    token_flops,
)
from scaleplan.machine.recipe import cache_precision
from scaleplan.machine.serving_formats import serving_format
from scaleplan.machine.serving_memory import Serving, serving_memory, workspace
from scaleplan.machine.serving_pass import Deployment
from scaleplan.model.items import Bill

USUAL_ENGINE = "trtllm24"


class RlRun(NamedTuple):
    """What a run is; None leaves it to the assumptions.

    n_rollout_devices      devices that only write; None: trainer and engine share all of them in turn
    train_batch_size_seqs  sequences of one update; a step has as many updates as fit its rollouts
    reference              the log-probabilities of a frozen reference are computed (a KL term)
    asynchronous           the next step's rollouts are written while this one trains
    precision              of training: the MFU is of the peak in 16 bits, or in 32 where products are
    mfu                    of the training pass alone
    cache_bytes            of an engine's device, for keys and values; None: what its weights leave of the memory
    """

    method: Method
    rollout: Rollout
    n_devices: int
    engine_layout: Layout
    train_batch_size_seqs: int | None = None
    n_rollout_devices: int | None = None
    asynchronous: bool = False
    n_epochs: int = 1
    reference: bool = True
    n_reward_params: int = 0
    n_value_params: int = 0
    precision: str = USUAL_PRECISION
    mfu: float | None = None
    cache_bytes: int | None = None


class RlStep(NamedTuple):
    """A step, and what it comes to.

    step_s                   overhead of published runs included, with their spread
    tokens_per_s_per_device  prompt and response tokens that are trained on, over the whole step and all devices
    mfu                      of the whole step, training FLOP alone
    flops, n_tokens          FLOP of a token, and tokens of a step
    trainer                  what the training devices get of their peak
    n_engines, n_updates     rollout engines, and optimizer steps
    """

    rollout: RolloutTime
    parts: StepTime
    step_s: Interval
    rollout_share: float
    tokens_per_s_per_device: float
    mfu: float
    n_devices: int
    flops: TokenFlops
    n_tokens: float
    trainer: TrainingRate
    n_engines: int
    n_updates: int

    def device_hours(self, n_steps: int) -> Interval:
        """Of so many steps."""
        return Interval(*(device_hours(seconds, n_steps, self.n_devices) for seconds in self.step_s))


def assumptions() -> dict[str, Any]:
    """What is assumed where a run leaves it open; nearest folder wins."""
    return library.assumptions("post_training.toml")


def rl_step(bill: Bill, on: Deployment, run: RlRun) -> RlStep:
    """Rollout by the engine's rates and the lengths, training by its FLOP, the sum with the overhead of published runs."""
    assumed = assumptions()
    writing = run.n_rollout_devices or run.n_devices
    training = run.n_devices - writing if run.n_rollout_devices else run.n_devices
    engines = max(1, writing // run.engine_layout.n_devices)
    rollout = rollout_time(on, run.rollout, engines, most_at_once(on, run.rollout, run.cache_bytes))
    sequences = run.rollout.n_prompts * run.rollout.n_responses
    updates = max(1, round(sequences / (run.train_batch_size_seqs or sequences)))
    active = bill.n_active_params()
    models = Models(active, active if run.reference else 0, run.n_reward_params, run.n_value_params)
    flops = token_flops(run.method, models, n_epochs=run.n_epochs, n_updates=updates)
    tokens = sequences * (run.rollout.lengths.prompt + run.rollout.lengths.mean_response)
    peak = on.device.peak_flops_per_s(wide_format(run.precision))
    rate = TrainingRate(training, peak, run.mfu or usual_mfu(bill), on.device.network_bytes_per_s)
    parts = step_time(rollout.total_s, flops, tokens, bill.n_params(), rate, asynchronous=run.asynchronous)
    middle = parts.total_s * assumed["step"]["overhead"]
    spread = (assumed["step"]["factor_p10"], 1.0, assumed["step"]["factor_p90"])
    return RlStep(
        rollout=rollout,
        parts=parts,
        step_s=Interval(*(middle * factor for factor in spread)),
        rollout_share=parts.rollout_share,
        tokens_per_s_per_device=tokens / middle / run.n_devices,
        mfu=flops.training * tokens / (middle * run.n_devices * peak),
        n_devices=run.n_devices,
        flops=flops,
        n_tokens=tokens,
        trainer=rate,
        n_engines=engines,
        n_updates=updates,
    )


def usual_mfu(bill: Bill) -> float:
    """MFU of a training pass where none was given: of dense models, or of mixtures of experts."""
    return float(assumptions()["training"]["mfu_experts" if bill.n_active_params() < bill.n_params() / 2 else "mfu"])


def most_at_once(on: Deployment, rollout: Rollout, cache_bytes: int | None = None) -> int | None:
    """Sequences of mean length whose cache fits one engine; None where not even one does."""
    tokens = round(rollout.lengths.prompt + rollout.lengths.mean_response)

    def holds(n: int) -> bool:
        memory = serving_memory(on.bill, on.layout, on.serving._replace(batch=Batch(n, tokens)))
        if cache_bytes is not None:
            return bool(memory.kv_cache_bytes <= cache_bytes)
        return bool(fits(memory.total_bytes, on.device.capacity_bytes))

    return largest(holds)


def trainer_of(setup: Setup, *, reference: bool = False, value: bool = False, reward_bytes: int = 0) -> Trainer:
    """The trainer's bytes on its fullest stage. A reference is as large as the policy's weights, a value model as the policy."""
    stage = setup.worst()
    last = stage.phases[-1]
    weights = int(last.weights_bytes)
    resident = int(last.total_bytes)
    run = setup.run
    forward = workspace(setup.bill, setup.layout, Serving(run.batch, serving_format("bf16"), cache_precision(None, serving_format("bf16"))))
    return Trainer(
        resident_bytes=resident,
        weights_bytes=weights,
        step_bytes=int(stage.peak_bytes),
        forward_bytes=int(forward),
        value_bytes=resident - int(last.other_bytes) if value else 0,
        reference_bytes=weights if reference else 0,
        reward_bytes=reward_bytes,
    )
