"""What stands beside a final run: its trial runs, nodes while they idle, and the making of the devices."""

from __future__ import annotations

from typing import Any


def with_trials(amount: Any, trial_share: Any) -> Any:
    """Device-hours, dollars or embodied CO2e with the runs beside the final one: amount * (1 + trial_share)."""
    return amount * (1 + trial_share)


def with_trials_and_idle(amount: Any, trial_share: Any, idle_share: Any) -> Any:
    """Energy or operational CO2e with trial runs and idle nodes: amount * (1 + trial_share + idle_share).

    >>> round(with_trials_and_idle(24.69, 0, 14.6 / 24.69), 1)  # BLOOM: tonnes of the run and of idle nodes (luccioni2022)
    39.3
    """
    return amount * (1 + trial_share + idle_share)
