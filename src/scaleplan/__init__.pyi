# Written by scripts/write_stub.py from the fields of the questions; edit those instead.
from collections.abc import Sequence
from os import PathLike
from typing import Literal

from scaleplan.api import Answer as Answer
from scaleplan.chain.catalogue import load_law as load_law
from scaleplan.errors import ScaleplanError as ScaleplanError
from scaleplan.laws.allocation import Question as Question
from scaleplan.laws.allocation import allocate as allocate
from scaleplan.laws.allocation import allocate_draws as allocate_draws
from scaleplan.model.bill import bill_of as bill_of
from scaleplan.model.flops import count_flops as count_flops
from scaleplan.model.params import count_params as count_params
from scaleplan.model.shape import arch_of_shape as arch_of_shape
from scaleplan.model_files import read_model as read_model

__version__: str
__all__: list[str]

def params(
    model: str | PathLike[str] | Answer | None = None,
    *,
    lora: str | PathLike[str] | None = None,
    sparsity: int | float | str | None = None,
    target: int | float | str | None = None,
    like: Literal["llama", "gpt", "moe"] | None = None,
    layout: str | PathLike[str] | None = None,
    n_layers: int | float | str | None = None,
    d_model: int | float | str | None = None,
    n_heads: int | float | str | None = None,
    n_kv_heads: int | float | str | None = None,
    d_head: int | float | str | None = None,
    d_ff: int | float | str | None = None,
    gated: bool | None = None,
    n_vocab: int | float | str | None = None,
    n_positions: int | float | str | None = None,
    tied: bool | None = None,
    attention_bias: Literal["none", "qkv", "out", "all"] | None = None,
    mlp_bias: bool | None = None,
    norm: Literal["rms", "layer", "layer-scale", "layer-fixed"] | None = None,
    qk_norm: Literal["none", "head", "heads", "width"] | None = None,
    n_experts: int | float | str | None = None,
    n_experts_per_token: int | float | str | None = None,
    d_ff_expert: int | float | str | None = None,
    n_shared_experts: int | float | str | None = None,
    n_dense_layers: int | float | str | None = None,
    n_encoder_layers: int | float | str | None = None,
    bidirectional: bool | None = None,
    d_embedding: int | float | str | None = None,
    n_shared_copies: int | float | str | None = None,
    mixer: Literal["attention", "sparse-attention", "latent", "compressed", "linear-attention", "hashed-attention", "mamba", "mamba2", "rwkv", "gated-delta", "short-conv", "rg-lru", "lstm", "none"] | None = None,
    feed_forward: Literal["dense", "experts", "both", "rwkv", "none"] | None = None,
    window: int | float | str | None = None,
    chunk: int | float | str | None = None,
    stride: int | float | str | None = None,
    n_global: int | float | str | None = None,
    n_random: int | float | str | None = None,
    n_hashes: int | float | str | None = None,
    n_buckets: int | float | str | None = None,
    n_extra_params: int | float | str | None = None,
) -> Answer:
    """How many parameters, of which kind, in which convention?"""

def flops(
    model: str | PathLike[str] | Answer | None = None,
    *,
    tokens: int | float | str | None = None,
    seq_len: int | float | str | None = None,
    n_steps: int | float | str | None = None,
    batch_size_seqs: int | float | str | None = None,
    batch_size_tokens: int | float | str | None = None,
    text: int | float | str | None = None,
    bytes_per_token: int | float | str | None = None,
    decoder_seq_len: int | float | str | None = None,
    flops_convention: str | PathLike[str] | None = None,
    causal: bool | None = None,
    windowed: bool | None = None,
    no_logits: bool | None = None,
    recompute: Literal["none", "selective", "per-op", "full"] | None = None,
    lora: str | PathLike[str] | None = None,
    n_layers: int | float | str | None = None,
    d_model: int | float | str | None = None,
    n_heads: int | float | str | None = None,
    n_kv_heads: int | float | str | None = None,
    d_head: int | float | str | None = None,
    d_ff: int | float | str | None = None,
    gated: bool | None = None,
    n_vocab: int | float | str | None = None,
    n_positions: int | float | str | None = None,
    tied: bool | None = None,
    attention_bias: Literal["none", "qkv", "out", "all"] | None = None,
    mlp_bias: bool | None = None,
    norm: Literal["rms", "layer", "layer-scale", "layer-fixed"] | None = None,
    qk_norm: Literal["none", "head", "heads", "width"] | None = None,
    n_experts: int | float | str | None = None,
    n_experts_per_token: int | float | str | None = None,
    d_ff_expert: int | float | str | None = None,
    n_shared_experts: int | float | str | None = None,
    n_dense_layers: int | float | str | None = None,
    n_encoder_layers: int | float | str | None = None,
    bidirectional: bool | None = None,
    d_embedding: int | float | str | None = None,
    n_shared_copies: int | float | str | None = None,
    mixer: Literal["attention", "sparse-attention", "latent", "compressed", "linear-attention", "hashed-attention", "mamba", "mamba2", "rwkv", "gated-delta", "short-conv", "rg-lru", "lstm", "none"] | None = None,
    feed_forward: Literal["dense", "experts", "both", "rwkv", "none"] | None = None,
    window: int | float | str | None = None,
    chunk: int | float | str | None = None,
    stride: int | float | str | None = None,
    n_global: int | float | str | None = None,
    n_random: int | float | str | None = None,
    n_hashes: int | float | str | None = None,
    n_buckets: int | float | str | None = None,
    n_extra_params: int | float | str | None = None,
) -> Answer:
    """How much compute to train and to serve, 6N and 2N beside the exact count?"""

def batch(
    *,
    loss: int | float | str | None = None,
    n_params: int | float | str | None = None,
    tokens: int | float | str | None = None,
    batch_size_tokens: int | float | str | None = None,
    law: str | PathLike[str] | Sequence[str | PathLike[str]] | None = None,
    schedule: bool | None = None,
    step_s: int | float | str | None = None,
    gradient_norm2: str | PathLike[str] | Sequence[str | PathLike[str]] | None = None,
) -> Answer:
    """How large may a batch be before it wastes tokens?"""

def cost(
    model: str | PathLike[str] | Answer | None = None,
    *,
    tokens: int | float | str | None = None,
    n_params: int | float | str | None = None,
    n_active_params: int | float | str | None = None,
    compute: int | float | str | None = None,
    seq_len: int | float | str | None = None,
    n_steps: int | float | str | None = None,
    batch_size_tokens: int | float | str | None = None,
    batch_size_seqs: int | float | str | None = None,
    text: int | float | str | None = None,
    bytes_per_token: int | float | str | None = None,
    decoder_seq_len: int | float | str | None = None,
    flops_convention: str | PathLike[str] | None = None,
    hardware: str | PathLike[str] | None = None,
    n_devices: int | float | str | None = None,
    mfu: int | float | str | None = None,
    flops_per_s_per_device: int | float | str | None = None,
    flops_kind: Literal["model", "hardware"] | None = None,
    recompute: Literal["none", "selective", "per-op", "full"] | None = None,
    goodput: int | float | str | None = None,
    device_hours: int | float | str | None = None,
    energy: int | float | str | None = None,
    usd_per_device_hour: int | float | str | None = None,
    device_power: int | float | str | None = None,
    pue: int | float | str | None = None,
    region: str | PathLike[str] | None = None,
    grid_intensity: int | float | str | None = None,
    published_kgco2e: int | float | str | None = None,
    n_layers: int | float | str | None = None,
    d_model: int | float | str | None = None,
    n_heads: int | float | str | None = None,
    n_kv_heads: int | float | str | None = None,
    d_head: int | float | str | None = None,
    d_ff: int | float | str | None = None,
    gated: bool | None = None,
    n_vocab: int | float | str | None = None,
    n_positions: int | float | str | None = None,
    tied: bool | None = None,
    attention_bias: Literal["none", "qkv", "out", "all"] | None = None,
    mlp_bias: bool | None = None,
    norm: Literal["rms", "layer", "layer-scale", "layer-fixed"] | None = None,
    qk_norm: Literal["none", "head", "heads", "width"] | None = None,
    n_experts: int | float | str | None = None,
    n_experts_per_token: int | float | str | None = None,
    d_ff_expert: int | float | str | None = None,
    n_shared_experts: int | float | str | None = None,
    n_dense_layers: int | float | str | None = None,
    n_encoder_layers: int | float | str | None = None,
    bidirectional: bool | None = None,
    d_embedding: int | float | str | None = None,
    n_shared_copies: int | float | str | None = None,
    mixer: Literal["attention", "sparse-attention", "latent", "compressed", "linear-attention", "hashed-attention", "mamba", "mamba2", "rwkv", "gated-delta", "short-conv", "rg-lru", "lstm", "none"] | None = None,
    feed_forward: Literal["dense", "experts", "both", "rwkv", "none"] | None = None,
    window: int | float | str | None = None,
    chunk: int | float | str | None = None,
    stride: int | float | str | None = None,
    n_global: int | float | str | None = None,
    n_random: int | float | str | None = None,
    n_hashes: int | float | str | None = None,
    n_buckets: int | float | str | None = None,
    n_extra_params: int | float | str | None = None,
) -> Answer:
    """How many device-days, days, dollars, kWh and kg of CO2e does training take?"""

def layout(
    *,
    table: str | PathLike[str] | None = None,
) -> Answer:
    """Does each given layout fit, and how much memory does it need?"""

def plan(
    plan_file: str | PathLike[str] | None = None,
    *,
    set: str | PathLike[str] | Sequence[str | PathLike[str]] | None = None,
    write_front: str | PathLike[str] | None = None,
    init: bool | None = None,
    schema: bool | None = None,
    usd: int | float | str | None = None,
    device_days: int | float | str | None = None,
    energy_budget: int | float | str | None = None,
    carbon_budget: int | float | str | None = None,
    compute: int | float | str | None = None,
    loss: int | float | str | None = None,
    deadline: int | float | str | None = None,
    model: str | PathLike[str] | Answer | None = None,
    target: int | float | str | None = None,
    like: Literal["llama", "gpt", "moe"] | None = None,
    n_params: int | float | str | None = None,
    n_active_params: int | float | str | None = None,
    tokens: int | float | str | None = None,
    n_steps: int | float | str | None = None,
    text: int | float | str | None = None,
    bytes_per_token: int | float | str | None = None,
    seq_len: int | float | str | None = None,
    batch_size_tokens: int | float | str | None = None,
    batch_size_seqs: int | float | str | None = None,
    precision: str | PathLike[str] | None = None,
    recompute: Literal["none", "selective", "per-op", "full"] | None = None,
    law: str | PathLike[str] | Sequence[str | PathLike[str]] | None = None,
    flops_convention: str | PathLike[str] | None = None,
    hardware: str | PathLike[str] | None = None,
    n_devices: int | float | str | None = None,
    layout: str | PathLike[str] | None = None,
    stack: str | PathLike[str] | None = None,
    mfu: int | float | str | None = None,
    mfu_of: Literal["run", "step"] | None = None,
    flops_per_s_per_device: int | float | str | None = None,
    goodput: int | float | str | None = None,
    usd_per_device_hour: int | float | str | None = None,
    provider: str | PathLike[str] | None = None,
    price_term: Literal["on_demand", "spot", "committed_1y", "committed_3y"] | None = None,
    device_power: int | float | str | None = None,
    system_power: int | float | str | None = None,
    pue: int | float | str | None = None,
    region: str | PathLike[str] | None = None,
    grid_intensity: int | float | str | None = None,
    carbon_scope: Literal["devices", "it", "facility"] | None = None,
    device_lifetime: int | float | str | None = None,
) -> Answer:
    """What does the whole run take: size, days, dollars, energy and carbon, from either end?"""

def check(
    answer: str | PathLike[str] | Answer | None = None,
    *,
    limit: str | PathLike[str] | Sequence[str | PathLike[str]] | None = None,
    at: Literal["p10", "p50", "p90"] | None = None,
    unsure: Literal["pass", "fail"] | None = None,
    base: str | PathLike[str] | None = None,
    set: str | PathLike[str] | Sequence[str | PathLike[str]] | None = None,
    summary: str | PathLike[str] | None = None,
) -> Answer:
    """Is it within the limits?"""

def diff(
    base_file: str | PathLike[str] | None = None,
    head_file: str | PathLike[str] | None = None,
) -> Answer:
    """What changed between two plans or answers, and why?"""

def presets(
    kind: str | PathLike[str] | None = None,
    name: str | PathLike[str] | Sequence[str | PathLike[str]] | None = None,
    *,
    schema: bool | None = None,
) -> Answer:
    """What is built in, each value with its source?"""
