"""A measured step corrects a stack."""

from __future__ import annotations

import pytest

from scaleplan.chain.step_time import device_named, efficiency_of, kernels_of
from scaleplan.errors import InputError
from scaleplan.machine.correction import calibrated
from scaleplan.machine.layout import Layout
from scaleplan.machine.step_time import Step, step_time
from scaleplan.model.bill import bill_of
from scaleplan.model.shape import arch_of_shape

BILL = bill_of(arch_of_shape({"n_layers": 8, "d_model": 2048, "n_heads": 16, "n_vocab": 32000, "gated": True, "norm": "rms"}))
STEP = Step(1, 4096, 8)


def seconds(layout: Layout, pace: float = 1.0) -> float:
    device = device_named("h100-sxm")
    shares = efficiency_of(device, "mcore24")
    corrected = shares._replace(stack=shares.stack._replace(pace=pace))
    return float(step_time(BILL, layout, STEP, kernels_of(device, corrected, "bf16-mixed", "flash")).step_s)


def test_the_measured_step_is_reproduced_and_others_move_with_it():
    """To 1e-6; another layout is as much slower."""
    one, other = Layout(dp=8, zero_stage=1), Layout(tp=2, pp=2, dp=2, zero_stage=1, sequence_parallel=True)
    shares = efficiency_of(device_named("h100-sxm"), "mcore24").stack
    pace = calibrated(shares, seconds(one), 1.3 * seconds(one), mfu=0.4).pace

    assert seconds(one, pace) == pytest.approx(1.3 * seconds(one), rel=1e-6)
    assert seconds(other, pace) == pytest.approx(1.3 * seconds(other), rel=1e-6)


@pytest.mark.parametrize("factor", [0.2, 3.5])
def test_a_measurement_of_something_else_is_refused(factor: float):
    """More than a factor of 3 off."""
    shares = efficiency_of(device_named("h100-sxm"), "mcore24").stack

    with pytest.raises(InputError, match="times the predicted"):
        calibrated(shares, 1.0, factor, mfu=0.1)


def test_a_step_beyond_the_peak_is_refused():
    """At an MFU of 0.6 twice the speed is more than the device can do."""
    shares = efficiency_of(device_named("h100-sxm"), "mcore24").stack

    with pytest.raises(InputError, match="peak"):
        calibrated(shares, 1.0, 0.5, mfu=0.6)
