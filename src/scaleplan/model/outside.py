"""What training keeps outside the layers for its backward pass: ids, tables of positions, the last norm, the head's input and the loss."""

from __future__ import annotations

from collections.abc import Iterator

from scaleplan.model.blocks import keeps_softmax_narrow, norm
from scaleplan.model.items import Bill, Kept
from scaleplan.model.mixers.attention import Attention
from scaleplan.model.passes import Pass
from scaleplan.numeric import where


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
    if any(w.matmul and (w.trainable or w.group == "lora") for layer in bill.layers if layer.place == "head" for w in layer.weights):
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
        padded = bill.arch.max_seq_len is not None and stack.n_positions != bill.arch.max_seq_len
        yield Kept("position ids", where(padded, 1, 0), per_position=where(padded, 0, 1), dtype="int64", stream=stream)
        return
    rotated = next((b.mixer.d_rotary for b in stack.blocks if isinstance(b.mixer, Attention)), 0)
    if how.recompute != "full":
        yield Kept("cosines and sines", per_position=2 * rotated, dtype="residual", stream=stream)
