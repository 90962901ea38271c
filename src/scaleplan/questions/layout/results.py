"""The results of `layout`, as their JSON Schemas are made from them."""

from __future__ import annotations

from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict  # pydantic reads this one on every Python

from scaleplan.questions.percentiles import Percentiles


class PricedTable(TypedDict):
    """A table of layouts; a row holds the columns of the file as they stood there, and what was found."""

    kind: Literal["table"]
    n_rows: int
    n_fitting: int
    n_errors: int
    rows: list[dict[str, Any]]


class LayoutRow(TypedDict):
    """A layout with its figures; `parts` are seconds that add up to `step_s`; ZeRO divides over `n_shards` ranks (1: not at all)."""

    layout: str
    tp: int
    pp: int
    cp: int
    dp: int
    ep: int
    etp: int
    n_virtual_stages: int
    zero_stage: int
    n_shards: int
    sequence_parallel: bool
    micro_batch_size_seqs: int
    recompute: str
    offload: str
    tp_overlap: bool
    step_s: float
    step_s_p10: float
    step_s_p90: float
    mfu: float
    hfu: float
    tokens_per_s_per_device: float
    peak_bytes: int
    peak_bytes_p10: int
    peak_bytes_p90: int
    verdict: str
    fits: bool
    parts: dict[str, float]


class ScheduleRow(TypedDict):
    """A layout under one pipeline schedule."""

    pipeline_schedule: str
    step_s: float
    bubble_s: float
    peak_bytes: int
    standing: str


class RankedLayouts(TypedDict):
    """The fastest layouts that fit; `rejected` counts the others by reason."""

    kind: Literal["ranked"]
    layouts: list[LayoutRow]
    recommended: str | None
    n_considered: int
    n_fitting: int
    rejected: dict[str, int]
    is_complete: bool
    intervals: dict[str, Percentiles]
    written: list[str]
    run_file: NotRequired[str]
    schedules: NotRequired[list[ScheduleRow]]


class ExplainedRow(LayoutRow):
    """One layout, and what it loses to the fastest that fits: null where none does."""

    pipeline_schedule: str
    standing: str
    lost_s: float | None
    lost_by_part: dict[str, float]
    stage_layers: NotRequired[list[int]]


class ExplainedLayout(TypedDict):
    """One layout beside the fastest ones."""

    kind: Literal["explained"]
    explained: ExplainedRow
    layouts: list[LayoutRow]
    recommended: str | None
    n_considered: int
    n_fitting: int
    rejected: dict[str, int]
    is_complete: bool
    intervals: dict[str, Percentiles]
    written: list[str]
    run_file: NotRequired[str]
    schedules: NotRequired[list[ScheduleRow]]


class FewestRow(LayoutRow):
    """A run on the fewest devices in time."""

    n_devices: int
    wall_s: float
    wall_s_p10: float
    wall_s_p90: float
    n_steps: float
    device_hours: float


class FewestDevices(TypedDict):
    """The fewest devices on which a run finishes in time; where Ctrl-C ended the search, null and the shortest run so far."""

    kind: Literal["fewest"]
    fewest: FewestRow | None
    shortest: FewestRow | None
    is_complete: bool
    layouts: list[LayoutRow]
    intervals: dict[str, Percentiles]


class CountRow(LayoutRow):
    """A run on one device count with its fastest layout; null where price or power is not known."""

    n_devices: int
    global_batch_size_seqs: int
    tokens: float
    wall_s: float
    wall_s_p10: float
    wall_s_p90: float
    device_hours: float
    usd: float | None
    energy_wh: float | None
    on_front: bool


class DeviceCounts(TypedDict):
    """Device counts compared; `stops_paying_n_devices` is null where adding devices pays throughout, the batch where no law was given."""

    kind: Literal["front"]
    points: list[CountRow]
    stops_paying_n_devices: int | None
    is_complete: bool
    loss_nats: float | None
    critical_batch_tokens: float | None
