"""A task law from a ladder of one's own runs: the task's loss of N and D, and the map from that loss to the accuracy.

Both steps are refitted on resamples of the runs (not of their checkpoints, which are not independent). The fit is held against
its own largest size: fitted without it, how far is the forecast off? Source of the two steps: bhagia2024.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from scaleplan.errors import InputError
from scaleplan.laws.downstream import Sigmoid, TaskLaw
from scaleplan.laws.fitting.fit import Fit, fit
from scaleplan.laws.fitting.frontier import additive_law
from scaleplan.laws.fitting.newton import minimise
from scaleplan.laws.fitting.shapes import SHAPES, Array
from scaleplan.laws.forms import Additive
from scaleplan.units import counted

FEWEST_SIZES = 4
SMALLEST_SPAN = 2.0  # largest N over smallest
RESAMPLES = 200
FITTED = 4  # constants of the sigmoid
SMALLEST_RISE = 3.0  # of the fitted accuracy over the ladder, in standard deviations of a run about the map: this project's choice


class Ladder(NamedTuple):
    """One row a checkpoint or a finished run. Arrays of one length.

    run  which run a row belongs to; runs are resampled whole
    """

    n_params: Array
    n_tokens: Array
    task_loss: Array
    accuracy: Array
    run: Array


class LadderFit(NamedTuple):
    """A task law of one's own; its `checked` holds how it does on the largest size when it is fitted without it."""

    law: TaskLaw
    loss_fit: Fit

    @property
    def held_out_error(self) -> float | None:
        """Mean of forecast less measured accuracy over the rows of the largest size; None where the rest are too few."""
        told, seen = (self.law.checked.get(name, ()) for name in ("forecast", "measured"))
        return float(np.mean(np.subtract(told, seen))) if told else None


def fit_ladder(ladder: Ladder, task: str, family: str, seed: int = 0, resamples: int = RESAMPLES) -> LadderFit:
    """Both steps with draws.

    Raises InputError for fewer than four sizes, for sizes within a factor two of each other, and for an accuracy that does not
    move with the loss of the task.
    """
    check_ladder(ladder)
    law, found = fitted_law(ladder, task, family)
    check_rise(ladder, law)
    draws = refits(ladder, found, law, seed, resamples)
    return LadderFit(law._replace(draws=draws, checked=held_out(ladder, task, family)), found)


def check_rise(ladder: Ladder, law: TaskLaw) -> None:
    """Refuse a task that the ladder does not move beyond the scatter of its runs: one that all of them guess."""
    rise = float(np.ptp(np.asarray(law.score.accuracy(ladder.task_loss))))
    if rise < SMALLEST_RISE * law.noise_sd:
        raise InputError(
            f"the accuracy rises by {rise:.2g} from the worst run to the best, its scatter about the map is {law.noise_sd:.2g}",
            hint="a task at chance in every run cannot be forecast: larger models, or a task of more questions",
        )


def check_ladder(ladder: Ladder) -> None:
    """Refuse a ladder that cannot tell how a task grows."""
    sizes = np.unique(ladder.n_params)
    if len(sizes) < FEWEST_SIZES:
        raise InputError(f"too few for a forecast: {counted(len(sizes), 'size')} of model", hint=f"at least {FEWEST_SIZES} sizes")
    if sizes[-1] < SMALLEST_SPAN * sizes[0]:
        raise InputError(
            f"the largest model is {sizes[-1] / sizes[0]:.2f} times the smallest: nothing to extrapolate from",
            hint=f"at least {SMALLEST_SPAN:g} times",
        )
    if np.any((ladder.accuracy < 0) | (ladder.accuracy > 1)):
        raise InputError("an accuracy lies outside 0 to 1", hint="as a fraction: 0.49, not 49")


def fitted_law(ladder: Ladder, task: str, family: str) -> tuple[TaskLaw, Fit]:
    """The law of all rows, without draws."""
    found = fit(SHAPES["additive"], {"n_params": ladder.n_params, "n_tokens": ladder.n_tokens}, ladder.task_loss)
    loss = additive_law(found.shape, found.theta)
    assert loss is not None, "the additive shape is an additive law"
    score = fitted_score(ladder.task_loss, ladder.accuracy, np.ones(len(ladder.run)), None)
    residuals = score.accuracy(ladder.task_loss) - ladder.accuracy
    noise = float(np.sqrt(np.sum(residuals**2) / max(len(residuals) - FITTED, 1)))
    limits = {
        f"{name}_{side}": float(pick(getattr(ladder, name)))
        for name in ("n_params", "n_tokens")
        for side, pick in (("min", np.min), ("max", np.max))
    }
    data: dict[str, Any] = {"convention": {"n_params": "total", "loss": "as measured"}}
    numbers = Additive(*(float(value) for value in loss))
    law = TaskLaw(
        "own-ladder",
        f"{task}, from a ladder of {family}",
        task,
        family,
        "fitted",
        "total",
        numbers,
        score,
        limits,
        {},
        noise,
        0.07,
        (),
        data,
    )
    return law, found


def fitted_score(loss: Array, accuracy: Array, weights: Array, start: Sigmoid | None) -> Sigmoid:
    """The sigmoid of least weighted squares: falling in the loss, at most 1 and at least 0 at its ends."""
    from scipy.optimize import least_squares

    low, high = float(accuracy.min()), float(accuracy.max())
    slope = 4 / max(float(np.ptp(loss)), 1e-6)
    first = [-(high - low) * 1.5 - 0.05, float(np.median(loss)), slope, min(high + 0.1, 1.0)] if start is None else list(start)
    lower, upper = np.array([-1.0, 0.0, 1e-3, 0.0]), np.array([-1e-3, 10 * float(loss.max()), 1e4, 1.0])
    root = np.sqrt(weights)

    def misses(constants: Array) -> Array:
        return root * (sigmoid(loss, constants) - accuracy)

    found = least_squares(misses, np.clip(first, lower + 1e-9, upper - 1e-9), bounds=(lower, upper), x_scale=[0.5, 0.5, slope, 0.5])
    return Sigmoid(*found.x.tolist())


def sigmoid(loss: Array, constants: Array) -> Array:
    """A / (1 + exp(-k (L - L0))) + B of an array of losses, without overflow."""
    from scipy.special import expit

    a, l0, k, b = constants
    return np.asarray(a * expit(k * (loss - l0)) + b)


def refits(ladder: Ladder, found: Fit, law: TaskLaw, seed: int, resamples: int) -> Sequence[tuple[Additive, Sigmoid]]:
    """Both steps on resamples of the runs with replacement."""
    runs, of_row = np.unique(ladder.run, return_inverse=True)
    picks = np.random.default_rng(seed).integers(len(runs), size=(resamples, len(runs)))
    counts = np.stack([np.bincount(row, minlength=len(runs)) for row in picks])
    weights = counts[:, of_row].astype(float)
    thetas = minimise(found.problem, np.repeat(found.theta[None], resamples, axis=0), weights).theta
    assert isinstance(law.score, Sigmoid), "a ladder is fitted with a sigmoid"
    draws = []
    for theta, weight in zip(thetas, weights, strict=True):
        loss = additive_law(found.shape, theta)
        assert loss is not None, "the additive shape is an additive law"
        numbers = Additive(*(float(value) for value in loss))
        if np.all(np.isfinite(numbers)) and numbers.alpha > 0 and numbers.beta > 0:  # a resample of too few sizes tells no law
            draws.append((numbers, fitted_score(ladder.task_loss, ladder.accuracy, weight, law.score)))
    return draws


def held_out(ladder: Ladder, task: str, family: str) -> dict[str, list[float]]:
    """The rows of the largest size beside what a fit of the others says of them; empty where the others tell no law."""
    rest = ladder.n_params < ladder.n_params.max()
    others = Ladder(*(column[rest] for column in ladder))
    if len(np.unique(others.n_params)) < FEWEST_SIZES - 1:
        return {}
    try:
        law, _ = fitted_law(others, task, family)
    except InputError:  # the rest do not tell the constants apart
        return {}
    n, d, measured = (column[~rest].tolist() for column in (ladder.n_params, ladder.n_tokens, ladder.accuracy))
    told = [float(law.score.accuracy(law.loss.loss(*run))) for run in zip(n, d, strict=True)]
    return {"n_params": n, "n_tokens": d, "forecast": told, "measured": measured}
