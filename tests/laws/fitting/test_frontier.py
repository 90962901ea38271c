"""What a fitted law says of the best N and D, against a search of its own loss."""

from __future__ import annotations

import numpy as np
import pytest

from scaleplan.laws.fitting.frontier import additive_law, allotment, estimates, quantities
from scaleplan.laws.fitting.shapes import shape

THETAS = {
    "additive": [[0.53, 5.9, 7.3, 0.33, 0.37], [0.61, 5.3, 6.7, 0.29, 0.34]],
    "additive-tied": [[0.53, 5.9, 7.3, 0.35], [0.61, 5.3, 6.7, 0.31]],
    "over-training": [[0.41, 4.95, 5.24, 0.121], [0.55, 5.1, 5.5, 0.136]],
}
FLOPS = 7.3e21


def loss_of(form, theta, n_params):
    """Of N at the budget, D = C / (6 N)."""
    n_tokens = FLOPS / 6 / n_params
    columns = {"n_params": n_params, "n_tokens": n_tokens, "compute_flops": np.full_like(n_params, FLOPS)}
    return np.exp(shape(form).log_loss(np.array(theta), columns | {"tokens_per_param": n_tokens / n_params}))


@pytest.mark.parametrize("form", THETAS)
def test_the_optimum_of_a_fit_is_the_least_of_its_loss(form):
    """Every N on a fine grid of the budget: N, D, their ratio and the loss there; N grows with C to the power between two budgets."""
    theta = np.array(THETAS[form])
    grid = np.geomspace(1e8, 1e12, 400_001)
    found, ten_times = (quantities(shape(form), theta, flops) for flops in (FLOPS, 10 * FLOPS))

    for k, law in enumerate(theta):
        losses = loss_of(form, law, grid)
        best = grid[losses.argmin()]
        assert found["n_params_at_target"][k] == pytest.approx(best, rel=1e-3)
        assert found["n_tokens_at_target"][k] == pytest.approx(FLOPS / 6 / best, rel=1e-3)
        assert found["tokens_per_param_at_target"][k] == pytest.approx(FLOPS / 6 / best**2, rel=2e-3)
        assert found["loss_nats_at_target"][k] == pytest.approx(losses.min(), rel=1e-9)
    growth = np.log10(ten_times["n_params_at_target"] / found["n_params_at_target"])
    assert found["n_opt_exponent"] * np.ones(2) == pytest.approx(growth)
    assert estimates(shape(form), theta[1], FLOPS) == pytest.approx({name: (values * np.ones(2))[1] for name, values in found.items()})


@pytest.mark.parametrize("form", THETAS)
def test_the_additive_law_of_a_form_has_its_loss(form):
    """E + A / N^alpha + B / D^beta equals the form on every run with C = 6 N D."""
    n_params = np.array([3.1e8, 7.7e9, 1.3e11])
    law = additive_law(shape(form), np.array(THETAS[form][0]))

    assert law.loss(n_params, FLOPS / 6 / n_params) == pytest.approx(loss_of(form, THETAS[form][0], n_params))
    assert allotment(law, FLOPS)["n_params_at_target"] == pytest.approx(law.params_at_compute(FLOPS))


def test_other_forms_have_constants_alone():
    """A power of D says nothing of the best N."""
    found = quantities(shape("floor-n_tokens"), np.array([[0.53, 7.3, 0.37]]), FLOPS)

    assert additive_law(shape("floor-n_tokens"), np.array([0.53, 7.3, 0.37])) is None
    assert {name: values[0] for name, values in found.items()} == pytest.approx({"e_nats": np.exp(0.53), "a": np.exp(7.3), "alpha": 0.37})
