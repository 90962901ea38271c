"""Resamples: the same bytes from every process, and intervals of the right size."""

from __future__ import annotations

import sys
from math import erf

import numpy as np
import pytest

from scaleplan.laws.fitting.bootstrap import bootstrap, corrected_levels, part, parts, resample_weights, rounded, summary
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


def phi(z):
    """The normal distribution by its error function."""
    return (1 + erf(z / 2**0.5)) / 2


@pytest.mark.parametrize(
    ("share", "n_draws", "shift"),
    [(0.5, 200, 0.0), (0.6, 100, 0.253347), (0.16, 1000, -0.994458), (0.84, 1000, 0.994458), (0.0, 4, -0.674490), (1.0, 4, 0.674490)],
)
def test_levels_are_efrons(share, n_draws, shift):
    """Phi(2 z0 + z) for 2.5, 10, 50, 90 and 97.5 %; no share is below one draw's, or above that of all but one."""
    usual = (-1.959964, -1.281552, 0, 1.281552, 1.959964)

    assert corrected_levels(share, n_draws) == pytest.approx([100 * phi(2 * shift + z) for z in usual], rel=1e-5)


@pytest.mark.parametrize("share", [0.0, 0.158, 0.842, 1.0])
def test_levels_are_plain_where_the_draws_lie_on_one_side(share):
    """z0 beyond one standard deviation (15.87 %, 84.13 %): an estimate at an edge."""
    assert corrected_levels(share, 1000) == [2.5, 10.0, 50.0, 90.0, 97.5]


@pytest.mark.parametrize(("n_infinite", "n", "told"), [(2, 100, True), (3, 100, False), (0, 2, True), (0, 1, False), (1, 2, False)])
def test_an_interval_needs_two_draws_and_nearly_all_of_them(n_infinite, n, told):
    """98 % finite; the percentiles are those of the finite ones."""
    values = np.concatenate([np.arange(n - n_infinite, dtype=float), np.full(n_infinite, np.nan)])

    assert ("x" in summary({"x": values}, {"x": values[0]})) == told


def test_draws_at_the_estimate_are_not_below_it():
    """One of four below, one at it: z0 is that of a quarter, not of a half."""
    points = summary({"x": np.array([1.0, 2.0, 5.0, 9.0])}, {"x": 2.0})["x"]

    assert points["p50"] == pytest.approx(np.quantile([1.0, 2.0, 5.0, 9.0], phi(2 * -0.674490)), rel=1e-5)


def test_draws_have_ten_digits():
    """What two machines agree on; shape kept."""
    found = rounded(np.array([[1.23456789012345, -9.8765432109876e-7]]))

    assert found.tolist() == [[1.23456789, -9.876543211e-07]]


def test_parts_hold_250():
    """The last one the rest."""
    assert parts(250) == [250]
    assert parts(251) == [250, 1]
    assert parts(7) == [7]


def test_resamples_count_what_the_generator_picks():
    """Row k of the picks, counted by hand."""
    picks = np.random.default_rng([5, 3]).integers(7, size=(4, 7))
    weights = resample_weights(np.random.default_rng([5, 3]), 7, 4)

    assert weights.tolist() == [[float((row == run).sum()) for run in range(7)] for row in picks]


@pytest.mark.parametrize("numbers", [1, 3 * 120, 10**6])
def test_a_draw_is_the_fit_of_its_resample(fitted, monkeypatch, numbers):
    """Five refits in blocks of one, of three, or at once: each the least objective of the runs that the seed and the part's number draw."""
    picks = np.random.default_rng([17, 2]).integers(120, size=(5, 120))
    monkeypatch.setattr(sys.modules[part.__module__], "NUMBERS_PER_BLOCK", numbers)
    blocks, real = [], minimise
    monkeypatch.setattr(sys.modules[part.__module__], "minimise", lambda *given: blocks.append(len(given[1])) or real(*given))
    found = part(fitted.problem, fitted.theta, 17, 2, 5)

    for theta, objective, rows in zip(found.theta, found.objective, picks, strict=True):
        alone = minimise(fitted.problem.of(rows), fitted.theta[None], np.ones((1, 120)))
        assert objective == pytest.approx(alone.objective[0], rel=1e-8)
        assert theta[3:] == pytest.approx(alone.theta[0, 3:], rel=1e-3)
    assert blocks == {1: [1] * 5, 360: [3, 2], 10**6: [5]}[numbers]
