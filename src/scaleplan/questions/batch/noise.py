"""The gradient noise scale from mean squared gradient norms at two batch sizes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaleplan.answer import Answer, Line, quantities
from scaleplan.laws.batch import GradientNoise, gradient_noise

if TYPE_CHECKING:
    from scaleplan.questions.batch import OfNorms

SOURCE = ("mccandlish2018",)
LABELS = {"gradient_norm2": "squared norm of the true gradient", "noise_trace": "trace of the gradient covariance"}


def solve(asked: OfNorms) -> GradientNoise:
    """Squared norm of the gradient and trace of its covariance, from the smaller and the larger batch."""
    small, large = sorted(asked.gradient_norm2)
    return gradient_noise(small, large)


def explain(asked: OfNorms, solved: GradientNoise) -> Answer:
    """The noise scale and its two parts."""
    small, large = sorted(asked.gradient_norm2)
    inputs = {"small_batch": small.batch, "large_batch": large.batch, "small_norm2": small.norm2, "large_norm2": large.norm2}
    parts = solved._asdict()
    scale = Line("noise_scale", "gradient noise scale", solved.noise_scale, "", GradientNoise.FORMULAS["noise_scale"], parts)
    lines = [scale] + [Line(name, LABELS[name], value, "", GradientNoise.FORMULAS[name], inputs) for name, value in parts.items()]
    lines = [one._replace(sources=SOURCE, standing="estimate") for one in lines]
    note = "Same unit as the measured batches. Below it steps are wasted, above it samples."
    result = {one.key: one.value for one in lines}
    return Answer("batch", inputs, result, [quantities("", lines)], lines, notes=[note])
