"""The loss that a law expects along a run: of runs of the same model that end after a share of its tokens."""

from __future__ import annotations

from typing import Any, NamedTuple

from scaleplan.answer import Interval
from scaleplan.chain.along_run import SHARES
from scaleplan.chain.sizes import loss_of
from scaleplan.chain.walk import Walk


class LossPoint(NamedTuple):
    """A moment of a run.

    share      of the tokens, and of the wall time
    loss_nats  L(N, share D), with its interval where the law has draws
    """

    share: float
    n_tokens: Any
    loss_nats: float
    interval: Interval | None


def loss_curve(run: Walk) -> list[LossPoint]:
    """Some moments from a hundredth of the tokens to the end; none where the law tells no loss."""
    found = []
    for share in SHARES if run.loss_nats is not None else ():
        tokens = run.size.tokens if share == 1 else share * run.size.tokens
        loss, interval = loss_of(run.law, run.size._replace(tokens=tokens))
        if loss is not None:
            found.append(LossPoint(share, tokens, loss, interval))
    return found
