"""Forms ranked on the largest runs: which those are, and how each form misses them."""

from __future__ import annotations

import numpy as np
import pytest

from scaleplan.errors import InputError
from scaleplan.laws.fitting.compare import largest_scale, rank, score
from scaleplan.laws.fitting.shapes import shape


@pytest.mark.parametrize(
    ("compute", "held_out"),
    [
        ([1, 1.1, 4.3, 4.3, 4.5, 17.9, 17.9], [5, 6]),  # 4.5 to 17.9 is less than four times: one scale; the fifth is two at least
        ([1, 1.1, 4.3, 4.4, 4.5, 18.1, 19, 20, 21], [7, 8]),  # four above the jump are more than the fifth, so the two largest
        ([1, 1.1, 4.3, 4.4, 4.5, 4.6, 4.7, 4.8, 4.9, 5, 21, 22], [10, 11]),  # two of twelve above a jump
        ([1, 1.1, 4.3, 4.4, 4.5, 4.6, 4.7, 4.8, 4.9, 5, 5.1, 22], [10, 11]),  # one above it is too few: the fifth
        ([100, 1, 2, 3, 2.5, 110, 1.7, 1.2, 1.4, 1.3, 1.6, 1.9, 2.1, 2.2, 120], [0, 5, 14]),  # rows in any order
        (list(range(20, 0, -1)), [0, 1, 2, 3]),  # no jump (2 is twice 1, and so on): the top fifth
        (list(range(1, 14)), [10, 11, 12]),  # a fifth of 13 is 2.6, rounded
        (list(range(1, 13)), [10, 11]),
        ([1, 2, 3, 4], [2, 3]),
        ([1, 1, 1, 1, 1, 1, 1, 1, 4, 4, 4, 4, 16.1, 16.2], [12, 13]),
        ([1] * 8 + [5, 5, 5, 30, 30] + [40] * 2, [12, 13, 14]),  # four above the last jump are more than 3: the top fifth
        ([1] * 12 + [5, 21, 22], [13, 14]),  # the last jump that leaves enough
        ([1] * 12 + [5, 6, 31], [12, 13, 14]),  # the last leaves one run: the jump before
    ],
)
def test_the_largest_scale(compute, held_out):
    """Above the last jump by more than four that leaves two runs to a fifth of all; where there is none, the top fifth."""
    assert largest_scale(np.array(compute, float)).tolist() == held_out


def test_a_jump_of_four_itself_is_no_jump():
    """Of 20 runs a fifth is four; three lie above a factor of exactly four, or of a little more."""
    small = [1.0] * 16 + [2.0]

    assert largest_scale(np.array([*small, 8.0, 8, 8])).tolist() == [16, 17, 18, 19]
    assert largest_scale(np.array([*small, 8.1, 8.1, 8.1])).tolist() == [17, 18, 19]


def powers(shift):
    """L = 11 N^-0.08 at 20 tokens per parameter, the three largest of fifteen off by these factors of e."""
    n_params = np.concatenate([np.geomspace(1e7, 3e9, 12), [3e10, 4e10, 5e10]])
    loss = 11 / n_params**0.08
    loss[-3:] *= np.exp(-np.array(shift))
    return {"n_params": n_params, "n_tokens": 20 * n_params}, loss


@pytest.mark.parametrize(("shift", "bias", "error"), [([0.03, -0.02, 0.07], 0.03, 0.03), ([-0.05, 0.01, -0.02], -0.02, 0.02)])
def test_a_score_is_the_median_miss_of_the_runs_left_out(shift, bias, error):
    """Runs of a power of N: the form is fitted exactly, and the largest runs are missed by what they are off."""
    ranking = rank(*powers(shift), [shape("power-n_params")])
    (one,) = ranking.scores

    assert one.held_out_bias == pytest.approx(bias, abs=1e-6)
    assert one.held_out_error == pytest.approx(error, abs=1e-6)
    assert one.fitted_error == pytest.approx(0, abs=1e-6)
    assert ranking.held_out.tolist() == [12, 13, 14]
    assert ranking.compute_from == pytest.approx(6 * 20 * 3e10**2)


def test_the_fitted_error_is_the_median_of_the_runs_fitted():
    """Residuals of the runs below, as the fit of those alone leaves them."""
    columns, loss = powers([0.0, 0.0, 0.0])
    loss[:12] *= np.exp(0.02 * np.random.default_rng(3).normal(size=12))
    one = score(shape("power-n_params"), columns, loss, np.arange(12), np.arange(12, 15))
    a, alpha = np.polynomial.polynomial.polyfit(np.log(columns["n_params"][:12]), np.log(loss[:12]), 1)
    squares = np.median(np.abs(a + alpha * np.log(columns["n_params"][:12]) - np.log(loss[:12])))

    assert 0.3 * squares < one.fitted_error < 2 * squares


def test_forms_without_their_columns_are_left_out_and_others_ranked():
    """With N and D there are no forms of steps or experts; those that the runs contradict are refused; the best is first."""
    chance = np.random.default_rng(4)
    n_params, ratio = np.exp(chance.uniform(16, 22, 40)), np.exp(chance.uniform(1, 5, 40))
    columns = {"n_params": n_params, "n_tokens": ratio * n_params}
    ranking = rank(columns, 1.8 + 478 / n_params**0.347 + 2143 / columns["n_tokens"] ** 0.367)
    names = {one.shape.name for one in ranking.scores} | {one.name for one, _ in ranking.refused}

    assert not names & {"power-sum", "routed-experts", "joint-experts", "sparse-experts", "fine-grained-experts"}
    assert names >= {"additive", "additive-tied", "kaplan", "over-training", "power-compute_flops"}
    assert ranking.scores[0].shape.name == "additive"
    assert [one.held_out_error for one in ranking.scores] == sorted(one.held_out_error for one in ranking.scores)


def test_runs_without_compute_cannot_be_compared():
    """Of tokens alone nothing says which runs are the largest."""
    with pytest.raises(InputError, match="most compute"):
        rank({"n_tokens": np.geomspace(1e9, 1e11, 9)}, np.linspace(3, 2, 9))
