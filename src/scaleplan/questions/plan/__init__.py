"""The whole chain in one file and one command, in any direction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from scaleplan.questions.asking import Question, Shape
from scaleplan.questions.fields import SHAPE_WORDS
from scaleplan.questions.registry import asks

if TYPE_CHECKING:
    from scaleplan.chain.grid_profile import GridProfile
    from scaleplan.machine.layout import Layout
    from scaleplan.model.adapters import Lora
    from scaleplan.model_files import Model


class OfPlan(NamedTuple):
    """What a plan says: a file, changes to it, and the keys that are given as flags."""

    plan_file: str | None = None
    set: tuple[str, ...] = ()
    write_front: str | None = None
    model: Model | None = None
    n_params: int | None = None
    n_active_params: int | None = None
    target: int | None = None
    like: str | None = None
    tokens: Any = None
    n_steps: int | None = None
    text: float | None = None
    bytes_per_token: float | None = None
    unique_tokens: float | None = None
    seq_len: int | None = None
    decoder_seq_len: int | None = None
    batch_size_tokens: int | None = None
    batch_size_seqs: int | None = None
    global_batch_size_seqs: int | None = None
    micro_batch_size_seqs: int | None = None
    precision: str | None = None
    optimizer: str | None = None
    attention: str | None = None
    recompute: str | None = None
    recompute_every: int | None = None
    dropout: float | None = None
    offload: str | None = None
    lora: Lora | None = None
    frozen_format: str | None = None
    compute: float | None = None
    usd: float | None = None
    device_days: float | None = None
    energy_budget: float | None = None
    carbon_budget: float | None = None
    loss: float | None = None
    deadline: float | None = None
    law: tuple[str, ...] | None = None
    task: str | None = None
    family: str | None = None
    flops_convention: str | None = None
    hardware: str | None = None
    n_devices: Any = None
    layout: Any = None
    stack: str | None = None
    pipeline_schedule: str | None = None
    stage_layers: tuple[int, ...] | None = None
    expert_imbalance: float | None = None
    usable_share: float | None = None
    step_s: Any = None
    mfu: float | None = None
    mfu_of: str | None = None
    flops_per_s_per_device: float | None = None
    flops_kind: str | None = None
    goodput: float | None = None
    device_mtbf: Any = None
    checkpoint_time: Any = None
    checkpoint_interval: Any = None
    restart_time: Any = None
    evaluation_share: Any = None
    warm_up_share: Any = None
    usd_per_device_hour: float | None = None
    provider: str | None = None
    price_term: str | None = None
    device_power: str | None = None
    system_power: str | None = None
    pue: float | None = None
    region: str | None = None
    grid_intensity: float | None = None
    grid_profile: GridProfile | None = None
    start: str | None = None
    carbon_scope: str | None = None
    device_lifetime: float | None = None
    embodied_per_device: float | None = None
    embodied: bool | None = None
    trial_share: float | None = None
    idle_share: float | None = None
    inference_tokens: Any = None
    serving_time: float | None = None
    requests_per_s: float | None = None
    n_prompt_tokens: int | None = None
    n_output_tokens: int | None = None
    concurrency: int | None = None
    serving_hardware: str | None = None
    serving_layout: Layout | None = None
    serving_stack: str | None = None
    serving_precision: str | None = None
    serving_usd_per_device_hour: float | None = None
    cache_precision: str | None = None
    cache_block_tokens: int | None = None
    cached_prefix: float | None = None
    chunked_prefill: bool | None = None
    n_draft_tokens: int | None = None
    draft_acceptance: float | None = None
    draft_cost: float | None = None


class Starter(NamedTuple):
    """A commented plan file to begin with."""

    init: bool = False


class Keys(NamedTuple):
    """The JSON Schema of plan files."""

    schema: bool = False


LEFT_OPEN = {"tokens": ("optimal",), "target": ("optimal",), "batch_size_tokens": ("critical",), "layout": ("auto",)}
"""Fields that a word leaves to the plan."""
QUESTION = Question(
    name="plan",
    asks=asks("plan"),
    subject=("plan_file",),
    headings={
        "Plan": ("set", "write_front", "init", "schema"),
        "Budget": ("usd", "device_days", "energy_budget", "carbon_budget", "compute", "loss", "deadline"),
        "Run": ("model", "target", "like", "n_params", "n_active_params", "tokens", "n_steps", "text", "bytes_per_token",
                "unique_tokens", "seq_len", "decoder_seq_len", "batch_size_tokens", "batch_size_seqs", "law", "task", "family",
                "flops_convention", "lora"),
        "Hardware": ("hardware", "n_devices", "mfu", "mfu_of", "flops_per_s_per_device", "flops_kind", "step_s", "goodput",
                     "device_mtbf", "checkpoint_time", "checkpoint_interval", "restart_time", "evaluation_share",
                     "warm_up_share"),
        "Step": ("layout", "stack", "precision", "optimizer", "attention", "recompute", "recompute_every", "dropout", "offload",
                 "frozen_format", "global_batch_size_seqs", "micro_batch_size_seqs", "pipeline_schedule", "stage_layers",
                 "expert_imbalance", "usable_share"),
        "Site": ("usd_per_device_hour", "provider", "price_term", "device_power", "system_power", "pue", "region", "grid_intensity",
                 "grid_profile", "start", "carbon_scope", "embodied", "embodied_per_device", "device_lifetime",
                 "trial_share", "idle_share"),
        "Serving": ("inference_tokens", "serving_time", "requests_per_s", "n_prompt_tokens", "n_output_tokens", "concurrency",
                    "serving_hardware", "serving_layout", "serving_stack", "serving_precision", "serving_usd_per_device_hour",
                    "cache_precision", "cache_block_tokens", "cached_prefix", "chunked_prefill", "n_draft_tokens",
                    "draft_acceptance", "draft_cost"),
    },
    shapes=(
        Shape("starter", Starter, "a starter plan", "plan.files", "plan.results:Starter", ("init",)),
        Shape("schema", Keys, "the schema of plan files", "plan.files", "plan.results:Schema", ("schema",)),
        Shape("plan", OfPlan, "a plan", "plan.whole", "plan.results:Plan", left_open=LEFT_OPEN),
    ),
    examples=(
        "scaleplan plan --usd '$100k' --hardware h100-sxm",
        "scaleplan plan --model llama-3-8b --tokens 1T --hardware h100-sxm --n-devices 256",
        "scaleplan plan --init > plan.toml",
        "scaleplan plan plan.toml --set training.tokens=2T",
        "scaleplan plan plan.toml --n-devices 512",
        "scaleplan plan --hardware h100-sxm --n-devices 1024 --deadline 30d --layout auto",
        "scaleplan plan --model llama-3-8b --tokens 15T --hardware h100-sxm --inference-tokens 10T",
    ),
    more="A plan file has a key for each field; {init} writes one to start from, {schema} its JSON Schema.",
    takes_shape=True,
    rewritten_by="plan:with_shape_words",
)  # fmt: skip


def with_shape_words(given: Mapping[str, Any]) -> Mapping[str, Any]:
    """The words of a shape as changes of the plan's own keys, so that they stand above a file and beside a target; not beside a model."""
    words = [name for name in given if name in SHAPE_WORDS and given[name] is not None]
    if not words or given.get("model") is not None:
        return given
    words += [name for name in ("target",) if given.get(name) is not None]
    kept = {name: value for name, value in given.items() if name not in words}
    told = kept.get("set") or ()
    return kept | {"set": [*([told] if isinstance(told, str) else told), *(f"model.{name}={as_text(given[name])}" for name in words)]}


def as_text(value: Any) -> str:
    """A value as a change of a key has it."""
    return str(value).lower() if isinstance(value, bool) else str(value)
