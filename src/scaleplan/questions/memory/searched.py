"""Layouts that are looked for: the fastest that fits, the fewest devices, and the layout at the answer of an inverse question."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaleplan.chain.default_layout import fewest_for_training, training_layout
from scaleplan.chain.memory_inverse import Found, Question, find, find_over_layouts
from scaleplan.machine.layout import Layout
from scaleplan.questions.memory.by_layout import Placed, given_layout

if TYPE_CHECKING:
    from scaleplan.chain.memory import Wishes
    from scaleplan.model.items import Bill
    from scaleplan.questions.memory import ByLayout
    from scaleplan.questions.memory.setup import Device


def searched(asked: ByLayout, bill: Bill, options: Wishes, device: Device) -> Placed:
    """The layout of the answer, with the value that an inverse question found."""
    question = Question(bill, options, device.room, asked.lora)
    if asked.layout is not None or (asked.n_devices is None and asked.fewest is None):
        return on_given(asked, question)
    node = (device.n_per_node, device.name, device.data)
    if asked.fewest is not None:
        found = fewest_for_training(bill, options, device.room, *node)
        if found is None:
            return Placed(bill, options, Layout(), inverse=Found(asked.fewest, None, None))
        return Placed(bill, options, found[1].layout, found[1], Found(asked.fewest, found[0], found[1].peak_bytes))
    n = asked.n_devices or 1
    value = None if asked.largest is None else find_over_layouts(asked.largest, question, n)
    there = question if value is None or asked.largest is None else question.at(Found(asked.largest, value, None))
    choice = training_layout(there.bill, n, there.wishes, device.room, *node)
    inverse = None if asked.largest is None else Found(asked.largest, value, None if value is None else choice.peak_bytes)
    return Placed(there.bill, there.wishes, choice.layout, choice, inverse)


def on_given(asked: ByLayout, question: Question) -> Placed:
    """The layout that was given, or one device; with as many copies as the answer has, where the fewest devices are asked for."""
    layout = given_layout(asked)
    quantity = asked.largest or asked.fewest
    if quantity is None:
        return Placed(question.bill, question.wishes, layout)
    inverse = find(quantity, question, layout)
    if inverse.value is not None and quantity == "n-devices":
        layout = layout._replace(dp=inverse.value // int(layout.tp * layout.pp * layout.cp))
    there = question.at(inverse)
    return Placed(there.bill, there.wishes, layout, inverse=inverse)
