"""The ways to say how many tokens a run has: tokens, steps with a batch, or bytes of text."""

from __future__ import annotations

from typing import Any

from scaleplan.errors import InputError, UsageError
from scaleplan.wording import field, fields

WAYS = ("tokens", "n_steps", "text")


def training_tokens(asked: Any, seq_len: int | None = None) -> Any:
    """Training tokens of a request that has the fields of `WAYS`; None when none of them was given.

    asked    has tokens, n_steps, batch_size_tokens, batch_size_seqs, text and bytes_per_token
    seq_len  tokens of a sequence, where the batch counts sequences
    """
    if asked.n_steps is not None:
        return asked.n_steps * batch_tokens(asked.batch_size_tokens, asked.batch_size_seqs, seq_len, needed_by="n_steps")
    if asked.text is not None and asked.bytes_per_token is not None:
        return asked.text / asked.bytes_per_token
    return asked.tokens


def batch_tokens(batch_size_tokens: Any, batch_size_seqs: Any, seq_len: Any, needed_by: str) -> Any:
    """Tokens in a batch, from either way of counting it."""
    if batch_size_tokens is not None:
        return batch_size_tokens if seq_len is None else whole_sequences(batch_size_tokens, seq_len) * seq_len
    if batch_size_seqs is not None and seq_len is not None:
        return batch_size_seqs * seq_len
    hint = f"add {field('batch_size_tokens')}, or {fields('batch_size_seqs', 'seq_len', joined=' with ')}"
    raise UsageError(f"{field(needed_by)} needs a batch size", hint=hint)


def whole_sequences(batch_size_tokens: int, seq_len: int) -> int:
    """Sequences in a batch of tokens; a batch that cuts a sequence is refused with its two neighbours."""
    seqs, rest = divmod(batch_size_tokens, seq_len)
    if rest:
        near = " or ".join(str(n * seq_len) for n in (seqs, seqs + 1) if n)
        raise InputError(
            f"a batch of `{batch_size_tokens}` tokens is not whole sequences of {seq_len}", hint=f"use {field('batch_size_tokens')} {near}"
        )
    return seqs
