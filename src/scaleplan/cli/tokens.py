"""The ways to say how many tokens: --tokens, --n-steps with a batch, or --text with --bytes-per-token."""

from __future__ import annotations

from scaleplan.errors import InputError, UsageError


def training_tokens(
    tokens: float | None,
    n_steps: int | None = None,
    batch_size_tokens: int | None = None,
    batch_size_seqs: int | None = None,
    seq_len: int | None = None,
    text_bytes: float | None = None,
    bytes_per_token: float | None = None,
) -> float | None:
    """Training tokens from whichever flags were given; None when none was.

    Raises UsageError when the flags contradict each other or one of a pair is missing.
    """
    if (text_bytes is None) != (bytes_per_token is None):
        raise UsageError("--text and --bytes-per-token go together", hint="for example --text 96GB --bytes-per-token 4.2")
    given = [flag for flag, value in (("--tokens", tokens), ("--n-steps", n_steps), ("--text", text_bytes)) if value is not None]
    if len(given) > 1:
        raise UsageError(f"{' and '.join(given)} both say how many tokens", hint="give one of them")
    if n_steps is not None:
        return n_steps * batch_tokens(batch_size_tokens, batch_size_seqs, seq_len, needed_by="--n-steps")
    if text_bytes is not None and bytes_per_token is not None:
        return text_bytes / bytes_per_token
    return tokens


def batch_tokens(batch_size_tokens: int | None, batch_size_seqs: int | None, seq_len: int | None, needed_by: str) -> int:
    """Tokens in a batch, from either way of counting it."""
    if batch_size_tokens is not None and batch_size_seqs is not None:
        raise UsageError("--batch-size-tokens and --batch-size-seqs both give the batch", hint="give one of them")
    if batch_size_tokens is not None:
        return batch_size_tokens if seq_len is None else whole_sequences(batch_size_tokens, seq_len) * seq_len
    if batch_size_seqs is not None and seq_len is not None:
        return batch_size_seqs * seq_len
    raise UsageError(f"{needed_by} needs a batch size", hint="add --batch-size-tokens, or --batch-size-seqs with --seq-len")


def whole_sequences(batch_size_tokens: int, seq_len: int) -> int:
    """Sequences in a batch of tokens; a batch that cuts a sequence is refused with its two neighbours."""
    seqs, rest = divmod(batch_size_tokens, seq_len)
    if rest:
        near = " or ".join(str(n * seq_len) for n in (seqs, seqs + 1) if n)
        raise InputError(
            f"a batch of `{batch_size_tokens}` tokens is not whole sequences of {seq_len}", hint=f"use --batch-size-tokens {near}"
        )
    return seqs
