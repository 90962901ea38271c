"""How far the constants could be off: the fit repeated on resamples of the runs.

Resamples are made in parts of fixed size. A part depends on the runs, the seed and its number alone, so that parts give the
same draws whichever process computes them and in whichever order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from scaleplan.laws.fitting.newton import NUMBERS_PER_BLOCK, Minima, minimise
from scaleplan.laws.fitting.problem import Problem
from scaleplan.laws.fitting.shapes import Array

RESAMPLES_PER_PART = 250
PERCENTILES = {"p2_5": 2.5, "p10": 10.0, "p50": 50.0, "p90": 90.0, "p97_5": 97.5}
LARGEST_SHIFT = 1.0  # standard deviations between the estimate and the middle of the draws
DIGITS = 10  # of a draw: more than two machines can differ in


def parts(count: int) -> list[int]:
    """How many resamples each part holds."""
    whole, rest = divmod(count, RESAMPLES_PER_PART)
    return [RESAMPLES_PER_PART] * whole + ([rest] if rest else [])


def part(problem: Problem, theta: Array, seed: int, number: int, size: int) -> Minima:
    """The refits of one part, each from the minimum of all runs."""
    generator = np.random.default_rng([seed, number])
    block = max(1, NUMBERS_PER_BLOCK // problem.n_rows)
    found = []
    for first in range(0, size, block):
        weights = resample_weights(generator, problem.n_rows, min(block, size - first))
        found.append(minimise(problem, np.repeat(theta[None], len(weights), axis=0), weights))
    return Minima(*(np.concatenate(pieces) for pieces in zip(*found, strict=True)))


def resample_weights(generator: np.random.Generator, n_rows: int, size: int) -> Array:
    """How often each run is drawn in each resample of n_rows runs with replacement. Shape (size, n_rows)."""
    picks = generator.integers(n_rows, size=(size, n_rows)) + n_rows * np.arange(size)[:, None]
    return np.bincount(picks.ravel(), minlength=size * n_rows).reshape(size, n_rows).astype(float)


def bootstrap(problem: Problem, theta: Array, count: int, seed: int, jobs: int = 1) -> Iterator[Minima]:
    """The parts in order, as they are ready; with several jobs, threads work ahead."""
    tasks = list(enumerate(parts(count)))
    if jobs == 1:
        for number, size in tasks:
            yield part(problem, theta, seed, number, size)
        return
    from concurrent.futures import ThreadPoolExecutor

    pool = ThreadPoolExecutor(jobs)
    try:
        yield from pool.map(lambda task: part(problem, theta, seed, *task), tasks)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def rounded(values: Array) -> Array:
    """Values with as many digits as every machine agrees on."""
    return np.array([float(f"{value:.{DIGITS}g}") for value in values.ravel()]).reshape(values.shape)


def summary(draws: Mapping[str, Array], estimates: Mapping[str, float]) -> dict[str, dict[str, Any]]:
    """Bias-corrected percentiles and standard deviation of each quantity; silent where draws run away.

    The level p of an end point becomes Phi(2 z0 + Phi^-1(p)), with Phi(z0) the share of draws below the estimate (Efron 1981). Plain
    percentiles hold the truth in 97 rather than 95 of 100 tables of runs (benchmarks/fit_coverage.py): the resamples of a robust fit
    lie to one side of it.
    """
    found = {}
    for name, values in draws.items():
        finite = values[np.isfinite(values)]
        if len(finite) < max(2, 0.98 * len(values)):
            continue
        points = np.percentile(finite, corrected_levels(float((finite < estimates[name]).mean()), len(finite)))
        found[name] = dict(zip(PERCENTILES, map(float, points), strict=True)) | {"sd": float(finite.std(ddof=1))}
    return found


def corrected_levels(share_below: float, n_draws: int) -> list[float]:
    """The percentiles to read instead of the usual ones."""
    from statistics import NormalDist

    normal = NormalDist()
    shift = normal.inv_cdf(min(max(share_below, 1 / n_draws), 1 - 1 / n_draws))
    if abs(shift) > LARGEST_SHIFT:  # all draws on one side: data without noise, or an estimate at an edge
        return list(PERCENTILES.values())
    return [100 * normal.cdf(2 * shift + normal.inv_cdf(level / 100)) for level in PERCENTILES.values()]
