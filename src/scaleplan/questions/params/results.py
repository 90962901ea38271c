"""The result of `params`, as its JSON Schema is made from it."""

from __future__ import annotations

from typing import Literal, NotRequired

from typing_extensions import TypedDict  # pydantic reads this one on every Python


class Convention(TypedDict):
    """The same model as one source counts it."""

    name: str
    n_params: int


class Tensor(TypedDict):
    """One row of the bill."""

    name: str
    group: str
    count: int
    shape: list[int]
    n_params: int
    n_active_params: int


class ModelParams(TypedDict):
    """The parameters of one model."""

    kind: Literal["model"]
    n_params: int
    n_active_params: int
    n_embedding_params: int
    n_head_params: int
    n_non_embedding_params: int
    n_active_non_embedding_params: int
    n_trainable_params: int
    conventions: list[Convention]
    groups: dict[str, int]
    parts: list[Tensor]
    n_pruned_params: NotRequired[int]
    n_nonzero_params: NotRequired[int]


class NearShape(TypedDict):
    """One shape near a size; the words of its architecture stand beside the figures."""

    n_layers: int
    d_model: int
    n_heads: int
    n_vocab: int
    n_params: int
    n_active_params: int
    relative_error: float
    aspect: float
    n_kv_heads: NotRequired[int]
    d_ff: NotRequired[int]
    n_experts: NotRequired[int]
    n_experts_per_token: NotRequired[int]
    d_ff_expert: NotRequired[int]


class NearShapes(TypedDict):
    """Shapes near a size, the nearest first."""

    kind: Literal["target"]
    shapes: list[NearShape]
