"""A run on the curve of steps against tokens, and the runs that reach a loss."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaleplan.chain.batch import BatchQuestion, batch_answer, least_compute, steps_law
from scaleplan.chain.catalogue import critical_batch, load_law
from scaleplan.errors import InputError, NotSupported, UsageError
from scaleplan.laws.batch import min_compute
from scaleplan.laws.training import moment

KAPLAN = load_law("kaplan2020")
sizes, ratios, batches = st.floats(8, 11), st.floats(15, 200), st.sampled_from([2**k for k in range(18, 23)])


@settings(max_examples=30, deadline=None)
@given(sizes, ratios, batches, st.sampled_from(["kaplan2020", "besiroglu2024"]))
def test_the_run_that_was_given_is_on_the_curve(size: float, ratio: float, batch: int, law: str):
    """D tokens in D / B steps at batch B, and E_min = D / (1 + B / B_crit)."""
    n, d = 10**size, 10**size * ratio
    found = batch_answer(BatchQuestion(n_params=n, n_tokens=d, batch_tokens=batch), load_law(law))

    assert found.curve.tokens(batch) == pytest.approx(d)
    assert found.curve.steps(batch) == pytest.approx(d / batch)
    assert found.curve.min_tokens == pytest.approx(d / (1 + batch / (2.1e8 / found.loss_nats ** (1 / 0.21))))


@settings(max_examples=30, deadline=None)
@given(sizes, ratios, batches)
def test_the_loss_of_a_run_leads_back_to_it(size: float, ratio: float, batch: int):
    """Kaplan's loss of N, D and B, asked as a loss with N: the same curve; with D too: the same batch."""
    n, d = 10**size, 10**size * ratio
    run = batch_answer(BatchQuestion(n_params=n, n_tokens=d, batch_tokens=batch), KAPLAN)
    back = batch_answer(BatchQuestion(loss_nats=run.loss_nats, n_params=n))
    whole = batch_answer(BatchQuestion(loss_nats=run.loss_nats, n_params=n, n_tokens=d))

    assert back.curve == pytest.approx(run.curve, rel=1e-6)
    assert whole.batch_tokens == pytest.approx(batch, rel=1e-4)
    assert whole.batch_basis == "solved"


@pytest.mark.parametrize(
    ("law", "basis", "batch"), [("kaplan2020", "stated", 2**19), ("besiroglu2024", "stated", 1.5e6), ("muennighoff2023", "assumed", None)]
)
def test_without_a_batch_that_of_the_law_counts(law: str, basis: str, batch: float | None):
    """The batch of the runs that a law was fitted on, where its preset states one, else B_crit: twice the fewest tokens."""
    found = batch_answer(BatchQuestion(n_params=1e9, n_tokens=2e10), load_law(law))

    assert found.batch_basis == basis
    assert found.batch_tokens == pytest.approx(batch or found.curve.critical_batch)
    assert found.curve.min_tokens == pytest.approx(2e10 / (1 + found.batch_tokens / found.curve.critical_batch))  # mccandlish2018
    assert found.curve.min_tokens == pytest.approx(1e10) or basis == "stated"


@pytest.mark.parametrize("loss", [2.0, 2.5, 3.3])
def test_least_compute_is_the_least_over_a_grid_of_sizes(loss: float):
    """6 N E_min(N) of every size that reaches the loss is at least C_min, and at the best size it is C_min."""
    best = batch_answer(BatchQuestion(loss_nats=loss))
    spent = [
        6 * n * batch_answer(BatchQuestion(loss_nats=loss, n_params=n)).curve.min_tokens for n in best.n_params * np.logspace(-0.4, 2, 49)
    ]

    assert min(spent) >= best.min_compute_flops * (1 - 1e-12)
    assert 6 * best.n_params * best.curve.min_tokens == pytest.approx(best.min_compute_flops)
    assert min(spent) < 1.01 * best.min_compute_flops


def test_least_compute_is_near_the_trend_of_the_article():
    """L(C_min) = (3.1e8 PF-days / C_min)^0.050 is another fit of the article: within a factor 1.5 from 2.1 to 3.1 nats."""
    for loss in (2.1, 2.5, 3.1):
        assert 1 / 1.5 < least_compute(loss) / (3.1e8 * 8.64e19 * loss**-20) < 1.5


def test_intervals_come_from_the_draws_of_the_law():
    """The loss of 7e9 parameters on 1.4e11 tokens lies within its interval, and B_crit falls where the loss rises."""
    found = batch_answer(BatchQuestion(n_params=7e9, n_tokens=1.4e11, batch_tokens=2e6))
    assert found.intervals is not None
    for name, value in (("loss_nats", found.loss_nats), ("critical_batch_tokens", found.curve.critical_batch)):
        assert found.intervals[name].p10 < value < found.intervals[name].p90
    low, high = (2.1e8 / found.intervals["loss_nats"][i] ** (1 / 0.21) for i in (2, 0))
    assert (found.intervals["critical_batch_tokens"].p10, found.intervals["critical_batch_tokens"].p90) == pytest.approx(
        (low, high), rel=1e-6
    )
    assert batch_answer(BatchQuestion(n_params=1e9, n_tokens=2e10), KAPLAN).intervals is None


@pytest.mark.parametrize("batch", [2**18, 2**21, 2**24])
def test_steps_at_a_batch_as_fewest_steps_and_least_compute(batch: int):
    """S = S_min (1 + B_crit / B) and C = C_min (1 + B / B_crit) (equations 5.4 and 5.5), with the loss of equation 5.6."""
    found = moment(steps_law(), critical_batch(), 1e9, 1e4 * batch, batch)
    critical = 2.1e8 / found.loss_nats ** (1 / 0.21)

    assert found.loss_nats == pytest.approx((6.5e13 / 1e9) ** 0.077 + (2.1e3 / found.min_steps) ** 0.76)
    assert found.min_steps * (1 + critical / batch) == pytest.approx(1e4)
    assert min_compute(6 * 1e9 * 1e4 * batch, batch, critical) * (1 + batch / critical) == pytest.approx(6 * 1e9 * 1e4 * batch)


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        (BatchQuestion(), UsageError),
        (BatchQuestion(n_params=1e9), UsageError),
        (BatchQuestion(loss_nats=2.5, n_tokens=1e10), UsageError),
        (BatchQuestion(2.5, 1e9, 2e10, 1e6), UsageError),
        (BatchQuestion(loss_nats=12.0), InputError),
        (BatchQuestion(loss_nats=2.0, n_params=1e8), InputError),
    ],
)
def test_too_little_too_much_and_the_impossible_are_refused(asked: BatchQuestion, error: type[Exception]):
    with pytest.raises(error):
        batch_answer(asked)


def test_nats_per_byte_tell_no_critical_batch():
    """B_crit follows from nats per token."""
    with pytest.raises(NotSupported, match="nats per byte"):
        batch_answer(BatchQuestion(n_params=1e9, n_tokens=2e10), load_law("minicpm2024"))


@pytest.mark.parametrize("loss", [2.3, 2.5])
def test_a_run_better_than_the_law_lies_on_a_curve_of_its_own(loss: float):
    """1e9 parameters on 2e10 tokens at a loss that Kaplan's L(N, S) does not reach: B_crit of the loss, E_min = D / 2 at that batch."""
    found = batch_answer(BatchQuestion(loss_nats=loss, n_params=1e9, n_tokens=2e10))

    assert (found.batch_basis, found.min_compute_flops) == ("assumed", None)
    assert found.curve.critical_batch == pytest.approx(2.1e8 / loss ** (1 / 0.21))
    assert found.curve.min_tokens == pytest.approx(1e10)
