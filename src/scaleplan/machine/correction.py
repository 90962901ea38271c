"""Measured steps correct a stack: which of its efficiencies were off, as far as the steps can tell.

    log(measured / predicted) = product + memory + communication + host + fixed + pace + shape + scatter

Each term is a number near 0 whose spread is known: how far a stack's constants are off on measurements that they were not fitted on.
The most probable terms are those of least

    sum (term / spread)**2 + sum over shapes (shape / spread)**2 + sum over steps (scatter / spread)**2

Layouts share a `shape` where their products have the same sizes: width, tensor parallel ranks and tokens of a micro-batch. What is left
over, the scatter, is of the measured layout alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from scaleplan.errors import InputError
from scaleplan.machine.efficiency import HardwareShares, Learnt, StackShares
from scaleplan.numeric import where

TERMS = ("product", "memory", "communication", "host", "fixed", "pace")
FARTHEST = 3.0  # measured over predicted, either way: beyond it the measurement is of something else
MOST_TIMES = 20.0  # that a host's, fixed or shared time may change by


class TermSpread(NamedTuple):
    """Standard deviations of the terms, of the shapes and of the scatter: of logarithms of seconds."""

    product: float
    memory: float
    communication: float
    host: float
    fixed: float
    pace: float
    shape: float
    scatter: float

    @property
    def terms(self) -> tuple[float, ...]:
        """Those of the terms alone."""
        return self[: len(TERMS)]


class ProductShape(NamedTuple):
    """What the sizes of a layout's products follow from."""

    d_model: float
    tp: float
    tokens: float


class MeasuredStep(NamedTuple):
    """A measured step: its seconds, the MFU that was predicted, and its shape."""

    step_s: float
    mfu: float
    shape: ProductShape


class Correction(NamedTuple):
    """The most probable correction.

    shares      of the corrected stack
    learnt      what is known of the terms now
    terms       term -> logarithm of its factor
    told        term -> share of its variance that the steps removed
    """

    shares: StackShares
    learnt: Learnt
    terms: Mapping[str, float]
    told: Mapping[str, float]


# --------------------------------------------------------------------------------------------------------------------- the fit

Predict = Callable[[StackShares], Sequence[float]]
"""Shares -> seconds of each measured step."""


def fitted(base: StackShares, hardware: HardwareShares, steps: Sequence[MeasuredStep], predict: Predict, spread: TermSpread) -> Correction:
    """The correction of a stack by measured steps.

    base      shares of the stack, without what earlier steps told of single layouts
    hardware  shares that the stack's predictions rest on: no rate may pass its peak
    """
    import numpy as np
    from scipy.optimize import least_squares

    base = base._replace(shapes=(), steps=())
    for step, predicted in zip(steps, predict(base), strict=True):
        check_step(step, predicted)
    shapes = list(dict.fromkeys(step.shape for step in steps))
    mine = [shapes.index(step.shape) for step in steps]
    measured = np.log([step.step_s for step in steps])
    spreads = np.array([*spread.terms, *[spread.shape] * len(shapes)])

    def left(x: Any) -> Any:
        """log(measured / predicted) that no term explains."""
        return measured - np.log(predict(moved(base, x))) - x[len(TERMS) :][mine]

    def residuals(x: Any) -> Any:
        return np.concatenate([left(x) / spread.scatter, x / spreads])

    low, high = bounds(hardware, len(shapes))
    found = least_squares(residuals, np.zeros(len(spreads)), bounds=(low, high), x_scale=spreads)
    covariance = np.linalg.inv(found.jac.T @ found.jac)
    factors = [math.exp(value) for value in found.x[len(TERMS) :]]
    shares = moved(base, found.x)._replace(shapes=tuple((*shape, factor) for shape, factor in zip(shapes, factors, strict=True)))
    shaped = [seconds * factors[place] for seconds, place in zip(predict(shares._replace(shapes=())), mine, strict=True)]
    told = 1 - np.diag(covariance) / spreads**2
    return Correction(
        shares._replace(steps=alone(shaped, [step.step_s for step in steps])),
        Learnt(tuple(s * s for s in spread.terms), spread.shape**2, spread.scatter**2, tuple(map(tuple, covariance.tolist()))),
        dict(zip(TERMS, found.x.tolist(), strict=False)),
        dict(zip(TERMS, told.tolist(), strict=False)),
    )


def alone(predicted: Sequence[float], measured: Sequence[float]) -> tuple[tuple[float, float], ...]:
    """Predicted seconds and the factor of each measured step; of steps that predictions cannot tell apart the geometric mean."""
    found: dict[str, list[tuple[float, float]]] = {}
    for seconds, step_s in zip(predicted, measured, strict=True):
        found.setdefault(f"{seconds:.9g}", []).append((seconds, math.log(step_s / seconds)))
    return tuple((some[0][0], math.exp(sum(factor for _, factor in some) / len(some))) for some in found.values())


def check_step(step: MeasuredStep, predicted_s: float) -> None:
    """A step that can be of this layout; raises InputError."""
    factor = step.step_s / predicted_s
    if not 1 / FARTHEST <= factor <= FARTHEST:
        raise InputError(
            f"the measured step of {step.step_s:.6g} s is {factor:.3g} times the predicted {predicted_s:.4g} s",
            hint=f"within a factor of {FARTHEST:.0f} a stack is corrected; check model, layout, batch and device",
        )
    if step.mfu / factor >= 1:
        raise InputError(
            f"the measured step of {step.step_s:.6g} s is {step.mfu / factor:.0%} of the device's peak",
            hint="check batch and number of devices",
        )


def moved(base: StackShares, x: Any) -> StackShares:
    """A stack whose terms take exp(x) times as long."""
    product, memory, communication, host, fixed, pace = (math.exp(value) for value in x[: len(TERMS)])
    return base._replace(
        product_pace=base.product_pace * product,
        memory_pace=base.memory_pace * memory,
        communication_pace=base.communication_pace * communication,
        hop_s=base.hop_s * communication,
        gather_network=None if base.gather_network is None else base.gather_network / communication,
        launch_s=base.launch_s * host,
        fixed_s=base.fixed_s * fixed,
        pace=base.pace * pace,
    )


def bounds(hardware: HardwareShares, n_shapes: int) -> tuple[list[float], list[float]]:
    """Least and largest logarithm of each factor: products, memory and links at most at their peak, nothing beyond a factor."""
    own = (hardware.product, hardware.scores, hardware.flash1, hardware.flash2, hardware.flash3)
    least = [max(own), hardware.memory, max(hardware.link, hardware.network)]
    wide, far = math.log(MOST_TIMES), math.log(FARTHEST)
    low = [max(-far, min(-1e-6, math.log(share))) for share in least] + [-wide, -wide, -far] + [-far] * n_shapes
    return low, [far] * len(least) + [wide, wide, far] + [far] * n_shapes


# ------------------------------------------------------------------------------------------------------------------ of a layout

SAME_STEP = 1e-9  # relative difference of predicted seconds below which a layout is the measured one


class Known(NamedTuple):
    """What the measured steps say of a layout, or of an array of them.

    factor  of its seconds
    shapes  for each of the stack's shapes, whether it is the layout's
    step    whether it is a measured step itself
    """

    factor: Any
    shapes: tuple[Any, ...]
    step: Any


def known_of(stack: StackShares, step_s: Any, shape: ProductShape) -> Known:
    """The factor of the layout's shape, and that of the step itself where it was measured."""
    factor: Any = 1.0
    measured: Any = 0.0
    shapes = []
    for *sizes, of_shape in stack.shapes:
        same = 1.0
        for size, ours in zip(sizes, shape, strict=True):
            same = same * where(ours == size, 1.0, 0.0)
        shapes.append(same)
        factor = where(same > 0, of_shape, factor)
    seconds = step_s * factor
    for predicted_s, of_step in stack.steps:
        same = abs(seconds / predicted_s - 1) < SAME_STEP
        factor = where(same, factor * of_step, factor)
        measured = where(same, 1.0, measured)
    return Known(factor, tuple(shapes), measured)
