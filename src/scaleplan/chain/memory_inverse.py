"""Questions asked the other way round: the most that fits, or the fewest devices on which it does."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from scaleplan.chain.every_layout import every_layout, most_over_layouts
from scaleplan.chain.memory import Setup, Wishes, stack_named, training_setup
from scaleplan.errors import NotSupported
from scaleplan.machine.inverse import best_of, divisors, largest, smallest
from scaleplan.machine.layout import Layout
from scaleplan.machine.memory import Room
from scaleplan.model.adapters import Lora, adapted_bill
from scaleplan.model.arch import Arch
from scaleplan.model.items import Bill
from scaleplan.wording import field

LARGEST = ("micro-batch-size-seqs", "seq-len", "n-layers")
MOST_LAYERS = 100_000
MOST_DEVICES = 2**20


class Found(NamedTuple):
    """The value that was looked for, None where nothing fits, and the peak with it."""

    quantity: str
    value: int | None
    peak_bytes: int | None


class Question(NamedTuple):
    """A model with its adapters, the step of training that is asked for, and the device that should hold it."""

    bill: Bill
    wishes: Wishes
    room: Room
    lora: Lora | None = None

    def deeper(self, n_layers: int) -> Bill:
        """The same model with so many layers."""
        return adapted_bill(with_layers(self.bill.arch, n_layers), self.lora)

    def at(self, found: Found) -> Question:
        """The question at the value that was found."""
        if found.value is None or found.quantity == "n-devices":
            return self
        if found.quantity == "n-layers":
            return self._replace(bill=self.deeper(found.value))
        if found.quantity == "seq-len":
            return self._replace(wishes=self.wishes._replace(seq_len=found.value))
        return self._replace(wishes=self.wishes._replace(micro_batch_size_seqs=found.value))


def find(quantity: str, asked: Question, layout: Layout) -> Found:
    """The largest (or for `n-devices` the smallest) value with which a device holds the run."""
    room, wishes = asked.room, asked.wishes
    make = makers(asked, layout)[quantity]

    def holds(value: int) -> bool:
        return bool(room.holds(make(value).peak_bytes()))

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


def find_over_layouts(quantity: str, asked: Question, n_devices: int) -> int | None:
    """The largest value with which some layout of so many devices fits."""
    stack = stack_named(asked.wishes.stack)
    if quantity != "n-layers":
        return most_over_layouts(quantity, asked.bill, n_devices, asked.wishes, asked.room, stack)

    def holds(n_layers: int, stages: int) -> bool:
        every = every_layout(asked.deeper(n_layers), n_devices, asked.wishes, stack)
        return bool((asked.room.holds(every.peak_bytes) & (every.some.pp == stages)).any())

    found = [largest(lambda n, pp=stages: holds(n, pp), step=stages, most=MOST_LAYERS) for stages in divisors(n_devices)]  # type: ignore[misc]  # bound
    return max((n for n in found if n is not None), default=None)


def makers(asked: Question, layout: Layout) -> dict[str, Callable[[int], Setup]]:
    """Quantity -> the setup with another value of it."""
    bill, wishes = asked.bill, asked.wishes
    return {
        "micro-batch-size-seqs": lambda n: training_setup(bill, layout, wishes._replace(micro_batch_size_seqs=n)),
        "seq-len": lambda n: training_setup(bill, layout, wishes._replace(seq_len=n)),
        "n-layers": lambda n: training_setup(asked.deeper(n), layout, wishes),
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
