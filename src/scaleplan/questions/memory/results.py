"""The results of `memory`, as their JSON Schemas are made from them."""

from __future__ import annotations

from typing import Literal, NotRequired, TypeAlias

from typing_extensions import TypedDict  # pydantic reads this one on every Python

from scaleplan.questions.percentiles import Percentiles

Verdict: TypeAlias = Literal["fits", "unsure", "does not fit"]


class Precision(TypedDict):
    """Training on one device in one precision.

    `layers_bytes` and `outside_layers_bytes` make up the activations at their peak; `peak_bytes` is the total with what the device,
    its libraries and the allocator take. A device without arithmetic in the precision has no verdict.
    """

    precision: str
    weights_bytes: int
    gradients_bytes: int
    optimizer_bytes: int
    activations_bytes: int
    layers_bytes: int
    outside_layers_bytes: int
    total_bytes: int
    peak_bytes: int
    fits: NotRequired[bool | None]
    verdict: NotRequired[Verdict | None]
    intervals: NotRequired[dict[str, Percentiles]]


class Layers(TypedDict):
    """One kind of layer: how many there are, and bytes that one keeps for a micro-batch."""

    kind: str
    n_layers: int
    bytes: int


class Recomputed(TypedDict):
    """Activations of the whole model under one recomputation and attention kernel."""

    recompute: str
    attention: str
    per_layer_bytes: int
    activations_bytes: int


class Activations(TypedDict):
    """Bytes of the first kind of layer, and outside the layers at the loss."""

    per_layer_bytes: int
    outside_layers_bytes: int
    kinds: list[Layers]
    by_recompute: NotRequired[list[Recomputed]]


class Served(TypedDict):
    """Weights in one format of serving."""

    format: str
    bits_per_weight: float
    weights_bytes: int


class Device(TypedDict):
    """What one device holds."""

    device: str
    capacity_bytes: int
    training: list[str]
    inference: list[str]


class PrecisionsMemory(TypedDict):
    """Training on one device that holds everything."""

    kind: Literal["precisions"]
    precisions: list[Precision]
    activations: Activations
    optimizer_bytes: int
    inference: list[Served]
    devices: list[Device]


class Phase(TypedDict):
    """One part of a step at its worst moment."""

    phase: str
    weights_bytes: int
    gradients_bytes: int
    optimizer_bytes: int
    activations_bytes: int
    other_bytes: int
    total_bytes: int


class Stage(TypedDict):
    """The peak of one pipeline stage."""

    stage: str
    peak_bytes: int
    peak_phase: str


class StageParts(TypedDict):
    """What the bytes of the fullest stage are made of."""

    n_layers: int
    n_params: int
    n_trainable_params: int
    n_expert_params: int
    optimizer_state_bytes: int
    expert_optimizer_state_bytes: int
    micro_batch_bytes: int
    micro_batches_in_flight: int
    loss_bytes: int
    loss_gradient_bytes: int
    recomputed_bytes: int
    gathered_bytes: int
    unreduced_gradients_bytes: int
    tp_buffers_bytes: int
    context_bytes: int
    communicators_bytes: int
    buckets_bytes: int


class MemorySaving(TypedDict):
    """One change that lowers the peak."""

    change: str
    peak_bytes: int
    saved_bytes: int
    cost: str
    more_flops_fraction: float | None


class Inverse(TypedDict):
    """The value that was looked for; null where nothing fits."""

    quantity: str
    value: int | None
    peak_bytes: int | None


class Tried(TypedDict):
    """A simpler layout that does not fit, and by how much."""

    layout: str
    peak_bytes: int
    lacks_bytes: int


class LayoutMemory(TypedDict):
    """Training under a layout; capacities and verdicts are null where no device is known."""

    kind: Literal["layout"]
    layout: str
    simpler: list[Tried]
    n_devices: int
    global_batch_size_seqs: int
    micro_batch_size_seqs: int
    n_accumulation_steps: int
    peak_bytes: int
    peak_stage: str
    peak_phase: str
    capacity_bytes: int | None
    fits: bool | None
    verdict: Verdict | None
    left_bytes: int | None
    intervals: dict[str, Percentiles]
    phases: list[Phase]
    stages: list[Stage]
    stage: StageParts
    optimizer_bytes: int
    host_bytes: int
    activations: Activations
    levers: list[MemorySaving]
    inverse: NotRequired[Inverse]


class Attention(TypedDict):
    """The attention of all layers, where it is the same."""

    n_layers: int
    n_kv_heads: int
    d_head: int


class CachePool(TypedDict):
    """The KV cache that an engine reserves when it starts: what its share of the device leaves, in blocks."""

    block_tokens: int
    pool_bytes: int
    block_bytes: int
    n_blocks: int
    n_tokens: int


class ServedSparsity(TypedDict):
    """Zeros of the layers' matrices that are not stored; index bits are 0 where one bit a weight says which are kept."""

    share: float
    pattern: str | None
    index_bits_per_kept_weight: int


class ServingMemory(TypedDict):
    """One device while it serves; `attention` is null where layers differ, or where several devices share them."""

    kind: Literal["serving"]
    layout: str
    n_devices: int
    weights_bytes: int
    kv_cache_bytes_per_token: int
    kv_cache_bytes: int
    workspace_bytes: int
    context_bytes: int
    total_bytes: int
    pass_width: int
    bits_per_weight: float
    sparsity: ServedSparsity | None
    cache_precision: str
    attention: Attention | None
    capacity_bytes: NotRequired[int]
    max_batch_size_seqs: NotRequired[int | None]
    max_seq_len: NotRequired[int | None]
    usable_share: NotRequired[float]
    fits: NotRequired[bool]
    pool: NotRequired[CachePool | None]
    inverse: NotRequired[Inverse]
