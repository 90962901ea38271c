"""The layout of a plan that leaves it open: the fastest that fits, at the median; where the devices are open too, on the fewest in time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from scaleplan.chain.layout_search import Asked, best_on, fewest_devices, whole_nodes
from scaleplan.chain.memory import USUAL_OPTIMIZER, USUAL_PRECISION, USUAL_STACK
from scaleplan.errors import NotSupported, UsageError
from scaleplan.machine.candidates import LEAST_FIRST
from scaleplan.machine.layout import Layout
from scaleplan.machine.training_run import Row
from scaleplan.model.items import Bill
from scaleplan.wording import field, fields

Given = Mapping[str, Any]
MOST_DEVICES = 4096  # that are searched where a plan leaves their number open


class Chosen(NamedTuple):
    """A layout and how its step is run."""

    layout: Layout
    micro_batch_size_seqs: int
    recompute: str

    def put_into(self, given: Given) -> dict[str, Any]:
        """The fields of a plan with this choice in their place."""
        return {**given, "n_devices": self.layout.n_devices, **self._asdict()}


def asked_of(given: Given, bill: Bill, seq_len: int, batch_tokens: int | None) -> Asked:
    """The search of a plan's fields; a micro-batch that is given is a condition."""
    micro = given.get("micro_batch_size_seqs")
    recompute = given.get("recompute")
    return Asked(
        bill=bill,
        hardware=given["hardware"],
        n_devices=given.get("n_devices") or 1,
        seq_len=seq_len,
        global_batch_size_seqs=None if batch_tokens is None else max(1, -(-int(batch_tokens) // seq_len)),
        stack=given.get("stack") or USUAL_STACK,
        precision=given.get("precision") or USUAL_PRECISION,
        optimizer=given.get("optimizer") or USUAL_OPTIMIZER,
        attention=given.get("attention"),
        recompute=LEAST_FIRST if recompute is None else (recompute,),
        expert_imbalance=given.get("expert_imbalance") or 1.0,
        where=() if micro is None else (f"micro_batch_size_seqs={micro}",),
    )


def chosen_layout(given: Given, bill: Bill, seq_len: int, batch_tokens: int | None, n_tokens: float | None) -> Chosen:
    """The fastest layout on the plan's devices; without a number of devices, on the fewest that pass the tokens in time.

    Raises NotSupported where none fits or none is in time, UsageError where neither devices nor a deadline are given.
    """
    asked = asked_of(given, bill, seq_len, batch_tokens)
    row = on_given_devices(asked) if given.get("n_devices") is not None else on_fewest(asked, given.get("deadline"), n_tokens)
    return Chosen(row.layout, row.micro_batch_size_seqs, row.recompute)


def on_given_devices(asked: Asked) -> Row:
    """The fastest that fits."""
    row = best_on(asked, asked.n_devices)
    if row is None:
        raise NotSupported(f"{field('layout')} auto: no layout of this model fits on {asked.n_devices:,} devices", hint="more devices")
    return row


def on_fewest(asked: Asked, deadline_s: float | None, n_tokens: float | None) -> Row:
    """The fastest on the fewest devices, whole nodes, that finish in time."""
    if deadline_s is None or n_tokens is None:
        ways = fields("n_devices", "deadline", joined=" or ")
        raise UsageError(f"{field('layout')} auto needs a number of devices or a time", hint=f"give {ways}")
    found = fewest_devices(asked, whole_nodes(asked.hardware, 1, MOST_DEVICES), n_tokens, deadline_s)
    if found is None:
        raise NotSupported(
            f"{field('layout')} auto: no count up to {MOST_DEVICES:,} devices finishes within {field('deadline')}",
            hint=f"give {field('n_devices')}, a longer {field('deadline')}, or a larger batch",
        )
    return found.row
