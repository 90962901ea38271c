"""A ladder of one's own: known constants come back, and the intervals cover."""

from __future__ import annotations

import numpy as np
import pytest

from scaleplan.errors import InputError, NotSupported
from scaleplan.laws.downstream import Sigmoid, forecast
from scaleplan.laws.fitting.ladder import Ladder, check_ladder, check_rise, fit_ladder, fitted_law, fitted_score, refits
from scaleplan.laws.forms import Additive

LOSS = Additive(0.45, 38.0, 100.0, 0.226, 0.236)
SCORE = Sigmoid(-0.74, 0.9, 4.8, 0.99)
SIZES = np.repeat([1.9e8, 3.7e8, 7.6e8, 1.3e9], 4)
TOKENS = np.tile([1.0, 2.0, 5.0, 10.0], 4) * 20 * SIZES
TARGET = (5e9, 1e12)


def ladder(seed: int, noise: float) -> Ladder:
    random = np.random.default_rng(seed)
    loss = np.asarray(LOSS.loss(SIZES, TOKENS)) * np.exp(noise * random.normal(size=16))
    accuracy = SCORE.a / (1 + np.exp(-SCORE.k * (loss - SCORE.l0))) + SCORE.b + noise * random.normal(size=16)
    return Ladder(SIZES, TOKENS, loss, accuracy, np.arange(16))


def true_accuracy() -> float:
    return float(SCORE.accuracy(LOSS.loss(*TARGET)))


def test_known_constants_come_back():
    """Without noise the fit forecasts what the constants say, and the largest size is forecast by the others."""
    found = fit_ladder(ladder(0, 0.0), "mine", "ours", resamples=5)

    assert forecast(found.law, *TARGET).accuracy == pytest.approx(true_accuracy(), abs=2e-3)
    assert found.held_out_error == pytest.approx(0.0, abs=2e-3)


def test_the_interval_covers():
    """Of 20 noisy ladders the 80 % intervals hold the true accuracy of a run far beyond 12 times at least, and are not wide.

    Errors of a normal distribution reach 1.28 of their standard deviation to either side in 80 %: no interval is more than twice that.
    """
    inside, errors, halves = 0, [], []
    for seed in range(20):
        told = forecast(fit_ladder(ladder(seed, 0.004), "mine", "ours", seed, 60).law, *TARGET)
        inside += told.p10 <= true_accuracy() <= told.p90
        errors.append(told.accuracy - true_accuracy())
        halves.append((told.p90 - told.p10) / 2)
    assert inside >= 12
    assert np.median(halves) < 2 * 1.28 * np.sqrt(np.mean(np.square(errors)))


def test_what_is_widest_is_named():
    told = forecast(fit_ladder(ladder(1, 0.004), "mine", "ours", resamples=40).law, *TARGET)
    assert set(told.parts) == {"loss", "map", "noise", "forecast"}
    assert told.parts[told.widest] == max(told.parts.values())
    assert told.factors["n_params"] == pytest.approx(5 / 1.3)


def test_a_ladder_too_short_is_refused():
    whole = ladder(0, 0.0)
    three = Ladder(*(column[:12] for column in whole))
    with pytest.raises(InputError, match="3 sizes"):
        fit_ladder(three, "mine", "ours")
    near = whole._replace(n_params=1e9 + whole.n_params / 10)
    with pytest.raises(InputError, match="times the smallest"):
        fit_ladder(near, "mine", "ours")
    with pytest.raises(InputError, match="outside 0 to 1"):
        fit_ladder(whole._replace(accuracy=100 * whole.accuracy), "mine", "ours")


def test_another_family_is_refused():
    with pytest.raises(NotSupported):
        forecast(fit_ladder(ladder(0, 0.0), "mine", "ours", resamples=5).law, *TARGET, family="theirs")


def test_the_law_says_what_it_was_fitted_on():
    """Limits of N and D, the tokens; the scatter about the map with four constants taken off; who it is of."""
    given = ladder(3, 0.004)
    law, found = fitted_law(given, "mine", "ours")
    misses = [
        SCORE._replace(**law.score._asdict()).accuracy(loss) - seen for loss, seen in zip(given.task_loss, given.accuracy, strict=True)
    ]

    assert law.limits == {"n_params_min": 1.9e8, "n_params_max": 1.3e9, "n_tokens_min": 20 * 1.9e8, "n_tokens_max": 200 * 1.3e9}
    assert law.noise_sd == pytest.approx(np.sqrt(sum(miss**2 for miss in misses) / 12))
    assert (law.task, law.family, law.n_kind, law.half_width) == ("mine", "ours", "total", 0.07)
    assert law.loss._asdict() == pytest.approx(found.constants)


def test_the_map_is_the_least_of_the_weighted_squares():
    """No sigmoid near it is better; weights count as runs that are there so often."""
    given = ladder(4, 0.01)
    weights = np.array([1.0, 2, 0, 3, 1, 1, 2, 0, 1, 4, 1, 1, 2, 1, 0, 1])
    found = fitted_score(given.task_loss, given.accuracy, weights, None)
    often = np.repeat(np.arange(16), weights.astype(int))
    again = fitted_score(given.task_loss[often], given.accuracy[often], np.ones(len(often)), found)

    def squares(at):
        return (weights * (at.a / (1 + np.exp(-at.k * (given.task_loss - at.l0))) + at.b - given.accuracy) ** 2).sum()

    assert squares(again) == pytest.approx(squares(found), rel=1e-6)
    for name in found._fields:
        for factor in (0.99, 1.01):
            assert name == "b" or squares(found._replace(**{name: factor * getattr(found, name)})) >= squares(found) * (1 - 1e-9)
    assert -1 <= found.a <= -1e-3
    assert 0 <= found.b <= 1


def test_the_held_out_error_is_forecast_less_measured():
    """The largest size by the law of the three others, row by row; the mean of the differences."""
    given = ladder(5, 0.004)
    found = fit_ladder(given, "mine", "ours", resamples=3)
    others, _ = fitted_law(Ladder(*(column[:12] for column in given)), "mine", "ours")
    told = [others.score.accuracy(others.loss.loss(n, d)) for n, d in zip(SIZES[12:], TOKENS[12:], strict=True)]

    assert found.law.checked["n_params"] == SIZES[12:].tolist()
    assert found.law.checked["n_tokens"] == TOKENS[12:].tolist()
    assert found.law.checked["measured"] == given.accuracy[12:].tolist()
    assert found.law.checked["forecast"] == pytest.approx(told)
    assert found.held_out_error == pytest.approx(sum(told) / 4 - given.accuracy[12:].mean())


@pytest.mark.parametrize(("rise", "refused"), [(2.9, True), (3.1, False)])
def test_a_task_moves_by_three_times_its_scatter(rise, refused):
    """The fitted accuracy from the worst run to the best, in standard deviations about the map."""
    given = ladder(0, 0.0)
    law, _ = fitted_law(given, "mine", "ours")
    now = law._replace(noise_sd=float(given.accuracy.max() - given.accuracy.min()) / rise)
    if not refused:
        check_rise(given, now)
        return
    with pytest.raises(InputError, match="its scatter about the map"):
        check_rise(given, now)


def test_a_ladder_at_its_limits_is_taken():
    """Sizes a factor of two apart in all, accuracies of 0 and of 1."""
    given = ladder(0, 0.0)
    sizes = np.repeat([1e8, 1.3e8, 1.7e8, 2e8], 4)
    check_ladder(given._replace(n_params=sizes, accuracy=np.linspace(0, 1, 16)))
    for worse in (np.linspace(-0.01, 1, 16), np.linspace(0, 1.01, 16)):
        with pytest.raises(InputError, match="outside 0 to 1"):
            check_ladder(given._replace(accuracy=worse))


def test_refits_are_those_of_resampled_runs():
    """Two rows a run: both are drawn together, so often as the generator picks the run."""
    given = ladder(6, 0.004)._replace(run=np.arange(16) // 2)
    law, found = fitted_law(given, "mine", "ours")
    draws = refits(given, found, law, 11, 3)
    picks = np.random.default_rng(11).integers(8, size=(3, 8))

    assert len(draws) == 3
    for (loss, score), picked in zip(draws, picks, strict=True):
        rows = np.concatenate([[2 * run, 2 * run + 1] for run in picked])
        alone, _ = fitted_law(Ladder(*(column[rows] for column in given)), "mine", "ours")
        assert loss.loss(1e9, 1e11) == pytest.approx(alone.loss.loss(1e9, 1e11), rel=1e-4)
        assert score.accuracy(0.8) == pytest.approx(alone.score.accuracy(0.8), abs=1e-4)
