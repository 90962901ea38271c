"""One layer with a mixer and nothing else."""

from __future__ import annotations

from typing import Any

from scaleplan.model.bill import bill_of
from scaleplan.model.cache import layer_cache
from scaleplan.model.flops import Counting, count_flops
from scaleplan.model.items import Bill, Kept
from scaleplan.model.shape import arch_of_shape

BARE = {"n_layers": 1, "n_vocab": 1, "feed_forward": "none", "norms_per_layer": 0, "final_norm": False, "attention_bias": "none"}


def layer(**words: Any) -> Bill:
    """A layer and a tied vocabulary of one word."""
    return bill_of(arch_of_shape(BARE | words))


def n_params(bill: Bill) -> int:
    """Parameters of the layer alone."""
    return int(bill.n_params()) - int(bill.arch.d_model)


def cached(bill: Bill) -> list[Kept]:
    """What the layer keeps for the next token."""
    return [kept for each in bill.blocks() for kept in layer_cache(each)]


def pair_flops(bill: Bill, n_tokens: int) -> int:
    """Forward FLOP of scores and weighted sums."""
    return int(count_flops(bill, n_tokens, how=Counting(head=False)).attention_flops)


def scan_flops(bill: Bill) -> int:
    """Forward FLOP of a token without weights and pairs."""
    return int(count_flops(bill, 1, how=Counting(head=False)).scan_flops)
