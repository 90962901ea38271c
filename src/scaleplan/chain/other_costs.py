"""What is paid beside the devices: once, by the device-hour, by the day, or for storage by the terabyte and month."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, get_args

from scaleplan.errors import InputError, clipped
from scaleplan.units import SECONDS_PER_DAY, SECONDS_PER_YEAR
from scaleplan.wording import field

Per = Literal["device_hour", "day", "run", "terabyte_month"]
PER: tuple[Per, ...] = get_args(Per)
OF_TIME: tuple[Per, ...] = ("day", "terabyte_month")
"""Costs that go on as long as the run does."""


class OtherCost(NamedTuple):
    """Dollars beside the devices; terabytes where they are stored by the month."""

    name: str
    usd: float
    per: Per
    terabytes: float | None


def usd_of(costs: Sequence[OtherCost], device_hours: Any, wall_s: Any) -> dict[str, Any]:
    """Dollars of each cost beside the devices. Raises InputError for one by time where the time of the run is unknown."""
    found = {}
    for one in costs:
        if one.per in OF_TIME and wall_s is None:
            problem = f"[[cost]] `{clipped(one.name)}` is per {one.per}, and the time of the run is unknown"
            raise InputError(problem, hint=f"give {field('n_devices')}")
        found[one.name] = one.usd * times_paid(one, device_hours, wall_s)
    return found


def times_paid(one: OtherCost, device_hours: Any, wall_s: Any) -> Any:
    """How often a cost is paid; a month is a twelfth of 365.25 days.

    >>> times_paid(OtherCost("store", 20.0, "terabyte_month", 500.0), None, 30.4375 * 86_400)
    500.0
    """
    if one.per == "run":
        return 1.0
    if one.per == "device_hour":
        return device_hours
    if one.terabytes is None:
        return wall_s / SECONDS_PER_DAY
    return one.terabytes * 12 * wall_s / SECONDS_PER_YEAR
