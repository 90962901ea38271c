"""Measured steps correct a stack: what they were is reproduced, what one of them leaves open stays near its plan, more tell more."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from tests.machine.plain_device import SHARES, STACK

from scaleplan.chain.step_time import device_named, efficiencies, efficiency_of, kernels_of, term_spread
from scaleplan.errors import InputError
from scaleplan.machine.correction import (
    TERMS,
    Correction,
    MeasuredStep,
    ProductShape,
    TermSpread,
    alone,
    bounds,
    check_step,
    fitted,
    known_of,
    moved,
)
from scaleplan.machine.efficiency import Efficiency, StackShares, hardware_shares, paced
from scaleplan.machine.layout import Layout
from scaleplan.machine.step_time import Step, StepTime, step_time
from scaleplan.machine.uncertainty import elasticities, interval, narrowing
from scaleplan.model.bill import bill_of
from scaleplan.model.shape import arch_of_shape

WIDTH = 4096
BILL = bill_of(arch_of_shape({"n_layers": 32, "d_model": WIDTH, "n_heads": 32, "n_vocab": 32000, "gated": True, "norm": "rms"}))
DEVICE = device_named("h100-sxm")
PLANNED = efficiency_of(DEVICE, "mcore24")
STEP = Step(1, 4096, 8)
LAYOUTS = (
    Layout(dp=8, zero_stage=1),
    Layout(tp=8, sequence_parallel=True),
    Layout(pp=4, dp=2),
    Layout(tp=2, pp=2, dp=16, zero_stage=1, sequence_parallel=True),
    Layout(dp=64, zero_stage=3),
)
OTHER = Layout(tp=4, pp=2, dp=4, zero_stage=1, sequence_parallel=True)


def priced(layout: Layout, shares: StackShares, n_seqs: int = 1) -> StepTime:
    hardware = paced(hardware_shares(efficiencies(), DEVICE), shares)
    on = kernels_of(DEVICE, Efficiency(hardware, shares, PLANNED.spreads), "bf16-mixed", "flash")
    return step_time(BILL, layout, STEP._replace(n_seqs=n_seqs), on)


def seconds(layout: Layout, shares: StackShares, n_seqs: int = 1) -> float:
    return float(priced(layout, shares, n_seqs).step_s)


def corrected(*steps: tuple[Layout, int, float], mfu: float = 0.3) -> Correction:
    """By steps of a layout, its sequences in a micro-batch, and its measured seconds."""

    def predict(shares: StackShares) -> Sequence[float]:
        return [seconds(layout, shares, n_seqs) for layout, n_seqs, _ in steps]

    measured = [MeasuredStep(took, mfu, ProductShape(WIDTH, layout.tp, 4096 * n_seqs)) for layout, n_seqs, took in steps]
    return fitted(PLANNED.stack, PLANNED.hardware, measured, predict, term_spread())


@pytest.mark.parametrize("factor", [0.6, 1.0, 1.3, 2.5])
def test_a_measured_step_is_reproduced_and_others_follow_in_part(factor):
    """To 1e-9; a layout with the same products follows further than one without, neither beyond the measured one."""
    one = LAYOUTS[3]
    shares = corrected((one, 1, factor * seconds(one, PLANNED.stack))).shares
    same, other = (math.log(seconds(layout, shares) / seconds(layout, PLANNED.stack)) for layout in (one._replace(pp=4, dp=8), OTHER))

    assert seconds(one, shares) == pytest.approx(factor * seconds(one, PLANNED.stack), rel=1e-9)
    assert abs(other) <= abs(same) <= abs(math.log(factor))
    assert same * math.log(factor) >= 0


def test_a_shape_is_corrected_without_its_step():
    """By its factor, and no other shape."""
    one = LAYOUTS[3]
    shares = corrected((one, 1, 1.3 * seconds(one, PLANNED.stack))).shares._replace(steps=())
    plain, ((*_, factor),) = shares._replace(shapes=()), shares.shapes

    assert factor > 1
    assert seconds(one, shares) == pytest.approx(factor * seconds(one, plain), rel=1e-12)
    assert seconds(OTHER, shares) == seconds(OTHER, plain)


def test_several_steps_are_all_reproduced():
    """Each to 1e-9, whatever the others were."""
    steps = [
        (layout, 1, factor * seconds(layout, PLANNED.stack)) for layout, factor in zip(LAYOUTS, (1.1, 1.3, 0.9, 1.2, 1.05), strict=True)
    ]
    shares = corrected(*steps).shares

    assert [seconds(layout, shares) for layout, _, _ in steps] == pytest.approx([took for _, _, took in steps], rel=1e-9)


@pytest.mark.parametrize(("term", "how_much"), [("communication", 2.0), ("fixed", 8.0)])
def test_steps_of_a_stack_with_one_term_off_tell_which(term, how_much):
    """Twelve steps of a stack that is off in one term alone: that term moves most of the way, and most of all in seconds of the steps."""
    truth = moved(PLANNED.stack, [math.log(how_much) if name == term else 0.0 for name in TERMS])
    steps = [(layout, n_seqs, seconds(layout, truth, n_seqs)) for layout in LAYOUTS for n_seqs in (1, 4, 16)]
    found = corrected(*steps)

    assert 0.25 * math.log(how_much) < found.terms[term] < 1.2 * math.log(how_much)
    assert found.told[term] > 0.15


def test_slow_products_and_a_slow_stack_are_hardly_told_apart():
    """Products 20 % slow in twelve steps that are mostly products: they and the stack as a whole carry most of it, nothing else does."""
    truth = moved(PLANNED.stack, [math.log(1.2), *[0.0] * (len(TERMS) - 1)])
    found = corrected(*[(layout, n_seqs, seconds(layout, truth, n_seqs)) for layout in LAYOUTS for n_seqs in (1, 4, 16)])
    carried = found.terms["product"] + found.terms["pace"]

    assert 0.4 * math.log(1.2) < carried < 1.1 * math.log(1.2)
    assert found.terms["product"] > 0
    assert max(abs(found.terms[term]) for term in ("memory", "host")) < 0.2 * math.log(1.2)


def test_one_step_tells_a_combination_and_no_term_by_itself():
    """No term loses half of its variance; with more steps every one is told at least as well."""
    few = corrected((LAYOUTS[3], 1, 1.2 * seconds(LAYOUTS[3], PLANNED.stack)))
    more = corrected(*[(layout, 1, 1.2 * seconds(layout, PLANNED.stack)) for layout in (LAYOUTS[3], *LAYOUTS[:3])])

    assert max(few.told.values()) < 0.5
    assert all(more.told[term] >= few.told[term] - 1e-6 for term in TERMS)


def test_no_rate_passes_its_peak():
    """A step twice as fast as planned: products, memory and links stay at or below what the sheets say."""
    one = LAYOUTS[1]
    shares = corrected((one, 1, 0.45 * seconds(one, PLANNED.stack))).shares
    rates = paced(hardware_shares(efficiencies(), DEVICE), shares)

    assert max(rates.product, rates.flash2, rates.flash3, rates.memory, rates.link, rates.network) <= 1 + 1e-12


@pytest.mark.parametrize(
    ("factor", "mfu", "says"), [(0.2, 0.1, "times the predicted"), (3.5, 0.1, "times the predicted"), (0.5, 0.6, "peak")]
)
def test_a_measurement_of_something_else_is_refused(factor, mfu, says):
    """More than a factor of 3 off, or beyond the device's peak."""
    with pytest.raises(InputError, match=says):
        corrected((LAYOUTS[0], 1, factor * seconds(LAYOUTS[0], PLANNED.stack)), mfu=mfu)


def test_intervals_narrow_with_what_is_known():
    """A measured step least, then a layout with its products, then others; more steps narrow others further; none widens."""
    one, alike = LAYOUTS[3], LAYOUTS[3]._replace(pp=4, dp=8)
    found = corrected((one, 1, 1.1 * seconds(one, PLANNED.stack)))
    more = corrected(*[(layout, n, 1.1 * seconds(layout, PLANNED.stack, n)) for layout in LAYOUTS for n in (1, 4)])
    own, same, other, told = (
        float(narrowing(priced(layout, by.shares), by.learnt))
        for layout, by in ((one, found), (alike, found), (OTHER, found), (OTHER, more))
    )

    assert own < same < other < 1
    assert told < other
    time = priced(OTHER, found.shares)
    now, before = (interval(time, PLANNED.spreads._replace(learnt=learnt)) for learnt in (found.learnt, None))
    assert now.p90 / now.p10 < before.p90 / before.p10


def test_elasticities_are_the_derivatives_of_a_step():
    """Against differences of the price itself, for dense layouts: within 0.1 of the step (operand traffic counts as products)."""
    for layout in LAYOUTS[:4]:
        shares = elasticities(priced(layout, PLANNED.stack))
        for place in range(len(TERMS)):
            ends = [seconds(layout, moved(PLANNED.stack, [by if at == place else 0.0 for at in range(len(TERMS))])) for by in (-0.01, 0.01)]
            assert float(shares[place]) == pytest.approx(math.log(ends[1] / ends[0]) / 0.02, abs=0.1)


def test_arrays_have_the_numbers_of_each_layout():
    """One pass over many layouts finds the measured one among them."""
    one = LAYOUTS[0]
    shares = corrected((one, 1, 1.3 * seconds(one, PLANNED.stack))).shares
    ways = np.array([8, 16, 32])
    many = priced(Layout(dp=ways, zero_stage=np.array([1, 1, 1])), shares)

    assert many.step_s == pytest.approx([seconds(Layout(dp=int(dp), zero_stage=1), shares) for dp in ways], rel=1e-12)
    assert many.same_step.tolist() == [1.0, 0.0, 0.0]


# --------------------------------------------------------------------------------------------------------------- by hand

SIZES = [ProductShape(4096, 8, 8192), ProductShape(4096, 4, 8192), ProductShape(4096, 8, 8192), ProductShape(5120, 8, 4096)]
POWERS = np.array([(0.5, 0.2, 0.3, 1), (0.7, 0.1, 0.1, 1), (0.2, 0.3, 0.6, 1), (0.4, 0.4, 0.1, 1)])
SPREAD = TermSpread(product=0.03, memory=0.05, communication=0.11, host=0.07, fixed=0.31, pace=0.02, shape=0.06, scatter=0.04)
BASE = (3.1, 1.7, 0.9, 7.3)
OFF = np.array([0.11, -0.07, 0.13, 0.05])


def powers(shares: StackShares) -> Sequence[float]:
    """Steps that are products of powers of four paces: their logarithms are linear in the terms."""
    paces = (shares.product_pace, shares.memory_pace, shares.communication_pace, shares.pace)
    return [base * math.prod(pace**power for pace, power in zip(paces, row, strict=True)) for base, row in zip(BASE, POWERS, strict=True)]


def test_linear_steps_have_the_posterior_of_a_linear_model():
    """y = A x + scatter, x normal: mean V A' (A V A' + s**2)**-1 y, covariance V - V A' (A V A' + s**2)**-1 A V; shapes are terms, too."""
    steps = [MeasuredStep(base * math.exp(off), 0.3, shape) for base, off, shape in zip(BASE, OFF, SIZES, strict=True)]
    found = fitted(PLANNED.stack, PLANNED.hardware, steps, powers, SPREAD)
    of_term, of_shape = np.zeros((4, 6)), np.array([[1, 0, 0], [0, 1, 0], [1, 0, 0], [0, 0, 1]])
    of_term[:, [0, 1, 2, 5]] = POWERS
    a = np.hstack([of_term, of_shape])
    v = np.diag([0.03, 0.05, 0.11, 0.07, 0.31, 0.02, 0.06, 0.06, 0.06]) ** 2
    gain = v @ a.T @ np.linalg.inv(a @ v @ a.T + 0.04**2 * np.eye(4))
    x, after = gain @ OFF, v - gain @ a @ v

    assert [found.terms[term] for term in TERMS] == pytest.approx(x[:6], abs=1e-6)
    assert [found.told[term] for term in TERMS] == pytest.approx(1 - np.diag(after)[:6] / np.diag(v)[:6], abs=1e-6)
    assert np.array(found.learnt.covariance) == pytest.approx(after, abs=1e-8)
    assert found.learnt[:3] == (pytest.approx(np.diag(v)[:6]), 0.06**2, 0.04**2)
    assert found.shares.shapes == (
        (*SIZES[0], pytest.approx(math.exp(x[6]), rel=1e-5)),
        (*SIZES[1], pytest.approx(math.exp(x[7]), rel=1e-5)),
        (*SIZES[3], pytest.approx(math.exp(x[8]), rel=1e-5)),
    )
    shaped = np.array(BASE) * np.exp(a @ x)
    assert np.array(found.shares.steps) == pytest.approx(np.array([shaped, np.array(BASE) * np.exp(OFF) / shaped]).T, rel=1e-5)


def test_terms_stretch_what_they_are_of():
    """Each by exp of itself; the rate of gathers falls as collectives take longer."""
    base = STACK._replace(gather_network=0.21, product_pace=1.1, memory_pace=1.2, communication_pace=1.3, pace=1.4)
    found = moved(base, [math.log(by) for by in (2, 3, 5, 7, 11, 13)])
    by_hand = {
        "product_pace": 2.2, "memory_pace": 3.6, "communication_pace": 6.5, "hop_s": 9.5e-5, "gather_network": 0.042, "launch_s": 3.71e-5,
        "fixed_s": 0.253, "pace": 18.2,
    }  # fmt: skip

    assert {name: getattr(found, name) for name in by_hand} == pytest.approx(by_hand, rel=1e-12)
    assert found._replace(**{name: getattr(base, name) for name in by_hand}) == base
    assert moved(STACK, [1] * 6).gather_network is None


def test_how_far_a_term_may_go():
    """Rates to their peaks (the largest share of products, memory, links), nothing over three times, host and fixed time 20 times."""
    low, high = bounds(SHARES, 2)
    three, twenty = math.log(3), math.log(20)

    assert low == pytest.approx([math.log(0.71), math.log(0.83), math.log(0.89), -twenty, -twenty, -three, -three, -three], rel=1e-12)
    assert high == pytest.approx([three, three, three, twenty, twenty, three, three, three], rel=1e-12)
    other, _ = bounds(SHARES._replace(flash3=0.97, link=0.93, memory=0.1), 0)
    assert other[:3] == pytest.approx([math.log(0.97), -three, math.log(0.93)], rel=1e-12)
    at_peak, _ = bounds(SHARES._replace(memory=1.0), 0)
    assert -1e-5 < at_peak[1] < 0  # the start of the fit, 0, lies inside


@pytest.mark.parametrize(("factor", "mfu", "fits"), [(3.0, 0.5, True), (3.01, 0.5, False), (0.334, 0.1, True), (0.332, 0.1, False)])
def test_a_measurement_lies_within_three_times_the_prediction(factor, mfu, fits):
    """Either way."""
    measured = MeasuredStep(factor * 7.0, mfu, SIZES[0])
    if fits:
        check_step(measured, 7.0)
    else:
        with pytest.raises(InputError, match="times the predicted"):
            check_step(measured, 7.0)


@pytest.mark.parametrize(("mfu", "fits"), [(0.499, True), (0.5, False)])
def test_a_measurement_stays_below_the_peak(mfu, fits):
    """A step that takes half as long has twice the utilisation; all of the peak is too much."""
    if fits:
        check_step(MeasuredStep(3.5, mfu, SIZES[0]), 7.0)
    else:
        with pytest.raises(InputError, match="peak"):
            check_step(MeasuredStep(3.5, mfu, SIZES[0]), 7.0)


def test_steps_that_predictions_cannot_tell_apart_share_a_factor():
    """Their geometric mean; 1e-9 apart is the same, 1e-6 is not."""
    found = alone([2.0, 3.0, 2.0 * (1 + 1e-11), 2.0 * (1 + 1e-6)], [2.2, 3.9, 2.6, 2.1])

    assert [seconds for seconds, _ in found] == [2.0, 3.0, 2.0 * (1 + 1e-6)]
    assert [factor for _, factor in found] == pytest.approx([(1.1 * 1.3) ** 0.5, 1.3, 1.05], rel=1e-5)


def test_a_layout_is_known_by_its_shape_and_its_seconds():
    """Width, tensor parallel ranks and tokens all the same; then the predicted seconds, after the factor of the shape, to 1e-9."""
    stack = STACK._replace(shapes=((390, 2, 170, 1.7), (390, 3, 170, 1.9)), steps=((3.4, 1.1), (5.0, 1.3)))
    for shape, seconds, expected in (
        ((390, 2, 170), 7.0, (1.7, (1, 0), 0)),
        ((390, 3, 170), 7.0, (1.9, (0, 1), 0)),
        ((391, 2, 170), 7.0, (1.0, (0, 0), 0)),
        ((390, 2, 171), 7.0, (1.0, (0, 0), 0)),
        ((390, 2, 170), 2.0, (1.7 * 1.1, (1, 0), 1)),
        ((7, 2, 170), 5.0, (1.3, (0, 0), 1)),
        ((7, 2, 170), 5.0 * (1 + 5e-10), (1.3, (0, 0), 1)),
        ((7, 2, 170), 5.0 * (1 - 5e-10), (1.3, (0, 0), 1)),
        ((7, 2, 170), 5.0 * (1 + 1.5e-9), (1.0, (0, 0), 0)),
        ((7, 2, 170), 5.0 * (1 - 1.5e-9), (1.0, (0, 0), 0)),
    ):
        found = known_of(stack, seconds, ProductShape(*shape))
        assert (found.factor, found.shapes, found.step) == (pytest.approx(expected[0], rel=1e-12), *expected[1:]), (shape, seconds)
