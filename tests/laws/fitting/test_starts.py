"""Where a search begins: least squares for the coefficients, the best exponents of the whole grid, and a sample of many runs."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from scaleplan.laws.fitting.problem import Problem
from scaleplan.laws.fitting.shapes import shape
from scaleplan.laws.fitting.starts import profile_starts, sample, with_coefficients

CHANCE = np.random.default_rng(13)
N, D = np.exp(CHANCE.uniform(17, 23, 30)), np.exp(CHANCE.uniform(20, 27, 30))
LOSS = (1.82 + 478 / N**0.347 + 2143 / D**0.367) * np.exp(CHANCE.normal(0, 0.02, 30))
DELTA = 0.017
TERMS = {  # with the exponents held, and the outer power: what each coefficient multiplies, over what the sum should be
    "additive": lambda alpha, beta: (np.stack([np.ones(30), N**-alpha, D**-beta]) / LOSS, 1.0),
    "additive-tied": lambda alpha: (np.stack([np.ones(30), N**-alpha, D**-alpha]) / LOSS, 1.0),
    "kaplan": lambda ratio, alpha_d: (np.stack([N**-ratio, 1 / D]) / LOSS ** (1 / alpha_d), alpha_d),
    "power-n_tokens": lambda alpha: (np.stack([D**-alpha]) / LOSS, 1.0),
}


def problem_of(form):
    return Problem(shape(form), {"n_params": N, "n_tokens": D}, LOSS, DELTA)


def in_order(form, coefficients, exponents):
    """theta in the order of the shape: here the coefficients come first."""
    assert len(coefficients) + len(exponents) == len(shape(form).parameters)
    return np.array([*np.log(coefficients), *exponents])


@pytest.mark.parametrize(
    ("form", "exponents"),
    [
        ("additive", [(0.31, 0.41), (0.37, 0.29)]),
        ("additive-tied", [(0.33,), (0.47,)]),
        ("kaplan", [(0.8, 0.11), (0.9, 0.17)]),
        ("power-n_tokens", [(0.06,), (0.09,)]),
    ],
)
def test_coefficients_are_those_of_least_squares(form, exponents):
    """Of each choice of exponents: sum over runs of (predicted / observed - 1)^2 is least (before the outer power)."""
    width = len(shape(form).parameters) - len(exponents[0])
    theta = np.array([[0.0] * width + list(choice) for choice in exponents])
    found = with_coefficients(problem_of(form), theta)

    for choice, one in zip(exponents, found, strict=True):
        features, _ = TERMS[form](*choice)
        best = np.linalg.lstsq((features / features.max(axis=1)[:, None]).T, np.ones(30), rcond=None)[0] / features.max(axis=1)
        assert (best > 0).all()
        assert one == pytest.approx(in_order(form, best, choice), rel=1e-6)
    assert (theta[:, :width] == 0).all()


def test_a_coefficient_that_would_be_negative_is_a_small_share_of_the_loss():
    """A loss that grows with D: the term of D is held at a ten thousandth of the loss on average, the others are as they would be."""
    loss = 2 + 300 / N**0.3 + 0.02 * np.log(D / 1e9)
    problem = Problem(shape("additive"), {"n_params": N, "n_tokens": D}, loss)
    ((e, a, b, *_),) = with_coefficients(problem, np.array([[0.0, 0.0, 0.0, 0.3, 0.35]]))
    features = np.stack([np.ones(30), N**-0.3, D**-0.35]) / loss
    free = np.linalg.lstsq((features / features.max(axis=1)[:, None]).T, np.ones(30), rcond=None)[0] / features.max(axis=1)

    assert free[2] < 0
    assert (np.exp(b) * features[2]).mean() == pytest.approx(1e-4)
    assert np.exp([e, a]) == pytest.approx(free[:2], rel=1e-6)


def test_terms_that_no_run_tells_apart_share_alike():
    """One size of model: E and A / N^alpha are the same to every run, and each is half of what they are together."""
    loss = 2.3 + 700 / D**0.35
    problem = Problem(shape("additive"), {"n_params": np.full(30, 7e8), "n_tokens": D}, loss)
    ((e, a, b, *_),) = with_coefficients(problem, np.array([[0.0, 0.0, 0.0, 0.3, 0.35]]))

    assert np.exp([e, a - 0.3 * np.log(7e8), b]) == pytest.approx([1.15, 1.15, 700], rel=0.03)


@pytest.mark.parametrize("form", TERMS)
def test_starts_are_the_best_exponents_of_the_grid(form):
    """Every choice of exponents with its best coefficients, ranked by Huber's sum on log loss; the sixteen lowest, lowest first."""
    ranked = []
    for choice in itertools.product(*shape(form).starts.values()):
        features, outer = TERMS[form](*choice)
        scale = features.max(axis=1)
        best = np.linalg.lstsq((features / scale[:, None]).T, np.ones(30), rcond=None)[0]
        if (best > 0).all():
            miss = np.abs(outer * np.log(best @ (features / scale[:, None])))
            ranked.append((np.where(miss < DELTA, miss**2 / 2, DELTA * (miss - DELTA / 2)).sum(), choice))
    found = profile_starts(problem_of(form))
    positive = [tuple(theta[-len(choice) :]) for theta in found for _, choice in ranked if np.allclose(theta[-len(choice) :], choice)]

    assert len(found) == min(16, np.prod([len(values) for values in shape(form).starts.values()]))
    assert positive[0] == pytest.approx(min(ranked)[1])
    assert positive == [pytest.approx(choice) for _, choice in sorted(ranked)[: len(positive)]]
    objective = problem_of(form).slopes(found, np.ones((1, 30))).objective
    assert objective[0] == pytest.approx(min(ranked)[0], rel=1e-5)
    assert (np.diff(objective) >= 0).all()


def test_so_many_starts_as_are_asked_for():
    """Fewer are the first of more."""
    problem = problem_of("additive")

    assert profile_starts(problem, 5) == pytest.approx(profile_starts(problem)[:5])


def test_many_runs_are_sampled_evenly():
    """Up to 2,000 runs are all taken; of 4,001 every other one, from the first to the last."""
    n_params = np.geomspace(1e7, 1e10, 4001)
    many = Problem(shape("power-n_params"), {"n_params": n_params}, 11 / n_params**0.08)
    few = many.of(np.arange(2000))
    taken = np.searchsorted(n_params, sample(many).columns["n_params"])

    assert sample(few) is few
    assert len(taken) == 2000
    assert (taken[0], taken[-1]) == (0, 4000)
    assert set(np.diff(taken)) == {2, 3}
    assert sample(many.of(np.arange(2001))).n_rows == 2000
