"""A run with what stands beside it: trial runs, idle nodes and the making of the devices, each in or out as it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from scaleplan.answer import Interval
from scaleplan.chain.run_cost import CostInputs, RunCost, draws_of
from scaleplan.chain.spread import interval_of, sum_of
from scaleplan.footprint.beside import with_trials, with_trials_and_idle

Given = Mapping[str, Any]
"""Field -> value in base units."""


class Total(NamedTuple):
    """A final run with what was put in; None where a quantity of the run itself is unknown.

    trial_share, idle_share  0 where they are out
    embodied_kgco2e          of the devices over all runs; None where it is out
    intervals                by the name of the quantity
    """

    trial_share: Any
    idle_share: Any
    embodied_kgco2e: Any
    device_hours: Any
    usd: Any
    energy_wh: Any
    kgco2e: Any
    intervals: Mapping[str, Interval]

    @property
    def includes(self) -> list[str]:
        """What is in it beside the operation of the final run."""
        parts = {"trials": self.trial_share, "idle": self.idle_share, "embodied": self.embodied_kgco2e is not None}
        return [name for name, is_in in parts.items() if is_in]


def total_of(given: Given, cost: RunCost) -> Total:
    """The run with what was put in."""
    trials, idle = given.get("trial_share") or 0, given.get("idle_share") or 0
    made = with_trials(cost.embodied_kgco2e, trials) if given.get("embodied") and cost.embodied_kgco2e is not None else None
    running = None if cost.kgco2e is None else with_trials_and_idle(cost.kgco2e, trials, idle)
    return Total(
        trials,
        idle,
        made,
        None if cost.device_hours is None else with_trials(cost.device_hours, trials),
        None if cost.usd is None else with_trials(cost.usd, trials),
        None if cost.energy_wh is None else with_trials_and_idle(cost.energy_wh, trials, idle),
        None if running is None else running + (made or 0),
        {},
    )


def plus_usd(total: Total, usd: Any) -> Total:
    """The same with dollars that are paid beside the devices."""
    if total.usd is None or not usd:
        return total
    spread = total.intervals.get("usd")
    paid = {} if spread is None else {"usd": spread.plus(usd)}
    return total._replace(usd=total.usd + usd, intervals={**total.intervals, **paid})


def with_intervals(total: Total, inputs: CostInputs) -> Total:
    """The same with the 80 % interval of each quantity that has a spread: that of the run, and of both parts of the CO2e together."""
    draws = draws_of(inputs)
    spread = {name: draws.get(name) for name in ("device_hours", "usd", "energy_wh")}
    running = total.kgco2e - (total.embodied_kgco2e or 0) if total.kgco2e is not None else 0.0
    if total.kgco2e:
        spread["kgco2e"] = sum_of((running, draws.get("kgco2e")), (total.embodied_kgco2e or 0.0, draws.get("embodied_kgco2e")))
    found = {name: interval_of(getattr(total, name), some) for name, some in spread.items() if getattr(total, name) is not None}
    return total._replace(intervals={name: interval for name, interval in found.items() if interval})
