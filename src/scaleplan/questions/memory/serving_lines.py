"""The lines of memory while serving: the parts, their sum, and the pool of the cache, each with its formula."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scaleplan.answer import Line, line
from scaleplan.machine.layout import Layout
from scaleplan.machine.serving_memory import pass_width
from scaleplan.model.items import Bill
from scaleplan.model.mixers.attention import Attention
from scaleplan.questions.memory.lines import group_lines, is_plain, served_line, sparse_lines

if TYPE_CHECKING:
    from scaleplan.questions.memory.serving import Solved

PARTS = ("weights", "kv_cache", "workspace", "context")


def lines_of(solved: Solved) -> list[Line]:
    """The parts and their sum."""
    memory = solved.memory
    parts = {f"{part}_bytes": getattr(memory, f"{part}_bytes") for part in PARTS}
    return [
        *weights_lines(solved),
        per_token_line(solved),
        cache_line(solved),
        workspace_line(solved),
        line("context_bytes", "CUDA context", memory.context_bytes, "bytes", standing="assumed"),
        line("total_bytes", "total", memory.total_bytes, "bytes", " + ".join(parts), standing="estimate", **parts),
        *pool_lines(solved),
    ]


def pool_lines(solved: Solved) -> list[Line]:
    """What is left of the engine's share for the cache, and the blocks in it."""
    memory, device, pool = solved.memory, solved.device, solved.pool
    if device is None or pool is None:
        return []
    taken = {f"{part}_bytes": getattr(memory, f"{part}_bytes") for part in ("weights", "workspace", "context")}
    formula = f"max(0, floor(usable_share * capacity_bytes) - {' - '.join(taken)})"
    inputs = {"usable_share": device.usable_share, "capacity_bytes": device.capacity_bytes, **taken}
    cited: dict[str, Any] = {"sources": ("kwon2023",), "standing": "estimate"}
    lines = [line("pool.pool_bytes", "pool of the KV cache", pool.pool_bytes, "bytes", formula, **cited, **inputs)]
    if memory.kv_cache_bytes_per_token:
        inputs = {"pool_bytes": pool.pool_bytes, "block_tokens": pool.block_tokens}
        inputs |= {"kv_cache_bytes_per_token": memory.kv_cache_bytes_per_token}
        formula = "floor(pool_bytes / (block_tokens * kv_cache_bytes_per_token))"
        label = f"blocks of {pool.block_tokens} tokens in it"
        lines.append(line("pool.n_blocks", label, pool.n_blocks, "", formula, **cited, **inputs))
    return lines


def is_whole(layout: Layout) -> bool:
    """Whether one device holds everything."""
    return bool(layout.tp == 1 and layout.pp == 1 and layout.ep == 1 and layout.cp == 1)


def weights_lines(solved: Solved) -> list[Line]:
    """Weights of one device, and the counts in their formula."""
    stored, value = solved.served.weights, int(solved.memory.weights_bytes)
    if not is_whole(solved.layout):  # each tensor is divided and rounded up by itself
        return [line("weights_bytes", "weights", value, "bytes", sources=("scaling-book",))]
    if stored.sparsity is not None:
        return sparse_lines(solved.bill, stored, value)
    counts = group_lines(solved.bill, stored, "weights.") if stored.group and is_plain(stored) else []
    return [*counts, served_line(solved.bill, stored, "weights_bytes", "weights", value)]


def plain_attention(solved: Solved) -> dict[str, int] | None:
    """Layers, KV heads and their width, where all layers keep the keys and values of the same attention on one device; else None."""
    blocks = [layer for layer in solved.bill.layers if layer.block is not None]
    if len(blocks) != 1 or not is_whole(solved.layout) or blocks[0].block is None or not caches_of(blocks[0]):
        return None
    mixer = blocks[0].block.mixer
    if not isinstance(mixer, Attention) or mixer.d_value != mixer.d_head or mixer.share_keys_values is not None or blocks[0].block.cross:
        return None
    return {"n_layers": int(blocks[0].runs), "n_kv_heads": int(mixer.n_kv_heads), "d_head": int(mixer.d_head)}


def per_token_line(solved: Solved) -> Line:
    """Keys and values of a token; a formula where all layers have the same attention."""
    key, label, value = "kv_cache_bytes_per_token", "KV cache of a token", int(solved.memory.kv_cache_bytes_per_token)
    attention = plain_attention(solved)
    if attention is None:
        return line(key, label, value, "bytes", sources=("ainslie2023",))
    inputs: dict[str, Any] = {**attention, "bytes_per_element": solved.served.cache.compute_bytes}
    formula = "2 * n_layers * n_kv_heads * d_head * bytes_per_element"
    return line(key, label, value, "bytes", formula, sources=("ainslie2023",), **inputs)


def cache_line(solved: Solved) -> Line:
    """The whole cache; a formula where every layer sees every token."""
    memory, batch, block = solved.memory, solved.served.batch, solved.served.block_tokens
    key, label, value = "kv_cache_bytes", "KV cache", int(memory.kv_cache_bytes)
    spans = [k.span for layer in solved.bill.layers for k in caches_of(layer)]
    if any(span is not None for span in spans) or not is_whole(solved.layout) or has_states(solved.bill):
        return line(key, label, value, "bytes", sources=("ainslie2023",))
    inputs = {"batch_size_seqs": batch.n_seqs, "seq_len": batch.seq_len, "kv_cache_bytes_per_token": memory.kv_cache_bytes_per_token}
    tokens = "seq_len"
    if block != 1:
        tokens, inputs = "ceil(seq_len / cache_block_tokens) * cache_block_tokens", inputs | {"cache_block_tokens": block}
    formula = f"batch_size_seqs * {tokens} * kv_cache_bytes_per_token"
    return line(key, label, value, "bytes", formula, sources=("ainslie2023",), **inputs)


def caches_of(layer: Any) -> list[Any]:
    """What a layer keeps for the next token."""
    from scaleplan.model.cache import layer_cache

    return layer_cache(layer)


def has_states(bill: Bill) -> bool:
    """Whether something is kept for a sequence, whatever its length."""
    return any(not (isinstance(k.per_sequence, int) and k.per_sequence == 0) for layer in bill.layers for k in caches_of(layer))


def workspace_line(solved: Solved) -> Line:
    """The workspace of one pass over prompts."""
    served, arch = solved.served, solved.bill.arch
    inputs: dict[str, Any] = {
        "batch_size_seqs": served.batch.n_seqs,
        "seq_len": served.batch.seq_len,
        "prefill_tokens": served.prefill_tokens,
    }
    inputs |= {"pass_width": pass_width(solved.bill, solved.layout), "bytes_per_element": served.compute_bytes}
    inputs |= {"n_vocab": arch.n_vocab, "tp": solved.layout.tp}
    tokens = "min(batch_size_seqs * seq_len, prefill_tokens)"
    formula = f"{tokens} * pass_width * bytes_per_element + 4 * batch_size_seqs * ceil(n_vocab / tp)"
    value = int(solved.memory.workspace_bytes)
    return line("workspace_bytes", "workspace of one pass", value, "bytes", formula, standing="estimate", **inputs)
