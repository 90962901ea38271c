"""`scaleplan optimal --n-params --tokens`: the loss along the run."""

from __future__ import annotations

import pytest

RUN = ("optimal", "--n-params", "1e9", "--tokens", "2e10")


@pytest.fixture
def training(ask):
    (found,) = ask(*RUN)["training"]
    return found


def test_the_run_ends_with_its_last_token(training):
    """The last moment is after all tokens, and each has its loss, steps and fewest steps."""
    assert training["law"] == "kaplan2020"
    assert training["moments"][-1]["n_tokens"] == 2e10
    assert [set(row) for row in training["moments"]] == [{"n_tokens", "steps", "min_steps", "loss_nats", "loss_kind"}] * len(
        training["moments"]
    )


def test_where_the_laws_of_kaplan_end(training):
    """Section 6.3: C* about 1e4 PF-days, N* about 1e12 parameters, L* about 1.7 nats; D* "about 1e12", to an order of magnitude."""
    assert training["contradiction_compute_flops"] == pytest.approx(1e4 * 8.64e19, rel=0.15)
    assert training["contradiction_n_params"] == pytest.approx(1e12, rel=0.2)
    assert training["contradiction_loss_nats"] == pytest.approx(1.7, abs=0.05)
    assert 1e11 < training["contradiction_n_tokens"] < 1e13


def test_it_is_shown_where_it_was_asked_for(run):
    """Tables of the run come with -v, its chart with --plot."""
    plain, verbose, drawn = (run(*RUN, "-q", *more).stdout for more in ((), ("-v",), ("--plot",)))

    assert "Along the run" not in plain
    assert "S_stop" in verbose
    assert "Loss along the run" in drawn


@pytest.mark.parametrize("args", [("--compute", "1e21"), ("--n-params", "1e9"), (*RUN[1:], "--law", "besiroglu2024")])
def test_without_a_run_or_a_law_of_steps_there_is_none(ask, args):
    """It takes N and D, and a law that knows the loss against steps."""
    assert ask("optimal", *args)["training"] == []
