"""The results of `optimal`, as their JSON Schema is made from them."""

from __future__ import annotations

from typing import Literal, NotRequired

from typing_extensions import TypedDict  # pydantic reads this one on every Python

from scaleplan.questions.percentiles import Percentiles


class PerDecade(TypedDict):
    """By how much ten times the compute multiplies things, and the loss there."""

    n_params: float
    n_tokens: float
    critical_batch_tokens: float | None
    n_steps: float | None
    loss_nats: float | None


class Penalty(TypedDict):
    """A run against the best run of its own law."""

    best_n_params: float
    best_n_tokens: float
    best_loss_nats: float | None
    above_best_nats: float | None
    compute_factor: float


class Row(TypedDict):
    """One law."""

    law: str
    n_params: float
    n_params_kind: Literal["total", "non_embedding"]
    n_tokens: float
    tokens_per_param: float
    loss_nats: float | None
    loss: float | None
    loss_unit: str
    compute_flops: float
    critical_batch_tokens: float | None
    n_steps: float | None
    n_total_params: float
    n_non_embedding_params: float
    recommended_loss_nats: float
    excess_nats: float
    wasted_compute_fraction: float
    recommended_spent_flops: float
    recommended_needed_flops: float
    rules: dict[str, float]
    unsaid: dict[str, str]
    tokenizer: str
    standing: str
    loss_kind: Literal["frontier", "one-pass", "repeated"] | None
    intervals: dict[str, Percentiles] | None
    per_decade: PerDecade | None
    min_compute_flops: NotRequired[float]
    dataset_loss_nats: NotRequired[float]
    penalty: NotRequired[Penalty]
    epochs: NotRequired[float]
    inference_flops: NotRequired[float]
    bits_per_byte: NotRequired[float | None]
    flops_per_token: NotRequired[float]
    relative_to_six_n: NotRequired[float]
    n_params_factor: NotRequired[float]
    n_tokens_factor: NotRequired[float]
    loss_difference_nats: NotRequired[float | None]


class Moment(TypedDict):
    """A point of a training run at the critical batch."""

    n_tokens: float
    steps: float
    min_steps: float
    loss_nats: float
    loss_kind: Literal["one-pass"]


class Training(TypedDict):
    """The run of a law that knows the loss against steps, and where that law ends."""

    law: str
    moments: list[Moment]
    endless_nats: NotRequired[float]
    stopping_steps: NotRequired[float]
    contradiction_compute_flops: NotRequired[float]
    contradiction_n_params: NotRequired[float]
    contradiction_n_tokens: NotRequired[float]
    contradiction_loss_nats: NotRequired[float]


class LossChange(TypedDict):
    """What it takes to change a loss; null where no amount is enough."""

    law: str
    loss_nats: float
    target_nats: float
    params_factor: float | None
    tokens_factor: float | None
    compute_factor: float | None
    params_limit_nats: float
    tokens_limit_nats: float


class OfDense(TypedDict):
    """The laws side by side."""

    kind: Literal["dense"]
    laws: list[Row]
    recommended: str
    training: list[Training]
    loss_changes: list[LossChange]
    budget: NotRequired[dict[str, float]]


class MixtureRow(TypedDict):
    """One law of a mixture of experts."""

    law: str
    n_params: float
    n_params_kind: Literal["active"]
    n_active_params: float
    n_total_params: float
    n_experts: int
    n_experts_per_token: int
    expert_share_of_active: float
    n_tokens: float
    tokens_per_param: float
    loss_nats: float
    compute_flops: float
    critical_batch_tokens: None
    tokenizer: str
    standing: str
    intervals: None


class RoutedRow(TypedDict):
    """Routing at the fixed data of one law, one expert a token."""

    law: str
    loss_nats: float
    dense_loss_nats: float
    dense_n_params: float
    useless_from_n_params: float
    standing: str


class OfMixture(TypedDict):
    """The laws that know experts, side by side."""

    kind: Literal["mixture"]
    laws: list[MixtureRow]
    recommended: None
    routed: list[RoutedRow]
