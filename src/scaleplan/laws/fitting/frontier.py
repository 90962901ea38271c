"""What a fitted law says of the best N and D, where it says anything of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from scaleplan.laws.fitting.shapes import Array, Shape
from scaleplan.laws.forms import Additive
from scaleplan.laws.law import over_training


def additive_law(shape: Shape, theta: Array) -> Additive | None:
    """The law as E + A / N^alpha + B / D^beta, with a number or an array (over draws) for each constant; None for other forms."""
    constants = shape.constants(theta)
    if shape.name in ("additive", "additive-tied"):
        return Additive(**{"beta": constants["alpha"]} | constants)
    if shape.name == "over-training":
        return over_training(constants)
    return None


def allotment(law: Additive, flops: float) -> dict[str, Any]:
    """The optimum at a budget and how it grows: N_opt ~ C^n_opt_exponent."""
    n_params = law.params_at_compute(flops)
    n_tokens = flops / 6 / n_params
    return {
        "n_opt_exponent": law.exponent,
        "n_params_at_target": n_params,
        "n_tokens_at_target": n_tokens,
        "tokens_per_param_at_target": n_tokens / n_params,
        "loss_nats_at_target": law.loss(n_params, n_tokens),
    }


def estimates(shape: Shape, theta: Array, target_flops: float) -> dict[str, float]:
    """The quantities of one law."""
    return {name: float(values[0]) for name, values in quantities(shape, theta[None], target_flops).items()}


def quantities(shape: Shape, theta: Array, target_flops: float) -> dict[str, Array]:
    """Every quantity whose interval is asked for, over draws. theta: (n_draws, n_parameters)."""
    with np.errstate(all="ignore"):  # a draw without an optimum gives nan, which counts as run away
        found = shape.constants(theta)
        law = additive_law(shape, theta)
        if law is not None:
            found |= allotment(law, target_flops)
    return {name: np.asarray(values) for name, values in found.items()}
