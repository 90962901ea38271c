"""What repeated data are worth: the search on a grid, and which runs repeat."""

from __future__ import annotations

import numpy as np
import pytest

from scaleplan.errors import InputError
from scaleplan.laws.fitting.repeated import fit_repeated, zoomed

CHANCE = np.random.default_rng(21)
N, U = np.exp(CHANCE.uniform(16, 23, 60)), np.exp(CHANCE.uniform(19, 25, 60))
EPOCHS = np.where(np.arange(60) % 2, 1.0, np.exp(CHANCE.uniform(0.7, 4, 60)))
E, A, B, ALPHA = 1.87, 521.0, 1488.0, 0.353


def runs(r_d=15.4, r_n=5.3):
    """muennighoff2023 equations 5, 16 and 17: U + U R* (1 - exp(-R / R*)) of data, and of parameters beyond what U tokens deserve."""
    deserved = np.minimum(N, (A * U**ALPHA / B) ** (1 / ALPHA))
    data = U + U * r_d * (1 - np.exp(-(EPOCHS - 1) / r_d))
    params = deserved + deserved * r_n * (1 - np.exp(-(N / deserved - 1) / r_n))
    fresh = EPOCHS == 1
    loss = E + A / np.where(fresh, N, params) ** ALPHA + B / data**ALPHA
    return {"n_params": N, "n_tokens": U * EPOCHS, "unique_tokens": U}, loss


@pytest.mark.parametrize("tied", [True, False])
def test_both_steps_give_their_constants_back(tied):
    """Without noise: fresh law, R_D*, R_N*, no residual, nothing at an edge."""
    found = fit_repeated(*runs(), tied=tied)

    assert tuple(float(value) for value in found.law.fresh) == pytest.approx((E, A, B, ALPHA, ALPHA), rel=1e-4)
    assert (found.law.r_d_star, found.law.r_n_star) == pytest.approx((15.4, 5.3), rel=1e-3)
    assert found.residuals == pytest.approx(np.zeros(60), abs=1e-5)
    assert found.at_edge == ()
    assert len(found.fresh.residuals) == 30
    assert found.fresh.shape.name == ("additive-tied" if tied else "additive")


def test_the_objective_is_hubers_sum_over_the_runs_that_repeat():
    """With noise of 1 % on those: the residuals are those of the law, and the sum is of theirs alone."""
    columns, loss = runs()
    loss = np.where(EPOCHS == 1, loss, loss * np.exp(CHANCE.normal(0, 0.01, 60)))
    loss[0] = runs()[1][0] * np.exp(0.0004)
    found = fit_repeated(columns, loss, tied=True)
    _, told = runs(found.law.r_d_star, found.law.r_n_star)
    misses = np.log(told / loss)
    size = np.abs(misses[EPOCHS > 1])

    assert found.residuals == pytest.approx(misses, abs=1e-6)
    assert found.objective == pytest.approx(np.where(size < 1e-3, size**2 / 2, 1e-3 * (size - 0.5e-3)).sum(), rel=1e-4)


@pytest.mark.parametrize(
    ("worth", "edge"),
    [
        ((0.105, 5.3), ("r_d_star",)),
        ((15.4, 1e-3), ("r_n_star",)),
        ((0.12, 9e3), ()),
        ((1e7, 5.3), ("r_d_star",)),
        ((15.4, 1e7), ("r_n_star",)),
    ],
)
def test_a_constant_at_the_edge_is_named(worth, edge):
    """Repetition or parameters in excess worth nothing: beyond 0.1 to 10,000, less a tenth."""
    assert fit_repeated(*runs(*worth), tied=True).at_edge == edge


@pytest.mark.parametrize(("epochs", "repeats"), [(1.0008, False), (1.0015, True)])
def test_a_thousandth_of_a_pass_counts_as_once(epochs, repeats):
    """The first run repeats, or is one of those that saw every token once."""
    columns, loss = runs()
    columns["n_tokens"][1] = epochs * columns["unique_tokens"][1]

    assert len(fit_repeated(columns, loss, tied=True).fresh.residuals) == 30 - repeats


def test_three_runs_that_repeat_are_enough():
    """Two are not."""
    columns, loss = runs()
    kept = np.concatenate([np.flatnonzero(EPOCHS == 1), np.flatnonzero(EPOCHS > 1)[:3]])
    three = {name: values[kept] for name, values in columns.items()}
    assert len(fit_repeated(three, loss[kept], tied=True).residuals) == 33
    with pytest.raises(InputError, match="only 2 runs repeat"):
        fit_repeated({name: values[:-1] for name, values in three.items()}, loss[kept][:-1])
    with pytest.raises(InputError, match="needs a column `unique_tokens`"):
        fit_repeated({name: columns[name] for name in ("n_params", "n_tokens")}, loss)


@pytest.mark.parametrize("least", [(0.23, 7300.0), (41.0, 0.13), (9.7e3, 3.1)])
def test_a_search_by_grids_finds_the_least(least):
    """A valley about two constants anywhere from 0.1 to 10,000, with its axes across each other; outside, the nearest edge."""
    at = np.log(np.array(least))[:, None]

    def valley(logs):
        x, y = logs - at
        return 7.0 + x**2 + 3 * y**2 + x * y

    found, value = zoomed(valley)
    assert found == pytest.approx(np.log(least), abs=2e-4)
    assert value == pytest.approx(7.0)


def test_a_search_stays_in_its_range():
    """A function that falls for ever ends at the corner: 0.1 and 10,000."""
    found, value = zoomed(lambda logs: logs[0] - 2 * logs[1])

    assert np.exp(found) == pytest.approx([0.1, 1e4])
    assert value == pytest.approx(np.log(0.1) - 2 * np.log(1e4))
