"""Optima without a form for the loss: parabolas through slices of equal compute, and the lower envelope of training curves.

Source: hoffmann2022 sections 3.1 (envelope) and 3.2 (slices). Either gives N_opt at several budgets, and a power through them:
N_opt = scale C^exponent.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from scaleplan.errors import InputError, ScaleplanError
from scaleplan.laws.convention import FLOPS_PER_PARAM_TOKEN
from scaleplan.laws.fitting.fit import n_values
from scaleplan.laws.fitting.shapes import Array, Columns

SAME_BUDGET = 1.1  # runs whose compute differs by less belong to one slice
WIDEST_SLICE = 1.3  # most by which its runs may differ in compute; beyond it there are no budgets, only runs at all scales
FEWEST_IN_SLICE = 4  # sizes; a parabola has three constants
FEWEST_SLICES = 3
N_BUDGETS = 1500  # at which the envelope is read, spread evenly over the logarithm of compute


class Optimum(NamedTuple):
    """The best size at one budget. loss_nats is the loss there."""

    compute_flops: float
    n_params: float
    loss_nats: float
    n_runs: int


class Refused(NamedTuple):
    """A slice without an optimum, and what would give it one."""

    compute_flops: float
    n_runs: int
    reason: str
    advice: str


class Growth(NamedTuple):
    """N_opt = scale C^exponent through the optima, with draws of both where there are resamples."""

    scale: float
    exponent: float
    optima: list[Optimum]
    refused: list[Refused]
    draws: Array | None

    @property
    def n_params_limits(self) -> tuple[float, float]:
        sizes = [optimum.n_params for optimum in self.optima]
        return min(sizes), max(sizes)


def slices(compute: Array) -> Iterator[Any]:
    """Positions of the runs of each budget, smallest budget first."""
    order = np.argsort(compute, kind="stable")
    breaks = np.flatnonzero(np.diff(np.log(compute[order])) > np.log(SAME_BUDGET)) + 1
    yield from np.split(order, breaks)


def parabola(n_params: Array, loss: Array) -> tuple[float, float]:
    """The N of least loss of a parabola in log N, and the loss there. Raises InputError where it has no minimum among the runs."""
    x = np.log(n_params)
    centre = x.mean()
    c2, c1, c0 = np.polyfit(x - centre, loss, 2)
    if c2 <= 0:
        raise InputError("the loss has no minimum along this budget", hint="the curve bends the wrong way: add sizes on both sides")
    best = centre - c1 / (2 * c2)
    if best <= x.min():
        raise InputError("the smallest model is the best of this budget", hint=f"add models below {n_params.min():.3g} parameters")
    if best >= x.max():
        raise InputError("the largest model is the best of this budget", hint=f"add models above {n_params.max():.3g} parameters")
    return float(np.exp(best)), float(c0 - c1**2 / (4 * c2))


def by_slices(columns: Columns, loss: Array, resamples: int = 0, seed: int = 0) -> Growth:
    """Approach 2: the minimum of each slice, and a power through the minima."""
    compute, n_params = columns["compute_flops"], columns["n_params"]
    optima, refused, kept = [], [], []
    for rows in slices(compute):
        budget = float(np.exp(np.log(compute[rows]).mean()))
        try:
            check_slice(budget, compute[rows], n_params[rows])
            best, least = parabola(n_params[rows], loss[rows])
        except ScaleplanError as error:
            refused.append(Refused(budget, len(rows), error.message, error.way_out or ""))
        else:
            optima.append(Optimum(budget, best, least, len(rows)))
            kept.append(rows)
    if len(optima) < FEWEST_SLICES:
        raise too_few(optima, refused)
    scale, exponent = power_through([o.compute_flops for o in optima], [o.n_params for o in optima])
    draws = resampled_slices(compute, n_params, loss, kept, resamples, seed) if resamples else None
    return Growth(scale, exponent, optima, refused, draws)


def check_slice(budget: float, compute: Array, n_params: Array) -> None:
    """Refuse runs that are not one budget, or too few sizes for a parabola."""
    if compute.max() > WIDEST_SLICE * compute.min():
        reason = f"compute runs from {compute.min():.3g} to {compute.max():.3g} FLOP without a gap"
        raise InputError(reason, hint="slices need runs at a few budgets, equal within a few percent")
    if n_values(n_params) < FEWEST_IN_SLICE:
        advice = f"add runs of {budget:.3g} FLOP at other sizes, {FEWEST_IN_SLICE} or more in all"
        raise InputError(f"{n_values(n_params)} sizes at this budget are too few", hint=advice)


def too_few(optima: list[Optimum], refused: list[Refused]) -> InputError:
    """Not enough budgets with a minimum; the hint is the run to add at the first of those without."""
    found = f"{len(optima)} of {len(optima) + len(refused)} budgets have a minimum among their runs; {FEWEST_SLICES} are needed"
    if not refused:
        return InputError(found, hint="add runs at other budgets, several sizes each")
    first = refused[0]
    return InputError(f"{found}. At {first.compute_flops:.3g} FLOP: {first.reason}", hint=first.advice)


def power_through(compute: Any, n_params: Any) -> tuple[float, float]:
    """scale and exponent of N = scale C^exponent, least squares in logarithms."""
    exponent, intercept = np.polyfit(np.log(compute), np.log(n_params), 1)
    return float(np.exp(intercept)), float(exponent)


def resampled_slices(compute: Array, n_params: Array, loss: Array, kept: list[Array], resamples: int, seed: int) -> Array:
    """Draws of (scale, exponent): the runs of each slice drawn anew, slices without a minimum left out of that draw."""
    found = []
    for number in range(resamples):
        generator = np.random.default_rng([seed, number])
        budgets, sizes = [], []
        for rows in kept:
            picked = rows[generator.integers(len(rows), size=len(rows))]
            if n_values(n_params[picked]) >= 3:
                try:
                    sizes.append(parabola(n_params[picked], loss[picked])[0])
                except InputError:
                    continue
                budgets.append(np.exp(np.log(compute[rows]).mean()))
        if len(budgets) >= 2:
            found.append(power_through(budgets, sizes))
    return np.array(found).reshape(-1, 2)


def by_envelope(columns: Columns, loss: Array, resamples: int = 0, seed: int = 0) -> Growth:
    """Approach 1: at each of many budgets the training curve that is lowest there, and a power through their sizes.

    Rows of one n_params are one training curve; between its points log loss is taken as linear in log compute.
    """
    curves = curves_of(columns, loss)
    if len(curves) < FEWEST_SLICES:
        raise InputError(
            f"{len(curves)} training curves are too few for an envelope", hint="give several rows of each size, at increasing n_tokens"
        )
    budgets, sizes, losses = envelope(curves)
    inner = (sizes > min(c[0] for c in curves)) & (sizes < max(c[0] for c in curves))  # at the ends a larger range could be better
    if n_values(sizes[inner]) < FEWEST_SLICES:
        raise InputError(
            "fewer than three sizes are ever the best but the smallest and the largest", hint="add sizes between and beyond those"
        )
    scale, exponent = power_through(budgets[inner], sizes[inner])
    optima = [Optimum(*values, 1) for values in zip(budgets[inner].tolist(), sizes[inner].tolist(), losses[inner].tolist(), strict=True)]
    draws = resampled_envelope(curves, resamples, seed) if resamples else None
    return Growth(scale, exponent, optima, [], draws)


Curve = tuple[float, Array, Array]


def curves_of(columns: Columns, loss: Array) -> list[Curve]:
    """n_params, log compute and log loss along each training curve."""
    n_params, n_tokens = columns["n_params"], columns["n_tokens"]
    found = []
    for size in np.unique(n_params):
        rows = np.flatnonzero(n_params == size)
        rows = rows[np.argsort(n_tokens[rows], kind="stable")]
        if len(rows) > 1:
            found.append((float(size), np.log(FLOPS_PER_PARAM_TOKEN * size * n_tokens[rows]), np.log(loss[rows])))
    return found


def envelope(curves: list[Curve]) -> tuple[Array, Array, Array]:
    """At each budget that some curve reaches: compute, the size of the lowest curve, its loss."""
    low, high = min(c[1][0] for c in curves), max(c[1][-1] for c in curves)
    budgets = np.linspace(low, high, N_BUDGETS)
    losses = np.array([np.interp(budgets, x, y, left=np.inf, right=np.inf) for _, x, y in curves])
    best = losses.argmin(axis=0)
    reached = np.isfinite(losses.min(axis=0))
    sizes = np.array([size for size, _, _ in curves])[best]
    return np.exp(budgets[reached]), sizes[reached], np.exp(losses.min(axis=0)[reached])


def resampled_envelope(curves: list[Curve], resamples: int, seed: int) -> Array:
    """Draws of (scale, exponent): training curves drawn anew."""
    found = []
    for number in range(resamples):
        picks = np.random.default_rng([seed, number]).integers(len(curves), size=len(curves))
        budgets, sizes, _ = envelope([curves[i] for i in np.unique(picks)])
        if n_values(sizes) >= FEWEST_SLICES:
            found.append(power_through(budgets, sizes))
    return np.array(found).reshape(-1, 2)
