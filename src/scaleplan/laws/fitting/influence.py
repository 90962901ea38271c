"""Which runs pull the fit: what happens to the constants without a few of them.

Candidates are the runs with the largest residuals, those of the highest loss (short runs, where power laws end), and those
whose removal should move each parameter most, up or down, by the curvature at the minimum. Each group is taken out and the
rest fitted again, all groups at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from scaleplan.laws.fitting.fit import Fit, determination
from scaleplan.laws.fitting.newton import minimise, steps
from scaleplan.laws.fitting.shapes import Array

GROUP_SIZES = (1, 2, 3, 5, 8)
MOST_ROWS = 10_000
FEWEST_PER_PARAMETER = 4  # runs left, for a standard error that means something
VISIBLE = 0.005  # relative change of an exponent that anyone would see: data without noise have intervals of nothing
LARGEST_SHARE = 0.03  # of the runs: taking out more is fitting something else
NEARLY = 0.8  # of the strongest pull: a smaller group that does nearly as much says more
NOTABLE = 3.0  # standard errors: the group was chosen for its pull, and chance alone gives clean tables 2 in one case of twelve


class Influence(NamedTuple):
    """What a group of runs does to one parameter.

    rows            positions of the runs in the table
    before, after   the parameter with all runs, and without these
    standard_error  of the parameter without them
    """

    rows: tuple[int, ...]
    parameter: str
    before: float
    after: float
    standard_error: float

    @property
    def shift(self) -> float:
        """How far it moves, in standard errors of what is left."""
        return abs(self.after - self.before) / self.standard_error

    @property
    def notable(self) -> bool:
        """Whether the value with all runs is clearly outside the 95 % interval of the fit without these."""
        return self.shift > NOTABLE and abs(self.after - self.before) > VISIBLE * abs(self.before)


def strongest_influence(fitted: Fit) -> Influence | None:
    """The group that moves an exponent farthest outside the interval of the rest; the smallest group that does nearly as much.

    None where no exponent can be moved, where nothing can be said of intervals, and where there are so many runs that a handful
    cannot matter.
    """
    if fitted.problem.n_rows > MOST_ROWS:
        return None
    groups = sorted(set(candidates(fitted)), key=len)
    if not groups:
        return None
    weights = np.ones((len(groups), fitted.problem.n_rows))
    for weight, rows in zip(weights, groups, strict=True):
        weight[list(rows)] = 0
    refitted = minimise(fitted.problem, np.repeat(fitted.theta[None], len(groups), axis=0), weights).theta
    pulls = [pull for i, rows in enumerate(groups) for pull in influences_of(fitted, rows, refitted[i], weights[i])]
    if not pulls:
        return None
    most = max(pull.shift for pull in pulls)
    fewest = min(len(pull.rows) for pull in pulls if pull.shift >= NEARLY * most)
    return max((pull for pull in pulls if len(pull.rows) == fewest), key=lambda pull: pull.shift)


def candidates(fitted: Fit) -> Iterator[tuple[int, ...]]:
    """Groups worth taking out."""
    problem = fitted.problem
    orders = [np.argsort(-np.abs(fitted.residuals), kind="stable"), np.argsort(-problem.loss, kind="stable")]
    for moves in row_moves(fitted)[exponents(fitted)]:
        order = np.argsort(moves, kind="stable")
        orders += [order, order[::-1]]
    for order in orders:
        for size in GROUP_SIZES:
            if size <= max(1, LARGEST_SHARE * problem.n_rows) and problem.n_rows - size >= FEWEST_PER_PARAMETER * problem.n_parameters:
                yield tuple(sorted(order[:size].tolist()))


def row_moves(fitted: Fit) -> Array:
    """By how much taking out each run should move each parameter, to first order. Shape (n_parameters, n_rows)."""
    problem = fitted.problem
    now = problem.slopes(fitted.theta[None], np.ones((1, problem.n_rows)))
    pulls = np.clip(fitted.residuals, -problem.delta, problem.delta)
    jacobian = problem.jacobian(fitted.theta[None])[0]
    per_row = now._replace(
        gradient=-(jacobian * pulls).T,
        curvature=np.broadcast_to(now.curvature, (problem.n_rows, *now.curvature.shape[1:])),
        metric=np.broadcast_to(now.metric, (problem.n_rows, *now.metric.shape[1:])),
    )
    moved, _ = steps(per_row, np.full(problem.n_rows, 0.1))
    return moved.T


def exponents(fitted: Fit) -> list[int]:
    """Positions of the parameters that are exponents."""
    return [i for i, name in enumerate(fitted.shape.parameters) if not name.startswith("log_")]


def influences_of(fitted: Fit, rows: tuple[int, ...], theta: Array, weights: Array) -> Iterator[Influence]:
    """What taking out a group does to each exponent, where the rest says how sure it is."""
    _, covariance = determination(fitted.problem, theta, weights)
    if covariance is None:
        return
    for i in exponents(fitted):
        error = float(np.sqrt(max(covariance[i, i], 0.0)))
        if error > 0:
            yield Influence(rows, fitted.shape.parameters[i], float(fitted.theta[i]), float(theta[i]), error)
