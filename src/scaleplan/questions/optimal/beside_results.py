"""The results of `optimal` where no budget is divided, as their JSON Schema is made from them."""

from __future__ import annotations

from typing import Literal, NotRequired

from typing_extensions import TypedDict  # pydantic reads this one on every Python

from scaleplan.questions.percentiles import Percentiles


class Rule(TypedDict):
    """One rule of one law."""

    law: str
    rule: str
    value: float
    unit: str
    n_params_kind: str
    standing: str
    beyond_factor: float | None


class Rules(TypedDict):
    """What each law says, rule by rule."""

    kind: Literal["rules"]
    rules: list[Rule]
    unanswered: dict[str, str]


class ContextRow(TypedDict):
    """The loss of one model at a position, or of contexts of that length."""

    law: str
    by: Literal["position", "length"]
    loss_nats: float
    mean_nats: float | None
    endless_nats: float
    standing: str


class Context(TypedDict):
    """The loss along the context."""

    kind: Literal["context"]
    context: list[ContextRow]


class Bits(TypedDict):
    """Training in few bits."""

    kind: Literal["bits"]
    effective_params_share: float
    weights_params_share: float
    best_bits: float
    best_weight_bits: float
    best_bits_over_gamma: float
    published_best_bits_low: float
    published_best_bits_high: float
    after_training_nats: NotRequired[float]


class SkippedZeros(TypedDict):
    """The best sparse model of a budget in which products with zeros cost nothing."""

    n_nonzero: float
    loss_nats: float


class DenseOptimum(TypedDict):
    """The best dense model of the same budget."""

    n_params: float
    loss_nats: float


class Sparse(TypedDict):
    """A model of which a share of the weights is zero."""

    kind: Literal["sparse"]
    n_params: NotRequired[float]
    n_tokens: NotRequired[float]
    skipped: NotRequired[SkippedZeros]
    dense: NotRequired[DenseOptimum]
    n_nonzero: float
    loss_nats: float
    dense_loss_nats: float
    dense_n_params: float


class Epochs(TypedDict):
    """Passes over the same tokens, in units of one pass."""

    kind: Literal["epochs"]
    worth: float
    worth_per_epoch: float
    lost_per_epoch: float
    worth_geometric: float
    data_term_difference: float
    most_worth: float


class SeenRow(TypedDict):
    """One law seen without embeddings."""

    law: str
    n_params: float
    n_params_kind: Literal["non_embedding"]
    n_total_params: float
    n_tokens: float
    loss_nats: float | None
    compute_flops: float
    exponent: float
    loss_exponent: float
    total_exponent: float


class SizesSeen(TypedDict):
    """A budget in which embeddings do not count."""

    kind: Literal["without_embeddings"]
    laws: list[SeenRow]


class SizeOff(TypedDict):
    """Against the efficient size."""

    steps_ratio: float
    compute_ratio: float


class Convergence(TypedDict):
    """Efficient training against training towards convergence."""

    efficient_excess: float
    params_ratio: float
    steps_ratio: float
    compute_ratio: float


class DataNeeded(TypedDict):
    """Tokens against overfitting."""

    exponent: float
    prefactor: float
    needed_tokens: float
    stated_tokens: float


class Efficiency(TypedDict):
    """What is off the efficient size; null what was not asked."""

    kind: Literal["efficiency"]
    size: SizeOff | None
    convergence: Convergence | None
    data: DataNeeded | None


class ForecastRow(TypedDict):
    """One task law."""

    law: str
    task: str
    family: str
    n_params: float
    n_params_kind: Literal["total", "without_input_embedding"]
    n_tokens: float
    task_loss: float
    task_loss_unit: str
    accuracy: float
    chance: float | None
    widest: Literal["forecast", "noise", "loss", "map"]
    standing: str
    intervals: dict[str, Percentiles]


class Task(TypedDict):
    """Accuracy on a task."""

    kind: Literal["task"]
    forecasts: list[ForecastRow]
