"""Where a search begins: the best coefficients for each choice of exponents, and of these the best few.

With the exponents (and the outer power) held, the coefficients enter linearly, so one small least-squares system gives them.
"""

from __future__ import annotations

import itertools

import numpy as np

from scaleplan.laws.fitting.problem import Problem
from scaleplan.laws.fitting.shapes import Array

N_STARTS = 16
SMALLEST_SHARE = 1e-4  # of the loss, for a coefficient that least squares would have negative
MOST_ROWS = 2000  # that tell where to begin


def sample(problem: Problem) -> Problem:
    """The problem on evenly chosen runs, where it has so many that a search over all of them would be slow."""
    if problem.n_rows <= MOST_ROWS:
        return problem
    return problem.of(np.linspace(0, problem.n_rows - 1, MOST_ROWS).astype(int))


def profile_starts(problem: Problem, count: int = N_STARTS) -> Array:
    """The most promising starts, best first. Shape (at most count, n_parameters)."""
    shape = problem.shape
    grid = np.array(list(itertools.product(*shape.starts.values())))
    theta = np.zeros((len(grid), problem.n_parameters))
    theta[:, [shape.parameters.index(name) for name in shape.starts]] = grid
    with np.errstate(all="ignore"):  # a start that overflows ranks last
        theta = with_coefficients(problem, theta)
        ranks = problem.huber(problem.residuals(theta), np.ones((1, problem.n_rows)))
    order = np.argsort(np.nan_to_num(ranks, nan=np.inf), kind="stable")
    return theta[order[:count]]


def with_coefficients(problem: Problem, theta: Array) -> Array:
    """theta with the coefficients that fit best in relative error, the exponents being as they are."""
    target = problem.log_loss if problem.outer is None else problem.log_loss / theta[:, problem.outer, None]
    values, places, peaks = [], [], []
    for (indices, features, offset), term in zip(problem.terms, problem.shape.terms, strict=True):
        place = problem.shape.parameters.index(term.coefficient)
        power = np.atleast_2d(offset - target)
        for p, feature in zip(indices, features, strict=True):
            if p != place:
                power = power + theta[:, p, None] * feature
        peak = power.max(axis=1, keepdims=True)  # taken off, so that no unit of the columns can overflow
        values.append(np.exp(power - peak))
        places.append(place)
        peaks.append(np.broadcast_to(peak[:, 0], len(theta)))
    basis = np.stack(np.broadcast_arrays(*values), axis=2)
    normal = np.matmul(basis.transpose(0, 2, 1), basis) + 1e-12 * np.eye(len(places))
    found = np.linalg.solve(normal, basis.sum(axis=1)[:, :, None])[:, :, 0]
    found = np.maximum(found, SMALLEST_SHARE / basis.mean(axis=1))
    theta = theta.copy()
    theta[:, places] = np.log(found) - np.stack(peaks, axis=1)
    return theta
