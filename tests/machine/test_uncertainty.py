"""Intervals of a step: half-widths, what measured steps narrow, and how a step moves with each of its terms."""

from __future__ import annotations

import math

import numpy as np
import pytest

from scaleplan.machine.correction import TERMS
from scaleplan.machine.efficiency import Learnt, Spread, Spreads
from scaleplan.machine.step_time import StepTime
from scaleplan.machine.uncertainty import elasticities, half_width, interval, narrowing

NAMES = ("matmul", "attention", "memory", "tp", "cp", "ep", "bubble", "p2p", "dp", "optimizer", "fixed")
SECONDS = dict(zip(NAMES, (2.3, 0.59, 0.31, 0.17, 0.13, 0.43, 0.37, 0.029, 0.19, 0.083, 0.067), strict=True))
HOST = 2.9  # seconds of the host in the passes of a step


def step(host: float = HOST, **more: object) -> StepTime:
    """A step whose passes are (device**4 + host**4) ** (1/4), and whose bubble is a tenth of a stage."""
    device = SECONDS["matmul"] + SECONDS["attention"] + SECONDS["memory"]
    return StepTime(
        **{f"{name}_s": seconds for name, seconds in SECONDS.items()},
        launch_s=(device**4 + host**4) ** 0.25 - device,
        u_host=host**4 / (device**4 + host**4),
        u_nodes=0.41,
        **more,
    )


def stretched(by: dict[str, float]) -> float:
    """Seconds of the step written out, with each term so many times as long."""
    products = by.get("product", 1) * (SECONDS["matmul"] + SECONDS["attention"])
    device = products + by.get("memory", 1) * SECONDS["memory"]
    wires = by.get("communication", 1)
    passes = (device**4 + (by.get("host", 1) * HOST) ** 4) ** 0.25
    stage = passes + wires * (SECONDS["tp"] + SECONDS["cp"] + SECONDS["ep"])
    started = (3.2**4 + HOST**4) ** 0.25 + 0.73
    filling = stage * SECONDS["bubble"] / started
    rest = wires * (SECONDS["p2p"] + SECONDS["dp"]) + by.get("memory", 1) * SECONDS["optimizer"] + by.get("fixed", 1) * SECONDS["fixed"]
    return by.get("pace", 1) * (stage + filling + rest)


@pytest.mark.parametrize("term", TERMS)
def test_elasticities_are_derivatives(term):
    """Of the logarithm of the step with that of each term, by differences."""
    assert stretched({}) == pytest.approx(step().step_s, rel=1e-12)
    by_difference = math.log(stretched({term: math.exp(1e-5)}) / stretched({term: math.exp(-1e-5)})) / 2e-5

    assert elasticities(step())[TERMS.index(term)] == pytest.approx(by_difference, rel=1e-7)


def test_a_half_width_is_linear_in_what_is_uncertain():
    """Base, host, exposed communication and bubble as shares of the step, nodes; each side for itself."""
    time = step()
    exposed = (0.17 + 0.13 + 0.43 + 0.029 + 0.19) / time.step_s
    by_hand = 0.13 + 0.03 * time.u_host + 0.23 * exposed + 0.02 * 0.37 / time.step_s + 0.05 * 0.41
    down, up = Spread(0.13, 0.03, 0.23, 0.02, 0.05), Spread(0.011)

    assert half_width(time, down) == pytest.approx(by_hand, rel=1e-12)
    found = interval(time, Spreads(down, up))
    assert found == pytest.approx((time.step_s * math.exp(-by_hand), time.step_s, time.step_s * math.exp(0.011)), rel=1e-12)


RNG = np.random.default_rng(5)
ROOT = RNG.normal(0, 0.03, (8, 8))
PRIOR = (0.0031, 0.0047, 0.029, 0.0053, 0.31, 0.0013)
LEARNT = Learnt(PRIOR, 0.0037, 0.0029, tuple(map(tuple, (ROOT @ ROOT.T).tolist())))  # of six terms and two shapes


@pytest.mark.parametrize("shapes", [(1.0, 0.0), (0.0, 1.0), (0.0, 0.0)])
def test_what_measured_steps_told_narrows_the_interval(shapes):
    """Standard deviation after over before: of the terms and the layout's own shape, in vectors and matrices; a new shape is not told."""
    time = step(same_shapes=shapes)
    share = np.array(elasticities(time))
    covariance, known = ROOT @ ROOT.T, np.array([*share, *shapes])
    before = share**2 @ np.array(PRIOR) + 0.0037 + 0.0029
    after = known @ covariance @ known + (0 if sum(shapes) else 0.0037) + 0.0029

    assert narrowing(time, LEARNT) == pytest.approx((after / before) ** 0.5, rel=1e-12)
    spreads = Spreads(Spread(0.13), Spread(0.07), LEARNT)
    assert math.log(interval(time, spreads).p90 / time.step_s) == pytest.approx(0.07 * (after / before) ** 0.5, rel=1e-9)
    assert half_width(time, Spread(0.13, 0.03), LEARNT) == pytest.approx((0.13 + 0.03 * time.u_host) * (after / before) ** 0.5, rel=1e-12)


def test_terms_alone_are_told_where_no_shape_was_measured():
    """Six terms: a covariance of their own, the whole variance of a shape."""
    covariance = (ROOT @ ROOT.T)[:6, :6]
    share = np.array(elasticities(step()))
    after = share @ covariance @ share + 0.0037 + 0.0029
    learnt = LEARNT._replace(covariance=tuple(map(tuple, covariance.tolist())))

    assert narrowing(step(), learnt) == pytest.approx((after / (share**2 @ np.array(PRIOR) + 0.0066)) ** 0.5, rel=1e-12)


def test_a_measured_step_is_known_but_for_its_repeats():
    """A fifth of the half-width: two runs of one layout."""
    assert narrowing(step(same_shapes=(1.0, 0.0), same_step=1.0), LEARNT) == 0.2
