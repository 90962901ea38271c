"""The results of `rl`, as their JSON Schemas are made from them."""

from __future__ import annotations

from typing import Literal

from typing_extensions import TypedDict  # pydantic reads this one on every Python

from scaleplan.questions.percentiles import Percentiles


class Phase(TypedDict):
    """One device in one phase."""

    phase: str
    trainer_bytes: int
    engine_bytes: int
    other_bytes: int
    total_bytes: int


class Flops(TypedDict):
    """FLOP for each token of prompt and response, by what they are for."""

    rollout: float
    log_probs: float
    judges: float
    training: float
    total: float


class Memory(TypedDict):
    """The phases, of which the fullest alone counts."""

    layout: str
    n_devices: int
    phases: list[Phase]
    peak_bytes: int
    peak_phase: str
    capacity_bytes: int
    fits: bool
    flops_per_token: Flops
    mfu: float
    intervals: dict[str, Percentiles]


class Rollouts(Memory):
    """A step of PPO or GRPO; dollars are null where no price is known, totals where no number of steps was given."""

    kind: Literal["rollouts"]
    method: Literal["ppo", "grpo"]
    engine_layout: str
    n_engines: int
    n_rollout_devices: int
    n_training_devices: int
    colocated: bool
    n_updates: int
    tokens_per_step: float
    share_cut: float
    rollout_s: float
    prefill_s: float
    decode_s: float
    wait_s: float
    log_probs_s: float
    judges_s: float
    training_s: float
    sync_s: float
    step_s: float
    rollout_bound: Literal["throughput", "longest response"]
    rollout_share: float
    tokens_per_s_per_device: float
    whole_step_mfu: float
    device_hours_per_step: float
    usd_per_step: float | None
    n_rl_steps: int | None
    wall_s: float | None
    device_hours: float | None
    usd: float | None


class GivenResponses(Memory):
    """Training on so many tokens of given responses; dollars are null where no price is known."""

    kind: Literal["given"]
    method: Literal["dpo", "reward-model", "fine-tuning", "lora", "distillation"]
    tokens: float
    flops: float
    wall_s: float
    device_hours: float
    usd: float | None
