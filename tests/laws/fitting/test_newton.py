"""Damped Newton steps: each step by linear algebra written plainly, and the minimum by routes that know no steps."""

from __future__ import annotations

import numpy as np
import pytest

from scaleplan.laws.fitting import newton
from scaleplan.laws.fitting.newton import arrived, minimise, steps
from scaleplan.laws.fitting.problem import Problem, Slopes
from scaleplan.laws.fitting.shapes import shape

CURVATURE = np.array([[[7.0, 2e3], [2e3, 5e6]], [[-3.0, 1e3], [1e3, 2e6]]])
METRIC = np.array([[[11.0, 3e3], [3e3, 13e6]], [[5.0, -1e3], [-1e3, 3e6]]])
GRADIENT = np.array([[0.7, -300.0], [0.5, 1100.0]])


def slopes(curvature, metric, gradient):
    return Slopes(np.ones(len(gradient)), gradient, curvature, metric)


def test_a_step_solves_the_damped_newton_equation():
    """step = -(curvature + damping * metric)^-1 gradient, of each law with its own damping; the fall is -gradient . step."""
    damping = np.array([0.3, 0.017])
    step, fall = steps(slopes(CURVATURE, METRIC, GRADIENT), damping)

    for k in range(2):
        expected = -np.linalg.inv(CURVATURE[k] + damping[k] * METRIC[k]) @ GRADIENT[k]
        assert step[k] == pytest.approx(expected, rel=1e-9)
        assert fall[k] == pytest.approx(-GRADIENT[k] @ expected, rel=1e-9)


def test_a_step_uphill_is_seen():
    """Where the objective bends down in a direction, Newton's step climbs: the fall is negative."""
    _, (fall,) = steps(slopes(np.array([[[-2.0]]]), np.array([[[3.0]]]), np.array([[5.0]])), np.array([0.1]))

    assert fall == pytest.approx(-25 / 1.7)


def test_no_step_is_taken_along_a_direction_of_which_nothing_is_known():
    """Equations singular in the first direction, units 2 and 3: the step is that of the second alone, -15 / (9 * 2)."""
    flat = -4e-12  # the first diagonal place with the ridge that is added, in units of the metric, is 0
    now = slopes(np.array([[[flat, 0.0], [0.0, 18.0]]]), np.array([[[4.0, 0.0], [0.0, 9.0]]]), np.array([[7.0, 15.0]]))
    step, fall = steps(now, np.zeros(1))

    assert step[0] == pytest.approx([0, -15 / 18])
    assert fall[0] == pytest.approx(15 * 15 / 18)


@pytest.mark.parametrize(
    ("fall", "damping", "objective", "n_rows", "whether"),
    [
        (3e-15, 1e-3, 1.0, 7, True),  # a relative fall far below the last digits that matter, hardly damped
        (-3e-15, 1e-3, 1.0, 7, True),
        (3e-15, 0.5, 1.0, 7, False),  # damping could be what makes it small
        (3e-18, 0.5, 1.0, 7, True),  # so small that it does not matter
        (-3e-18, 0.5, 1.0, 7, True),
        (3e-11, 1e-3, 1.0, 7, False),
        (3e-11, 1e-3, 1e5, 7, True),  # relative to the objective
        (3e-15, 1e-3, 1e-5, 7, False),
        (3e-14, 0.5, 1e5, 7, True),
        (3e-20, 0.5, 1e-7, 7, False),
        (1e-25, 0.5, 3e-22, 1000, True),  # exact data: an objective of nothing a run
        (1e-25, 0.5, 3e-22, 7, False),
    ],
)
def test_a_law_has_arrived_where_it_can_hardly_fall(fall, damping, objective, n_rows, whether):
    """By the fall that is foretold relative to the objective, with little damping; or by an objective of nothing."""
    assert arrived(np.array([fall]), np.array([damping]), np.array([objective]), n_rows).tolist() == [whether]


def powers(delta):
    """Forty runs about L = 11 N^-0.08, a few of them far off."""
    chance = np.random.default_rng(3)
    n_params = np.exp(chance.uniform(16, 23, 40))
    loss = 11 / n_params**0.08 * np.exp(0.01 * chance.standard_t(2, 40))
    return Problem(shape("power-n_params"), {"n_params": n_params}, loss, delta), n_params, loss


def test_inside_delta_the_minimum_is_that_of_least_squares():
    """A power of one column is a line in logarithms: weighted least squares in closed form, for seven laws with weights of their own."""
    problem, n_params, loss = powers(delta=100.0)
    chance = np.random.default_rng(5)
    weights = chance.uniform(0.1, 3, (7, 40))
    found = minimise(problem, np.array([2.0, 0.1]) + chance.uniform(-0.05, 0.05, (7, 2)), weights)

    for k, weight in enumerate(weights):
        slope, intercept = np.polyfit(np.log(n_params), np.log(loss), 1, w=np.sqrt(weight))
        assert found.theta[k] == pytest.approx([intercept, -slope], rel=1e-8)
        misses = intercept + slope * np.log(n_params) - np.log(loss)
        assert found.objective[k] == pytest.approx((weight * misses**2).sum() / 2)
    assert found.settled.all()


def test_a_robust_minimum_is_that_of_scipy():
    """Huber's loss as scipy has it (f_scale is delta; its cost is the same sum)."""
    least_squares = pytest.importorskip("scipy.optimize").least_squares
    problem, n_params, loss = powers(delta=0.004)
    found = minimise(problem, np.array([[2.0, 0.1], [3.0, 0.05]]), np.ones((1, 40)))
    x = np.log(n_params) - np.log(n_params).mean()
    scipys = least_squares(
        lambda at: at[0] - at[1] * x - np.log(loss), [1.0, 0.1], loss="huber", f_scale=0.004, xtol=1e-14, ftol=1e-15, gtol=1e-14
    )

    assert found.objective == pytest.approx(np.full(2, scipys.cost), rel=1e-9)
    assert found.theta[:, 1] == pytest.approx(np.full(2, scipys.x[1]), rel=1e-5)
    assert found.settled.all()


def watched(monkeypatch):
    """How many laws each evaluation of the slopes is for, as they are asked for."""
    asked, slopes_of = [], Problem.slopes
    monkeypatch.setattr(Problem, "slopes", lambda self, theta, weights: asked.append(len(theta)) or slopes_of(self, theta, weights))
    return asked


def test_a_quadratic_takes_a_handful_of_steps(monkeypatch):
    """Least squares: each step leaves a share damping / (1 + damping) of the way, and the damping falls tenfold: 1e-3, 1e-7, 1e-12, ..."""
    problem, _, _ = powers(delta=100.0)
    asked = watched(monkeypatch)

    assert minimise(problem, np.array([[2.0, 0.1]]), np.ones((1, 40))).settled.all()
    assert len(asked) <= 6


@pytest.mark.parametrize("numbers_per_block", [1, 130, 10**6])
def test_laws_worked_on_together_do_not_touch_each_other(monkeypatch, numbers_per_block):
    """Whatever the size of a block, each law ends where it ends alone, with its own weights or with those of all."""
    problem, _, _ = powers(delta=0.004)
    chance = np.random.default_rng(7)
    starts = np.array([2.0, 0.1]) + chance.uniform(-0.05, 0.05, (8, 2))
    weights = chance.integers(0, 4, (8, 40)).astype(float)
    alone = [minimise(problem, starts[k : k + 1], weights[k : k + 1]) for k in range(8)]
    monkeypatch.setattr(newton, "NUMBERS_PER_BLOCK", numbers_per_block)
    together = watched(monkeypatch)
    own, shared = minimise(problem, starts, weights), minimise(problem, starts, weights[:1])

    assert own.theta == pytest.approx(np.concatenate([one.theta for one in alone]), rel=1e-6)
    assert own.objective == pytest.approx(np.concatenate([one.objective for one in alone]))
    assert shared.objective == pytest.approx(np.full(8, alone[0].objective[0]))
    assert own.settled.all()
    assert shared.settled.all()
    assert max(together) == {1: 1, 130: 3, 10**6: 8}[numbers_per_block]  # of 40 runs each


def test_a_law_of_many_constants_arrives_from_afar():
    """The additive law without noise, begun with exponents and coefficients far off: settled, exact, in the steps that there are."""
    chance = np.random.default_rng(11)
    n_params, n_tokens = np.exp(chance.uniform(17, 23, 50)), np.exp(chance.uniform(20, 27, 50))
    truth = np.array([np.log(1.82), np.log(478.0), np.log(2143.0), 0.347, 0.367])
    loss = 1.82 + 478 / n_params**0.347 + 2143 / n_tokens**0.367
    problem = Problem(shape("additive"), {"n_params": n_params, "n_tokens": n_tokens}, loss)
    found = minimise(problem, truth + np.array([[0.3, -2.0, 1.5, -0.1, 0.1], [-0.4, 1.0, -2.0, 0.12, -0.08]]), np.ones((1, 50)))

    assert found.theta == pytest.approx(np.stack([truth, truth]), rel=1e-6)
    assert found.settled.all()


def test_the_way_down_never_climbs():
    """From a start that is the minimum already, or next to it, the objective ends no higher than it began."""
    problem, _, _ = powers(delta=0.004)
    starts = np.array([[2.4, 0.08], [2.0, 0.2], [5.0, 0.0]])
    began = problem.slopes(starts, np.ones((1, 40))).objective
    ended = minimise(problem, starts, np.ones((1, 40)))
    again = minimise(problem, ended.theta, np.ones((1, 40)))

    assert (ended.objective < began).all()
    assert again.objective == pytest.approx(ended.objective, rel=1e-10)
    assert problem.slopes(ended.theta, np.ones((1, 40))).objective == pytest.approx(ended.objective, rel=1e-14)
