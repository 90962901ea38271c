"""Forms ranked by what they say of the largest runs, which they have not seen.

A form with more constants always fits better; what counts is the error where a law is used: beyond its data.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from scaleplan.errors import InputError, ScaleplanError
from scaleplan.laws.fitting.fit import check_runs, completed, fit
from scaleplan.laws.fitting.shapes import SHAPES, Array, Columns, Shape

HELD_OUT = 0.2  # of the runs: those of most compute
FEWEST_HELD_OUT = 2
RESOLUTION = 4.0  # a scale ends where compute jumps by this factor


class Score(NamedTuple):
    """How one form did.

    held_out_error   median of |log predicted - log observed| on the runs left out
    held_out_bias    median of log predicted - log observed there: above zero, the law expects too much loss
    fitted_error     median of |log predicted - log observed| on the runs it was fitted to
    """

    shape: Shape
    held_out_error: float
    held_out_bias: float
    fitted_error: float


class Ranking(NamedTuple):
    """All forms that the columns allow, best first; the others with the reason."""

    scores: list[Score]
    refused: list[tuple[Shape, ScaleplanError]]
    held_out: Array
    compute_from: float


def largest_scale(compute: Array) -> Array:
    """Positions of the runs of the largest scale: those above the last jump in compute if it leaves enough, else the top fifth."""
    order = np.argsort(compute, kind="stable")
    jumps = np.flatnonzero(compute[order][1:] > RESOLUTION * compute[order][:-1]) + 1
    count = round(HELD_OUT * len(compute))
    for start in jumps[::-1]:
        if FEWEST_HELD_OUT <= len(compute) - start <= max(count, FEWEST_HELD_OUT):
            return np.sort(order[start:])
    return np.sort(order[len(compute) - max(count, FEWEST_HELD_OUT) :])


def rank(columns: Columns, loss: Array, shapes: Sequence[Shape] | None = None) -> Ranking:
    """Fit every form to all but the largest runs and see how well it foretells those."""
    columns = completed(columns)
    if "compute_flops" not in columns:
        raise InputError("forms are compared on the runs of most compute, which needs `n_params` and `n_tokens`, or `compute_flops`")
    held_out = largest_scale(columns["compute_flops"])
    kept = np.setdiff1d(np.arange(len(loss)), held_out)
    scores, refused = [], []
    for shape in shapes or SHAPES.values():
        if not set(shape.columns) <= columns.keys():
            continue
        try:
            scores.append(score(shape, columns, loss, kept, held_out))
        except ScaleplanError as error:
            refused.append((shape, error))
    scores.sort(key=lambda one: one.held_out_error)
    return Ranking(scores, refused, held_out, float(columns["compute_flops"][held_out].min()))


def score(shape: Shape, columns: Columns, loss: Array, kept: Array, held_out: Array) -> Score:
    """One form."""
    check_runs(shape, {name: values[kept] for name, values in columns.items()}, loss[kept])
    fitted = fit(shape, {name: values[kept] for name, values in columns.items()}, loss[kept])
    misses = shape.log_loss(fitted.theta, {name: values[held_out] for name, values in columns.items()}) - np.log(loss[held_out])
    return Score(shape, float(np.median(np.abs(misses))), float(np.median(misses)), float(np.median(np.abs(fitted.residuals))))
