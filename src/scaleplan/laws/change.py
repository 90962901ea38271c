"""What it takes to change the loss of a run: more parameters alone, more tokens alone, or more of both."""

from __future__ import annotations

from math import nan
from typing import Any, NamedTuple

from scaleplan.laws.forms import Additive
from scaleplan.numeric import is_number, where


class Change(NamedTuple):
    """Factors from a run to a target loss; None where no amount reaches it.

    params_factor, tokens_factor   of N alone and of D alone, the other staying as it is
    compute_factor                 along the frontier, from the cheapest run of the present loss to that of the target
    params_limit_nats              the loss of endless parameters on the same tokens
    tokens_limit_nats              the loss of endless tokens through the same parameters
    """

    target_nats: Any
    params_factor: Any
    tokens_factor: Any
    compute_factor: Any
    params_limit_nats: Any
    tokens_limit_nats: Any


def change_of(law: Additive, n_params: Any, n_tokens: Any, relative: float) -> Change:
    """From L(N, D) to (1 + relative) L(N, D).

    (A N^-alpha / (A N^-alpha + dL))^(1 / alpha)     N alone; no N where the bracket is not positive
    (B D^-beta  / (B D^-beta  + dL))^(1 / beta)      D alone
    ((L - E) / (L - E + dL))^(1 / alpha + 1 / beta)  both, along the frontier, in compute
    """
    from_params, from_tokens = law.a / n_params**law.alpha, law.b / n_tokens**law.beta
    here = law.e_nats + from_params + from_tokens
    more = relative * here
    return Change(
        target_nats=here + more,
        params_factor=shrunk(from_params, more, 1 / law.alpha),
        tokens_factor=shrunk(from_tokens, more, 1 / law.beta),
        compute_factor=shrunk(here - law.e_nats, more, 1 / law.alpha + 1 / law.beta),
        params_limit_nats=law.e_nats + from_tokens,
        tokens_limit_nats=law.e_nats + from_params,
    )


def shrunk(term: Any, more: Any, power: Any) -> Any:
    """The factor on what a term falls with, for the term to change by `more`; None where it would have to vanish, NaN in arrays."""
    if is_number(term, more):
        return (term / (term + more)) ** power if term + more > 0 else None
    left = where(term + more > 0, term + more, nan)
    return (term / left) ** power
