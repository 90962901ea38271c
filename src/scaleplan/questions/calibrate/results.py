"""The result of `calibrate`, as its JSON Schema is made from it."""

from __future__ import annotations

from typing import Any

from typing_extensions import TypedDict  # pydantic reads this one on every Python

from scaleplan.questions.plan.results import Number


class OfStep(TypedDict):
    """A step: seconds, and bytes of the fullest device; null where they were not measured."""

    step_s: float
    peak_bytes: float | None


class Part(TypedDict):
    """A part of the step: seconds as planned, and as the corrected stack has them."""

    term: str
    planned_s: float
    corrected_s: float


class Forecast(TypedDict):
    """The run with the corrected stack."""

    wall_s: Number
    device_hours: Number
    usd: Number
    wh: Number
    kgco2e: Number


class Calibrated(TypedDict):
    """Measured against planned; `stack` has the tables of the stack file that -o writes."""

    n_rows: int
    measured: OfStep
    planned: OfStep
    ratio: OfStep
    parts: list[Part]
    stack: dict[str, Any]
    forecast: Forecast
