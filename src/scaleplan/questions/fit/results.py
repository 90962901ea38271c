"""The results of `fit`, as their JSON Schema is made from them."""

from __future__ import annotations

from typing import Literal, NotRequired

from typing_extensions import TypedDict  # pydantic reads this one on every Python


class Spread(TypedDict):
    """Percentiles of a constant over the resamples, and their standard deviation."""

    p2_5: float
    p10: float
    p50: float
    p90: float
    p97_5: float
    sd: float


class Data(TypedDict):
    """The file, its digest, and which of its columns were read."""

    file: str
    sha256: str
    columns: dict[str, str]


class Residual(TypedDict):
    """One run beside the prediction."""

    line: int
    loss_nats: float
    predicted_nats: float
    residual: float


class Covariance(TypedDict):
    """Of the parameters; coefficients by their logarithms."""

    parameters: list[str]
    matrix: list[list[float]]


class Bootstrap(TypedDict):
    """The resamples."""

    n_asked: int
    n_done: int
    n_settled: int
    seed: int


class Influence(TypedDict):
    """The group of runs that moves a constant most."""

    lines: list[int]
    parameter: str
    with_all: float
    without: float
    standard_error: float


class LawConstants(TypedDict):
    """The constants of a form, under the names of its article."""

    form: str
    e_nats: NotRequired[float]
    a: NotRequired[float]
    b: NotRequired[float]
    alpha: NotRequired[float]
    beta: NotRequired[float]
    n_c: NotRequired[float]
    d_c: NotRequired[float]
    alpha_n: NotRequired[float]
    alpha_d: NotRequired[float]
    s_c: NotRequired[float]
    alpha_s: NotRequired[float]
    eta: NotRequired[float]
    c: NotRequired[float]
    g: NotRequired[float]
    gamma: NotRequired[float]
    scale: NotRequired[float]
    of_params: NotRequired[float]
    of_experts: NotRequired[float]
    of_both: NotRequired[float]
    delta: NotRequired[float]
    omega: NotRequired[float]
    zeta: NotRequired[float]
    d: NotRequired[float]


class RepeatingConstants(TypedDict):
    """The additive constants of fresh data, and those of repetition."""

    form: str
    e_nats: float
    a: float
    b: float
    alpha: float
    beta: float
    r_d_star: float
    r_n_star: float


class FittedLaw(TypedDict):
    """The law of one form."""

    kind: Literal["law"]
    law: LawConstants
    n_params_kind: Literal["total", "non_embedding"]
    covariance: Covariance | None
    intervals: dict[str, Spread] | None
    objective: float
    n_rows: int
    n_starts: int
    n_starts_agreeing: int
    condition: float | None
    standard_errors: dict[str, float] | None
    optimum: dict[str, float] | None
    bootstrap: Bootstrap | None
    influence: Influence | None
    range: dict[str, float]
    data: Data
    residuals: list[Residual]


class Form(TypedDict):
    """One form of a comparison."""

    form: str
    formula: str
    n_constants: int
    held_out_error: float
    held_out_bias: float
    fitted_error: float


class Comparison(TypedDict):
    """The forms, best first."""

    kind: Literal["comparison"]
    forms: list[Form]
    best: str
    n_rows: int
    held_out_lines: list[int]


class NextRun(TypedDict):
    """One proposed run."""

    n_params: float
    n_tokens: float
    tokens_per_param: float
    compute_flops: float


class Design(TypedDict):
    """The next runs."""

    kind: Literal["design"]
    runs: list[NextRun]
    interval_factor_before: float
    interval_factor_after: float
    device_hours: float | None
    usd: float | None
    target_compute_flops: float
    n_rows: int


class Optimum(TypedDict):
    """The least loss of one budget."""

    compute_flops: float
    n_params: float
    loss_nats: float
    n_runs: int


class Refused(TypedDict):
    """A budget whose runs show no minimum, and what would give it one."""

    compute_flops: float
    n_runs: int
    reason: str
    advice: str


class TargetOptimum(TypedDict):
    """N_opt at the budget that was asked for."""

    compute_flops: float
    n_params_at_target: float


class PowerLaw(TypedDict):
    """N_opt = scale C^exponent."""

    form: str
    scale: float
    exponent: float


class Slices(TypedDict):
    """N_opt against compute."""

    kind: Literal["slices"]
    law: PowerLaw
    n_params_kind: Literal["total", "non_embedding"]
    intervals: dict[str, Spread] | None
    n_rows: int
    optima: list[Optimum]
    without_optimum: list[Refused]
    optimum: TargetOptimum
    range: dict[str, float]
    data: Data


class RepeatingLaw(TypedDict):
    """What repeated data are worth."""

    kind: Literal["repeating"]
    law: RepeatingConstants
    n_params_kind: Literal["total", "non_embedding"]
    intervals: None
    objective: float
    n_rows: int
    n_rows_once: int
    n_starts: int
    n_starts_agreeing: int
    range: dict[str, float]
    data: Data
    residuals: list[Residual]


class TaskLoss(TypedDict):
    """The loss of the task: E + A / N^alpha + B / D^beta."""

    form: str
    e: float
    a: float
    b: float
    alpha: float
    beta: float


class TaskScore(TypedDict):
    """From that loss to the accuracy: a / (1 + exp(-k (L - l0))) + b."""

    form: str
    a: float
    l0: float
    k: float
    b: float


class HeldOut(TypedDict):
    """The largest size by a fit of the others."""

    n_params: float
    n_rows: int
    mean_error: float
    rms_error: float


class Scored(TypedDict):
    """One row beside the law."""

    line: int
    accuracy: float
    predicted_accuracy: float
    residual: float


class LadderLaw(TypedDict):
    """A two-step law of the accuracy on a task."""

    kind: Literal["ladder"]
    task: str
    family: str
    n_params_kind: Literal["total", "non_embedding"]
    task_loss: TaskLoss
    score: TaskScore
    intervals: dict[str, Spread]
    noise_sd: float
    held_out: HeldOut | None
    n_rows: int
    n_runs: int
    n_sizes: int
    bootstrap: Bootstrap
    range: dict[str, float]
    data: Data
    residuals: list[Scored]
