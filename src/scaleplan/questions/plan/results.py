"""The result of `plan`, as its JSON Schema is made from it."""

from __future__ import annotations

from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict  # pydantic reads this one on every Python

from scaleplan.questions.cost.results import Calendar, Total


class Number(TypedDict):
    """A number of a plan: percentiles are null where it has no spread, the value where it is unknown."""

    value: float | None
    p10: float | None
    p50: float | None
    p90: float | None
    standing: str


class Compute(TypedDict):
    """Training compute."""

    training_flops: Number
    flops_convention: NotRequired[str]


class Law(TypedDict):
    """What loss to expect."""

    law: str
    loss_nats: Number


class Model(TypedDict):
    """What is trained."""

    model: str | None
    n_params: Number
    n_active_params: Number


class Memory(TypedDict):
    """Memory of the fullest device."""

    peak_bytes: Number
    capacity_bytes: Number
    usable_bytes: Number
    verdict: NotRequired[str]


class Step(TypedDict):
    """One step of training."""

    step_s: Number
    mfu: Number
    hfu: Number
    tokens_per_s_per_device: Number


class Failures(TypedDict):
    """Goodput by failure rate, checkpoints, evaluation and warm-up; unknown where none of them is given."""

    goodput: Number
    job_mtbf_s: Number
    checkpoint_interval_s: Number
    best_interval_s: Number
    break_even_devices: Number


class StageRun(TypedDict):
    """Time of a stage."""

    wall_s: Number
    device_hours: Number
    device_days: Number


class Run(StageRun):
    """Size and time of the whole run."""

    n_devices: Number
    n_steps: Number
    n_tokens: Number
    batch_size_tokens: Number


class StageMoney(TypedDict):
    """Dollars of a stage."""

    usd: Number


class Money(StageMoney):
    """Dollars of the run: devices, and everything beside them by name."""

    devices_usd: Number
    other_usd: dict[str, float]


class Energy(TypedDict):
    """Energy of the facility, of its computers, of the devices alone."""

    wh: Number
    it_wh: Number
    devices_wh: Number


class Carbon(TypedDict):
    """Operational and embodied emissions."""

    kgco2e: Number
    embodied_kgco2e: Number
    carbon_scope: NotRequired[str]


class Water(TypedDict):
    """Water of the site and of the power plants."""

    water_l: Number


class Stage(TypedDict):
    """One stage; the values of all add up to those of the whole."""

    name: str
    compute: Compute
    run: StageRun
    money: StageMoney
    energy: Energy
    carbon: Carbon
    water: Water


class TaskForecast(TypedDict):
    """One task law."""

    law: str
    family: str
    accuracy: Number
    task_loss: Number
    chance: float | None


class Task(TypedDict):
    """Accuracy on the task that was asked for, by the first of its laws and by each."""

    task: str
    accuracy: Number
    forecasts: list[TaskForecast]


class Serving(TypedDict):
    """Serving the model for its lifetime."""

    hardware: str
    layout: str
    stack: str
    precision: str
    bound: str
    n_tokens: Number
    n_requests: Number
    n_devices: Number
    serving_s: Number
    utilisation: Number
    first_token_s: Number
    per_token_s: Number
    tokens_per_s_per_device: Number
    usd_per_million_tokens: Number
    device_hours: Number
    usd: Number
    wh: Number
    it_wh: Number
    devices_wh: Number
    kgco2e: Number
    embodied_kgco2e: Number
    water_l: Number


class Lifetime(TypedDict):
    """Training and serving together."""

    device_hours: Number
    usd: Number
    wh: Number
    kgco2e: Number
    embodied_kgco2e: Number
    water_l: Number


class Wall(TypedDict):
    """What stops the run of a cluster from being larger: of which the largest fraction is used, binds."""

    name: str
    used_fraction: float | None
    value: float | None
    limit: float | None
    unit: str
    binds: bool


class Swing(TypedDict):
    """What an input does to a quantity between its 10 and 90 % points."""

    quantity: str
    input: str
    low: float
    high: float
    swing: float


class Plan(TypedDict):
    """The whole chain, one object a link."""

    kind: Literal["plan"]
    title: str | None
    compute: Compute
    law: Law
    model: Model
    layout: str | None
    memory: Memory
    step: Step
    failures: Failures
    run: Run
    money: Money
    energy: Energy
    carbon: Carbon
    water: Water
    task: Task | None
    serving: Serving | None
    lifetime: Lifetime | None
    walls: list[Wall] | None
    tornado: list[Swing]
    calendar: Calendar | None
    total: Total | None
    stages: NotRequired[list[Stage]]
    search: NotRequired[list[dict[str, Any]]]


class Starter(TypedDict):
    """A plan file to begin with."""

    kind: Literal["starter"]
    toml: str


class Schema(TypedDict):
    """The JSON Schema of plan files."""

    kind: Literal["schema"]
    json_schema: dict[str, Any]
