"""Bytes per device while serving: weights, the cache of keys and values, and the workspace of one pass."""

from __future__ import annotations

from typing import Any, NamedTuple

from scaleplan.machine.activations import Batch, Split, dtype_bytes, kept_bytes
from scaleplan.machine.layout import Layout
from scaleplan.machine.recipe import Precision
from scaleplan.machine.serving_formats import Format, weight_bits
from scaleplan.model.arch import Size
from scaleplan.model.cache import layer_cache
from scaleplan.model.items import Bill, Kept, Layer
from scaleplan.numeric import ceil_div, floor, floor_div, maximum, maximum_of, minimum, where

FLOAT32 = 4


class Serving(NamedTuple):
    """What is served at once, and in which formats.

    batch           sequences and the tokens that each has in the cache at most
    weights         format of the weights
    cache           number format of keys and values
    block_tokens    tokens of a block of a paged cache: a sequence's last block is paid whole
    prefill_tokens  tokens of prompts that engines read in one pass
    """

    batch: Batch
    weights: Format
    cache: Precision
    block_tokens: Size = 1
    prefill_tokens: Size = 8192

    @property
    def compute_bytes(self) -> int:
        """Bytes of an activation: 4 beside 32-bit weights, else 2, whatever weights and cache are kept in."""
        return FLOAT32 if self.weights.bits == 8 * FLOAT32 else 2


class ServingMemory(NamedTuple):
    """Bytes on one device."""

    weights_bytes: Size
    kv_cache_bytes_per_token: Size
    kv_cache_bytes: Size
    workspace_bytes: Size
    context_bytes: Size

    @property
    def total_bytes(self) -> Size:
        return self.weights_bytes + self.kv_cache_bytes + self.workspace_bytes + self.context_bytes


def serving_memory(bill: Bill, layout: Layout, served: Serving, context_bytes: int = 0) -> ServingMemory:
    """All parts; pipeline stages hold equal shares of the layers."""
    return ServingMemory(
        weights_bytes=device_weights(bill, layout, served.weights),
        kv_cache_bytes_per_token=cache_bytes(bill, layout, served, per_token=True),
        kv_cache_bytes=cache_bytes(bill, layout, served),
        workspace_bytes=workspace(bill, layout, served),
        context_bytes=context_bytes,
    )


def device_weights(bill: Bill, layout: Layout, stored: Format) -> Size:
    """Weights of one device: tensor parallel shares, experts over expert parallel ranks, layers over stages."""
    bits: Any = 0
    for layer, weight in bill.weights():
        routed = weight.group == "experts_routed"
        ways = minimum(layout.expert_tp if routed else layout.tp, weight.tp_ways) * (layout.ep if routed else 1)
        stages = layout.pp if layer.place == "block" else 1
        bits = bits + ceil_div(layer.copies * weight_bits(layer, weight, stored), ways * stages)
    return ceil_div(bits, 8)


def cache_bytes(bill: Bill, layout: Layout, served: Serving, *, per_token: bool = False) -> Size:
    """Keys, values and states of all layers of a device.

    per_token  what one more token adds while every layer still sees it, windows and states of fixed size left out
    """
    split = Split(layout.tp, layout.cp)
    result: Any = 0
    for layer in bill.layers:
        for kept in layer_cache(layer):
            if per_token:
                number = kept.per_token * dtype_bytes(kept.dtype, served.cache) // split.ways(kept)
            else:
                number = kept_bytes([kept], windowed(kept, served), served.cache, split)
            result = result + layer.runs * number
    return ceil_div(result, layout.pp)


def windowed(kept: Kept, served: Serving) -> Batch:
    """The batch as this layer's cache sees it: whole blocks, and no more tokens than its window shows."""
    batch = served.batch
    tokens = ceil_div(batch.tokens(kept.stream), served.block_tokens) * served.block_tokens
    if kept.span is not None and kept.span.local is not None and kept.span.stride is None:
        tokens = minimum(tokens, kept.span.local)
    return Batch(batch.n_seqs, tokens, tokens)


def workspace(bill: Bill, layout: Layout, served: Serving) -> Size:
    """The largest tensors of one pass over prompts, and logits in 32 bits.

    min(n_seqs seq_len, prefill_tokens) pass_width compute_bytes + 4 n_seqs ceil(n_vocab / tp)
    """
    tokens = minimum(served.batch.n_seqs * served.batch.seq_len, served.prefill_tokens)
    logits = FLOAT32 * served.batch.n_seqs * ceil_div(bill.arch.n_vocab, layout.tp)
    return tokens * pass_width(bill, layout) * served.compute_bytes + logits


def pass_width(bill: Bill, layout: Layout) -> Size:
    """Elements of a token at the widest moment of a pass: residual stream in and out, and the inside of a feed-forward."""
    return maximum_of(2 * layer.d_model + ceil_div(2 * widest(layer), layout.tp) for layer in bill.layers)


def widest(layer: Layer) -> Size:
    """Elements of a token that the widest product of a layer gives; 0 outside the blocks."""
    return maximum_of(w.used * w.shape[-1] for w in layer.weights if w.matmul and layer.place == "block")


# ------------------------------------------------------------------------------------------------- the pool of an engine

USUAL_POOL_SHARE = 0.9  # of device memory: gpu_memory_utilization of vLLM, as it comes (kwon2023)
USUAL_BLOCK_TOKENS = 16


class Pool(NamedTuple):
    """The cache that an engine reserves when it starts.

    pool_bytes  what is left of its share of the device after weights, workspace and context; 0 where they do not leave any
    n_blocks    blocks of the paged cache in it
    n_tokens    tokens in these blocks
    """

    block_tokens: Size
    pool_bytes: Size
    block_bytes: Size
    n_blocks: Size
    n_tokens: Size


def cache_pool(memory: ServingMemory, capacity_bytes: Size, share: Any = USUAL_POOL_SHARE, block_tokens: Size = USUAL_BLOCK_TOKENS) -> Pool:
    """Blocks of a paged cache on one device.

        floor((share capacity - weights - workspace - context) / (block_tokens bytes_per_token))

    Source: kwon2023.
    """
    pool = maximum(0, floor(share * capacity_bytes) - memory.weights_bytes - memory.workspace_bytes - memory.context_bytes)
    block = block_tokens * memory.kv_cache_bytes_per_token
    n_blocks = where(block > 0, floor_div(pool, maximum(block, 1)), 0)  # a model of states alone has no blocks
    return Pool(block_tokens, pool, block, n_blocks, n_blocks * block_tokens)
