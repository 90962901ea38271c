"""The objective of a form on runs, its gradient, curvature and metric, held against the formulas of the papers written plainly."""

from __future__ import annotations

import numpy as np
import pytest

from scaleplan.laws.fitting.problem import Problem, collapsed
from scaleplan.laws.fitting.shapes import shape

N = np.array([1.3e7, 5.9e7, 2.3e8, 7.1e8, 3.7e9, 1.7e10, 4.3e8])
D = np.array([2.9e9, 6.1e8, 4.7e10, 8.3e9, 1.9e11, 5.3e10, 1.1e12])
WEIGHTS = np.array([[1.0, 2.0, 0.5, 3.0, 1.5, 0.7, 1.0], [0.3, 1.0, 2.5, 1.0, 0.9, 1.2, 4.0]])
DELTA = 0.013
MISSES = np.array([[0.007, -0.004, 0.031, -0.057, 0.011, -0.017, 0.002], [0.0031, 0.019, -0.008, -0.023, 0.043, 0.006, -0.012]])
"""log predicted - log observed of the first law and of the second; some within delta, some beyond, on both sides."""

FORMS = {  # parameters as the shape orders them -> log L
    "additive": lambda e, a, b, alpha, beta: np.log(np.exp(e) + np.exp(a) / N**alpha + np.exp(b) / D**beta),
    "additive-tied": lambda e, a, b, alpha: np.log(np.exp(e) + np.exp(a) / N**alpha + np.exp(b) / D**alpha),
    "kaplan": lambda n, d, ratio, alpha_d: alpha_d * np.log(np.exp(n) / N**ratio + np.exp(d) / D),
    "power-n_params": lambda a, alpha: a - alpha * np.log(N),
}
LAWS = {
    "additive": [[0.53, 5.9, 7.3, 0.33, 0.37], [0.61, 5.3, 6.7, 0.29, 0.34]],
    "additive-tied": [[0.53, 5.9, 7.3, 0.35], [0.61, 5.3, 6.7, 0.31]],
    "kaplan": [[23.0, 30.5, 0.74, 0.103], [21.0, 29.0, 0.67, 0.13]],
    "power-n_params": [[2.43, 0.076], [2.9, 0.11]],
}


def problem_of(form, law):
    """Runs that a law misses by MISSES[law]."""
    loss = np.exp(FORMS[form](*LAWS[form][law]) - MISSES[law])
    return Problem(shape(form), {"n_params": N, "n_tokens": D}, loss, DELTA), np.log(loss)


def objective(form, log_loss, theta, weights):
    """Huber's sum (hoffmann2022 section 3.3), run by run."""
    total = 0.0
    for miss, weight in zip(FORMS[form](*theta) - log_loss, weights, strict=True):
        total += weight * (miss**2 / 2 if abs(miss) <= DELTA else DELTA * (abs(miss) - DELTA / 2))
    return total


def central(function, theta, step):
    """The slopes of a function by central differences of fourth order; last axis of the parameters."""
    found = []
    for move in step * np.eye(len(theta)):
        near, far = (np.asarray(function(theta + k * move)) - np.asarray(function(theta - k * move)) for k in (1, 2))
        found.append((8 * near - far) / (12 * step))
    return np.stack(found, axis=-1)


@pytest.mark.parametrize("form", FORMS)
def test_residuals_are_log_predicted_less_log_observed(form):
    """Two laws at once, each run of each; the same on some of the runs, in another order."""
    problem, log_loss = problem_of(form, 0)
    theta = np.array(LAWS[form])
    rows = [4, 1, 6]
    expected = np.array([FORMS[form](*law) - log_loss for law in LAWS[form]])

    assert problem.residuals(theta) == pytest.approx(expected, abs=1e-12)
    assert problem.residuals(theta)[0] == pytest.approx(MISSES[0], abs=1e-12)
    assert problem.of(rows).residuals(theta) == pytest.approx(expected[:, rows], abs=1e-12)
    assert problem.of(rows).delta == DELTA


@pytest.mark.parametrize("form", FORMS)
def test_the_jacobian_is_the_slope_of_log_loss(form):
    """d log L / d theta of each run, by differences of the formula."""
    problem, _ = problem_of(form, 0)
    found = problem.jacobian(np.array(LAWS[form]))

    for law, slopes in zip(LAWS[form], found, strict=True):
        assert slopes == pytest.approx(central(lambda at: FORMS[form](*at), np.array(law), 1e-4).T, rel=1e-8, abs=1e-9)


def test_the_jacobian_of_the_additive_law_by_hand():
    """E / L, (A / N^alpha) / L, (B / D^beta) / L, and the last two times -ln N and -ln D."""
    problem, _ = problem_of("additive", 0)
    e, a, b, alpha, beta = LAWS["additive"][0]
    parts = np.array([np.full(len(N), np.exp(e)), np.exp(a) / N**alpha, np.exp(b) / D**beta])
    share = parts / parts.sum(axis=0)

    assert problem.jacobian(np.array([[e, a, b, alpha, beta]]))[0] == pytest.approx(
        np.array([*share, -share[1] * np.log(N), -share[2] * np.log(D)])
    )


@pytest.mark.parametrize("law", [0, 1])
@pytest.mark.parametrize("form", FORMS)
def test_slopes_are_those_of_the_weighted_objective(form, law):
    """Objective; its gradient by differences of Huber's sum; its curvature by differences of those."""
    problem, log_loss = problem_of(form, law)
    thetas, theta = np.array(LAWS[form]), np.array(LAWS[form][law])
    found = problem.slopes(thetas, WEIGHTS)

    def value(at):
        return objective(form, log_loss, at, WEIGHTS[law])

    def gradient(at):
        pulls = WEIGHTS[law] * np.clip(FORMS[form](*at) - log_loss, -DELTA, DELTA)
        return pulls @ central(lambda near: FORMS[form](*near), at, 1e-4)

    assert found.objective == pytest.approx([objective(form, log_loss, *pair) for pair in zip(thetas, WEIGHTS, strict=True)])
    assert problem.huber(problem.residuals(thetas), WEIGHTS) == pytest.approx(found.objective)
    assert found.gradient[law] == pytest.approx(central(value, theta, 1e-5), rel=1e-6, abs=1e-9)
    curvature = central(gradient, theta, 1e-5)
    assert found.curvature[law] == pytest.approx(curvature, rel=1e-4, abs=1e-5 * abs(curvature).max())


@pytest.mark.parametrize("form", FORMS)
def test_the_metric_lies_above_the_objective_and_touches_it(form):
    """Huber's function lies below (delta / |r|) r^2 / 2 + constant, which touches it at r (beyond delta; below it r^2 / 2 itself).

    Its curvature is the sum of weight * min(1, delta / |r|) * J J^T.
    """
    problem, _ = problem_of(form, 0)
    theta = np.array(LAWS[form][0])
    jacobian = central(lambda at: FORMS[form](*at), theta, 1e-4)
    pull = [weight * min(1.0, DELTA / abs(miss)) for weight, miss in zip(WEIGHTS[1], MISSES[0], strict=True)]
    expected = sum(p * np.outer(row, row) for p, row in zip(pull, jacobian, strict=True))

    assert problem.slopes(theta[None], WEIGHTS[1:]).metric[0] == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_a_law_predicted_exactly_has_no_pull():
    """A residual of nothing adds nothing to objective, gradient and metric, and its whole weight to the curvature."""
    loss = np.exp(FORMS["power-n_params"](2.43, 0.076))
    found = Problem(shape("power-n_params"), {"n_params": N}, loss).slopes(np.array([[2.43, 0.076]]), np.ones((1, 7)))
    rows = np.stack([np.ones(7), -np.log(N)])

    assert found.objective[0] == pytest.approx(0, abs=1e-24)
    assert found.curvature[0] == pytest.approx(rows @ rows.T, rel=1e-9)


def test_without_a_choice_delta_is_a_thousandth():
    """hoffmann2022 section 3.3: delta = 10^-3."""
    loss = np.exp(np.array([0.0005, 0.0, -0.01]))
    problem = Problem(shape("power-n_params"), {"n_params": np.array([1e8, 1e9, 1e10])}, loss)

    assert problem.slopes(np.zeros((1, 2)), np.ones((1, 3))).objective[0] == pytest.approx(0.0005**2 / 2 + 1e-3 * (0.01 - 0.5e-3))


def test_shares_are_each_terms_part_of_the_loss():
    """E, A / N^alpha and B / D^beta over their sum."""
    problem, log_loss = problem_of("additive", 0)
    e, a, b, alpha, beta = LAWS["additive"][0]
    parts = [np.full(len(N), np.exp(e)), np.exp(a) / N**alpha, np.exp(b) / D**beta]
    excess, shares = problem.shares(np.array(LAWS["additive"]))

    assert [share[0] for share in shares] == [pytest.approx(part / sum(parts)) for part in parts]
    assert excess[0] == pytest.approx(np.log(sum(parts)) - log_loss)


def test_slopes_of_some_laws_are_taken_out_and_put_back():
    """`at` picks rows of every array, `update` writes them."""
    problem, _ = problem_of("additive", 0)
    both = problem.slopes(np.array(LAWS["additive"]), WEIGHTS)
    second = both.at([1])
    swapped = both.at([1, 0])
    swapped.update([0], both.at([0]))

    for whole, one, mixed in zip(both, second, swapped, strict=True):
        assert one == pytest.approx(whole[1:])
        assert mixed == pytest.approx(np.stack([whole[0], whole[0]]))


def test_a_feature_that_is_the_same_for_every_run_is_kept_as_one_number():
    """The logarithm of a coefficient multiplies 1 in every run."""
    assert collapsed(np.array([3.0, 3.0, 3.0])).tolist() == [3]
    assert collapsed(np.array([3.0, 3.0, 5.0])).tolist() == [3, 3, 5]
