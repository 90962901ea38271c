"""Goodput of a plan from the failures of its devices: failure rate, checkpoints, restarts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from scaleplan.chain.run_cost import Input
from scaleplan.errors import UsageError
from scaleplan.machine.goodput import best_checkpoint_interval_s, goodput, job_mtbf_s, losses
from scaleplan.units import SECONDS_PER_HOUR
from scaleplan.wording import field, fields

Given = Mapping[str, Any]
NEEDED = ("device_mtbf", "checkpoint_time", "restart_time")
FIELDS = (*NEEDED, "checkpoint_interval")


class Failures(NamedTuple):
    """What failures make of a run, in numbers or arrays.

    goodput                share of the wall time in which the run advances
    job_mtbf_s             seconds between failures of the whole job
    checkpoint_interval_s  between checkpoints: as given, else the best
    best_interval_s        the interval that loses least
    """

    goodput: Any
    job_mtbf_s: Any
    checkpoint_interval_s: Any
    best_interval_s: Any

    def input(self) -> Input:
        """Goodput as an input of the cost."""
        return Input(self.goodput, "estimate", ("young1974", "daly2006"))


def failures_of(given: Given, n_devices: Any, *, of_a_step: bool) -> Failures | None:
    """Goodput by failure rate and checkpoints; None where a plan says nothing of them.

    of_a_step  whether the rate of the run is that of a step: one of whole runs has their stops in it
    Raises UsageError where something is missing, or said twice.
    """
    said = [name for name in FIELDS if given.get(name) is not None]
    if not said:
        return None
    missing = [name for name in NEEDED if name not in said]
    if missing:
        raise UsageError(f"{fields(*said)} needs {fields(*missing)}", hint=f"add {fields(*missing, joined=', ')}")
    if given.get("goodput") is not None:
        raise UsageError(f"{field('goodput')} and {field('device_mtbf')} both say how often the run stops", hint="give one of them")
    if not of_a_step:
        hint = f"give {field('layout')}, or {field('mfu')} with {field('mfu_of')} step"
        raise UsageError(f"{field('device_mtbf')} goes with the rate of a step: that of whole runs has their stops in it", hint=hint)
    if n_devices is None:
        raise UsageError(f"{field('device_mtbf')} needs {field('n_devices')}", hint=f"add {field('n_devices')}")
    job = job_mtbf_s(given["device_mtbf"] / SECONDS_PER_HOUR, n_devices)
    best = best_checkpoint_interval_s(given["checkpoint_time"], job)
    every = best if given.get("checkpoint_interval") is None else given["checkpoint_interval"]
    return Failures(goodput(losses(job, every, given["checkpoint_time"], given["restart_time"])), job, every, best)
