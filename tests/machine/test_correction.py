"""Measured steps correct a stack: what they were is reproduced, what one of them leaves open stays near its plan, more tell more."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from scaleplan.chain.step_time import device_named, efficiencies, efficiency_of, kernels_of, term_spread
from scaleplan.errors import InputError
from scaleplan.machine.correction import TERMS, Correction, MeasuredStep, ProductShape, fitted, moved
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
