"""Each form that can be fitted is the formula of its paper: the constants that are printed, put into it, give the law's loss."""

from __future__ import annotations

import numpy as np
import pytest

from scaleplan.errors import UnknownName
from scaleplan.laws.fitting.problem import Problem
from scaleplan.laws.fitting.shapes import SHAPES, Feature, minus, plus, shape

RUNS = {
    "n_params": np.array([1.3e7, 5.9e8, 2.3e9, 7.1e10]),
    "n_tokens": np.array([2.9e9, 6.1e8, 4.7e11, 8.3e10]),
    "compute_flops": np.array([3.1e18, 2.3e19, 7.7e21, 4.1e22]),
    "tokens_per_param": np.array([19.0, 7.3, 310.0, 43.0]),
    "n_steps": np.array([1.7e3, 2.3e4, 5.9e5, 7.3e4]),
    "n_experts": np.array([3.0, 7.0, 61.0, 127.0]),
    "granularity": np.array([5.0, 2.0, 17.0, 11.0]),
    "active_fraction": np.array([0.53, 0.21, 0.07, 0.013]),
}
N, D, C, M, S, X, G, ACTIVE = RUNS.values()
ADDITIVE = {"e_nats": 1.83, "a": 470.0, "b": 2100.0, "alpha": 0.347, "beta": 0.367}

LAWS = {  # the constants as printed; the loss; the parameters of the search where they are not the logarithms of the constants
    "additive": (ADDITIVE, lambda e_nats, a, b, alpha, beta: e_nats + a / N**alpha + b / D**beta),
    "additive-tied": (
        {"e_nats": 1.87, "a": 521.0, "b": 1488.0, "alpha": 0.353},
        lambda e_nats, a, b, alpha: e_nats + a / N**alpha + b / D**alpha,
    ),
    "kaplan": (  # kaplan2020 equation 1.5
        {"n_c": 6.4e13, "d_c": 1.8e13, "alpha_n": 0.076, "alpha_d": 0.103},
        lambda n_c, d_c, alpha_n, alpha_d: ((n_c / N) ** (alpha_n / alpha_d) + d_c / D) ** alpha_d,
    ),
    "power-sum": (  # kaplan2020 equation 1.6
        {"n_c": 6.5e13, "s_c": 2.1e3, "alpha_n": 0.077, "alpha_s": 0.76},
        lambda n_c, s_c, alpha_n, alpha_s: (n_c / N) ** alpha_n + (s_c / S) ** alpha_s,
    ),
    "over-training": (  # gadre2024 equation 4
        {"e_nats": 1.51, "a": 141.0, "b": 190.0, "eta": 0.121},
        lambda e_nats, a, b, eta: e_nats + (a * M**eta + b * M**-eta) * C**-eta,
    ),
    "fine-grained-experts": (  # krajewski2024
        {"c": 0.47, "g": 2.1, "a": 18.1, "b": 30.8, "gamma": 0.58, "alpha": 0.115, "beta": 0.147},
        lambda c, g, a, b, gamma, alpha, beta: c + (g / G**gamma + a) / N**alpha + b / D**beta,
    ),
    "routed-experts": (  # clark2022
        {"scale": 12.7, "of_params": -0.082, "of_experts": -0.108, "of_both": 0.0039},
        lambda scale, of_params, of_experts, of_both: scale * N**of_params * X**of_experts * np.exp(of_both * np.log(N) * np.log(X)),
    ),
    "joint-experts": (  # ludziejewski2025
        {"c": 1.37, "a": 35.9, "b": 73.0, "alpha": 0.231, "beta": 0.259, "delta": 0.21, "gamma": 0.013, "omega": -0.17, "zeta": -0.011},
        lambda c, a, b, alpha, beta, delta, gamma, omega, zeta: (
            c + a * X**delta / N ** (alpha + gamma * np.log(X)) + b * X**omega / D ** (beta + zeta * np.log(X))
        ),
    ),
    "sparse-experts": (  # abnar2025
        {"e_nats": 0.94, "a": 16612.5, "b": 5455.7, "c": 0.46, "d": 17.3, "alpha": 0.594, "beta": 0.398, "lambda": -0.17, "delta": 0.16,
         "gamma": 0.15},
        lambda e, a, b, c, d, alpha, beta, lam, delta, gamma: (
            e + a / N**alpha + b / D**beta + c / ACTIVE**lam + d / (ACTIVE**delta * N**gamma)
        ),
    ),
    "power-n_params": ({"a": 11.4, "alpha": 0.076}, lambda a, alpha: a / N**alpha),
    "power-n_tokens": ({"a": 23.1, "alpha": 0.095}, lambda a, alpha: a / D**alpha),
    "power-compute_flops": ({"a": 25.3, "alpha": 0.05}, lambda a, alpha: a / C**alpha),
    "floor-n_params": ({"e_nats": 1.7, "a": 411.0, "alpha": 0.34}, lambda e_nats, a, alpha: e_nats + a / N**alpha),
    "floor-n_tokens": ({"e_nats": 1.9, "a": 2100.0, "alpha": 0.37}, lambda e_nats, a, alpha: e_nats + a / D**alpha),
    "floor-compute_flops": ({"e_nats": 1.6, "a": 1600.0, "alpha": 0.16}, lambda e_nats, a, alpha: e_nats + a / C**alpha),
}  # fmt: skip


def theta_of(form):
    """The parameters of the search: logarithms of coefficients, exponents as they are."""
    at = LAWS[form][0]
    if form == "kaplan":  # N_c^(alpha_N / alpha_D), D_c
        ratio = at["alpha_n"] / at["alpha_d"]
        return np.array([ratio * np.log(at["n_c"]), np.log(at["d_c"]), ratio, at["alpha_d"]])
    if form == "power-sum":  # N_c^alpha_N, S_c^alpha_S
        return np.array([at["alpha_n"] * np.log(at["n_c"]), at["alpha_s"] * np.log(at["s_c"]), at["alpha_n"], at["alpha_s"]])
    coefficients = {"e_nats", "a", "b", "c", "d", "g", "scale"}
    return np.array([np.log(value) if name in coefficients else value for name, value in at.items()])


def test_every_form_is_held_against_its_formula():
    """No form is left out below."""
    assert LAWS.keys() == SHAPES.keys()


@pytest.mark.parametrize("form", LAWS)
def test_the_loss_of_a_form_is_its_formula(form):
    """log L of each run, by the form itself and by the residuals of runs whose loss is 1."""
    constants, loss = LAWS[form]
    theta, expected = theta_of(form), np.log(loss(*constants.values()))
    problem = Problem(shape(form), {name: RUNS[name] for name in shape(form).columns}, np.ones(4))

    assert shape(form).log_loss(theta, RUNS) == pytest.approx(expected)
    assert problem.residuals(theta[None])[0] == pytest.approx(expected)


@pytest.mark.parametrize("form", LAWS)
def test_constants_are_those_that_the_field_prints(form):
    """One law gives numbers, several give arrays."""
    constants, _ = LAWS[form]
    one, two = shape(form).constants(theta_of(form)), shape(form).constants(np.stack([theta_of(form) * 1.1, theta_of(form)]))

    assert one == pytest.approx(constants)
    assert all(isinstance(value, float) for value in one.values())
    assert {name: values[1] for name, values in two.items()} == pytest.approx(constants)
    assert all(values.shape == (2,) for values in two.values())


@pytest.mark.parametrize(
    ("form", "alone"),
    [
        ("additive", {"n_params", "n_tokens"}),
        ("additive-tied", set()),  # one exponent of both
        ("kaplan", {"n_params"}),  # D_c / D has none
        ("power-sum", {"n_params", "n_steps"}),
        ("over-training", set()),
        ("fine-grained-experts", {"n_params", "n_tokens", "granularity"}),
        ("routed-experts", {"n_params", "n_experts"}),
        ("joint-experts", {"n_params", "n_tokens", "n_experts"}),
        ("sparse-experts", {"n_params", "n_tokens", "active_fraction"}),
        ("floor-n_tokens", {"n_tokens"}),
    ],
)
def test_an_exponent_is_told_by_one_column_or_by_several(form, alone):
    """A column with an exponent of its own needs three values, others need two."""
    assert {name for name in RUNS if shape(form).has_own_exponent(name)} == alone


def test_features_are_sums_of_products_of_logarithms():
    """Of two columns 3 and 5, by hand: 15; -15; 2 * 3 - 0.5 * 15; without columns, the weight."""
    logs = {"x": np.array([3.0, 7.0]), "y": np.array([5.0, 11.0])}

    assert plus("x", "y").of(logs, 2).tolist() == [15, 77]
    assert minus("x", "y").of(logs, 2).tolist() == [-15, -77]
    assert Feature(((2.0, ("x",)), (-0.5, ("x", "y")))).of(logs, 2).tolist() == [-1.5, -24.5]
    assert plus().of(logs, 2).tolist() == [1, 1]


@pytest.mark.parametrize("form", LAWS)
def test_each_term_has_one_coefficient_told_by_no_column(form):
    """Its logarithm is added as it is: the feature beside it is 1."""
    for term in shape(form).terms:
        ones = [name for name, feature in term.features.items() if feature.parts == ((1.0, ()),)]
        assert ones == [term.coefficient]


@pytest.mark.parametrize("form", LAWS)
def test_a_search_starts_on_both_sides_of_the_published_exponents(form):
    """Every exponent that a search begins with more than once lies on both sides of the published one."""
    at = dict(zip(shape(form).parameters, theta_of(form), strict=True))

    for name, values in shape(form).starts.items():
        assert len(values) == 1 or min(values) < at[name] < max(values)
        assert form != "routed-experts" or list(values) == [0]  # linear in its parameters: any start will do
    assert set(shape(form).starts) == {name for name in shape(form).parameters if not name.startswith("log_")}


def test_an_unknown_form_is_refused_by_name():
    with pytest.raises(UnknownName, match="aditive"):
        shape("aditive")
