"""Step times from names: device, stack and precision become rates, and one layout or many are priced."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from scaleplan import library
from scaleplan.errors import InputError, clipped
from scaleplan.machine.correction import TERMS, TermSpread
from scaleplan.machine.device import Device, device_of
from scaleplan.machine.efficiency import (
    Efficiency,
    Learnt,
    Spreads,
    StackShares,
    hardware_shares,
    paced,
    spreads_of,
    stack_shares,
)
from scaleplan.machine.roofline import Kernels

NUMBER_FORMATS = {
    "fp32": "fp32", "tf32": "tf32", "fp8": "fp8", "mxfp8": "fp8", "int8": "int8", "fp4": "fp4", "nvfp4": "fp4", "mxfp4": "fp4",
}  # fmt: skip
"""What products are computed in, by the first word of a precision; all others are 16-bit ones."""
OPERAND_BYTES = {"fp32": 4.0, "tf32": 4.0, "bf16": 2.0, "fp8": 1.0, "int8": 1.0, "fp4": 0.5}
UNNAMED = "usual"
"""The stack that stands for whatever will be used."""


@cache
def device_named(name: str) -> Device:
    """A device preset by name or path."""
    preset = library.load("hardware", name)
    return device_of(preset.name, preset.data)


@cache
def efficiencies() -> dict[str, Any]:
    """The shares of hardware, and the spreads."""
    return library.efficiencies()


def stack_time(name: str) -> StackShares:
    """A stack's shares; `like` names the stack whose shares it has but for those of its own."""
    try:
        return stack_shares(time_table(name))
    except InputError as error:
        raise error.located(name) from None


def time_table(name: str, before: tuple[str, ...] = ()) -> dict[str, Any]:
    """The table `time` of a stack preset, with what it takes from the stack that it is like."""
    if name in before:
        raise InputError(f"stacks are like each other in a circle: {', '.join(map(clipped, before))}")
    own = dict(library.load("stacks", name).data.get("time", {"like": UNNAMED}))
    like = own.pop("like", None)
    return own if like is None else {**time_table(like, (*before, name)), **own}


def spreads(stack: str) -> Spreads:
    """How far predictions are off: for a stack that steps were measured of and for any other; what a user's own steps told narrows it."""
    table, told = efficiencies(), library.load("stacks", stack).data.get("calibration", {})
    known = "known" if told.get("stack", stack) in table["measured_stacks"] else "unknown"
    found = spreads_of(table["spread"][known])
    return found._replace(learnt=learnt_of(stack, told["covariance"])) if "covariance" in told else found


def learnt_of(stack: str, rows: Sequence[Sequence[float]]) -> Learnt:
    """What the measured steps of a stack's file told, from the covariance of its terms and shapes; InputError where it is none of them."""
    import numpy as np

    n = len(TERMS) + len(stack_time(stack).shapes)
    if [len(row) for row in rows] != [n] * n:
        raise InputError(f"`calibration.covariance` has not {n} rows of {n}: of {len(TERMS)} terms and each of `time.shapes`", file=stack)
    covariance, spread = np.array(rows, float), term_spread()
    if not np.linalg.eigvalsh((covariance + covariance.T) / 2)[0] > 0:
        raise InputError("`calibration.covariance` gives some sum of its terms a variance that is not above zero", file=stack)
    prior = tuple(each * each for each in spread.terms)
    return Learnt(prior, spread.shape**2, spread.scatter**2, tuple(map(tuple, covariance.tolist())))


def term_spread() -> TermSpread:
    """How far the terms of a step are off on measurements that they were not fitted on."""
    table = efficiencies()["calibration"]
    return TermSpread(*(float(table[name]) for name in TermSpread._fields))


def efficiency_of(device: Device, stack: str) -> Efficiency:
    """Everything that is not counted, for a device and a stack."""
    shares = stack_time(stack)
    return Efficiency(paced(hardware_shares(efficiencies(), device), shares), shares, spreads(stack))


def number_format(precision: str) -> str:
    """The format that a precision's products are computed in."""
    return NUMBER_FORMATS.get(precision.split("-", maxsplit=1)[0], "bf16")


def wide_format(precision: str) -> str:
    """The format of products that a precision does not narrow: its own where that is of 32 bits, else 16 bits."""
    number = number_format(precision)
    return number if number in ("fp32", "tf32") else "bf16"


def kernels_of(device: Device, shares: Efficiency, precision: str, attention: str) -> Kernels:
    """What runs the products; refused where the device lacks the number format."""
    number, wide = number_format(precision), wide_format(precision)
    if device.latency_s is not None:
        device = device._replace(latency_s=device.latency_s * shares.stack.communication_pace)
    peak, wide_peak = (device.sustained_share * device.peak_flops_per_s(each) for each in (number, wide))
    return Kernels(device, shares, peak, wide_peak, OPERAND_BYTES[number], attention)
