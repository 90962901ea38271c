"""Which runs pull a fit: leaving them out for certain, and the groups that are worth trying."""

from __future__ import annotations

import numpy as np
import pytest

from scaleplan.laws.fitting import influence
from scaleplan.laws.fitting.fit import fit
from scaleplan.laws.fitting.influence import Influence, candidates, exponents, influences_of, row_moves, strongest_influence
from scaleplan.laws.fitting.shapes import shape


def powers(n_rows, delta=1e-3, seed=3):
    """Runs of L = 11 N^-0.08 with noise of 1 %."""
    chance = np.random.default_rng(seed)
    n_params = np.exp(chance.uniform(17, 23, n_rows))
    return fit(shape("power-n_params"), {"n_params": n_params}, 11 / n_params**0.08 * np.exp(chance.normal(0, 0.01, n_rows)), delta)


def without(fitted, rows):
    """The line through the logarithms of the other runs: log A and alpha."""
    kept = np.setdiff1d(np.arange(fitted.problem.n_rows), rows)
    slope, intercept = np.polyfit(np.log(fitted.problem.columns["n_params"][kept]), fitted.problem.log_loss[kept], 1)
    return np.array([intercept, -slope])


def test_taking_out_a_run_moves_the_constants_as_foretold():
    """Inside delta: (X'X)^-1 x r to first order, damped by a tenth: 1 / 1.1 of it; as refits without the run move."""
    fitted = powers(90, delta=50.0)
    moved = np.stack([without(fitted, [row]) - fitted.theta for row in range(90)], axis=1)
    x = np.stack([np.ones(90), -np.log(fitted.problem.columns["n_params"])])
    first_order = np.linalg.inv(x @ x.T) @ x * fitted.residuals

    assert row_moves(fitted) == pytest.approx(first_order / 1.1, rel=1e-6)
    assert np.corrcoef(row_moves(fitted)[1], moved[1])[0, 1] > 0.99


def test_beyond_delta_a_run_pulls_with_delta_alone():
    """A run ten times as far off pulls no harder: the moves are those of residuals held at delta."""
    fitted = powers(90, delta=0.004)
    held = fitted._replace(residuals=np.clip(fitted.residuals, -0.004, 0.004))

    assert row_moves(fitted) == pytest.approx(row_moves(held))
    moved = row_moves(fitted._replace(residuals=10 * fitted.residuals))[:, np.abs(fitted.residuals) > 0.004]
    assert moved == pytest.approx(row_moves(fitted)[:, np.abs(fitted.residuals) > 0.004])


@pytest.mark.parametrize(
    ("n_rows", "sizes"),
    [
        (8, set()),  # two constants need eight runs that are left
        (9, {1}),
        (66, {1}),
        (67, {1, 2}),  # 3 % of 67 is 2.01
        (99, {1, 2}),
        (100, {1, 2, 3}),
        (166, {1, 2, 3}),
        (167, {1, 2, 3, 5}),
        (266, {1, 2, 3, 5}),
        (267, {1, 2, 3, 5, 8}),
    ],
)
def test_groups_are_up_to_three_percent_of_the_runs(n_rows, sizes):
    """One run at least; four for each constant are left."""
    assert {len(rows) for rows in candidates(powers(n_rows))} == sizes


def test_candidates_are_extreme_in_residual_loss_and_pull():
    """The first of each order, in groups of one and two: largest misses, highest losses, alpha moved most up and most down."""
    fitted = powers(67, delta=50.0)
    moves = [without(fitted, [row])[1] for row in range(67)]
    orders = [np.argsort(-np.abs(fitted.residuals)), np.argsort(-fitted.problem.loss), np.argsort(moves), np.argsort(moves)[::-1]]
    expected = {tuple(sorted(order[:size].tolist())) for order in orders for size in (1, 2)}

    assert set(candidates(fitted)) == expected


def test_exponents_are_what_is_no_logarithm():
    """Of the additive law alpha and beta, the fourth and fifth."""
    chance = np.random.default_rng(1)
    n, d = np.exp(chance.uniform(17, 23, 20)), np.exp(chance.uniform(20, 26, 20))

    assert exponents(fit(shape("additive"), {"n_params": n, "n_tokens": d}, 1.8 + 478 / n**0.35 + 2143 / d**0.37)) == [3, 4]


@pytest.mark.parametrize(
    ("before", "after", "error", "shift", "notable"),
    [
        (0.30, 0.34, 0.02, 2.0, False),
        (0.30, 0.34, 0.0135, 2.963, False),
        (0.30, 0.34, 0.013, 3.077, True),  # more than three standard errors
        (0.34, 0.30, 0.013, 3.077, True),
        (0.30, 0.3014, 1e-4, 14.0, False),  # a change of 0.47 % is none that anyone would see
        (0.30, 0.3016, 1e-4, 16.0, True),
        (-0.30, -0.3014, 1e-4, 14.0, False),
        (-0.30, -0.3016, 1e-4, 16.0, True),
    ],
)
def test_a_pull_is_notable_beyond_three_errors_and_half_a_percent(before, after, error, shift, notable):
    pull = Influence((3,), "alpha", before, after, error)

    assert pull.shift == pytest.approx(shift, abs=1e-3)
    assert pull.notable == notable


def test_the_strongest_pull_is_told_with_its_fit():
    """One run of 66 far off at the largest size, inside delta: without it the line of the others, and White's error of that."""
    fitted = powers(66, delta=50.0)
    columns, loss = fitted.problem.columns, fitted.problem.loss.copy()
    row = int(columns["n_params"].argmax())
    loss[row] *= 1.3
    found = strongest_influence(fit(shape("power-n_params"), columns, loss, 50.0))
    kept = np.setdiff1d(np.arange(66), [row])
    x = np.stack([np.ones(65), -np.log(columns["n_params"][kept])], axis=1)
    after = without(fitted, [row])
    bread = np.linalg.inv(x.T @ x)
    covariance = bread @ (x.T * (x @ after - np.log(loss[kept])) ** 2) @ x @ bread * 66 / 64

    assert (found.rows, found.parameter) == ((row,), "alpha")
    assert found.before == pytest.approx(-np.polyfit(np.log(columns["n_params"]), np.log(loss), 1)[0])
    assert found.after == pytest.approx(after[1])
    assert found.standard_error == pytest.approx(np.sqrt(covariance[1, 1]), rel=1e-6)
    assert found.notable


@pytest.mark.parametrize(
    ("shifts", "chosen"),
    [
        ({(1,): 4.1, (1, 2): 5.0, (1, 2, 3): 4.9}, (1,)),  # four fifths of the strongest will do
        ({(1,): 3.9, (1, 2): 5.0, (1, 2, 3): 4.9}, (1, 2)),
        ({(1,): 4.2, (4,): 4.6, (1, 2): 5.0}, (4,)),  # of the smallest groups that do, the strongest
        ({(1,): 0.2, (1, 2): 1.0, (1, 2, 3): 2.0}, (1, 2, 3)),
    ],
)
def test_the_smallest_group_that_does_nearly_as_much_is_named(monkeypatch, shifts, chosen):
    monkeypatch.setattr(influence, "candidates", lambda fitted: iter(shifts))
    monkeypatch.setattr(influence, "influences_of", lambda fitted, rows, *_: [Influence(rows, "alpha", 0.3, 0.3 + shifts[rows], 1.0)])

    assert strongest_influence(powers(20)).rows == chosen


def test_nothing_is_said_of_few_runs_or_of_very_many():
    """Eight runs of two constants leave too few; ten thousand are tried, one more is not: a handful cannot matter."""
    assert strongest_influence(powers(8)) is None
    assert strongest_influence(powers(9)) is not None
    many = powers(10_001)
    assert strongest_influence(many) is None
    assert strongest_influence(many._replace(problem=many.problem.of(slice(1, None)), residuals=many.residuals[1:])) is not None


def test_a_fit_without_errors_has_no_pulls():
    """Weights that leave one size of model tell nothing of alpha."""
    fitted = powers(20)

    assert list(influences_of(fitted, (0,), fitted.theta, np.arange(20) == 3)) == []
