"""Fields of a plan that change nothing beside the others, and fields that say the same thing twice."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from scaleplan.chain.budget import is_time_of_devices
from scaleplan.errors import UsageError
from scaleplan.wording import field, fields

if TYPE_CHECKING:
    from scaleplan.chain.layout_step import LayoutStep
    from scaleplan.chain.sizes import Size

Given = Mapping[str, Any]
OF_A_STEP = (
    "stack", "precision", "optimizer", "attention", "pipeline_schedule", "micro_batch_size_seqs", "dropout", "offload", "recompute_every",
    "frozen_format", "expert_imbalance", "stage_layers", "usable_share", "recompute",
)  # fmt: skip
"""Fields that mean something in the step of a layout alone."""
OF_STATES = ("stack", "precision", "optimizer")
"""Those of them that the memory of states hangs on, which stops the run of given devices and a time."""
OF_ONE_RUN = (
    "layout", "seq_len", "decoder_seq_len", "lora", "batch_size_tokens", "batch_size_seqs", "global_batch_size_seqs", "law",
    "unique_tokens", "flops_convention", "flops_kind", "like", "shape", "step_s", "task", "family", *OF_A_STEP,
)  # fmt: skip
"""Fields that a plan of stages has no use for: a stage is so much work at the rate of the plan."""
TWICE = (
    ("model", "n_params", "target"),
    ("tokens", "n_steps", "text"),
    ("batch_size_tokens", "batch_size_seqs", "global_batch_size_seqs"),
    ("mfu", "flops_per_s_per_device", "step_s"),
    ("usd_per_device_hour", "provider"),
    ("usd_per_device_hour", "price_term"),
)
"""Fields of which one says all."""
NEEDS = {
    "n_active_params": ("n_params",),
    "text": ("bytes_per_token",),
    "bytes_per_token": ("text",),
    "flops_kind": ("flops_per_s_per_device",),
    "family": ("task",),
    "frozen_format": ("lora",),
    "lora": ("model", "target"),
    "decoder_seq_len": ("model",),
    "like": ("target", "usd", "device_days", "energy_budget", "carbon_budget", "compute", "loss", "deadline", "tokens"),
    "n_draft_tokens": ("draft_acceptance",),
    "draft_acceptance": ("n_draft_tokens",),
    "draft_cost": ("n_draft_tokens",),
}
"""Field -> fields of which one must stand beside it."""


def refuse_contradictions(given: Given) -> None:
    """Raises UsageError for fields that say the same thing twice, and for one that lacks another."""
    said = {name for name, value in given.items() if value is not None}
    for group in TWICE:
        both = [name for name in group if name in said]
        if len(both) > 1:
            raise UsageError(f"{fields(*both)} contradict each other", hint=f"give one of {fields(*group, joined=', ')}")
    for name, others in NEEDS.items():
        if name in said and not said & set(others):
            raise UsageError(f"{field(name)} needs {fields(*others, joined=' or ')}", hint=f"add {fields(*others, joined=' or ')}")


def idle_words(given: Given, step: LayoutStep | None, size: Size) -> Iterator[str]:
    """A sentence for the fields that change nothing in a plan of one run."""
    used = {"recompute"} if given.get("flops_kind") == "hardware" else set()
    used |= set(OF_STATES) if is_time_of_devices(given) else set()
    idle = [name for name in OF_A_STEP if given.get(name) is not None and name not in used] if step is None else []
    if idle:
        yield f"Without {field('layout')} no step is priced: {fields(*idle, joined=', ')} {change(idle)} nothing."
    batched = any(given.get(name) is not None for name in ("batch_size_tokens", "batch_size_seqs", "global_batch_size_seqs"))
    if given.get("like") is not None and size.n_standing == "given" and given.get("target") is None:
        yield f"The model is given: {field('like')} changes nothing."
    if size.model is None and given.get("seq_len") is not None and not batched:
        yield f"Without an architecture or a batch, {field('seq_len')} changes nothing."
    rated = given.get("mfu") is not None or given.get("flops_per_s_per_device") is not None
    if step is not None and not rated and given.get("mfu_of") is not None:
        yield f"The rate is that of the layout's step: {field('mfu_of')} changes nothing."


def idle_in_stages(given: Given) -> Iterator[str]:
    """A sentence for the fields that change nothing in a plan of stages."""
    idle = [name for name in OF_ONE_RUN if given.get(name)]
    if idle:
        yield f"[[stage]] is work at the rate of the plan: {fields(*idle, joined=', ')} {change(idle)} nothing."


def change(names: list[str]) -> str:
    """The verb, of one field or of several."""
    return "changes" if len(names) == 1 else "change"
