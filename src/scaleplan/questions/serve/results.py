"""The result of `serve`, as its JSON Schema is made from it."""

from __future__ import annotations

from typing import Literal, NotRequired

from typing_extensions import TypedDict  # pydantic reads this one on every Python

from scaleplan.questions.percentiles import Percentiles

Bound = Literal["compute", "memory", "network"]


class Pass(TypedDict):
    """One pass over tokens: seconds by part, and which of them binds."""

    product_s: float
    weights_s: float
    attention_s: float
    cache_s: float
    traffic_s: float
    network_s: float
    launch_s: float
    step_s: float
    total_s: float
    bound: Bound


class Fleet(TypedDict):
    """Deployments for a load of requests; `usd_per_hour` is null where no price is known."""

    requests_per_s: float
    n_deployments: int
    n_devices: int
    utilisation: float
    usd_per_hour: float | None


class ServedLoad(TypedDict):
    """One load on one deployment; bytes are of one device, but `kv_cache_bytes_per_token`, which is of all that hold the model."""

    kind: Literal["load"]
    layout: str
    n_devices: int
    concurrency: int
    weights_bytes: int
    kv_cache_bytes_per_token: int
    kv_cache_bytes: int
    workspace_bytes: int
    context_bytes: int
    total_bytes: int
    capacity_bytes: int
    fits: bool
    max_batch_size_seqs: int
    max_seq_len: int
    first_token_s: float
    per_token_s: float
    batch_s: float
    requests_per_s: float
    tokens_per_s_per_device: float
    usd_per_million_tokens: float | None
    wh_per_million_tokens: float | None
    bound: Bound
    prefill: Pass
    decode: Pass
    intervals: dict[str, Percentiles]
    fleet: NotRequired[Fleet]
