"""The minimum of the objective, for many laws at once: damped Newton steps, each law with its own damping.

    step = -(curvature + damping * metric)^-1 gradient

The damping falls while steps lower the objective and rises when one does not. It is measured along the metric of the robust
fit itself, so that neither the units of the columns nor the near-dependence of A and alpha slow it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from scaleplan.laws.fitting.problem import TINY, Problem, Slopes
from scaleplan.laws.fitting.shapes import Array

MOST_STEPS = 100
FIRST_DAMPING = 1e-3
LEAST_DAMPING = 1e-12
EASED, RAISED = 0.1, 8.0
SETTLED = 1e-13  # predicted relative fall of the objective below which a law has arrived
NOTHING = 1e-24  # objective per run below which the data are fitted exactly
RIDGE = 1e-12  # of the scaled metric, whose diagonal is 1: keeps equations solvable where the data do not tell parameters apart
LIMIT = 300.0  # of any parameter: a coefficient of e^300 has run away
KEPT_BYTES = 16_777_216
NUMBERS_PER_BLOCK = 65_536  # laws times runs worked on together: what stays in a processor's cache


class Minima(NamedTuple):
    """Where each law ended. theta (n_laws, n_parameters), objective (n_laws,), settled (n_laws,): whether it is a minimum."""

    theta: Array
    objective: Array
    settled: np.ndarray[tuple[int], np.dtype[np.bool_]]


def minimise(problem: Problem, starts: Array, weights: Array) -> Minima:
    """Descend from each start. starts: (n_laws, n_parameters); weights: (n_laws, n_rows) or (1, n_rows)."""
    size = max(1, NUMBERS_PER_BLOCK // problem.n_rows)
    np.empty(KEPT_BYTES, np.uint8)  # claimed and freed: from then on glibc keeps freed arrays for reuse, which halves the time of a fit
    with np.errstate(all="ignore"):  # a step too far overflows, is infinitely bad, and is not taken
        found = [
            _block(problem, starts[i : i + size], weights if len(weights) == 1 else weights[i : i + size])
            for i in range(0, len(starts), size)
        ]
    return Minima(*(np.concatenate(parts) for parts in zip(*found, strict=True)))


def _block(problem: Problem, starts: Array, weights: Array) -> Minima:
    theta = starts.copy()
    n_laws = len(theta)
    objective, settled = np.empty(n_laws), np.zeros(n_laws, bool)
    active, damping = np.arange(n_laws), np.full(n_laws, FIRST_DAMPING)
    now = problem.slopes(theta, weights)
    for _ in range(MOST_STEPS):
        here = theta[active]
        step, fall = steps(now, damping)
        tried = np.clip(here + step, -LIMIT, LIMIT)
        then = problem.slopes(tried, weights if len(weights) == 1 else weights[active])
        better = (then.objective <= now.objective) & (fall > 0)
        done = arrived(fall, damping, now.objective, problem.n_rows)
        theta[active[better]] = tried[better]
        now.update(better, then)
        damping = np.maximum(np.where(better, damping * EASED, np.maximum(damping, 1e-6) * RAISED), LEAST_DAMPING)
        objective[active], settled[active] = now.objective, done
        going = ~done
        active, damping, now = active[going], damping[going], now.at(going)
        if not len(active):
            break
    return Minima(theta, objective, settled)


def steps(now: Slopes, damping: Array) -> tuple[Array, Array]:
    """The damped Newton step of each law, and how far the objective should fall along it (negative: it would rise)."""
    scale = 1 / np.sqrt(np.maximum(np.einsum("rpp->rp", now.metric), TINY))
    matrix = np.nan_to_num((now.curvature + damping[:, None, None] * now.metric) * scale[:, :, None] * scale[:, None, :])
    matrix += RIDGE * np.eye(matrix.shape[1])
    downhill = np.nan_to_num(-now.gradient * scale)[:, :, None]
    try:
        step = np.linalg.solve(matrix, downhill)[:, :, 0] * scale
    except np.linalg.LinAlgError:  # some law's data tell nothing in some direction: no step along it
        step = np.matmul(np.linalg.pinv(matrix, hermitian=True), downhill)[:, :, 0] * scale
    return step, -np.einsum("rp,rp->r", now.gradient, step)


def arrived(fall: Array, damping: Array, objective: Array, n_rows: int) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Whether a law can hardly fall further: with little damping, or so little that damping does not matter."""
    gentle = (np.abs(fall) < SETTLED * objective) & (damping < 1e-2)
    return gentle | (np.abs(fall) < 1e-16 * objective) | (objective < NOTHING * n_rows)
