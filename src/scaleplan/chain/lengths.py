"""The length of a sequence where a question leaves it open, and what is to be said of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scaleplan.answer import Caution
from scaleplan.errors import NotSupported
from scaleplan.numeric import is_number
from scaleplan.wording import field

if TYPE_CHECKING:
    from scaleplan.model.items import Bill
    from scaleplan.model_files import Model

USUAL_SEQ_LEN = 2048


def chosen_length(model: Model, seq_len: int | None) -> tuple[int, str]:
    """The sequence length, and a sentence on where it is from when it was not given."""
    if seq_len is not None:
        return seq_len, ""
    if "seq_len" in model.training:
        length = int(model.training["seq_len"])
        return length, f"Sequence length {length:,}, from the model's training configuration; override with {field('seq_len')}."
    known = model.arch.max_seq_len
    length = min(USUAL_SEQ_LEN, known) if known else USUAL_SEQ_LEN
    return length, f"Sequence length {length:,} (assumed); override with {field('seq_len')}."


def decoder_length(bill: Bill, seq_len: int | None) -> int | None:
    """The decoder's length, which only a model with both streams has apart from the encoder's."""
    if seq_len is not None and len(bill.arch.stacks) == 1:
        raise NotSupported(
            f"{field('decoder_seq_len')}: this model has no encoder beside its decoder", hint=f"give its length as {field('seq_len')}"
        )
    return seq_len


def chosen_decoder_length(model: Model, bill: Bill, seq_len: Any, given: int | None) -> int | None:
    """The decoder's length: the one given, else that of the model's training where the encoder has its length of training."""
    trained = model.training
    if given is None and is_number(seq_len) and "decoder_seq_len" in trained and trained.get("seq_len") == seq_len:
        return int(trained["decoder_seq_len"])
    return decoder_length(bill, given)


def length_cautions(model: Model, seq_len: int) -> list[Caution]:
    """A warning for sequences longer than the model has positions for."""
    known = model.arch.max_seq_len
    if known is None or seq_len <= known:
        return []
    message = f"sequence length {seq_len:,} exceeds the model's limit of {known:,} tokens"
    return [Caution("extrapolation", message, {"factor": seq_len / known})]
