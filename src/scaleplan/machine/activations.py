"""Bytes that are kept for the backward pass: of one layer and one micro-batch, and outside the layers.

The tensors come from `model/blocks.py`; here they become bytes of one device, divided by tensor, sequence and context parallelism.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from scaleplan.machine.recipe import Precision
from scaleplan.model.arch import DECODER, ENCODER, SEQUENCE, Size
from scaleplan.model.blocks import copies_under_autocast, layer_kept
from scaleplan.model.flops import span_pairs
from scaleplan.model.items import Bill, Kept, Layer
from scaleplan.model.outside import outside_kept
from scaleplan.model.passes import Pass
from scaleplan.numeric import ceil_div, floor_div, minimum, where

KERNELS_WITHOUT_SCORES = ("sdpa", "flash", "fa1", "fa2", "fa3")
ATTENTION_KERNELS = ("eager", *KERNELS_WITHOUT_SCORES)


class Batch(NamedTuple):
    """Sequences of one micro-batch and the tokens of each; context parallelism divides the tokens.

    encoder_seq_len  tokens in the encoder, where there is one
    """

    n_seqs: Size
    seq_len: Size
    encoder_seq_len: Size | None = None

    def tokens(self, stream: str) -> Size:
        """Tokens of one sequence in a stream."""
        encoder = self.seq_len if self.encoder_seq_len is None else self.encoder_seq_len
        return {DECODER: self.seq_len, ENCODER: encoder, SEQUENCE: 1}[stream]


class Split(NamedTuple):
    """How many devices share the activations of one micro-batch, and whether norms and dropout are divided by tokens."""

    tp: Size = 1
    cp: Size = 1
    sequence_parallel: Any = False

    def ways(self, kept: Kept) -> Size:
        """Devices among which one tensor is divided."""
        if kept.sequence_parallel:
            return where(self.sequence_parallel, self.tp, 1)
        return minimum(self.tp, kept.tp_ways)


WHOLE = Split()


def dtype_bytes(dtype: str, precision: Precision) -> int:
    """Bytes of one element; `input` is what products keep as their input where the recipe has no narrower format for it."""
    compute = precision.compute_bytes
    return {"compute": compute, "input": compute, "residual": precision.residual_bytes, "fp32": 4, "int64": 8, "mask": 1, "byte": 1}[dtype]


def kept_bytes(kept: Iterable[Kept], batch: Batch, precision: Precision, split: Split = WHOLE) -> Size:
    """Bytes of tensors on one device.

        (per_token b s / cp + per_pair b pairs / cp + per_sequence b + per_position s / cp) bytes / ways

    b sequences of s tokens; pairs: s s_keys, or those that a pattern lets through. Tensors that are divided alike are added before they
    are divided, so that whole numbers stay whole.
    """
    result: Any = 0
    for alike in divided_alike(kept):
        number: Any = 0
        for k in alike:
            number = number + whole_bytes(k, batch, precision)
        result = result + divided(number, split.ways(alike[0]), split.cp)
    return result


def whole_bytes(k: Kept, batch: Batch, precision: Precision) -> Size:
    """Bytes of one tensor before it is divided."""
    tokens, keys = batch.tokens(k.stream), batch.tokens(k.keys)
    narrow = k.dtype == "input" and precision.input_bits is not None
    width = 1 if narrow else dtype_bytes(k.dtype, precision)
    counts: list[tuple[Size, Size]] = [(width * k.per_token, batch.n_seqs * tokens), (width * k.per_sequence, batch.n_seqs)]
    counts.append((width * k.per_position, tokens))
    if not is_plain_zero(k.per_pair):
        pairs = tokens * keys if k.span is None else span_pairs(k.span, tokens, keys, causal=False)
        counts.append((width * k.per_pair, batch.n_seqs * pairs))
    number = sum_of_products(counts)
    return ceil_div(number * precision.input_bits, 8 * 32) if narrow else number


def is_plain_zero(n: Size) -> bool:
    """A zero that stands for: there is none."""
    return isinstance(n, int) and n == 0


def divided(number: Size, ways: Size, cp: Size) -> Size:
    """Over the devices that share a tensor, as far as there are several."""
    both = cp if isinstance(ways, int) and ways == 1 else ways if isinstance(cp, int) and cp == 1 else ways * cp
    return number if isinstance(both, int) and both == 1 else floor_div(number, both)


def sum_of_products(pairs: Iterable[tuple[Size, Size]]) -> Size:
    """Sum of count times how often, without touching what is plainly zero."""
    result: Any = 0
    for count, times in pairs:
        if not is_plain_zero(count):
            result = result + count * times
    return result


def divided_alike(kept: Iterable[Kept]) -> list[list[Kept]]:
    """Tensors in groups that are divided by the same number of devices."""
    groups: dict[Any, list[Kept]] = {}
    for k in kept:
        key = "tokens" if k.sequence_parallel else k.tp_ways if isinstance(k.tp_ways, int) else id(k.tp_ways)
        groups.setdefault(key, []).append(k)
    return list(groups.values())


def layer_bytes(layer: Layer, how: Pass, batch: Batch, precision: Precision, split: Split = WHOLE) -> Size:
    """Bytes that one layer keeps for one micro-batch on one device, narrow copies of weights under autocast included.

    Where keeping the outputs of operations would take more than keeping what their gradients need (frozen matrices need no input),
    the latter is kept: recomputation never costs memory.
    """
    copies = copies_under_autocast(layer, how) * precision.compute_bytes
    kept = kept_bytes(layer_kept(layer, how), batch, precision, split)
    if how.recompute == "per-op":
        kept = minimum(kept, kept_bytes(layer_kept(layer, how._replace(recompute="none")), batch, precision, split))
    return kept + copies // split.tp


LOSS_WEIGHT_BYTES = 4  # the sum of the targets' weights that the loss keeps, one 32-bit number
PADDED_TARGET_BYTES = 8  # of a batch of one sequence, the shifted targets are a view of a tensor with one more of them


def outside_bytes(bill: Bill, how: Pass, batch: Batch, precision: Precision) -> Size:
    """Bytes that are kept outside the layers on one device that holds the whole model: ids, last norm, head and loss."""
    head = [layer for layer in bill.layers if layer.place == "head"]
    copies = sum(copies_under_autocast(layer, how) for layer in head) * precision.compute_bytes
    small = LOSS_WEIGHT_BYTES + (where(how.one_sequence, PADDED_TARGET_BYTES, 0))
    return kept_bytes(outside_kept(bill, how), batch, precision) + copies + small
