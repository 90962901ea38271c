"""Intervals of peaks: factors from measured runs, by stack and kind of layout, and the verdict that follows."""

from __future__ import annotations

import numpy as np
import pytest

from scaleplan import library
from scaleplan.answer import Interval
from scaleplan.machine.layout import Layout, parse_layout
from scaleplan.machine.peak_interval import KINDS, PeakErrors, kind_number, peak_errors, peak_interval, verdict, without_bias

TABLE = library.peak_errors()
ERRORS = PeakErrors({"tensor": (0.8, 1.5), "both": (0.7, 2.0)}, (0.9, 1.1), 100)


@pytest.mark.parametrize("stack", TABLE)
def test_the_predicted_peak_lies_inside_its_interval(stack: str):
    """The 10 % point is below the prediction, the 90 % point above it, for every kind that a stack lists."""
    errors = peak_errors(TABLE, stack)
    for low, high in [errors.rest, *errors.by_kind.values()]:
        assert 0.3 < low < 1 < high < 2
    assert set(errors.by_kind) <= set(KINDS) and errors.n_runs >= 10


def test_a_stack_that_was_never_measured_has_the_errors_of_all_that_were():
    """`mcore24` has no measured peak, so that its interval is that of the others, wider than nanotron's own."""
    assert peak_errors(TABLE, "mcore24") == peak_errors(TABLE, "others")
    (low, high), (own_low, own_high) = peak_errors(TABLE, "mcore24").rest, peak_errors(TABLE, "nanotron").rest
    assert low < own_low and high > own_high


def test_kinds_of_layouts():
    """Tensor and pipeline parallelism make four kinds; data and context parallelism none."""
    layouts = ("dp8,zero3,cp2", "tp8,dp2", "pp4,dp2", "tp8,pp4")
    assert [KINDS[kind_number(parse_layout(text))] for text in layouts] == list(KINDS)


def test_arrays_of_layouts_have_the_intervals_of_each():
    """A search over layouts prices them with the same factors as one question each."""
    tp, pp, peak = np.array([1, 8, 1, 8]), np.array([1, 1, 4, 4]), np.array([100, 100, 100, 100])
    together = peak_interval(peak, Layout(tp=tp, pp=pp), ERRORS)
    alone = [peak_interval(100, Layout(tp=int(t), pp=int(p)), ERRORS) for t, p in zip(tp, pp, strict=True)]

    assert [list(map(int, part)) for part in together] == [list(part) for part in zip(*alone, strict=True)]
    assert [one.p90 for one in alone] == [110, 150, 110, 200]


def test_a_verdict_needs_the_whole_interval_on_one_side():
    """90 of 100 bytes are usable: p90 of 90 fits, p10 of 91 does not, anything between is unsure."""
    assert verdict(Interval(50, 80, 90), 100) == "fits"
    assert verdict(Interval(50, 80, 91), 100) == "unsure"
    assert verdict(Interval(90, 95, 99), 100) == "unsure"
    assert verdict(Interval(91, 95, 99), 100) == "does not fit"
    assert verdict(Interval(50, 80, 91), 100, usable_share=0.95) == "fits"


def test_verdicts_of_arrays():
    """One word for each layout."""
    interval = Interval(np.array([50, 91]), np.array([80, 95]), np.array([90, 99]))
    assert list(verdict(interval, 100)) == ["fits", "does not fit"]


BY_KIND = {"data": (0.91, 1.13), "tensor": (0.83, 1.57), "pipeline": (0.79, 1.31), "both": (0.71, 2.03)}


@pytest.mark.parametrize("missing", [None, *KINDS])
@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_layout_has_its_own_factors(kind: str, missing: str | None):
    """Those of the rest where a kind was not measured often enough; bytes are rounded down."""
    layout = {"data": Layout(dp=7), "tensor": Layout(tp=2), "pipeline": Layout(pp=3), "both": Layout(tp=4, pp=2)}[kind]
    errors = PeakErrors({name: each for name, each in BY_KIND.items() if name != missing}, (0.67, 1.97), 100)
    low, high = (0.67, 1.97) if kind == missing else BY_KIND[kind]

    assert peak_interval(10**6 + 1, layout, errors) == (int((10**6 + 1) * low), 10**6 + 1, int((10**6 + 1) * high))


@pytest.mark.parametrize(("away", "is_own"), [(0, True), (4, True), (-4, True), (5, False), (-5, False)])
def test_a_measured_layout_repeats_within_three_percent(away: int, is_own: bool):
    """The prediction of a layout whose own peak was measured, within four bytes of rounding, is sure to a factor of 1.03 either way."""
    errors = PeakErrors({}, (0.5, 2.0), 100, measured=(7e8, 3e8))
    peak = 300_000_000 + away
    low, high = (peak / 1.03, peak * 1.03) if is_own else (peak / 2, peak * 2)

    assert peak_interval(peak, Layout(), errors) == (int(low), peak, int(high))


def test_a_correction_leaves_the_width():
    """Of 0.8 to 1.8, a factor of 2.25 from end to end, 1/1.5 to 1.5 is left; of 0.5 to 0.72 1/1.2 to 1.2."""
    found = without_bias(PeakErrors({"both": (0.8, 1.8)}, (0.5, 0.72), 17))

    assert found.by_kind["both"] == pytest.approx((1 / 1.5, 1.5)) and found.rest == pytest.approx((1 / 1.2, 1.2))
    assert found.n_runs == 17
