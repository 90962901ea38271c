"""What post-training takes: memory by phase, seconds of a step by part, device-hours and dollars."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from scaleplan.errors import UsageError
from scaleplan.questions.asking import Question, Shape
from scaleplan.questions.registry import asks
from scaleplan.wording import field

if TYPE_CHECKING:
    from scaleplan.machine.layout import Layout
    from scaleplan.model.adapters import Lora
    from scaleplan.model_files import Model


class OfRollouts(NamedTuple):
    """PPO or GRPO: a step writes responses to prompts and trains on them."""

    model: Model
    hardware: str
    n_devices: int
    n_prompts: int
    n_responses: int
    n_prompt_tokens: int | None = None
    n_output_tokens: int | None = None
    max_output_tokens: int | None = None
    method: str | None = None
    layout: Layout | None = None
    engine_layout: Layout | None = None
    n_rollout_devices: int | None = None
    asynchronous: bool = False
    keep_trainer: bool = False
    global_batch_size_seqs: int | None = None
    micro_batch_size_seqs: int | None = None
    n_epochs: int | None = None
    no_reference: bool = False
    n_reward_params: int | None = None
    n_value_params: int | None = None
    kept_share: float | None = None
    tool_wait: float | None = None
    no_prefix_caching: bool = False
    n_rl_steps: int | None = None
    stack: str | None = None
    precision: str | None = None
    optimizer: str | None = None
    recompute: str | None = None
    usable_share: float | None = None
    mfu: float | None = None
    usd_per_device_hour: float | None = None
    price_term: str | None = None
    provider: str | None = None

    def check(self) -> None:
        """Lengths, devices and models must agree; raises UsageError."""
        mean, most = self.n_output_tokens, self.max_output_tokens
        if mean is not None and most is not None and mean > most:
            problem = f"{field('n_output_tokens')} {mean:,} exceeds {field('max_output_tokens')} {most:,}"
            raise UsageError(problem, hint=f"{field('n_output_tokens')} is the mean of all responses")
        if self.n_rollout_devices is not None and self.n_rollout_devices >= self.n_devices:
            problem = f"{field('n_rollout_devices')} {self.n_rollout_devices:,} of {self.n_devices:,} devices leave none for training"
            raise UsageError(problem, hint=f"give fewer, or leave out {field('n_rollout_devices')}: trainer and engine then share all")
        if self.keep_trainer and self.n_rollout_devices is not None:
            problem = f"{field('keep_trainer')}: with {field('n_rollout_devices')} trainer and engine share no device"
            raise UsageError(problem, hint=f"leave out {field('keep_trainer')}")
        if self.n_value_params is not None and self.method != "ppo":
            raise UsageError(f"{field('n_value_params')}: GRPO has no value model", hint=f"give {field('method')} ppo")


class OfGiven(NamedTuple):
    """Training on responses that are there already: preferences, demonstrations, or a teacher's logits."""

    model: Model
    hardware: str
    n_devices: int
    tokens: float
    method: str
    layout: Layout | None = None
    seq_len: int | None = None
    micro_batch_size_seqs: int | None = None
    no_reference: bool = False
    n_teacher_params: int | None = None
    lora: Lora | None = None
    stack: str | None = None
    precision: str | None = None
    optimizer: str | None = None
    recompute: str | None = None
    usable_share: float | None = None
    mfu: float | None = None
    usd_per_device_hour: float | None = None
    price_term: str | None = None
    provider: str | None = None

    def check(self) -> None:
        """Each method has the models that it needs and no others; raises UsageError."""
        if (self.method == "distillation") != (self.n_teacher_params is not None):
            raise UsageError(f"{field('n_teacher_params')} and {field('method')} distillation go together", hint="give both or neither")
        if self.no_reference and self.method != "dpo":
            raise UsageError(f"{field('no_reference')}: {self.method} has no reference model", hint=f"leave out {field('no_reference')}")
        if self.lora is not None and self.method != "fine-tuning":
            raise UsageError(f"{field('lora')} is priced with {field('method')} fine-tuning alone", hint=f"leave out {field('lora')}")


PRICES = (("usd_per_device_hour", "price_term"), ("usd_per_device_hour", "provider"))
QUESTION = Question(
    name="rl",
    asks=asks("rl"),
    subject=("model",),
    headings={
        "Method": (
            "method", "n_epochs", "no_reference", "n_reward_params", "n_value_params", "n_teacher_params", "lora", "tokens", "n_rl_steps",
        ),
        "Rollouts": (
            "n_prompts", "n_responses", "n_prompt_tokens", "n_output_tokens", "max_output_tokens", "kept_share", "tool_wait",
            "no_prefix_caching",
        ),
        "Hardware and layout": (
            "hardware", "n_devices", "layout", "engine_layout", "n_rollout_devices", "asynchronous", "keep_trainer", "usable_share", "mfu",
        ),
        "Step of training": (
            "global_batch_size_seqs", "micro_batch_size_seqs", "seq_len", "stack", "precision", "optimizer", "recompute",
        ),
        "Price": ("usd_per_device_hour", "price_term", "provider"),
    },
    shapes=(
        Shape(
            "given", OfGiven, "training on given responses", "rl.of_given", "rl.results:GivenResponses",
            ("method=dpo|reward-model|fine-tuning|distillation",), together=PRICES,
        ),
        Shape(
            "rollouts", OfRollouts, "training on rollouts", "rl.of_rollouts", "rl.results:Rollouts", together=PRICES,
            needs={
                "asynchronous": ("n_rollout_devices",), "n_output_tokens": ("max_output_tokens",),
                "max_output_tokens": ("n_output_tokens",),
            },
        ),
    ),
    examples=(
        "scaleplan rl llama-3.1-8b --hardware h100-sxm --n-devices 16 --n-prompts 128 --n-responses 16",
        "scaleplan rl gpt2 --method fine-tuning --lora rank=8 --hardware l40s --n-devices 4 --tokens 1B",
        "scaleplan rl qwen3-8b --method dpo --hardware h100-sxm --n-devices 8 --tokens 500M --seq-len 2048",
    ),
    takes_shape=True,
)  # fmt: skip
