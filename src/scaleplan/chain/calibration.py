"""A stack that a measured step (and peak) corrected, and its file."""

from __future__ import annotations

from typing import Any

from scaleplan import library
from scaleplan.chain.layout_step import LayoutStep, base_stack
from scaleplan.chain.memory import stack_named
from scaleplan.chain.step_time import stack_time
from scaleplan.errors import InputError
from scaleplan.machine.correction import FARTHEST, calibrated

Tables = dict[str, Any]


def corrected_stack(step: LayoutStep, step_s: float, peak_bytes: float | None) -> Tables:
    """The tables of a stack with which the step takes the measured seconds, and its fullest device the measured bytes.

    Raises InputError where the measurement is more than a factor of 3 off, or beyond the peak of the device.
    """
    stack = stack_named(step.stack)
    time = calibrated(stack_time(step.stack), step.step_s.p50, step_s, step.mfu)
    if peak_bytes is not None:
        stack = stack._replace(peak_factor=stack.peak_factor * checked_peak(step, peak_bytes) / step.peak_bytes.p50)
    base = base_stack(step.stack)
    memory = {name: value for name, value in stack._asdict().items() if name not in ("name", "keeping", "sources")}
    measured = {"stack": base, "layout": step.layout_text, "step_s": step_s, "planned_step_s": step.step_s.p50}
    measured |= {} if peak_bytes is None else {"peak_bytes": int(peak_bytes), "planned_peak_bytes": int(step.peak_bytes.p50)}
    return {
        "name": f"{base}-calibrated",
        "title": f"{base}, corrected by a measured step",
        "memory": known(memory | {"bytes_per_logit": "counted" if stack.bytes_per_logit is None else stack.bytes_per_logit})
        | {"keeping": known(stack.keeping._asdict() | stats(stack.keeping.norm_stats_bytes))},
        "time": known(time._asdict()),
        "calibration": measured,
    }


def checked_peak(step: LayoutStep, peak_bytes: float) -> float:
    """A peak that can be of this plan."""
    factor = peak_bytes / step.peak_bytes.p50
    if not 1 / FARTHEST <= factor <= FARTHEST:
        raise InputError(
            f"the measured peak of {peak_bytes:,.0f} bytes is {factor:.3g} times the predicted {step.peak_bytes.p50:,.0f}",
            hint=f"within a factor of {FARTHEST:.0f} a stack is corrected; check model, layout, batch and device",
        )
    return peak_bytes


def stats(norm_stats_bytes: Any) -> dict[str, Any]:
    """How a stack's file says that norms keep their statistics like the residual stream."""
    return {"norm_stats_bytes": "residual"} if norm_stats_bytes is None else {}


def known(table: Tables) -> Tables:
    """What is not left open."""
    return {name: value for name, value in table.items() if value is not None}


def stack_text(tables: Tables) -> str:
    """The file of a stack."""
    import json

    def lines(table: Tables) -> str:
        return "".join(f"{name} = {json.dumps(value)}\n" for name, value in table.items() if not isinstance(value, dict))

    memory, keeping = tables["memory"], tables["memory"]["keeping"]
    parts = [lines(tables), "[memory]\n" + lines(memory), "[memory.keeping]\n" + lines(keeping)]
    return "\n".join([*parts, "[time]\n" + lines(tables["time"]), "[calibration]\n" + lines(tables["calibration"])])


def as_stack(tables: Tables) -> library.Text:
    """The stack where a name is expected."""
    return library.Text(stack_text(tables))
