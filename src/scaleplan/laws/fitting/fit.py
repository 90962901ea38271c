"""The fit itself: many starts, the best minimum, and how well the runs determine it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from scaleplan.errors import InputError
from scaleplan.laws.convention import FLOPS_PER_PARAM_TOKEN
from scaleplan.laws.fitting.newton import RIDGE, minimise
from scaleplan.laws.fitting.problem import DELTA, Problem
from scaleplan.laws.fitting.shapes import FALLING, Array, Columns, Shape
from scaleplan.laws.fitting.starts import profile_starts, sample
from scaleplan.wording import field

AGREEMENT = 1e-8  # relative difference of the objective within which two starts found one minimum
EXACT = 1e-14  # the same, absolute and per run, for data without noise
FEWEST_VALUES = 3  # of a column, to tell an exponent from a floor
ONE_LINE = 0.9999  # correlation of two columns above which they are one
SAME = 1e-6  # relative difference below which two values of a column are one


class Fit(NamedTuple):
    """A form fitted to runs.

    theta        the parameters of the shape, in its order
    covariance   of theta, from the curvature and the spread of the slopes (a sandwich: the noise need not be Gaussian);
                 None where the runs do not tell the parameters apart
    condition    ratio of the largest to the smallest eigenvalue of the scaled metric: 1 is best, above 1e12 nothing is told apart
    residuals    log predicted - log observed, one a run
    """

    problem: Problem
    theta: Array
    objective: float
    n_starts: int
    n_starts_agreeing: int
    condition: float
    covariance: Array | None
    residuals: Array

    @property
    def shape(self) -> Shape:
        return self.problem.shape

    @property
    def constants(self) -> dict[str, Any]:
        """The constants as the field prints them."""
        return self.shape.constants(self.theta)

    @property
    def standard_errors(self) -> dict[str, float] | None:
        """Of each parameter, from the sandwich."""
        if self.covariance is None:
            return None
        return dict(zip(self.shape.parameters, np.sqrt(np.diag(self.covariance)).tolist(), strict=True))


def fit(shape: Shape, columns: Columns, loss: Array, delta: float = DELTA) -> Fit:
    """The least objective over all starts.

    Raises InputError where the runs cannot determine the form whatever their noise.
    """
    columns = completed(columns)
    check_runs(shape, columns, loss)
    problem = Problem(shape, columns, loss, delta)
    some = sample(problem)
    starts = profile_starts(some)
    if some is not problem:
        starts = minimise(some, starts, np.ones((1, some.n_rows))).theta
    found = minimise(problem, starts, np.ones((1, problem.n_rows)))
    best = int(np.argmin(found.objective))
    agreeing = found.objective <= found.objective[best] * (1 + AGREEMENT) + EXACT * problem.n_rows
    theta = found.theta[best]
    check_falling(shape, theta)
    condition, covariance = determination(problem, theta)
    return Fit(
        problem,
        theta,
        float(found.objective[best]),
        len(starts),
        int(agreeing.sum()),
        condition,
        covariance,
        problem.residuals(theta[None])[0],
    )


def completed(columns: Columns) -> dict[str, Array]:
    """The columns with those that follow from them: C = 6 N D and M = D / N, either way round."""
    found = dict(columns)
    if "n_tokens" not in found and {"n_params", "compute_flops"} <= found.keys():
        found["n_tokens"] = found["compute_flops"] / FLOPS_PER_PARAM_TOKEN / found["n_params"]
    if "n_params" not in found and {"n_tokens", "compute_flops"} <= found.keys():
        found["n_params"] = found["compute_flops"] / FLOPS_PER_PARAM_TOKEN / found["n_tokens"]
    if {"n_params", "n_tokens"} <= found.keys():
        found.setdefault("compute_flops", FLOPS_PER_PARAM_TOKEN * found["n_params"] * found["n_tokens"])
        found.setdefault("tokens_per_param", found["n_tokens"] / found["n_params"])
    return found


def check_runs(shape: Shape, columns: Mapping[str, Array], loss: Array) -> None:
    """Refuse what cannot be fitted: too few runs, columns that do not vary, a loss that does not."""
    for name in shape.columns:
        if name not in columns:
            raise InputError(f"the form `{shape.name}` needs a column `{name}`", hint=f"name it with {field('column')} {name}=...")
    needed = len(shape.parameters) + 1
    if len(loss) < needed:
        raise InputError(
            f"{len(loss)} runs cannot determine the {len(shape.parameters)} constants of `{shape.name}`",
            hint=f"at least {needed} runs are needed, and twice as many for intervals",
        )
    for name in shape.columns:
        values = n_values(columns[name])
        if values < (FEWEST_VALUES if shape.has_own_exponent(name) else 2):
            same = f"`{name}` is {columns[name][0]:g} in every run" if values == 1 else f"`{name}` takes only {values} values"
            raise InputError(
                f"{same}: its exponent cannot be told",
                hint=f"add runs that differ in {name}, at least {FEWEST_VALUES} values over a factor of ten",
            )
    if n_values(loss) == 1:
        raise InputError(f"`loss` is {loss[0]:g} in every run: there is nothing to fit")
    if {"n_params", "n_tokens"} <= set(shape.columns) and on_one_line(columns["n_params"], columns["n_tokens"]):
        raise InputError(
            "n_tokens follows from n_params in these runs: what comes of size and what of data cannot be told apart",
            hint="add runs of some sizes on several times more and fewer tokens per parameter",
        )


def check_falling(shape: Shape, theta: Array) -> None:
    """Refuse a law that says the loss grows with size or data: its exponents are not told by these runs."""
    for name, value in zip(shape.parameters, theta.tolist(), strict=True):
        if name in FALLING and value <= 0:
            raise InputError(
                f"the runs do not tell {name}: the loss does not fall with what it is the exponent of ({name} = {value:.3g})",
                hint=f"check that the columns are right; add runs that differ more in it, or see {field('compare')} for simpler forms",
            )


def on_one_line(x: Array, y: Array) -> bool:
    """Whether one is a power of the other, up to a few percent of their spread."""
    return bool(abs(np.corrcoef(np.log(x), np.log(y))[0, 1]) > ONE_LINE)


def n_values(values: Array) -> int:
    """How many different values there are; what differs by rounding is one."""
    ordered = np.sort(values)
    return 1 + int((np.diff(ordered) > SAME * ordered[1:]).sum())


def determination(problem: Problem, theta: Array, weights: Array | None = None) -> tuple[float, Array | None]:
    """Condition of the scaled metric, and the sandwich covariance of theta.

        covariance = K^-1 (sum of slope^2 J J^T) K^-1,   K = sum of smoothed curvature J J^T

    The curvature of the Huber loss is 0 or 1; it is smoothed over half the robust spread of the residuals, because with a delta
    this small few runs lie within delta.
    """
    weights = np.ones(problem.n_rows) if weights is None else weights
    residuals = problem.residuals(theta[None])[0]
    jacobian = problem.jacobian(theta[None])[0]
    spread = max(robust_spread(residuals) / 2, 1e-12)

    def slope(r: Array) -> Array:
        return np.clip(r, -problem.delta, problem.delta)

    bend = (slope(residuals + spread) - slope(residuals - spread)) / (2 * spread)
    scale = np.sqrt(np.einsum("pi,pi->p", jacobian, jacobian)) + 1e-300
    scaled = jacobian / scale[:, None]
    values = np.linalg.eigvalsh((scaled * weights) @ scaled.T)
    condition = float(values[-1] / max(values[0], 1e-300))
    if not condition < 1 / RIDGE:
        return min(condition, 1e300), None
    curvature = (scaled * (weights * bend)) @ scaled.T
    bends = np.linalg.eigvalsh(curvature)
    if not bends[0] > np.finfo(float).eps * bends[-1]:  # flat in some direction: nothing is known of it
        return condition, None
    inverse = np.linalg.inv(curvature)
    dof = problem.n_rows / max(problem.n_rows - problem.n_parameters, 1)
    middle = (scaled * (weights * slope(residuals)) ** 2) @ scaled.T * dof
    return condition, inverse @ middle @ inverse / np.outer(scale, scale)


def robust_spread(residuals: Array) -> float:
    """The standard deviation that a Gaussian of the same median absolute residual would have."""
    return 1.4826 * float(np.sort(np.abs(residuals))[len(residuals) // 2])  # np.median would load numpy.ma: a fifth of the time of numpy
