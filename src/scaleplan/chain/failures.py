"""Goodput of a plan from what stops it: failures of its devices, checkpoints, restarts, evaluation, warm-up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from scaleplan.chain.run_cost import Input
from scaleplan.errors import UsageError
from scaleplan.machine.goodput import Losses, best_checkpoint_interval_s, break_even_devices, goodput, job_mtbf_s, losses
from scaleplan.units import SECONDS_PER_HOUR
from scaleplan.wording import field, fields

Given = Mapping[str, Any]
NEEDED = ("device_mtbf", "checkpoint_time", "restart_time")
OF_FAILURES = (*NEEDED, "checkpoint_interval")
SHARES = ("evaluation_share", "warm_up_share")
FIELDS = (*OF_FAILURES, *SHARES)


class Failures(NamedTuple):
    """What stops make of a run, in numbers or arrays.

    goodput                share of the wall time in which the run advances
    job_mtbf_s             seconds between failures of the whole job; None where no failure rate is given, as are the next
    checkpoint_interval_s  between checkpoints: as given, else the best
    best_interval_s        the interval that loses least
    break_even_devices     beyond which more devices finish no sooner
    """

    goodput: Any
    job_mtbf_s: Any = None
    checkpoint_interval_s: Any = None
    best_interval_s: Any = None
    break_even_devices: Any = None

    def input(self) -> Input:
        """Goodput as an input of the cost."""
        return Input(self.goodput, "estimate", ("young1974", "daly2006"))


def failures_of(given: Given, n_devices: Any, *, of_a_step: bool) -> Failures | None:
    """Goodput by failure rate, checkpoints, evaluation and warm-up; None where a plan says nothing of them.

    of_a_step  whether the rate of the run is that of a step: one of whole runs has their stops in it
    Raises UsageError where something is missing, or said twice.
    """
    said = [name for name in FIELDS if given.get(name) is not None]
    if not said:
        return None
    if given.get("goodput") is not None:
        raise UsageError(f"{field('goodput')} and {field(said[0])} both say how much of the time the run advances", hint="give one of them")
    if not of_a_step:
        hint = f"give {field('layout')}, or {field('mfu')} with {field('mfu_of')} step"
        raise UsageError(f"{field(said[0])} goes with the rate of a step: that of whole runs has their stops in it", hint=hint)
    evaluation, warm_up = (0.0 if given.get(name) is None else given[name] for name in SHARES)
    if not any(name in OF_FAILURES for name in said):
        return Failures(goodput(Losses(0.0, evaluation, 0.0, 0.0), warm_up))
    missing = [name for name in NEEDED if name not in said]
    if missing:
        raise UsageError(f"{fields(*said)} needs {fields(*missing)}", hint=f"add {fields(*missing, joined=', ')}")
    if n_devices is None:
        raise UsageError(f"{field('device_mtbf')} needs {field('n_devices')}", hint=f"add {field('n_devices')}")
    return with_failures(given, n_devices, evaluation, warm_up)


def with_failures(given: Given, n_devices: Any, evaluation: Any, warm_up: Any) -> Failures:
    """Of a run whose devices fail."""
    job = job_mtbf_s(given["device_mtbf"] / SECONDS_PER_HOUR, n_devices)
    best = best_checkpoint_interval_s(given["checkpoint_time"], job)
    every = best if given.get("checkpoint_interval") is None else given["checkpoint_interval"]
    lost = losses(job, every, given["checkpoint_time"], given["restart_time"], evaluation)
    mtbf, write, restart = (given[name] for name in NEEDED)
    most = break_even_devices(mtbf, write, restart, given.get("checkpoint_interval"), evaluation)
    return Failures(goodput(lost, warm_up), job, every, best, most)
