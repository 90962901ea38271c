"""The result of `flops`, as its JSON Schema is made from it."""

from __future__ import annotations

from typing_extensions import TypedDict  # pydantic reads this one on every Python


class Batch(TypedDict):
    """One batch by the exact count."""

    batch_size_seqs: int
    seq_len: int
    batch_tokens: int
    decoder_seq_len: int | None
    forward_flops: int
    backward_flops: int
    linear_flops: int
    attention_flops: int
    scan_flops: int
    frozen_flops: int
    recomputed_flops: int | None
    flops_per_pair: int | None
    groups: dict[str, int]


class Convention(TypedDict):
    """Training FLOP as one source counts them; a convention that does not describe the shape is not listed."""

    name: str
    training_flops_per_token: float
    training_flops: float | None
    relative_to_exact: float


class Term(TypedDict):
    """One step from 6 N to the exact count."""

    term: str
    training_flops_per_token: float


class Serving(TypedDict):
    """FLOP of a prompt and of a token after it."""

    prefill_flops: int
    decode_flops_per_token: int


class Sparse(TypedDict):
    """FLOP where a share of the weights is zero."""

    share: float
    pattern: str | None
    zero_flops: int
    forward_flops_per_token: float
    training_flops_per_token: float
    training_flops: float | None
    skipped_training_flops_per_token: float
    skipped_training_flops: float | None
    prefill_flops: int
    decode_flops_per_token: int


class InFormat(TypedDict):
    """Training FLOP of the products that work in one number format; of int8, operations."""

    number_format: str
    training_flops_per_token: float


class ModelFlops(TypedDict):
    """The FLOP of one model."""

    batch: Batch
    flops_convention: str
    forward_flops_per_token: float
    training_flops_per_token: float
    training_flops: float | None
    hardware_flops_per_token: float | None
    hardware_flops: float | None
    conventions: list[Convention]
    convention_inputs: dict[str, float]
    from_six_n: list[Term]
    attention_share_of_dense: float | None
    serving: Serving
    sparse: Sparse | None
    formats: list[InFormat] | None
