"""Which runs to add: those that shrink the interval of the optimum at a target budget most.

The runs so far give the covariance V of the parameters. A run more adds J J^T / s^2 to its inverse, with J the slopes of log L
for that run and s the noise that V implies of one. The variance of log N_opt is g^T V g with g its slopes; runs are added one at
a time, each where it lowers that variance most (a greedy c-optimal design).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from scaleplan.errors import InputError, NotSupported
from scaleplan.laws.convention import FLOPS_PER_PARAM_TOKEN
from scaleplan.laws.fitting.fit import Fit
from scaleplan.laws.fitting.frontier import additive_law
from scaleplan.laws.fitting.problem import Problem
from scaleplan.laws.fitting.shapes import Array

LADDERS = (2, 3, 4, 6, 8, 12)  # numbers of runs that are tried; all runs of a ladder cost the same
RATIOS = (1.0, 300.0)  # least and most tokens per parameter of a proposed run
N_SIZES = 80
APART = 1.25  # least ratio of two sizes of a ladder: that the form is wrong shows only between sizes
LEAST_KNOWN = 5.0  # standard error of log N_opt above which the curvature at the minimum says nothing of what lies around
STEP = 1e-5  # of a parameter, for the slope of the optimum


class Ladder(NamedTuple):
    """Runs of equal compute, and what they do to log N_opt.

    sd_before, sd_after   standard error of log N_opt at the target, without and with the runs
    """

    n_params: list[float]
    n_tokens: list[float]
    flops_per_run: float
    target_flops: float
    sd_before: float
    sd_after: float


def next_runs(fitted: Fit, budget_flops: float, target_flops: float) -> Ladder:
    """The ladder that leaves the least variance of N_opt at the target for the budget."""
    if additive_law(fitted.shape, fitted.theta) is None:
        raise NotSupported(f"runs are proposed for laws with an optimum of N and D; `{fitted.shape.name}` has none")
    if fitted.covariance is None:
        raise InputError(
            "the runs so far do not tell the constants apart, so no run can be said to be the best", hint="widen the range of N and D first"
        )
    slope = optimum_slope(fitted, target_flops)
    variance = noise_variance(fitted)
    sd = float(np.sqrt(slope @ fitted.covariance @ slope))
    if not 0 < sd < LEAST_KNOWN:
        why = "the runs follow the law without noise: there is nothing to learn" if sd == 0 else "the runs so far hardly tell the optimum"
        raise InputError(why, hint="widen the range of N and D by hand, a factor of ten in each, and fit again")
    return min((ladder(fitted, slope, variance, budget_flops, count, target_flops) for count in LADDERS), key=lambda one: one.sd_after)


def optimum_slope(fitted: Fit, target_flops: float) -> Array:
    """d log N_opt / d theta. Shape (n_parameters,)."""
    size = len(fitted.theta)
    moved = fitted.theta + STEP * np.concatenate([np.eye(size), -np.eye(size)])
    law = additive_law(fitted.shape, moved)
    assert law is not None, "next_runs refuses forms without an optimum"
    logs = np.log(law.params_at_compute(target_flops))
    slope: Array = (logs[:size] - logs[size:]) / (2 * STEP)
    return slope


def noise_variance(fitted: Fit) -> float:
    """The variance of one run that, with the slopes of the runs, gives the covariance: V = s^2 (sum of J J^T)^-1 on average."""
    jacobian = fitted.problem.jacobian(fitted.theta[None])[0]
    return float(np.trace(fitted.covariance @ (jacobian @ jacobian.T)) / len(fitted.theta))


def ladder(fitted: Fit, slope: Array, noise: float, budget_flops: float, count: int, target_flops: float) -> Ladder:
    """The best `count` runs of equal compute, one at a time."""
    flops = budget_flops / count
    lowest, highest = (np.sqrt(flops / FLOPS_PER_PARAM_TOKEN / ratio) for ratio in reversed(RATIOS))
    sizes = np.geomspace(lowest, highest, N_SIZES)
    slopes = candidate_slopes(fitted, sizes, flops)
    covariance = np.asarray(fitted.covariance)
    before = float(np.sqrt(slope @ covariance @ slope))
    chosen: list[float] = []
    free = np.ones(len(sizes), bool)
    for _ in range(count):
        reach = covariance @ slopes  # (n_parameters, n_candidates)
        gains = (slope @ reach) ** 2 / (noise + np.einsum("pi,pi->i", slopes, reach))
        best = int(np.argmax(np.where(free, gains, -1.0)))
        covariance = covariance - np.outer(reach[:, best], reach[:, best]) / (noise + slopes[:, best] @ reach[:, best])
        chosen.append(float(sizes[best]))
        free &= np.abs(np.log(sizes / sizes[best])) > np.log(APART)
    after = float(np.sqrt(max(slope @ covariance @ slope, 0.0)))
    chosen.sort()
    return Ladder(chosen, [flops / FLOPS_PER_PARAM_TOKEN / n for n in chosen], flops, target_flops, before, after)


def candidate_slopes(fitted: Fit, n_params: Array, flops: float) -> Array:
    """d log L / d theta of runs that were not made. Shape (n_parameters, n_candidates)."""
    n_tokens = flops / FLOPS_PER_PARAM_TOKEN / n_params
    columns = {
        "n_params": n_params,
        "n_tokens": n_tokens,
        "compute_flops": np.full_like(n_params, flops),
        "tokens_per_param": n_tokens / n_params,
    }
    problem = Problem(fitted.shape, columns, np.ones_like(n_params), fitted.problem.delta)
    found: Array = problem.jacobian(fitted.theta[None])[0]
    return found
