"""A ladder of one's own: known constants come back, and the intervals cover."""

from __future__ import annotations

import numpy as np
import pytest

from scaleplan.errors import InputError, NotSupported
from scaleplan.laws.downstream import Sigmoid, forecast
from scaleplan.laws.fitting.ladder import Ladder, fit_ladder
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
