"""The tensors that each kind of block keeps for its backward pass, and those that it keeps for the next token.

Automatic differentiation keeps what the derivative of an operation needs: a product its input, a norm its input and statistics, a
softmax its output, an activation its input (a gated one both factors). Which operations there are depends on the software stack
(one fused kernel or several small ones), on the attention kernel and on the number formats: `Keeping` and `Pass` say so.

Sources: korthikanti2022 section 4; torch's saved tensors of the blocks of transformers, tensor by tensor.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from scaleplan.model.arch import Block, Experts, FeedForward, Norm, Size
from scaleplan.model.items import Bill, Kept, Layer, total
from scaleplan.model.mixers.attention import Attention
from scaleplan.model.mixers.latent import LatentAttention
from scaleplan.model.words import same


class Keeping(NamedTuple):
    """How a software stack computes a block, as far as that changes what is kept.

    in_steps          modules are written in single operations: an RMS norm keeps a 32-bit copy and the normalised values, attention
                      without a fused kernel repeats keys and values for every query head and upcasts its softmax
    gate_in_steps     a gated feed-forward keeps the activated gate as a tensor of its own
    norm_stats_bytes  bytes of one statistic of a layer norm; None: as wide as the residual stream; 0: not counted
    more_per_width    bytes for each token, layer and unit of width that kernels keep beyond the count
    """

    in_steps: bool = False
    gate_in_steps: bool = True
    norm_stats_bytes: int | None = 4
    more_per_width: Size = 0


class Pass(NamedTuple):
    """One way to run the forward pass.

    fused_attention  a kernel that never writes the scores (flash, memory-efficient)
    autocast         weights and residual stream are wider than the products: each product keeps a narrow copy of its input
    narrow           products work in fewer than 32 bits
    dropout          masks are kept, and what was masked
    recompute        none; selective (the attention core); per-op (cheap operations and every second product); full
    one_sequence     the batch is one sequence, so that folding sequences and heads into one axis copies nothing
    """

    keeping: Keeping
    fused_attention: bool = True
    autocast: bool = False
    narrow: bool = True
    dropout: bool = False
    recompute: str = "none"
    one_sequence: bool = False


def layer_kept(layer: Layer, how: Pass) -> list[Kept]:
    """Everything that one layer of a kind keeps in one forward pass."""
    block = layer.block
    if block is None:
        return []
    stream = layer.stream
    if how.recompute == "full":
        return [Kept("layer input", layer.d_model, dtype="residual", stream=stream, sequence_parallel=True)]
    if how.recompute == "per-op":
        return list(outputs_of_operations(layer))
    kept = [*norms(layer, block, how), *mixer(layer, block, how), *feed_forward(layer, block, how)]
    if how.keeping.more_per_width:
        more = how.keeping.more_per_width * layer.d_model
        kept.append(Kept("kept by kernels beyond the count", more, dtype="byte", stream=stream, tp_ways=most_ways(layer)))
    return kept if how.recompute == "none" else [k for k in kept if "selective" not in k.gone_with]


def most_ways(layer: Layer) -> Size:
    """The most ways in which any weight of a layer is split."""
    ways = [w.tp_ways for w in layer.weights if not (isinstance(w.tp_ways, int) and w.tp_ways == 1)]
    return ways[0] if ways else 1


def norms(layer: Layer, block: Block, how: Pass) -> Iterator[Kept]:
    """Inputs and statistics of the norms as wide as the model. A parallel block's norms share their input."""
    n_inputs = 1 if block.parallel else block.n_norms
    for number in range(block.n_norms):
        yield from norm(block.norm, block.d_model, layer.stream, how, shares_input=number >= n_inputs)


def norm(kind: Norm, width: Size, stream: str, how: Pass, *, shares_input: bool = False) -> Iterator[Kept]:
    """What one norm keeps: its input, its statistics, and what it made in between where it is not one kernel."""
    local: dict[str, Any] = {"stream": stream, "sequence_parallel": True}
    if kind.kind == "rms":
        in_steps = how.keeping.in_steps
        yield Kept("norm input", width, dtype="fp32" if in_steps else "residual", **local)
        yield Kept("norm statistics", 1, dtype="fp32", **local)
        if in_steps:
            yield Kept("normalised", width, dtype="residual", **local)
        return
    if not shares_input:
        yield Kept("norm input", width, dtype="residual", **local)
    stats = how.keeping.norm_stats_bytes
    if stats is None:
        yield Kept("norm statistics", 2, dtype="residual", **local)
    elif stats:
        yield Kept("norm statistics", 2 * stats, dtype="byte", **local)


def read_by(n_products: int, name: str, width: Size, stream: str, how: Pass) -> Kept:
    """The input that several products read: one tensor, or under autocast a narrow copy for each of them."""
    return Kept(name, width * (n_products if how.autocast else 1), stream=stream, sequence_parallel=True)


# ------------------------------------------------------------------------------------------------------------------ mixers


def mixer(layer: Layer, block: Block, how: Pass) -> Iterator[Kept]:
    """What the mixer keeps, and cross-attention where there is any."""
    if isinstance(block.mixer, Attention):
        yield from attention(block.mixer, block, layer.stream, how)
    elif isinstance(block.mixer, LatentAttention):
        yield from latent_attention(block.mixer, block, layer.stream, how)
    elif block.mixer is not None:
        yield from products_of(layer)
    if block.beside is not None:
        yield from products_of(layer, ("mixer",))
    if block.cross is not None:
        yield from attention(block.cross, block, layer.stream, how)


def attention(spec: Attention, block: Block, stream: str, how: Pass) -> Iterator[Kept]:
    """Projections' input, Q, K and V, the core, and the input of the output projection.

    h + (2 a + 2 k) d          elements a token: one shared input, Q, K, V, output; d: width of a head
    a                          32-bit log-sum-exp a token, of a fused kernel
    a s                        scores a token, without one
    """
    keys = spec.keys or stream
    heads, kv_heads = spec.n_heads, spec.n_kv_heads
    q, k, v = heads * spec.d_head, kv_heads * spec.d_head, kv_heads * spec.d_value
    yield read_by(1 if spec.fused else 3, "attention input", block.d_model, stream, how)
    if spec.qk_norm:
        yield from query_key_norms(spec, stream, how)
    if not how.fused_attention and how.keeping.in_steps:
        k, v, kv_heads = q, heads * spec.d_value, heads
    yield Kept("queries", q, stream=stream, tp_ways=heads)
    yield Kept("keys", k, stream=keys, tp_ways=kv_heads)
    yield Kept("values", v, stream=keys, tp_ways=kv_heads)
    yield Kept("attention output", heads * spec.d_value, stream=stream, tp_ways=heads)
    if how.fused_attention:
        yield Kept("log-sum-exp", heads, dtype="fp32", stream=stream, tp_ways=heads)
    else:
        yield from scores(spec, stream, keys, how)
    yield from views_of_fused(spec, stream, how)
    if how.dropout:
        yield Kept("dropout mask", block.d_model, dtype="mask", stream=stream, sequence_parallel=True)


def query_key_norms(spec: Attention, stream: str, how: Pass) -> Iterator[Kept]:
    """Norms of queries and keys: copies in 32 bits, normalised values, one statistic a head (or one in all)."""
    for name, heads in (("query", spec.n_heads), ("key", spec.n_kv_heads)):
        split: dict[str, Any] = {"stream": stream, "tp_ways": heads}
        in_steps = how.keeping.in_steps
        yield Kept(f"{name} norm input", heads * spec.d_head, dtype="fp32" if in_steps else "compute", **split)
        yield Kept(f"{name} norm statistics", 1 if spec.qk_norm == "width" else heads, dtype="fp32", stream=stream)
        if in_steps:
            yield Kept(f"{name} normalised", heads * spec.d_head, **split)


def views_of_fused(spec: Attention, stream: str, how: Pass) -> Iterator[Kept]:
    """Where Q, K and V are cut from one tensor and Q and K are rotated, V is a view that keeps the whole tensor alive.

    Without a fused kernel V is copied, unless there is but one sequence. Heads that are rotated in part are put together again,
    which gives the output of a fused kernel a layout that must be copied.
    """
    rotated = not (isinstance(spec.d_rotary, int) and spec.d_rotary == 0)
    if not (how.keeping.in_steps and spec.fused and rotated):
        return
    if how.fused_attention or how.one_sequence:
        yield Kept("queries and keys before rotation", (spec.n_heads + spec.n_kv_heads) * spec.d_head, stream=stream, tp_ways=spec.n_heads)
    if how.fused_attention and isinstance(spec.d_rotary, int) and spec.d_rotary < spec.d_head:
        yield Kept("copy of the attention output", spec.n_heads * spec.d_value, stream=stream, tp_ways=spec.n_heads)


def scores(spec: Attention, stream: str, keys: str, how: Pass) -> Iterator[Kept]:
    """The softmax of all pairs, with dropout also its mask and the masked softmax."""
    pairs: dict[str, Any] = {
        "per_pair": spec.n_heads,
        "stream": stream,
        "keys": keys,
        "tp_ways": spec.n_heads,
        "gone_with": frozenset({"selective"}),
    }
    if how.keeping.in_steps and how.narrow and (how.autocast or not keeps_softmax_narrow(spec)):
        yield Kept("softmax in 32 bits", dtype="fp32", **pairs)
    elif how.dropout:
        yield Kept("softmax", **pairs)
    yield Kept("weights of the values", **pairs)
    if how.dropout:
        yield Kept("dropout mask of the scores", dtype="mask", **pairs)


def keeps_softmax_narrow(spec: Attention) -> bool:
    """GPT-2's attention, whose softmax has the type of the scores: fused projections and no rotation."""
    return spec.fused and isinstance(spec.d_rotary, int) and spec.d_rotary == 0


def latent_attention(spec: LatentAttention, block: Block, stream: str, how: Pass) -> Iterator[Kept]:
    """Latents and their norms, then full heads as in training (deepseek2024-v2)."""
    heads, d_qk = spec.n_heads, spec.d_nope + spec.d_rope
    yield read_by(2, "attention input", block.d_model, stream, how)
    for name, rank in (("query", spec.q_rank), ("key and value", spec.kv_rank)):
        if rank is not None:
            yield from norm(Norm("rms", 1), rank, stream, how)
            yield Kept(f"{name} latent", rank, stream=stream)
    split: dict[str, Any] = {"stream": stream, "tp_ways": heads}
    yield Kept("queries", heads * d_qk, **split)
    yield Kept("keys", heads * d_qk, **split)
    yield Kept("values", heads * spec.d_value, **split)
    yield Kept("attention output", heads * spec.d_value, **split)
    if how.fused_attention:
        yield Kept("log-sum-exp", heads, dtype="fp32", **split)
    else:
        yield Kept("weights of the values", per_pair=heads, gone_with=frozenset({"selective"}), **split)


def products_of(layer: Layer, groups: tuple[str, ...] = ("mixer", "attention")) -> Iterator[Kept]:
    """Any other mixer, by the rule of thumb that each product keeps its input and that its output is kept by what follows."""
    for w in layer.weights:
        if w.matmul and w.group in groups:
            yield Kept(f"{w.name} input and output", total(w.shape), stream=w.stream, tp_ways=w.tp_ways)


# ------------------------------------------------------------------------------------------------------------ feed-forward

PLAIN_TENSORS = {"relu": 1, "relu2": 2, "gelu": 2, "gelu-tanh": 2, "silu": 2, "gelu-new": 5, "other": 2}
"""Tensors as wide as the feed-forward that a plain one keeps, its second product's input included. ReLU's derivative needs only its
output, which that product keeps anyhow; GELU written out in single operations keeps five."""

GATED_TENSORS = {True: 4, False: 3}
"""Gate, up and their product; and the activated gate where it is a tensor of its own."""


def feed_forward(layer: Layer, block: Block, how: Pass) -> Iterator[Kept]:
    """The products' inputs and what the activation keeps; for experts, of the experts that a token passes."""
    spec = block.feed_forward
    if spec is None:
        return
    stream = layer.stream
    if spec.d_ff is not None:
        readers = 2 if spec.gated and not spec.fused else 1
        yield read_by(readers, "feed-forward input", block.d_model, stream, how)
        yield Kept("feed-forward", spec.d_ff * inner_tensors(spec, how), stream=stream, tp_ways=spec.d_ff)
    if spec.experts is not None:
        yield from experts(spec, spec.experts, block, stream, how)
    if how.dropout:
        yield Kept("dropout mask", block.d_model, dtype="mask", stream=stream, sequence_parallel=True)


def inner_tensors(spec: FeedForward, how: Pass) -> int:
    """Tensors of the inner width that are kept."""
    return GATED_TENSORS[how.keeping.gate_in_steps] if spec.gated else PLAIN_TENSORS[spec.activation]


def experts(spec: FeedForward, routed: Experts, block: Block, stream: str, how: Pass) -> Iterator[Kept]:
    """Router, the copies of a token that are sent to its experts, and the experts' inner tensors."""
    width = block.d_model if routed.d_in is None else routed.d_in
    yield read_by(1, "router input", block.d_model, stream, how)
    yield Kept("router", routed.n_experts, dtype="fp32", stream=stream)
    yield Kept("tokens sent to experts", routed.n_used * width, stream=stream)
    yield Kept("tokens returned by experts", routed.n_used * width, stream=stream)
    many = inner_tensors(spec._replace(gated=routed.gated), how)
    yield Kept("experts", routed.n_used * routed.d_ff * many, stream=stream, tp_ways=routed.d_ff)
    if routed.d_shared is not None:
        yield Kept("shared experts", routed.d_shared * many, stream=stream, tp_ways=routed.d_shared)


def outputs_of_operations(layer: Layer) -> Iterator[Kept]:
    """Per-operation recomputation: the layer's input, the attention output, and the output of every second product."""
    yield Kept("layer input", layer.d_model, dtype="residual", stream=layer.stream, sequence_parallel=True)
    products = [w for w in layer.weights if w.matmul and w.group != "router"]
    for weight in products[::2]:
        yield Kept(f"{weight.name} output", weight.used * weight.shape[1], stream=weight.stream, tp_ways=weight.tp_ways)
    block = layer.block
    if block is not None and isinstance(block.mixer, Attention):
        yield Kept("attention output", block.mixer.n_heads * block.mixer.d_value, stream=layer.stream, tp_ways=block.mixer.n_heads)


def copies_under_autocast(layer: Layer, how: Pass) -> Size:
    """Elements of the narrow copies of the weights that products make under autocast and keep for the backward pass.

    With full recomputation the copies of a block are dropped with its other tensors.
    """
    if not how.autocast or (layer.block is not None and how.recompute == "full"):
        return 0
    return total(weight.used * weight.elements for weight in layer.weights if weight.matmul)


# ----------------------------------------------------------------------------------------------------- outside the layers


def outside_kept(bill: Bill, how: Pass) -> list[Kept]:
    """What is kept before the first and after the last layer: ids, tables of positions, the last norm, the loss.

    The log-probabilities stay in 32 bits; ids and targets are 64-bit integers.
    """
    arch = bill.arch
    kept = []
    for stack in arch.stacks:
        kept.append(Kept("token ids", 1, dtype="int64", stream=stack.stream))
        kept += positions(bill, stack.stream, how)
        if stack.final_norm:
            kept += norm(arch.norm, arch.d_model, stack.stream, how)
    stream = arch.stacks[-1].stream
    kept.append(Kept("head input", arch.d_embedding, stream=stream))
    kept.append(Kept("log-probabilities", arch.n_vocab, dtype="fp32", stream=stream))
    kept.append(Kept("targets", 1, dtype="int64", stream=stream))
    if how.recompute == "full" and not how.fused_attention and hands_on_mask(bill):
        kept.append(Kept("attention mask", per_pair=1, dtype="residual", stream=stream))
    return kept


def hands_on_mask(bill: Bill) -> bool:
    """Whether a recomputed block is handed the mask as a tensor to keep, as GPT-2's is."""
    blocks = (layer.block for layer in bill.layers if layer.block is not None)
    return any(isinstance(b.mixer, Attention) and keeps_softmax_narrow(b.mixer) for b in blocks)


def positions(bill: Bill, stream: str, how: Pass) -> Iterator[Kept]:
    """Ids that look up a table of positions, or the cosines and sines of a rotation: the same for every sequence of a batch.

    A table with more rows than positions leaves rows to padding, as OPT's does; its ids then differ by sequence.
    """
    stack = next(s for s in bill.arch.stacks if s.stream == stream)
    if stack.n_positions is not None:
        padded = bill.arch.max_seq_len is not None and not same(stack.n_positions, bill.arch.max_seq_len)
        where: dict[str, Any] = {"per_token": 1} if padded else {"per_position": 1}
        yield Kept("position ids", dtype="int64", stream=stream, **where)
        return
    rotated = next((b.mixer.d_rotary for b in stack.blocks if isinstance(b.mixer, Attention)), 0)
    if how.recompute != "full":
        yield Kept("cosines and sines", per_position=2 * rotated, dtype="residual", stream=stream)
