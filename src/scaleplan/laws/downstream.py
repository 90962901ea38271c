"""From N and D to the accuracy on a task, in two steps: a loss of the task's own, then its map to a score.

A task law belongs to one family of models: one data mixture, tokenizer, prompt format and count of shots. It takes its own N
and D, never another law's loss, and refuses other families and runs far outside of what it was fitted or checked on.
Sources: bhagia2024 (one task), gadre2024 (means over tasks).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from scaleplan.errors import InputError, NotSupported
from scaleplan.laws.forms import Additive
from scaleplan.numeric import exp, log
from scaleplan.wording import field, question

Z_80 = 1.2815515655446004  # standard deviations from the middle to the 90 % point of a normal
FARTHEST_ONE_TASK = 5.0  # times beyond the runs of the fit: this project's choice
FARTHEST_MEAN = 10.0
WIDEST_FLOOR = 0.05  # least half-width from which a law counts as that of one task

Widest = Literal["forecast", "noise", "loss", "map"]
"""What makes an interval wide: misses on held-out runs, noise of checkpoints; of a fitted ladder, its loss and its map."""


class Sigmoid(NamedTuple):
    """accuracy = A / (1 + exp(-k (L - L0))) + B, with A < 0: B at no loss, A + B at a large one. Source: bhagia2024 step 2.

    >>> round(Sigmoid(-0.74206, 0.61595, 4.83339, 1.0).accuracy(0.61595), 3)
    0.629
    """

    a: Any
    l0: Any
    k: Any
    b: Any

    def accuracy(self, loss: Any) -> Any:
        return self.a / (1 + exp(-self.k * (loss - self.l0))) + self.b


class ExponentialError(NamedTuple):
    """accuracy = 1 - (eps - k exp(-gamma L)). Source: gadre2024 equation 5.

    >>> round(1 - ExponentialError(0.849742, 2.078907, 0.756121).accuracy(2.5), 4)
    0.5358
    """

    eps: Any
    k: Any
    gamma: Any

    def accuracy(self, loss: Any) -> Any:
        return 1 - (self.eps - self.k * exp(-self.gamma * loss))


Score = Sigmoid | ExponentialError
SCORES: Mapping[str, type[Sigmoid] | type[ExponentialError]] = {"sigmoid": Sigmoid, "exponential": ExponentialError}
FORMULAS: Mapping[str, str] = {
    "task_loss": "e_nats + a / n_params ** alpha + b / n_tokens ** beta",
    "sigmoid": "a / (1 + exp(-k * (task_loss - l0))) + b",
    "exponential": "1 - (eps - k * exp(-gamma * task_loss))",
}


class TaskLaw(NamedTuple):
    """One task of one family.

    n_kind       which N it takes: `total` or `without_input_embedding`
    loss         its loss of N and D, in the unit that `data["convention"]["loss"]` names
    score        from that loss to the accuracy
    limits       the runs of the fit: n_params_min, ...
    checked      held-out runs: n_params, n_tokens, forecast, measured; empty where none are known
    noise_sd     standard deviation of an accuracy between checkpoints, or of runs about the map
    half_width   least half-width of an 80 % interval
    draws        refits of a ladder of one's own; empty for published laws
    """

    name: str
    title: str
    task: str
    family: str
    standing: str
    n_kind: str
    loss: Additive
    score: Score
    limits: Mapping[str, float]
    checked: Mapping[str, Sequence[float]]
    noise_sd: float
    half_width: float
    draws: Sequence[tuple[Additive, Score]]
    data: Mapping[str, Any]

    @property
    def one_task(self) -> bool:
        """Whether it is of one task, not of a mean over many."""
        return self.half_width >= WIDEST_FLOOR


class Forecast(NamedTuple):
    """The accuracy that a task law expects.

    p10, p90     80 % interval
    parts        half-width of each part of the interval, in accuracy
    widest       the part that is largest
    factors      how many times beyond the runs of the fit: n_params, n_tokens; only those beyond
    chance       accuracy of guessing, where it is known
    """

    law: TaskLaw
    n_params: float
    n_tokens: float
    task_loss: float
    accuracy: float
    p10: float
    p90: float
    parts: Mapping[Widest, float]
    widest: Widest
    factors: Mapping[str, float]
    chance: float | None


def task_law_of(data: Mapping[str, Any], loss: Additive | None = None, draws: Mapping[str, Sequence[float]] | None = None) -> TaskLaw:
    """From a parsed preset; `loss` where it is that of a law of the loss (`loss_law`), `draws` the refits of a ladder of one's own."""
    convention, spread = data["convention"], data["spread"]
    block = data["score"]
    form = SCORES[block["form"]]
    score = form(**{name: float(block[name]) for name in form._fields})
    checked = {name: values for name, values in data.get("checked", {}).items() if isinstance(values, list)}
    return TaskLaw(
        data["name"],
        data.get("title", data["name"]),
        data["task"],
        data["family"],
        data.get("standing", "fitted"),
        convention["n_params"],
        loss or task_loss_of(data["loss"]),
        score,
        {key: value for key, value in data.get("range", {}).items() if key.endswith(("_min", "_max"))},
        checked,
        spread["noise_sd"],
        spread["least_half_width"],
        [] if draws is None else draws_of(draws),
        data,
    )


def task_loss_of(block: Mapping[str, Any]) -> Additive:
    """Step 1 of a preset: its coefficients are printed as logarithms."""
    return Additive(float(block["e"]), exp(block["log_a"]), exp(block["log_b"]), float(block["alpha"]), float(block["beta"]))


DRAWN = ("e", "log_a", "log_b", "alpha", "beta", "a", "l0", "k", "b")
"""Columns of the draws of a ladder: the loss of the task, then the map to the accuracy."""


def draws_of(columns: Mapping[str, Sequence[float]]) -> list[tuple[Additive, Score]]:
    """The refits of a ladder from its table of draws; InputError where a column is missing."""
    if missing := [name for name in DRAWN if name not in columns]:
        raise InputError(f"the draws of a task law lack the column `{missing[0]}`", hint=f"its columns are {', '.join(DRAWN)}")
    rows = zip(*(columns[name] for name in DRAWN), strict=True)
    return [(task_loss_of(dict(zip(DRAWN[:5], row[:5], strict=True))), Sigmoid(*row[5:])) for row in rows]


def draw_columns(draws: Sequence[tuple[Additive, Score]]) -> dict[str, list[float]]:
    """The table of draws of refits of a ladder; what `draws_of` reads."""
    rows = [(loss.e_nats, log(loss.a), log(loss.b), loss.alpha, loss.beta, *score) for loss, score in draws]
    return {name: [row[place] for row in rows] for place, name in enumerate(DRAWN)}


def forecast(law: TaskLaw, n_params: float, n_tokens: float, family: str | None = None) -> Forecast:
    """The accuracy of N parameters (of the law's kind) on D tokens, with an interval.

    Raises NotSupported for another family of models and for a run too far beyond what the law was fitted or checked on.
    """
    check_family(law, family)
    factors = far_factors(law, n_params, n_tokens)
    loss = law.loss.loss(n_params, n_tokens)
    accuracy = law.score.accuracy(loss)
    parts = parts_of(law, n_params, n_tokens, beyond=bool(factors))
    half = sum(part**2 for part in parts.values()) ** 0.5
    low, high = max(accuracy - half, 0.0), min(accuracy + half, 1.0)  # an accuracy ends at 0 and 1
    widest = max(parts, key=lambda name: parts[name])
    return Forecast(
        law, n_params, n_tokens, loss, accuracy, low, high, parts, widest, factors, law.data.get("convention", {}).get("chance")
    )


def check_family(law: TaskLaw, family: str | None) -> None:
    """Refuse another family: the constants belong to one mixture, tokenizer and prompt format."""
    if family is not None and family != law.family:
        raise NotSupported(
            f"{field('family')} `{family}`: `{law.name}` is of {law.family} models and says nothing of others",
            hint="fit a law to a ladder of that family, N, D, task loss and accuracy of at least four sizes: "
            + question("fit", "ladder.csv", form="ladder", family=family),
        )


def far_factors(law: TaskLaw, n_params: float, n_tokens: float) -> dict[str, float]:
    """How far beyond the fit a run lies; refused beyond 5 times (one task) or 10 times (a mean), unless larger runs were checked."""
    most = FARTHEST_ONE_TASK if law.one_task else FARTHEST_MEAN
    found = {}
    for name, value, spelled in (("n_params", n_params, "n_params"), ("n_tokens", n_tokens, "tokens")):
        low, high = law.limits.get(f"{name}_min", value), law.limits.get(f"{name}_max", value)
        factor = max(value / high, low / value)
        if factor > 1:
            found[name] = factor
        furthest = max([high * most, *law.checked.get(name, ())])
        if value > furthest or value < low / most:
            raise NotSupported(
                f"`{law.name}` was fitted from {low:.3g} to {high:.3g} {name} and is not used at {value:.3g}",
                hint=f"{field(spelled)} from {low / most:.3g} to {furthest:.3g}",
            )
    return found


def parts_of(law: TaskLaw, n_params: float, n_tokens: float, *, beyond: bool) -> dict[Widest, float]:
    """The half-widths of an 80 % interval that add in quadrature.

    A published law: the largest miss on its held-out runs (at least that of its kind), and the noise of checkpoints. A ladder of
    one's own: what its loss and its map leave open over the refits, the scatter of its runs about the map, and beyond its runs
    what a fit of the smaller sizes misses the largest by, as far as that is more than the scatter.
    """
    noise = Z_80 * law.noise_sd
    misses = [abs(a - b) for a, b in zip(law.checked.get("forecast", ()), law.checked.get("measured", ()), strict=True)]
    if not law.draws:
        return {"forecast": max([law.half_width, *misses]), "noise": noise}
    losses = [draw.loss(n_params, n_tokens) for draw, _ in law.draws]
    here = law.loss.loss(n_params, n_tokens)
    by_loss = half_range([law.score.accuracy(loss) for loss in losses])
    together = half_range([score.accuracy(loss) for loss, (_, score) in zip(losses, law.draws, strict=True)])
    by_map = max(half_range([score.accuracy(here) for _, score in law.draws]), max(together**2 - by_loss**2, 0.0) ** 0.5)
    parts: dict[Widest, float] = {"loss": by_loss, "map": by_map, "noise": noise}
    if beyond and misses:
        square = sum(miss**2 for miss in misses) / len(misses)
        parts["forecast"] = Z_80 * max(square - law.noise_sd**2, 0.0) ** 0.5
    return parts


def half_range(values: Sequence[float]) -> float:
    """Half the distance from the 10 % to the 90 % point."""
    ordered = sorted(values)
    low, high = (ordered[round(share * (len(ordered) - 1))] for share in (0.1, 0.9))
    return (high - low) / 2


def without_input_embedding(n_params: int, n_vocab: int, d_model: int) -> int:
    """N of a ladder: all parameters but the input embedding.

    >>> without_input_embedding(7_298_617_344, 100_352, 4096)
    6887575552
    """
    return n_params - n_vocab * d_model
