"""The cost of device-hours that are known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaleplan import library
from scaleplan.answer import Answer, line
from scaleplan.questions.cost.footprint import Site, answer_of, lines_after_hours, said, site_of_device

if TYPE_CHECKING:
    from scaleplan.questions.cost import DeviceHours


def solve(asked: DeviceHours) -> Site:
    """Price, power and grid of the device-hours."""
    return site_of_device(asked, library.load("hardware", asked.hardware), library.defaults())


def explain(asked: DeviceHours, solved: Site) -> Answer:
    """The answer for the device-hours."""
    hours = line("device_hours", "device-hours", asked.device_hours, "h", standing="given")
    lines = lines_after_hours(hours, asked.n_devices, solved, asked.published_kgco2e)
    return answer_of(said(asked), {}, lines, solved.notes)
