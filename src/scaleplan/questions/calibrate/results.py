"""The result of `calibrate`, as its JSON Schema is made from it."""

from __future__ import annotations

from typing import Any

from typing_extensions import TypedDict  # pydantic reads this one on every Python

from scaleplan.questions.plan.results import Number


class OfStep(TypedDict):
    """A step: seconds, and bytes of the fullest device; null where they were not measured."""

    step_s: float
    peak_bytes: float | None


class Residual(TypedDict):
    """What a term adds to the measured step beyond the planned one.

    told_fraction  share of the term's variance that the measured steps removed; null where that has no meaning
    """

    term: str
    residual_s: float
    told_fraction: float | None


class Row(TypedDict):
    """A measured layout: settings are the plan keys that its rows name."""

    layout: str
    settings: list[str]
    n_rows: int
    measured: OfStep
    planned: OfStep
    ratio: OfStep
    residual: list[Residual]


class Efficiency(TypedDict):
    """An efficiency before and after; `most` is the largest that it can be."""

    efficiency: str
    unit: str
    planned: float
    corrected: float
    most: float | None


class Part(TypedDict):
    """A part of the plan's step: seconds as planned, and as the corrected stack has them."""

    term: str
    planned_s: float
    corrected_s: float


class LossPoint(TypedDict):
    """A moment of the run."""

    n_tokens: float
    wall_s: float | None
    loss_nats: Number


class Finish(TypedDict):
    """When the run ends."""

    value: str | None
    p10: str | None
    p50: str | None
    p90: str | None


class Forecast(TypedDict):
    """The run with the corrected stack."""

    wall_s: Number
    device_hours: Number
    usd: Number
    wh: Number
    kgco2e: Number
    finish_tokens: Number
    loss_nats: Number
    loss_curve: list[LossPoint]
    finish: Finish | None


class Calibrated(TypedDict):
    """Measured against planned, of the plan's layout or the first that was measured; `stack` has the tables of the file that -o writes."""

    n_rows: int
    measured: OfStep
    planned: OfStep
    ratio: OfStep
    residual: list[Residual]
    rows: list[Row]
    efficiencies: list[Efficiency]
    parts: list[Part]
    stack: dict[str, Any]
    forecast: Forecast
