"""Weights of feed-forward layers: plain, gated, experts, and RWKV's channel mixing."""

from __future__ import annotations

from scaleplan.model.arch import Experts, FeedForward, Group, Size
from scaleplan.model.items import Weight, linear, vector


def feed_forward_weights(spec: FeedForward | None, d_model: Size, stream: str) -> list[Weight]:
    """All weights of one layer's feed-forward.

    d_model d_ff (2 plain, 3 gated)             dense
    n_experts times that of an expert           routed, of which a token passes n_used
    d_model n_experts                           router
    """
    if spec is None:
        return []
    weights: list[Weight] = []
    if spec.receptance:
        weights += channel_mixing(d_model, spec.d_ff, stream)
    elif spec.d_ff is not None:
        weights += dense("", "mlp_dense", d_model, spec.d_ff, spec.gated, spec.bias, spec.fused, stream)
    if spec.experts is not None:
        weights += expert_weights(spec.experts, d_model, spec.fused, stream)
    return weights


def dense(
    name: str, group: Group, d_in: Size, d_ff: Size, gated: bool, bias: bool, fused: bool, stream: str, stored: Size = 1, used: Size = 1
) -> list[Weight]:
    """Up (and gate), then down."""
    many = {"bias": bias, "stored": stored, "used": used, "stream": stream}
    inner = [("gate and up", 2 * d_ff)] if gated and fused else [("gate", d_ff), ("up", d_ff)] if gated else [("up", d_ff)]
    weights: list[Weight] = []
    for part, width in inner:
        weights += linear(f"{name}{part}", group, d_in, width, column=d_ff, **many)
    return weights + linear(f"{name}down", group, d_ff, d_in, row=d_ff, **many)


def expert_weights(experts: Experts, d_model: Size, fused: bool, stream: str) -> list[Weight]:
    """Router, routed experts, shared experts and their gate."""
    width = d_model if experts.d_in is None else experts.d_in
    weights = linear("router", "router", d_model, experts.n_experts, bias=experts.router_bias, stream=stream)
    weights += dense(
        "expert ", "experts_routed", width, experts.d_ff, experts.gated, experts.bias, fused, stream, experts.n_experts, experts.n_used
    )
    if experts.d_shared is not None:
        weights += dense("shared expert ", "experts_shared", d_model, experts.d_shared, experts.gated, experts.bias, False, stream)
        if experts.shared_gate:
            weights += linear("shared expert gate", "router", d_model, 1, stream=stream)
    return weights


def channel_mixing(d_model: Size, d_ff: Size, stream: str) -> list[Weight]:
    """RWKV-4: key and value like a plain feed-forward, a receptance beside them, two vectors that mix a token with the one before."""
    weights = linear("key", "mlp_dense", d_model, d_ff, column=d_ff, stream=stream)
    weights += linear("receptance", "mlp_dense", d_model, d_model, stream=stream)
    weights += linear("value", "mlp_dense", d_ff, d_model, row=d_ff, stream=stream)
    return weights + [vector(f"mix {part}", "mlp_dense", d_model, stream) for part in ("key", "receptance")]
