"""The results of `batch`, as their JSON Schema is made from them."""

from __future__ import annotations

from typing import Literal, NotRequired

from typing_extensions import TypedDict  # pydantic reads this one on every Python

from scaleplan.questions.percentiles import Percentiles


class Row(TypedDict):
    """One batch size; with a step time, how long the run takes and what doubling batch and devices divides that by."""

    batch_tokens: float
    critical_batches: float
    steps: float
    tokens: float
    flops: float
    wall_s: NotRequired[float]
    doubling_speedup: NotRequired[float]


class Suggestion(TypedDict):
    """What one law advises for N, D and C = 6 N D; with a batch also the rate there."""

    law: str
    optimizer: str
    schedule: str | None
    n_params_kind: str
    batch_tokens: float | None
    learning_rate: float | None
    learning_rate_at_batch: float | None
    weight_decay: float | None
    standing: str
    beyond_factor: float | None
    unanswered: dict[str, str]


class Spread(TypedDict):
    """How far rules disagree."""

    low: float
    high: float
    factor: float


class Disagreement(TypedDict):
    """By quantity, among the rules of one optimizer; null with fewer than two."""

    batch_tokens: Spread | None
    learning_rate: Spread | None


class OptimizerGain(TypedDict):
    """AdamW's tokens over those of another optimizer, to the same loss."""

    optimizer: str
    low: float
    high: float
    tuned: float | None
    claimed: float | None
    untested: bool


class Point(TypedDict):
    """A point along a batch-size ramp."""

    loss_nats: float
    critical_batch_tokens: float
    batch_tokens: float
    steps: float
    tokens: float


class Ramp(TypedDict):
    """A batch that grows with B_crit, against constant ones."""

    stretches: list[Point]
    steps: float
    tokens: float
    constant_batch_tokens: float
    constant_tokens: float
    saved_tokens_fraction: float
    saved_steps_fraction: float


class Steps(TypedDict):
    """Steps against tokens to one loss."""

    kind: Literal["tradeoff"]
    loss_nats: float
    loss_basis: Literal["given", "law"]
    loss_law: str | None
    n_params: float
    size_basis: Literal["given", "best"]
    n_tokens: float | None
    compute_flops: float | None
    batch_size_tokens: float | None
    batch_basis: Literal["given", "stated", "assumed", "solved"] | None
    critical_batch_tokens: float
    min_tokens: float
    min_steps: float
    best_n_params: float | None
    best_min_steps: float | None
    min_compute_flops: float | None
    extra_tokens_fraction: float | None
    extra_steps_fraction: float | None
    fastest_wall_s: float | None
    cheapest_flops: float | None
    last_doubling_batch_tokens: float | None
    tradeoff: list[Row]
    suggestions: list[Suggestion]
    disagreement: Disagreement | None
    weight_decay_time: float | None
    optimizer_gain: OptimizerGain | None
    schedule: Ramp | None
    intervals: dict[str, Percentiles] | None


class Noise(TypedDict):
    """The gradient noise scale, in the unit of the batches that were measured."""

    kind: Literal["noise"]
    noise_scale: float
    gradient_norm2: float
    noise_trace: float
