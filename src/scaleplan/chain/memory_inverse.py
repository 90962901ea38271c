"""Questions asked the other way round: the most that fits, or the fewest devices on which it does."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from scaleplan.chain.memory import Setup, Wishes, training_setup
from scaleplan.errors import NotSupported
from scaleplan.machine.inverse import best_of, divisors, largest, smallest
from scaleplan.machine.layout import Layout
from scaleplan.machine.memory import fits
from scaleplan.model.arch import Arch
from scaleplan.model.bill import bill_of
from scaleplan.model.items import Bill
from scaleplan.wording import field

LARGEST = ("micro-batch-size-seqs", "seq-len", "n-layers")
FEWEST = ("n-devices",)
MOST_LAYERS = 100_000
MOST_DEVICES = 2**20


class Found(NamedTuple):
    """The value that was looked for, None where nothing fits, and the peak with it."""

    quantity: str
    value: int | None
    peak_bytes: int | None


def find(quantity: str, bill: Bill, layout: Layout, wishes: Wishes, capacity_bytes: int) -> Found:
    """The largest (or for `n-devices` the smallest) value with which a device holds the run."""
    make = makers(bill, layout, wishes)[quantity]

    def holds(value: int) -> bool:
        return bool(fits(make(value).peak_bytes(), capacity_bytes))

    value = search(quantity, layout, wishes, holds)
    peak = None if value is None else make(value).peak_bytes()
    if value is not None and quantity == "n-devices":
        value *= int(layout.tp * layout.pp * layout.cp)
    return Found(quantity, value, peak)


def search(quantity: str, layout: Layout, wishes: Wishes, holds: Callable[[int], bool]) -> int | None:
    """Where to look: only at values that are legal."""
    in_all = wishes.global_batch_size_seqs
    if quantity == "n-devices":
        if in_all is None:
            return smallest(holds, MOST_DEVICES)
        return best_of(divisors(max(1, in_all // wishes.micro_batch_size_seqs)), holds)
    if quantity == "micro-batch-size-seqs" and in_all is not None:
        return best_of(divisors(max(1, in_all // int(layout.dp)))[::-1], holds)
    if quantity == "n-layers":
        return largest(holds, step=int(layout.pp), most=MOST_LAYERS)
    return largest(holds, step=int(layout.cp) if quantity == "seq-len" else 1)


def makers(bill: Bill, layout: Layout, wishes: Wishes) -> dict[str, Callable[[int], Setup]]:
    """Quantity -> the setup with another value of it."""
    return {
        "micro-batch-size-seqs": lambda n: training_setup(bill, layout, wishes._replace(micro_batch_size_seqs=n)),
        "seq-len": lambda n: training_setup(bill, layout, wishes._replace(seq_len=n)),
        "n-layers": lambda n: training_setup(bill_of(with_layers(bill.arch, n)), layout, wishes),
        "n-devices": lambda n: training_setup(bill, layout._replace(dp=n), wishes),
    }


def with_layers(arch: Arch, n_layers: int) -> Arch:
    """The same model with another depth, where all its layers are alike."""
    if len(arch.stacks) != 1 or len(arch.stacks[0].order) != 1 or arch.stacks[0].shared is not None:
        raise NotSupported(
            f"{field('largest')} n-layers: the layers of this model are not all alike", hint="ask for seq-len or micro-batch-size-seqs"
        )
    (stack,) = arch.stacks
    return arch._replace(stacks=(stack._replace(order=((0, n_layers),)),))
