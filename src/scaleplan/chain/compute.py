"""Training compute of a run, in the convention that was asked for: the one number that `flops` prints and `cost` prices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from scaleplan.errors import NotSupported, UnknownName
from scaleplan.model.conventions import CONVENTIONS, training_flops
from scaleplan.model.flops import Counting, FlopCount, Lengths, count_flops
from scaleplan.model.params import ParamCount, count_params
from scaleplan.numeric import is_number
from scaleplan.wording import field

if TYPE_CHECKING:
    from scaleplan.model.items import Bill

EXACT = "exact"


class Compute(NamedTuple):
    """FLOP of training, by token of the (encoder's) sequence, in every convention.

    params       the parameters of the model
    batch        the exact count of one batch, as `how` counts
    conventions  FLOP of one sequence by every convention; None where a convention does not describe the shape
    convention   the one that was asked for
    """

    bill: Bill
    params: ParamCount
    batch: FlopCount
    conventions: dict[str, Any]
    convention: str

    @property
    def seq_len(self) -> Any:
        """Tokens of a sequence; with an encoder and a decoder, of the encoder's."""
        return self.batch.lengths.encoder

    @property
    def described(self) -> list[str]:
        """The conventions that describe the shape."""
        return [name for name, flops in self.conventions.items() if flops is not None]

    @property
    def batch_tokens(self) -> Any:
        """Tokens of the batch."""
        return self.batch.batch_size_seqs * self.seq_len

    @property
    def flops_per_token(self) -> Any:
        """Training FLOP by token in the convention asked for."""
        if self.convention in self.conventions:
            return per_token(self.conventions[self.convention], self.seq_len)
        return per_token(self.batch.training_flops, self.batch_tokens)


def compute_of(
    bill: Bill,
    seq_len: Any,
    *,
    convention: str | None = None,
    decoder_seq_len: Any = None,
    batch_size_seqs: Any = 1,
    how: Counting = Counting(),  # noqa: B008 - frozen
) -> Compute:
    """The compute of training a model on sequences of a length.

    Raises UnknownName for a convention that is not known, and InputError for one that does not describe the model.
    """
    batch = count_flops(bill, seq_len, decoder_seq_len=decoder_seq_len, batch_size_seqs=batch_size_seqs, how=how)
    params = count_params(bill)
    found = training_flops(bill, params, Lengths(seq_len if decoder_seq_len is None else decoder_seq_len, seq_len))
    if convention is not None and convention not in CONVENTIONS:
        raise UnknownName(f"choice of {field('flops_convention')}", convention, CONVENTIONS)
    if convention is not None and found[convention] is None:
        raise NotSupported(
            f"{field('flops_convention')}: `{convention}` does not describe this shape", hint="`exact` describes every shape"
        )
    counted = counted_as(how)
    if counted in found and found[counted] is None:  # a shape without windows is counted alike with and without them
        counted = counted_as(how._replace(window=False))
    return Compute(bill, params, batch, found, convention or counted)


def counted_as(how: Counting) -> str:
    """The name of an exact count: what it leaves out of the full square and the vocabulary."""
    parts = [EXACT, *(["causal"] if how.causal else []), *(["windowed"] if how.window else []), *([] if how.head else ["no_logits"])]
    return "_".join(parts)


def per_token(flops: Any, n_tokens: Any) -> Any:
    """A quotient that stays whole where it can."""
    if is_number(flops) and is_number(n_tokens):
        whole, rest = divmod(flops, n_tokens)
        return flops / n_tokens if rest else whole
    return flops / n_tokens
