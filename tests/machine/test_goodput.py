"""Share of the time in which a run advances, against a simulation and against published runs."""

from __future__ import annotations

import numpy as np
import pytest

from scaleplan import library
from scaleplan.errors import InputError
from scaleplan.machine.goodput import best_checkpoint_interval_s, break_even_devices, goodput, job_mtbf_s, losses

DEFAULTS = library.defaults()
RUNS = {run["name"]: run for run in DEFAULTS["failures"]["runs"]}


def simulated(mtbf_s: float, interval_s: float, checkpoint_s: float, restart_s: float, work_s: float, seed: int) -> float:
    """Wall time of a run that saves every `interval_s` of progress and loses what it has not saved at each failure."""
    rng = np.random.default_rng(seed)
    wall = saved = 0.0
    until_failure = rng.exponential(mtbf_s)
    while saved < work_s:
        segment = min(interval_s, work_s - saved) + checkpoint_s
        if segment <= until_failure:
            wall, saved, until_failure = wall + segment, saved + segment - checkpoint_s, until_failure - segment
        else:
            wall += until_failure + restart_s
            until_failure = rng.exponential(mtbf_s)
    return wall


CASES = [(3.1, 600, 20, 600), (12, 3600, 60, 1800), (48, 7200, 300, 3600)]


@pytest.mark.parametrize(("mtbf_h", "interval_s", "checkpoint_s", "restart_s"), CASES)
def test_goodput_is_that_of_a_simulated_run(mtbf_h, interval_s, checkpoint_s, restart_s):
    """Failures drawn one by one: the formula, of first order in the failure rate, is within 2 %."""
    work = 3e7
    wall = np.mean([simulated(mtbf_h * 3600, interval_s, checkpoint_s, restart_s, work, seed) for seed in range(8)])
    found = goodput(losses(mtbf_h * 3600, interval_s, checkpoint_s, restart_s))
    assert found == pytest.approx(work / wall, rel=0.02)


def test_the_best_interval_is_that_of_a_numeric_minimum():
    """young1974, of first order: the best of many intervals is within 5 % of it, and gains less than 0.01 %."""
    intervals = np.geomspace(60, 36_000, 4000)
    found = goodput(losses(8 * 3600, intervals, 30, 900))
    best = best_checkpoint_interval_s(30, 8 * 3600)
    assert intervals[found.argmax()] == pytest.approx(best, rel=0.05)
    assert goodput(losses(8 * 3600, best, 30, 900)) == pytest.approx(found.max(), rel=1e-4)


def test_more_devices_fail_more_often():
    """The MTBF of a job falls with its devices, and goodput with it, for arrays as for numbers."""
    n_devices = np.array([64, 1024, 16384])
    mtbf = job_mtbf_s(50_000, n_devices)
    found = goodput(losses(mtbf, best_checkpoint_interval_s(20, mtbf), 20, 600))
    assert (np.diff(found) < 0).all()
    one = job_mtbf_s(50_000, 1024)
    assert found[1] == pytest.approx(goodput(losses(one, best_checkpoint_interval_s(20, one), 20, 600)))


def test_evaluation_and_warm_up_take_their_share():
    """Without failures, 25 % of evaluation for each second of progress leaves 80 %, a warm-up of 10 % of the time 72 %."""
    lost = losses(float("inf"), 3600, 0, 600, evaluation_fraction=0.25)
    assert goodput(lost) == pytest.approx(0.8)
    assert goodput(lost, warm_up_fraction=0.1) == pytest.approx(0.72)


def test_a_run_that_never_advances_is_refused():
    """A restart longer than the time between failures; in an array it is not a number."""
    with pytest.raises(InputError, match="never advances"):
        goodput(losses(600, 300, 10, 900))
    found = goodput(losses(np.array([600.0, 36_000.0]), 300, 10, 900))
    assert np.isnan(found[0]) and 0.9 < found[1] < 1


def device_mtbf_hours(run):
    """Hours between failures of one device."""
    return run["days"] * 24 * run["n_devices"] / run["n_failures"]


def test_llama_405b_is_effective_over_90_percent_of_the_time():
    """dubey2024: 419 failures of 16,384 devices in 54 days, a failure every 3 hours; restarts of 10 minutes leave over 90 %."""
    run = RUNS["Llama 3.1 405B"]
    mtbf = job_mtbf_s(device_mtbf_hours(run), 16_384)
    assert mtbf / 3600 == pytest.approx(3.1, abs=0.05)
    assert 0.90 < goodput(losses(mtbf, best_checkpoint_interval_s(10, mtbf), 10, 600)) < 1


def test_the_calendar_of_opt_is_its_restarts():
    """zhang2022: 33 days of compute took about 60. 105 restarts with 3 to 9 hours lost at each hold that; Llama's 10 minutes do not."""
    run = RUNS["OPT-175B"]
    mtbf = job_mtbf_s(device_mtbf_hours(run), run["n_devices"])
    days = [33 / goodput(losses(mtbf, 2 * 3600, 120, hours * 3600)) for hours in (1 / 6, 3, 9)]
    assert days[0] < 37
    assert days[1] < 60 < days[2]


@pytest.mark.parametrize(("step", "whole"), [(0.41, 0.346), (0.43, 0.346), (0.462, 0.30)])
def test_the_usual_goodput_holds_runs_that_publish_both(step, whole):
    """Llama 3.1 405B and PaLM: whole-run over step MFU lies within p10 and p90, no wider than a factor 1.5."""
    usual = DEFAULTS["goodput"]
    assert usual["p90"] / usual["p10"] <= 1.5
    assert usual["p10"] <= whole / step <= usual["p90"]


def test_a_failure_loses_half_of_what_lies_between_two_checkpoints():
    """Progress of 600 s and 120 s of writing are 720 s of wall time: the mean loss of a failure is 360 s, each 3,600 s (daly2006)."""
    lost = losses(mtbf_s=3600.0, checkpoint_interval_s=600.0, checkpoint_s=120.0, restart_s=90.0)

    assert lost.lost_work == pytest.approx(360 / 3600)
    assert lost.restarts == pytest.approx(90 / 3600)
    assert lost.checkpoints == pytest.approx(120 / 600)


def test_goodput_by_hand():
    """A failure each 10,000 s loses (900 + 100) / 2 + 500 s; 100 s of writing and 18 s of evaluation for 900 of progress; 10 % warm-up."""
    lost = losses(10_000.0, 900.0, 100.0, 500.0, evaluation_fraction=0.02)

    assert goodput(lost, warm_up_fraction=0.1) == pytest.approx(0.9 * (1 - 0.1) / (1 + 100 / 900 + 0.02), rel=1e-12)


def test_a_run_that_loses_every_second_never_advances():
    """Exactly as much time lost as there is: 0 is no share that a run could go on with."""
    with pytest.raises(InputError, match="never advances"):
        goodput(losses(1000.0, 500.0, 100.0, 700.0))
    assert np.isnan(goodput(losses(np.array([1000.0]), 500.0, 100.0, 700.0))[0])


def test_the_best_interval_is_at_most_the_time_between_failures():
    """sqrt(2 x 50 x 400) = 200 s; a checkpoint that takes longer than half of that time is written once for each failure."""
    assert best_checkpoint_interval_s(50.0, 400.0) == pytest.approx(200.0)
    assert best_checkpoint_interval_s(600.0, 400.0) == 400.0


@pytest.mark.parametrize("interval_s", [None, 1800.0])
@pytest.mark.parametrize(("checkpoint_s", "restart_s", "evaluation"), [(60.0, 600.0, 0.0), (300.0, 60.0, 0.05), (10.0, 3600.0, 0.1)])
def test_beyond_the_break_even_more_devices_finish_no_sooner(checkpoint_s, restart_s, evaluation, interval_s):
    """Against the largest devices x goodput of many counts: within 0.5 % of the count, and the formula takes arrays."""
    n = np.geomspace(100, 3e6, 20_001)
    mtbf = job_mtbf_s(50_000, n)
    every = best_checkpoint_interval_s(checkpoint_s, mtbf) if interval_s is None else interval_s
    speed = np.nan_to_num(n * goodput(losses(mtbf, every, checkpoint_s, restart_s, evaluation)))
    found = break_even_devices(50_000 * 3600, checkpoint_s, restart_s, interval_s, evaluation)

    assert found == pytest.approx(n[speed.argmax()], rel=0.005)
    many = break_even_devices(
        np.array([[50_000 * 3600], [10_000 * 3600]]), np.array([checkpoint_s, 2 * checkpoint_s]), restart_s, interval_s
    )
    assert many[0, 0] == pytest.approx(break_even_devices(50_000 * 3600, checkpoint_s, restart_s, interval_s), rel=1e-12)
    assert (many[1] < many[0]).all()


@pytest.mark.parametrize("evaluation", [0.0, 0.4, 3.0])
@pytest.mark.parametrize(("checkpoint_s", "restart_s"), [(60.0, 0.0), (60.0, 600.0), (1200.0, 30.0)])
def test_the_break_even_is_where_devices_times_goodput_is_largest(checkpoint_s: float, restart_s: float, evaluation: float):
    """The best of many numbers of devices, each with its own best interval, is within 0.2 % of it."""
    device_mtbf_s = 5e8
    found = break_even_devices(device_mtbf_s, checkpoint_s, restart_s, None, evaluation)
    n_devices = found * np.geomspace(0.5, 1.5, 20_001)
    mtbf = device_mtbf_s / n_devices
    interval = (2 * checkpoint_s * mtbf) ** 0.5
    useful = n_devices * goodput(losses(mtbf, interval, checkpoint_s, restart_s, evaluation))

    assert n_devices[np.nanargmax(useful)] == pytest.approx(found, rel=2e-3)
