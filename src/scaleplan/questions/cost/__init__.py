"""What a run costs: of its compute, of device-hours that are known, or of an energy that was metered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from scaleplan.errors import UsageError
from scaleplan.questions.asking import Question, Shape
from scaleplan.questions.registry import asks
from scaleplan.wording import field, fields

if TYPE_CHECKING:
    from scaleplan.chain.grid_profile import GridProfile
    from scaleplan.chain.run_files.run_file import RunFile
    from scaleplan.machine.layout import Layout
    from scaleplan.model.adapters import Lora
    from scaleplan.model.sparsity import Sparsity
    from scaleplan.model_files import Model


class Run(NamedTuple):
    """Training of a model, of a model known by its size, or of so much compute."""

    hardware: str
    model: Model | None = None
    n_params: int | None = None
    n_active_params: int | None = None
    compute: float | None = None
    tokens: float | None = None
    n_steps: int | None = None
    batch_size_tokens: int | None = None
    batch_size_seqs: int | None = None
    seq_len: int | None = None
    decoder_seq_len: int | None = None
    lora: Lora | None = None
    sparsity: Sparsity | None = None
    text: float | None = None
    bytes_per_token: float | None = None
    flops_convention: str | None = None
    n_devices: int | None = None
    deadline: float | None = None
    mfu: float | None = None
    mfu_of: str | None = None
    flops_per_s_per_device: float | None = None
    flops_kind: str | None = None
    recompute: str | None = None
    from_file: RunFile | None = None
    goodput: float | None = None
    usd_per_device_hour: float | None = None
    provider: str | None = None
    price_term: str | None = None
    device_power: float | str | None = None
    system_power: float | str | None = None
    pue: float | None = None
    region: str | None = None
    grid_intensity: float | None = None
    grid_profile: GridProfile | None = None
    start: str | None = None
    carbon_scope: str | None = None
    device_lifetime: float | None = None
    embodied_per_device: float | None = None
    embodied: bool = False
    trial_share: float | None = None
    idle_share: float | None = None
    published_kgco2e: float | None = None
    side_by_side: str | None = None

    def check(self) -> None:
        """Exactly one way to say the compute, with tokens where it takes some.

        Raises UsageError.
        """
        given = [name for name in SUBJECTS if getattr(self, name) is not None]
        if len(given) != 1:
            problem = f"{fields(*given)} contradict each other" if given else "nothing to price"
            raise UsageError(problem, hint=f"give one of {fields(*SUBJECTS, *INSTEAD, joined=', ')}")
        if self.compute is None and self.tokens is None and self.n_steps is None and self.text is None:
            ways = f"{field('tokens')}, {field('n_steps')} with a batch size, or {fields('text', 'bytes_per_token', joined=' with ')}"
            raise UsageError("the number of training tokens is missing", hint=f"add {ways}")
        if self.model is None:
            self.check_without_model()
        if self.side_by_side == "devices" and self.flops_per_s_per_device is not None:
            words = f"{field('flops_per_s_per_device')} is the rate of one device"
            raise UsageError(f"{words}: {field('side_by_side')} compares several", hint=f"give {field('mfu')}")

    def check_without_model(self) -> None:
        """What only a model has, and sizes that contradict each other; raises UsageError."""
        idle = [name for name in ("decoder_seq_len", "lora", "sparsity", "seq_len") if getattr(self, name) is not None]
        if idle and not (self.n_steps is not None and idle == ["seq_len"]):
            raise UsageError(f"{fields(*idle)} without a {field('model')} changes nothing", hint=f"leave out {fields(*idle)}")
        if self.flops_convention is not None and self.n_params is not None:
            known = f"the compute of {field('n_params')} is 6 N D"
            raise UsageError(f"{field('flops_convention')} needs a {field('model')}: {known}", hint="name a model, or give its shape")
        if self.n_params is not None and self.n_active_params is not None and self.n_active_params > self.n_params:
            raise more_active(self.n_active_params, self.n_params)


def more_active(n_active: int, n_params: int) -> UsageError:
    """The error for more active parameters than there are."""
    from scaleplan.units import show_count

    return UsageError(
        f"{field('n_active_params')} {show_count(n_active)} is more than {field('n_params')} {show_count(n_params)}",
        hint="the active parameters are those of all that one token uses",
    )


class UnderLayout(NamedTuple):
    """Training of a model under a layout, given or searched for: the rate is that of its steps."""

    model: Model
    hardware: str
    layout: Layout | Literal["auto"]
    tokens: float | None = None
    n_steps: int | None = None
    text: float | None = None
    bytes_per_token: float | None = None
    seq_len: int | None = None
    batch_size_tokens: int | None = None
    batch_size_seqs: int | None = None
    global_batch_size_seqs: int | None = None
    micro_batch_size_seqs: int | None = None
    stack: str | None = None
    precision: str | None = None
    optimizer: str | None = None
    attention: str | None = None
    recompute: str | None = None
    offload: str | None = None
    pipeline_schedule: str | None = None
    expert_imbalance: float | None = None
    flops_convention: str | None = None
    n_devices: int | None = None
    deadline: float | None = None
    goodput: float | None = None
    usd_per_device_hour: float | None = None
    provider: str | None = None
    price_term: str | None = None
    device_power: float | str | None = None
    system_power: float | str | None = None
    pue: float | None = None
    region: str | None = None
    grid_intensity: float | None = None
    grid_profile: GridProfile | None = None
    start: str | None = None
    carbon_scope: str | None = None
    device_lifetime: float | None = None
    embodied_per_device: float | None = None
    embodied: bool = False
    trial_share: float | None = None
    idle_share: float | None = None
    published_kgco2e: float | None = None
    side_by_side: str | None = None

    def check(self) -> None:
        """Tokens are said; a given layout says the number of devices, and its step is that of one device; raises UsageError."""
        if self.tokens is None and self.n_steps is None and self.text is None:
            raise UsageError("the number of training tokens is missing", hint=f"add {fields('tokens', 'n_steps', joined=' or ')}")
        if self.deadline is not None and self.layout != "auto":
            words = f"{field('layout')} `{self.layout.spelled()}` is of {self.layout.n_devices:,} devices: nothing is left to the"
            raise UsageError(f"{words} {field('deadline')}", hint=f"give {field('layout')} auto, or leave out {field('deadline')}")
        if self.side_by_side == "devices":
            words = f"{field('side_by_side')} devices: the step under {field('layout')} is that of one device"
            raise UsageError(words, hint="compare providers or regions, or give an MFU")


class DeviceHours(NamedTuple):
    """Device-hours that are known: no model is needed."""

    device_hours: float
    hardware: str
    n_devices: int | None = None
    deadline: float | None = None
    usd_per_device_hour: float | None = None
    provider: str | None = None
    price_term: str | None = None
    device_power: float | str | None = None
    system_power: float | str | None = None
    pue: float | None = None
    region: str | None = None
    grid_intensity: float | None = None
    grid_profile: GridProfile | None = None
    start: str | None = None
    carbon_scope: str | None = None
    device_lifetime: float | None = None
    embodied_per_device: float | None = None
    embodied: bool = False
    trial_share: float | None = None
    idle_share: float | None = None
    published_kgco2e: float | None = None
    side_by_side: str | None = None

    def check(self) -> None:
        """Device-hours are those of one device; raises UsageError for a comparison with others."""
        if self.side_by_side == "devices":
            words = f"{field('side_by_side')} devices: {field('device_hours')} are those of one device"
            raise UsageError(words, hint="compare providers or regions, or give a model")


class Energy(NamedTuple):
    """An energy that was metered at the computers."""

    energy: float
    pue: float | None = None
    region: str | None = None
    grid_intensity: float | None = None
    carbon_scope: str | None = None
    trial_share: float | None = None
    idle_share: float | None = None
    published_kgco2e: float | None = None

    def check(self) -> None:
        """A meter on the racks does not tell the devices apart; raises UsageError."""
        if self.carbon_scope == "devices":
            raise UsageError(
                f"{field('carbon_scope')} devices: metered energy includes host and network", hint="the scopes are it, facility"
            )


SUBJECTS = ("model", "n_params", "compute")
INSTEAD = ("device_hours", "energy")
GRID = (("region", "grid_intensity", "grid_profile"),)
TIMED = {"start": ("n_devices", "deadline"), "grid_profile": ("n_devices", "deadline")}
"""Fields that mean something once the time of the run is known."""
PRICED = (("usd_per_device_hour", "provider"), ("usd_per_device_hour", "price_term"), ("n_devices", "deadline"))
"""Fields that say the same thing."""
QUESTION = Question(
    name="cost",
    asks=asks("cost"),
    subject=("model",),
    headings={
        "Most used": ("tokens", "hardware", "n_devices", "mfu", "n_params"),
        "Run": ("n_active_params", "compute", "seq_len", "flops_convention", "device_hours", "energy"),
        "Run, as in flops": ("n_steps", "batch_size_tokens", "batch_size_seqs", "text", "bytes_per_token", "decoder_seq_len",
                             "lora", "sparsity"),
        "Rate and time": ("layout", "deadline", "mfu_of", "flops_per_s_per_device", "flops_kind", "goodput"),
        "Step under a layout, as in layout": ("from_file", "stack", "global_batch_size_seqs", "micro_batch_size_seqs", "precision",
                                              "optimizer", "attention", "offload", "pipeline_schedule", "expert_imbalance",
                                              "recompute"),
        "Price and site": ("usd_per_device_hour", "side_by_side", "pue", "region", "grid_intensity", "carbon_scope", "published_kgco2e"),
        "Price and site, as in plan": ("provider", "price_term", "device_power", "system_power", "grid_profile", "start", "embodied",
                                       "embodied_per_device", "device_lifetime", "trial_share", "idle_share"),
    },
    shapes=(
        Shape(
            "device_hours",
            DeviceHours,
            "given device-hours",
            "cost.of_hours",
            "cost.results:HoursCost",
            ("device_hours",),
            together=(*GRID, *PRICED),
            needs=TIMED,
        ),
        Shape("energy", Energy, "metered energy", "cost.of_energy", "cost.results:EnergyCost", ("energy",), together=GRID),
        Shape(
            "layout",
            UnderLayout,
            "a training run under a layout",
            "cost.of_layout",
            "cost.results:LayoutCost",
            ("layout",),
            together=(
                ("tokens", "n_steps", "text"),
                ("batch_size_tokens", "batch_size_seqs", "global_batch_size_seqs"),
                *GRID,
                *PRICED,
            ),
            needs={
                "text": ("bytes_per_token",),
                "bytes_per_token": ("text",),
                "n_steps": ("batch_size_tokens", "batch_size_seqs", "global_batch_size_seqs"),
            },
            left_open={"layout": ("auto",)},
        ),
        Shape(
            "run",
            Run,
            "a training run",
            "cost.of_run",
            "cost.results:RunCost",
            together=(
                ("compute", "tokens", "n_steps", "text"),
                ("batch_size_tokens", "batch_size_seqs"),
                ("mfu", "flops_per_s_per_device"),
                ("flops_convention", "recompute"),
                *(("sparsity", name) for name in ("flops_convention", "recompute", "side_by_side")),
                *GRID,
                *PRICED,
            ),
            needs={
                **TIMED,
                "n_active_params": ("n_params",),
                "text": ("bytes_per_token",),
                "bytes_per_token": ("text",),
                "n_steps": ("batch_size_tokens", "batch_size_seqs"),
                "batch_size_tokens": ("n_steps",),
                "batch_size_seqs": ("n_steps",),
                "flops_per_s_per_device": ("flops_kind",),
                "flops_kind": ("flops_per_s_per_device",),
                "mfu_of": ("mfu", "flops_per_s_per_device"),
            },
        ),
    ),
    examples=(
        "scaleplan cost opt-175b --tokens 300B --hardware a100-sxm-80gb --n-devices 1024",
        "scaleplan cost --n-params 70B --tokens 2T --hardware h100-sxm --mfu 0.4 --mfu-of step",
        "scaleplan cost llama-3-8b --tokens 1T --hardware h100-sxm --n-devices 64 --layout auto",
        "scaleplan cost --device-hours 809472 --hardware a100-sxm-80gb --region us-east4",
    ),
    more="The compute is that of `flops`: the exact count for a MODEL, 6 N D for a size.",
    version=3,
    elsewhere={
        "Run, as in flops": "flops",
        "Step under a layout, as in layout": "layout",
        "Price and site, as in plan": "plan",
    },
    takes_shape=True,
)  # fmt: skip
