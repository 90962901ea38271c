"""Resamples: the same bytes from every process, and intervals of the right size."""

from __future__ import annotations

import numpy as np
import pytest

from scaleplan.laws.fitting.bootstrap import bootstrap, part, parts, resample_weights, summary
from scaleplan.laws.fitting.fit import fit
from scaleplan.laws.fitting.newton import minimise
from scaleplan.laws.fitting.shapes import shape


@pytest.fixture(scope="module")
def fitted():
    chance = np.random.default_rng(2)
    n_params = np.exp(chance.uniform(*np.log([5.7e7, 1.6e10]), 120))
    n_tokens = np.exp(chance.uniform(*np.log([1.4e18, 1.3e22]), 120)) / 6 / n_params
    loss = (1.8172 + 477.8 / n_params**0.3473 + 2143.4 / n_tokens**0.3672) * np.exp(chance.normal(0, 0.01, 120))
    return fit(shape("additive"), {"n_params": n_params, "n_tokens": n_tokens}, loss)


def test_parts_are_the_whole(fitted):
    """A part computed alone gives the bytes that it has among the others, whatever the number of threads."""
    whole = [found.theta for found in bootstrap(fitted.problem, fitted.theta, 600, seed=42)]
    threads = [found.theta for found in bootstrap(fitted.problem, fitted.theta, 600, seed=42, jobs=2)]
    alone = part(fitted.problem, fitted.theta, 42, 1, parts(600)[1]).theta

    assert [len(theta) for theta in whole] == parts(600) == [250, 250, 100]
    assert whole[1].tobytes() == alone.tobytes()
    assert all(one.tobytes() == other.tobytes() for one, other in zip(whole, threads, strict=True))


def test_another_seed_draws_other_runs(fitted):
    """The seed matters."""
    one, other = (part(fitted.problem, fitted.theta, seed, 0, 10).theta for seed in (1, 2))

    assert not np.array_equal(one, other)


def test_a_resample_has_as_many_runs_as_the_table():
    """Weights are counts that add up to the number of runs."""
    weights = resample_weights(np.random.default_rng(0), 30, 50)

    assert weights.shape == (50, 30)
    assert (weights.sum(axis=1) == 30).all()


def test_every_resample_ends_at_its_minimum(fitted):
    """Started from elsewhere, the same resamples end at the same place: fits do not stop early."""
    weights = resample_weights(np.random.default_rng(7), fitted.problem.n_rows, 100)
    near = minimise(fitted.problem, np.repeat(fitted.theta[None], 100, axis=0), weights)
    far = minimise(fitted.problem, near.theta[::-1] + np.array([0.05, -0.5, 0.5, 0.02, -0.02]), weights)

    assert near.settled.all()
    assert far.objective == pytest.approx(near.objective, rel=1e-8)


def test_summary_gives_percentiles_and_spread():
    """Of 100 numbers around the estimate: the plain percentiles, and the spread of a uniform sample."""
    points = summary({"x": np.arange(100.0)}, {"x": 50.0})["x"]

    assert [points[key] for key in ("p2_5", "p10", "p50", "p90", "p97_5")] == pytest.approx([0.99 * p for p in (2.5, 10, 50, 90, 97.5)])
    assert points["sd"] == pytest.approx(np.std(np.arange(100), ddof=1))


def test_summary_is_silent_where_draws_run_away():
    """A quantity that is infinite in many draws has no interval."""
    assert summary({"x": np.array([1.0, np.inf, np.inf, 2.0])}, {"x": 1.0}) == {}


def test_draws_on_one_side_shift_the_interval():
    """Efron's correction by hand: 60 of 100 draws below the estimate, z0 = 0.2533, so p97.5 is read at Phi(2 z0 + 1.96) = 99.32 %."""
    points = summary({"x": np.arange(100.0)}, {"x": 60.0})["x"]

    assert points["p97_5"] == pytest.approx(0.9932 * 99, abs=0.05)
    assert points["p2_5"] == pytest.approx(0.0732 * 99, abs=0.05)
