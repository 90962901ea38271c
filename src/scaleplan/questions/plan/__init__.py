"""The whole chain in one file and one command, in any direction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from scaleplan.questions.asking import Question, Shape
from scaleplan.questions.registry import asks

if TYPE_CHECKING:
    from scaleplan.chain.grid_profile import GridProfile
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
    seq_len: int | None = None
    batch_size_tokens: int | None = None
    batch_size_seqs: int | None = None
    precision: str | None = None
    recompute: str | None = None
    compute: float | None = None
    usd: float | None = None
    device_days: float | None = None
    energy_budget: float | None = None
    carbon_budget: float | None = None
    loss: float | None = None
    deadline: float | None = None
    law: tuple[str, ...] | None = None
    flops_convention: str | None = None
    hardware: str | None = None
    n_devices: Any = None
    layout: Any = None
    stack: str | None = None
    mfu: float | None = None
    mfu_of: str | None = None
    flops_per_s_per_device: float | None = None
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
        "Run": ("model", "target", "like", "n_params", "n_active_params", "tokens", "n_steps", "text", "bytes_per_token", "seq_len",
                "batch_size_tokens", "batch_size_seqs", "precision", "recompute", "law", "flops_convention"),
        "Hardware": ("hardware", "n_devices", "layout", "stack", "mfu", "mfu_of", "flops_per_s_per_device",
                     "goodput", "device_mtbf", "checkpoint_time",
                     "checkpoint_interval", "restart_time", "evaluation_share", "warm_up_share"),
        "Site": ("usd_per_device_hour", "provider", "price_term", "device_power", "system_power", "pue", "region", "grid_intensity",
                 "grid_profile", "start", "carbon_scope", "embodied", "embodied_per_device", "device_lifetime",
                 "trial_share", "idle_share"),
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
    ),
    more="A plan file has a key for each field; {init} writes one to start from, {schema} its JSON Schema.",
)  # fmt: skip
