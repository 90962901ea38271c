"""The tensors that each kind of block keeps for its backward pass, and those that it keeps for the next token.

Automatic differentiation keeps what the derivative of an operation needs: a product its input, a norm its input and statistics, a
softmax its output, an activation its input (a gated one both factors). Which operations there are depends on the software stack
(one fused kernel or several small ones), on the attention kernel and on the number formats: `Keeping` and `Pass` say so.

Sources: korthikanti2022 section 4; torch's saved tensors of the blocks of transformers, tensor by tensor.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from scaleplan.model.arch import Block, Norm, Size
from scaleplan.model.feed_forward_kept import feed_forward
from scaleplan.model.items import Kept, Layer, total
from scaleplan.model.mixers.attention import Attention
from scaleplan.model.mixers.latent import LatentAttention
from scaleplan.model.mixers.parts import RMS
from scaleplan.model.passes import Pass, input_kind, read, read_by, recomputed_modules
from scaleplan.numeric import where


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
    kept = [*norms(layer, block, how), *mixer(layer, block, how), *feed_forward(layer, block, how), *inside_adapters(layer)]
    if how.keeping.more_per_width:
        more = how.keeping.more_per_width * layer.d_model
        kept.append(Kept("kept by kernels beyond the count", more, dtype="byte", stream=stream, tp_ways=most_ways(layer)))
    again = recomputed_modules(how.recompute)
    return kept if again is None else [k for k in kept if not again & k.gone_with]


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


def inside_adapters(layer: Layer) -> Iterator[Kept]:
    """The narrow vector between the two halves of each adapter, which the second half keeps as its input."""
    for w in layer.weights:
        if w.group == "lora" and w.name.endswith(" adapter A"):
            yield Kept(f"{w.name} output", w.used * w.shape[-1], stream=w.stream)


# ------------------------------------------------------------------------------------------------------------------ mixers


def mixer(layer: Layer, block: Block, how: Pass) -> Iterator[Kept]:
    """What the mixer keeps, and cross-attention where there is any."""
    if isinstance(block.mixer, Attention):
        yield from attention(block.mixer, layer, block, how)
    elif isinstance(block.mixer, LatentAttention):
        yield from latent_attention(block.mixer, layer, block, how)
    elif block.mixer is not None:
        yield from products_of(layer)
    if block.beside is not None:
        yield from products_of(layer, ("mixer",))
    if block.cross is not None:
        yield from attention(block.cross, layer, block, how)


def attention(spec: Attention, layer: Layer, block: Block, how: Pass) -> Iterator[Kept]:
    """Projections' input, Q, K and V, the core, and the input of the output projection.

    h + (2 a + 2 k) d          elements a token: one shared input, Q, K, V, output; d: width of a head
    a                          32-bit log-sum-exp a token, of a fused kernel
    a s                        scores a token, without one
    """
    stream = layer.stream
    keys = spec.keys or stream
    heads, kv_heads = spec.n_heads, spec.n_kv_heads
    q, k, v = heads * spec.d_head, kv_heads * spec.d_head, kv_heads * spec.d_value
    yield from read_by(1 if spec.fused else 3, read(layer, ("attention",), but=("output",)), "attention input", block.d_model, stream, how)
    if spec.qk_norm:
        yield from query_key_norms(spec, stream, how)
    if not how.fused_attention and how.keeping.in_steps:
        k, v, kv_heads = q, heads * spec.d_value, heads
    yield Kept("queries", q, stream=stream, tp_ways=heads)
    yield Kept("keys", k, stream=keys, tp_ways=kv_heads)
    yield Kept("values", v, stream=keys, tp_ways=kv_heads)
    yield from core_output(heads * spec.d_value, heads, layer, how)
    if how.fused_attention:
        yield Kept("log-sum-exp", heads, dtype="fp32", stream=stream, tp_ways=heads)
    else:
        yield from scores(spec, stream, keys, how)
    yield from views_of_fused(spec, stream, how)
    if how.dropout:
        yield Kept("dropout mask", block.d_model, dtype="mask", stream=stream, sequence_parallel=True)


def core_output(width: Size, heads: Size, layer: Layer, how: Pass) -> Iterator[Kept]:
    """The output of the attention core: kept by a fused kernel for its own backward pass, and by the projection as its input.

    They are one tensor, unless the projection keeps its input in a narrow format of its own.
    """
    split: dict[str, Any] = {"stream": layer.stream, "tp_ways": heads}
    picked, keeping = read(layer, ("attention",), "output")
    projected = bool(keeping) or not picked
    if how.fused_attention:
        yield Kept("attention output", width, **split)
        if projected and how.narrow_inputs and not how.narrow_gate:
            yield Kept("input of the output projection", width, **input_kind(how), **split)
    elif projected:
        yield Kept("attention output", width, **input_kind(how), **split)


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
    kept = True if how.fused_attention else how.one_sequence
    if kept is not False:
        width = where(kept, (spec.n_heads + spec.n_kv_heads) * spec.d_head, 0)
        yield Kept("queries and keys before rotation", width, stream=stream, tp_ways=spec.n_heads)
    if how.fused_attention and isinstance(spec.d_rotary, int) and spec.d_rotary < spec.d_head:
        yield Kept("copy of the attention output", spec.n_heads * spec.d_value, stream=stream, tp_ways=spec.n_heads)


def scores(spec: Attention, stream: str, keys: str, how: Pass) -> Iterator[Kept]:
    """The softmax of all pairs, with dropout also its mask and the masked softmax."""
    seen = spec.span if spec.span is not None and not spec.span.masked else None  # kernels of sparse patterns never make the other pairs
    pairs: dict[str, Any] = {
        "per_pair": spec.n_heads,
        "stream": stream,
        "keys": keys,
        "span": seen,
        "tp_ways": spec.n_heads,
        "gone_with": frozenset({"core_attn"}),
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


def latent_attention(spec: LatentAttention, layer: Layer, block: Block, how: Pass) -> Iterator[Kept]:
    """Latents and their norms, then full heads as in training (deepseek2024-v2)."""
    stream, heads, d_qk = layer.stream, spec.n_heads, spec.d_nope + spec.d_rope
    first = read(layer, ("attention",), "Q", "Q down", "KV down", "indexer K", "indexer weights", but=("indexer Q",))
    yield from read_by(first[0], first, "attention input", block.d_model, stream, how)
    for name, rank, word in (("query", spec.q_rank, "Q up"), ("key and value", spec.kv_rank, "KV up")):
        if rank is not None:
            yield from norm(RMS, rank, stream, how)
            if read(layer, ("attention",), word)[1]:
                yield Kept(f"{name} latent", rank, **input_kind(how), stream=stream, gone_with=frozenset({"layernorm"}))
    split: dict[str, Any] = {"stream": stream, "tp_ways": heads}
    expanded = split | {"gone_with": frozenset({"mla_up_proj"})}
    yield Kept("queries", heads * d_qk, **(split if spec.q_rank is None else expanded))
    yield Kept("keys", heads * d_qk, **expanded)
    yield Kept("values", heads * spec.d_value, **expanded)
    yield from core_output(heads * spec.d_value, heads, layer, how)
    if how.fused_attention:
        yield Kept("log-sum-exp", heads, dtype="fp32", **split)
    else:
        yield Kept("weights of the values", per_pair=heads, gone_with=frozenset({"core_attn"}), **split)


def products_of(layer: Layer, groups: tuple[str, ...] = ("mixer", "attention")) -> Iterator[Kept]:
    """Any other mixer, by the rule of thumb that each product keeps its input and that its output is kept by what follows."""
    for w in layer.weights:
        if w.matmul and w.group in groups:
            width = total(w.shape) if read(layer, groups, w.name)[1] else w.shape[-1]
            yield Kept(f"{w.name} input and output", width, stream=w.stream, tp_ways=w.tp_ways)


def outputs_of_operations(layer: Layer) -> Iterator[Kept]:
    """Per-operation recomputation: the layer's input, the attention output, and the output of every second product, adapters' aside."""
    yield Kept("layer input", layer.d_model, dtype="residual", stream=layer.stream, sequence_parallel=True)
    products = [w for w in layer.weights if w.matmul and w.group not in ("router", "lora")]
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
