"""One measured step corrects a stack: every part of its steps takes as much longer as the measured one did."""

from __future__ import annotations

from scaleplan.errors import InputError
from scaleplan.machine.efficiency import StackShares

FARTHEST = 3.0  # measured over predicted, either way: beyond it the measurement is of something else


def calibrated(shares: StackShares, predicted_s: float, measured_s: float, mfu: float) -> StackShares:
    """A stack whose step of this layout takes what was measured; `mfu` is that of the prediction.

    pace = measured / predicted

    Refused where the pace is beyond a factor of 3, or where the measured step would need more than the device's peak.
    """
    factor = measured_s / predicted_s
    if not 1 / FARTHEST <= factor <= FARTHEST:
        raise InputError(
            f"the measured step of {measured_s:.6g} s is {factor:.3g} times the predicted {predicted_s:.4g} s",
            hint=f"within a factor of {FARTHEST:.0f} a stack is corrected; check model, layout, batch and device",
        )
    if mfu / factor >= 1:
        raise InputError(
            f"the measured step of {measured_s:.6g} s is {mfu / factor:.0%} of the device's peak", hint="check batch and number of devices"
        )
    return shares._replace(pace=shares.pace * factor)
