"""A stack that measured steps and peaks corrected, and its file."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import mean
from typing import Any, NamedTuple

from scaleplan import library
from scaleplan.chain.layout_step import LayoutStep, base_stack
from scaleplan.chain.memory import stack_named
from scaleplan.chain.step_time import efficiencies, efficiency_of, stack_time, term_spread
from scaleplan.errors import InputError
from scaleplan.machine.correction import FARTHEST, TERMS, Correction, MeasuredStep, ProductShape, fitted, moved
from scaleplan.machine.efficiency import Efficiency, HardwareShares, StackShares, hardware_shares, paced
from scaleplan.machine.stack import Stack

Tables = dict[str, Any]


class Measurement(NamedTuple):
    """A layout whose steps were measured: as it was planned, and the medians."""

    planned: LayoutStep
    step_s: float
    peak_bytes: float | None = None


class TermShare(NamedTuple):
    """What one term adds to a measured step beyond the planned one: seconds, and the share of its variance that the steps removed."""

    term: str
    seconds: float
    told: float | None


class Corrected(NamedTuple):
    """A corrected stack.

    tables      of its file
    planned     efficiencies of the stack as it was; `shares` as it is now
    hardware    those of the hardware: planned, and with the stack
    residuals   of each measured layout: seconds by term, which add up to measured - planned
    """

    tables: Tables
    planned: StackShares
    shares: StackShares
    hardware: tuple[HardwareShares, HardwareShares]
    residuals: tuple[tuple[TermShare, ...], ...]


# ------------------------------------------------------------------------------------------------------------------------ steps


def corrected_stack(measured: Sequence[Measurement]) -> Corrected:
    """The stack with which every measured layout takes its measured seconds and bytes, and others what is most probable then.

    Raises InputError where a measurement is more than a factor of 3 off, or beyond the peak of the device.
    """
    first = measured[0].planned
    before = stack_time(first.stack)
    planned = efficiency_of(first.pricing.device, first.stack)
    usual = hardware_shares(efficiencies(), first.pricing.device)

    def predict(shares: StackShares) -> list[float]:
        """Seconds of every measured layout with other shares of the stack."""
        of_stack = Efficiency(paced(usual, shares), shares, planned.spreads)
        return [float(one.planned.pricing.time(of_stack).step_s) for one in measured]

    steps = [MeasuredStep(one.step_s, one.planned.mfu, shape_of(one.planned)) for one in measured]
    found = fitted(before, planned.hardware, steps, predict, term_spread())
    stack = with_peaks(stack_named(first.stack), measured)
    return Corrected(
        tables_of(measured, found, stack),
        before,
        found.shares,
        (planned.hardware, paced(usual, found.shares)),
        residuals(before._replace(shapes=(), steps=()), found, steps, predict),
    )


def shape_of(step: LayoutStep) -> ProductShape:
    """What the sizes of a layout's products follow from."""
    how = step.pricing
    return ProductShape(float(how.bill.arch.d_model), float(how.layout.tp), float(how.step.n_seqs * how.step.seq_len / how.layout.cp))


def residuals(base: StackShares, found: Correction, steps: Sequence[MeasuredStep], predict: Any) -> tuple[tuple[TermShare, ...], ...]:
    """Seconds that each term adds to each measured step, one term moved after the other; then those of its shape, and the scatter."""
    logs = [found.terms[term] for term in TERMS]
    rows = [predict(moved(base, [*logs[:count], *[0.0] * (len(TERMS) - count)])) for count in range(len(TERMS) + 1)]
    shapes = {tuple(sizes): factor for *sizes, factor in found.shares.shapes}
    rows.append([seconds * shapes[step.shape] for seconds, step in zip(rows[-1], steps, strict=True)])
    rows.append([step.step_s for step in steps])
    told = {**found.told, "shape": None, "scatter": None}
    return tuple(
        tuple(TermShare(term, rows[at + 1][place] - rows[at][place], told[term]) for at, term in enumerate(told))
        for place in range(len(steps))
    )


# ----------------------------------------------------------------------------------------------------------------------- memory


def with_peaks(stack: Stack, measured: Sequence[Measurement]) -> Stack:
    """The stack with which a measured layout holds its measured bytes, and others as many more as peaks of one stack have in common.

    log(factor) = mean log(measured / counted) n bias**2 / (n bias**2 + scatter**2)
    """
    logs = {
        one.planned.counted_peak_bytes: math.log(checked_peak(one.planned, one.peak_bytes) / one.planned.counted_peak_bytes)
        for one in measured
        if one.peak_bytes is not None
    }
    if not logs:
        return stack
    spread = efficiencies()["calibration"]
    bias, scatter = len(logs) * spread["peak_bias"] ** 2, spread["peak_scatter"] ** 2
    common = bias / (bias + scatter)
    before = math.log(stack.peak_factor)
    factor = math.exp(before + common * (mean(logs.values()) - before))
    return stack._replace(peak_factor=factor, peaks=tuple((counted, math.exp(each)) for counted, each in logs.items()))


def checked_peak(step: LayoutStep, peak_bytes: float) -> float:
    """A peak that can be of this plan."""
    factor = peak_bytes / step.peak_bytes.p50
    if not 1 / FARTHEST <= factor <= FARTHEST:
        raise InputError(
            f"the measured peak of {peak_bytes:,.0f} bytes is {factor:.3g} times the predicted {step.peak_bytes.p50:,.0f}",
            hint=f"within a factor of {FARTHEST:.0f} a stack is corrected; check model, layout, batch and device",
        )
    return peak_bytes


# --------------------------------------------------------------------------------------------------------------------- the file


def tables_of(measured: Sequence[Measurement], found: Correction, stack: Stack) -> Tables:
    """The tables of the stack's file."""
    base = base_stack(measured[0].planned.stack)
    memory = {name: value for name, value in stack._asdict().items() if name not in ("name", "keeping", "sources", "base")}
    return {
        "name": f"{base}-calibrated",
        "title": f"{base}, corrected by measured steps",
        "memory": known(memory | {"bytes_per_logit": "counted" if stack.bytes_per_logit is None else stack.bytes_per_logit})
        | {"keeping": known(stack.keeping._asdict() | stats(stack.keeping.norm_stats_bytes))},
        "time": known(found.shares._asdict()),
        "calibration": {
            "stack": base,
            "hardware": measured[0].planned.pricing.device.name,
            "layout": [one.planned.layout_text for one in measured],
            "step_s": [one.step_s for one in measured],
            "planned_step_s": [one.planned.step_s.p50 for one in measured],
            "covariance": [list(row) for row in found.learnt.covariance],
        }
        | peaks_of(measured),
    }


def peaks_of(measured: Sequence[Measurement]) -> Tables:
    """Measured and planned peaks, where there are any."""
    some = [one for one in measured if one.peak_bytes is not None]
    if not some:
        return {}
    return {
        "peak_bytes": [int(one.peak_bytes or 0) for one in some],
        "planned_peak_bytes": [int(one.planned.peak_bytes.p50) for one in some],
    }


def stats(norm_stats_bytes: Any) -> dict[str, Any]:
    """How a stack's file says that norms keep their statistics like the residual stream."""
    return {"norm_stats_bytes": "residual"} if norm_stats_bytes is None else {}


def known(table: Mapping[str, Any]) -> Tables:
    """What is not left open."""
    return {name: listed(value) for name, value in table.items() if value is not None and value != ()}


def listed(value: Any) -> Any:
    """Tuples as lists, which is how files have them."""
    return list(map(listed, value)) if isinstance(value, tuple) else value


def stack_text(tables: Tables) -> str:
    """The file of a stack."""
    import json

    def lines(table: Tables) -> str:
        return "".join(f"{name} = {json.dumps(value)}\n" for name, value in table.items() if not isinstance(value, dict))

    memory = tables["memory"]
    parts = [lines(tables), "\n[memory]\n", lines(memory), "\n[memory.keeping]\n", lines(memory["keeping"])]
    return "".join([*parts, "\n[time]\n", lines(tables["time"]), "\n[calibration]\n", lines(tables["calibration"])])


def as_stack(tables: Tables) -> library.Text:
    """The stack where a name is expected."""
    return library.Text(stack_text(tables))
