"""What repeated data are worth: the additive law fitted to runs that saw every token once, then R_D* and R_N* to the others.

Source: muennighoff2023 section 5, in the same two steps.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from scaleplan.errors import InputError
from scaleplan.laws.fitting.fit import Fit, completed, fit
from scaleplan.laws.fitting.frontier import additive_law
from scaleplan.laws.fitting.problem import DELTA
from scaleplan.laws.fitting.shapes import SHAPES, Array, Columns
from scaleplan.laws.repetition import Repeated, Repeating
from scaleplan.wording import field

ONCE = 1.001  # epochs up to which data count as seen once
FEWEST_REPEATING = 3  # runs; two constants
LEAST, MOST = 0.1, 1e4  # of either constant: beyond it, repetition is worth nothing, or as much as new data
N_GRID = 17
MOST_GRIDS = 100
ZOOM = 0.6
FINEST = 3e-5  # of a logarithm, half the width of the last grid


class RepeatedFit(NamedTuple):
    """The fresh law, the two constants, and the objective on the runs that repeat."""

    fresh: Fit
    law: Repeating
    objective: float
    residuals: Array
    at_edge: tuple[str, ...]


def fit_repeated(columns: Columns, loss: Array, tied: bool = False) -> RepeatedFit:
    """Both steps. `unique_tokens` is a column; `tied` keeps alpha = beta, as the source does."""
    columns = completed(columns)
    for name in ("n_params", "n_tokens", "unique_tokens"):
        if name not in columns:
            raise InputError(f"the form `repeating` needs a column `{name}`", hint=f"name it with {field('column')} {name}=...")
    once = columns["n_tokens"] <= ONCE * columns["unique_tokens"]
    if (~once).sum() < FEWEST_REPEATING:
        raise InputError(
            f"only {(~once).sum()} runs repeat their data", hint="add runs with n_tokens well above unique_tokens: 4, 16 and 64 epochs"
        )
    try:
        fresh = fit(SHAPES["additive-tied" if tied else "additive"], {name: values[once] for name, values in columns.items()}, loss[once])
    except InputError as error:
        raise InputError(f"of the {once.sum()} runs that saw every token once: {error.message}", hint=error.way_out) from None
    base = additive_law(fresh.shape, fresh.theta)
    assert base is not None, "both forms are additive"
    n_params, n_tokens, unique = (columns[name][~once, None] for name in ("n_params", "n_tokens", "unique_tokens"))

    def residuals(r_d: Array, r_n: Array) -> Array:
        off: Array = np.log(Repeated(base, r_d, r_n, unique).loss(n_params, n_tokens)) - np.log(loss[~once, None])
        return off

    def objective(logs: Array) -> Array:
        size = np.abs(residuals(*np.exp(logs)))
        near = np.minimum(size, DELTA)
        total: Array = (near * (size - near / 2)).sum(axis=0)
        return total

    logs, least = zoomed(objective)
    r_d, r_n = np.exp(logs)
    all_residuals = np.empty(len(loss))
    all_residuals[once] = fresh.residuals
    all_residuals[~once] = residuals(np.array([r_d]), np.array([r_n]))[:, 0]
    names = ("r_d_star", "r_n_star")
    edge = tuple(name for name, value in zip(names, (r_d, r_n), strict=True) if not LEAST * 1.1 < value < MOST / 1.1)
    return RepeatedFit(fresh, Repeating(base, float(r_d), float(r_n)), least, all_residuals, edge)


def zoomed(objective: Callable[[Array], Array]) -> tuple[Array, float]:
    """The least of a function of two logarithms: a grid over the whole range, then ever finer ones around the best point."""
    low, high = np.log(LEAST), np.log(MOST)
    centre, half = np.full(2, (low + high) / 2), (high - low) / 2
    best, least = centre, np.inf
    for _ in range(MOST_GRIDS):
        axes = [np.clip(np.linspace(c - half, c + half, N_GRID), low, high) for c in centre]
        points = np.array([axis.ravel() for axis in np.meshgrid(*axes)])
        values = objective(points)
        k = int(np.argmin(values))
        moved = np.abs(points[:, k] - centre).max()
        if values[k] < least:
            best, least = points[:, k], float(values[k])
        centre = best
        if moved < half / 2:  # along a flat valley it goes on at the same width
            half *= ZOOM
        if half < FINEST:
            break
    return best, least
