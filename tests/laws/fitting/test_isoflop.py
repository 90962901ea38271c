"""Slices of equal compute and the envelope of training curves: parabolas and powers that are known, and every limit."""

from __future__ import annotations

import numpy as np
import pytest

from scaleplan.errors import InputError
from scaleplan.laws.fitting.isoflop import (
    by_envelope,
    by_slices,
    check_slice,
    curves_of,
    envelope,
    parabola,
    power_through,
    resampled_envelope,
    resampled_slices,
    slices,
    too_few,
)

BUDGETS = np.array([3e18, 5e19, 7e20, 2e22])


def valley(n_params, compute, bend=0.031):
    """A parabola in log N about N = 0.19 C^0.53, with a loss of 4.1 - 0.05 log(C / 3e18) at its bottom."""
    return 4.1 - 0.05 * np.log(compute / 3e18) + bend * np.log(n_params / (0.19 * compute**0.53)) ** 2


def runs(per_slice=5, budgets=BUDGETS):
    """Sizes on both sides of each optimum, not alike."""
    spread = np.array([0.21, 0.47, 1.1, 2.3, 6.1, 8.7, 13.0])[:per_slice]
    n_params = np.concatenate([0.19 * c**0.53 * spread for c in budgets])
    compute = np.repeat(budgets, per_slice)
    return {"n_params": n_params, "n_tokens": compute / 6 / n_params, "compute_flops": compute}


def test_the_minima_of_slices_and_their_power_come_back():
    """N = 0.19 C^0.53, each with its budget, its loss and how many runs it is of."""
    columns = runs()
    growth = by_slices(columns, valley(columns["n_params"], columns["compute_flops"]))

    assert (growth.scale, growth.exponent) == pytest.approx((0.19, 0.53))
    assert [o.compute_flops for o in growth.optima] == pytest.approx(BUDGETS)
    assert [o.n_params for o in growth.optima] == pytest.approx(0.19 * BUDGETS**0.53)
    assert [o.loss_nats for o in growth.optima] == pytest.approx(4.1 - 0.05 * np.log(BUDGETS / 3e18))
    assert [o.n_runs for o in growth.optima] == [5] * 4
    assert growth.n_params_limits == pytest.approx((0.19 * 3e18**0.53, 0.19 * 2e22**0.53))
    assert (growth.refused, growth.draws) == ([], None)


def test_a_budget_is_the_geometric_mean_of_its_runs():
    """Runs that differ by a few percent are one slice at the root of their product."""
    columns = runs()
    columns["compute_flops"] = columns["compute_flops"] * np.tile([1.0, 1.05, 1.09, 1.02, 1.0], 4)
    growth = by_slices(columns, valley(columns["n_params"], np.repeat(BUDGETS, 5)))

    assert growth.optima[0].compute_flops == pytest.approx(3e18 * (1.05 * 1.09 * 1.02) ** 0.2)


def test_runs_within_a_tenth_are_one_budget():
    """The order of the rows does not matter; a factor above 1.1 starts the next."""
    compute = np.array([5.0, 1.0, 1.09, 5.4, 1.19, 1.32, 6.1])

    assert [rows.tolist() for rows in slices(compute)] == [[1, 2, 4], [5], [0, 3], [6]]


@pytest.mark.parametrize(
    ("compute", "n_params", "said"),
    [
        ([1.0, 1.1, 1.29, 1.2], [1.0, 2, 3, 4], None),
        ([1.0, 1.1, 1.31, 1.2], [1.0, 2, 3, 4], "without a gap"),
        ([1.0, 1.1, 1.29, 1.2, 1.2], [1.0, 2, 3, 3, 3], "3 sizes at this budget are too few"),
    ],
)
def test_a_slice_is_one_budget_and_four_sizes(compute, n_params, said):
    """Compute within a factor 1.3 in all."""
    if said is None:
        check_slice(1.1, np.array(compute), np.array(n_params))
        return
    with pytest.raises(InputError, match=said):
        check_slice(1.1, np.array(compute), np.array(n_params))


@pytest.mark.parametrize(
    ("centre", "bend", "said"),
    [
        (4.0, 0.031, None),
        (2.05, 0.031, None),
        (0.9, 0.031, "smallest"),
        (11.1, 0.031, "largest"),
        (10.9, 0.7, None),
        (4.0, -0.02, "no minimum"),
    ],
)
def test_a_minimum_lies_among_the_runs(centre, bend, said):
    """Sizes 2, 3, 7 and 11: the bottom of the parabola between 2 and 11, bending upward."""
    sizes = np.array([2.0, 3.0, 7.0, 11.0])
    loss = 2.7 + bend * (np.log(sizes) - np.log(centre)) ** 2
    if said is None:
        assert parabola(sizes, loss) == pytest.approx((centre, 2.7))
        return
    with pytest.raises(InputError, match=said):
        parabola(sizes, loss)


def test_three_budgets_are_enough_and_two_are_not():
    """The refusal counts those that have a minimum among all that there are, and names the first without."""
    three, two = runs(budgets=BUDGETS[:3]), runs(budgets=BUDGETS[:2])
    assert by_slices(three, valley(three["n_params"], three["compute_flops"])).exponent == pytest.approx(0.53)
    with pytest.raises(InputError, match="2 of 2 budgets"):
        by_slices(two, valley(two["n_params"], two["compute_flops"]))
    falling = np.where(
        three["compute_flops"] < 1e19, -(np.log(three["n_params"]) ** 2) / 1e3, valley(three["n_params"], three["compute_flops"])
    )
    with pytest.raises(InputError, match=r"2 of 3 budgets .* At 3e\+18 FLOP"):
        by_slices(three, falling)
    assert "at other budgets" in str(too_few([], []).way_out)


def test_a_power_is_the_line_of_least_squares_in_logarithms():
    """Two points give N = 7 C^0.5 themselves; slope and intercept of three by the normal equations."""
    assert power_through([4.0, 9.0], [14.0, 21.0]) == pytest.approx((7.0, 0.5))
    x, y = np.log([2.0, 3.0, 11.0]), np.log([5.0, 7.0, 13.0])
    slope = ((x - x.mean()) * (y - y.mean())).sum() / ((x - x.mean()) ** 2).sum()
    assert power_through(np.exp(x), np.exp(y)) == pytest.approx((np.exp(y.mean() - slope * x.mean()), slope))


def test_a_draw_takes_the_runs_of_each_slice_anew():
    """Each draw by hand: runs picked with replacement, a slice of fewer than three sizes or without a minimum left out."""
    columns = runs()
    compute, n_params = columns["compute_flops"], columns["n_params"]
    loss = valley(n_params, compute) + np.random.default_rng(2).normal(0, 0.01, 20)
    kept = [np.arange(5 * k, 5 * k + 5) for k in range(4)]
    expected = []
    for number in range(12):
        generator, budgets, sizes = np.random.default_rng([9, number]), [], []
        for k, rows in enumerate(kept):
            picked = rows[generator.integers(5, size=5)]
            x = np.log(n_params[picked])
            if len(set(picked)) >= 3:
                c2, c1, _ = np.polyfit(x - x.mean(), loss[picked], 2)
                best = x.mean() - c1 / (2 * c2)
                if c2 > 0 and x.min() < best < x.max():
                    budgets.append(np.log(BUDGETS[k]))
                    sizes.append(best)
        if len(budgets) >= 2:
            slope, intercept = np.polyfit(budgets, sizes, 1)
            expected.append([np.exp(intercept), slope])

    assert resampled_slices(compute, n_params, loss, kept, 12, 9) == pytest.approx(np.array(expected), rel=1e-6)
    assert by_slices(columns, loss, resamples=12, seed=9).draws == pytest.approx(np.array(expected), rel=1e-6)


def curves(sizes=(1.1e8, 2.3e8, 4.7e8, 9.1e8, 1.9e9)):
    """Training curves of E + A / N^alpha + B / D^beta, each from 3 to 200 tokens per parameter."""
    n_params = np.repeat(sizes, 40)
    n_tokens = n_params * np.tile(np.geomspace(3, 200, 40), len(sizes))
    return {"n_params": n_params, "n_tokens": n_tokens}, 1.8 + 478 / n_params**0.347 + 2143 / n_tokens**0.367


def test_a_curve_is_the_runs_of_one_size_in_order_of_tokens():
    """log of 6 N D and of the loss; one row alone is no curve."""
    columns = {"n_params": np.array([7.0, 5.0, 7.0, 3.0]), "n_tokens": np.array([11.0, 2.0, 13.0, 17.0])}
    columns = {name: np.append(values, extra) for (name, values), extra in zip(columns.items(), (3.0, 16.0), strict=True)}
    (three, x3, y3), (seven, x7, y7) = curves_of(columns, np.array([2.9, 3.0, 2.7, 4.0, 4.1]))

    assert (three, seven) == (3.0, 7.0)
    assert [*x3, *x7] == pytest.approx(np.log([6 * 3 * 16, 6 * 3 * 17, 6 * 7 * 11, 6 * 7 * 13]))
    assert [*y3, *y7] == pytest.approx(np.log([4.1, 4.0, 2.9, 2.7]))


def test_the_envelope_is_the_lowest_curve_that_reaches_a_budget():
    """1,500 budgets from the first to the last point of any curve, log loss a line between points; a gap is left out."""
    found = [
        (2.0, np.log([1.0, 100.0]), np.log([8.0, 2.0])),
        (3.0, np.log([10.0, 50.0]), np.log([3.0, 2.6])),
        (5.0, np.log([300.0, 900.0]), np.log([2.0, 1.5])),
    ]
    budgets, sizes, losses = envelope(found)
    grid = np.geomspace(1, 900, 1500)

    def at(c, x0, y0, x1, y1):
        return y0 * (y1 / y0) ** (np.log(c / x0) / np.log(x1 / x0)) if x0 <= c <= x1 else np.inf

    by_hand = [(c, [at(c, 1, 8, 100, 2), at(c, 10, 3, 50, 2.6), at(c, 300, 2, 900, 1.5)]) for c in grid]
    by_hand = [(c, (2.0, 3.0, 5.0)[int(np.argmin(losses))], min(losses)) for c, losses in by_hand if min(losses) < np.inf]
    assert len(budgets) == pytest.approx(len(by_hand), abs=1)  # an end may be lost to rounding
    for c, size, loss in list(zip(budgets, sizes, losses, strict=True))[::20]:
        near = min(by_hand, key=lambda one: abs(one[0] - c))
        assert (c, size, loss) == pytest.approx(near, rel=1e-9)


def test_the_envelope_leaves_out_the_smallest_and_the_largest():
    """Of five sizes three are between; of four only two, which are too few."""
    growth = by_envelope(*curves())

    assert {o.n_params for o in growth.optima} == {2.3e8, 4.7e8, 9.1e8}
    assert growth.n_params_limits == (2.3e8, 9.1e8)
    assert (growth.refused, growth.draws) == ([], None)
    inner = [(np.log(o.compute_flops), np.log(o.n_params)) for o in growth.optima]
    slope, intercept = np.polyfit(*np.array(inner).T, 1)
    assert (growth.exponent, growth.scale) == pytest.approx((slope, np.exp(intercept)))
    with pytest.raises(InputError, match="fewer than three sizes"):
        by_envelope(*curves((1.1e8, 2.3e8, 4.7e8, 9.1e8)))
    with pytest.raises(InputError, match="2 training curves are too few"):
        by_envelope(*curves((1.1e8, 2.3e8)))
    with pytest.raises(InputError, match="fewer than three sizes"):
        by_envelope(*curves((1.1e8, 2.3e8, 4.7e8)))


def test_a_draw_of_the_envelope_takes_curves_anew():
    """Each draw by hand: the envelope of the curves that were picked, where they are three sizes at least."""
    columns, loss = curves()
    found = curves_of(columns, loss)
    expected = []
    for number in range(12):
        picked = sorted(set(np.random.default_rng([4, number]).integers(5, size=5).tolist()))
        budgets, sizes, _ = envelope([found[k] for k in picked])
        if len(set(sizes)) >= 3:
            slope, intercept = np.polyfit(np.log(budgets), np.log(sizes), 1)
            expected.append([np.exp(intercept), slope])

    assert len(expected) > 0
    assert resampled_envelope(found, 12, 4) == pytest.approx(np.array(expected))
    assert by_envelope(columns, loss, resamples=12, seed=4).draws == pytest.approx(np.array(expected))
