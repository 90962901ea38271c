"""Whether the devices of a run have room for its states at all, however they are sharded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scaleplan import library
from scaleplan.answer import Caution
from scaleplan.model.adapters import adapted_bill
from scaleplan.numeric import is_number
from scaleplan.units import show_bytes
from scaleplan.wording import question

if TYPE_CHECKING:
    from scaleplan.questions.cost import Run

TRAINED_BYTES = 16  # of a parameter that is trained in mixed precision with Adam: weight and gradient, master weight and two moments
FROZEN_BYTES = 2  # of one that is not


def too_little_memory(asked: Run, device: library.Preset, n_devices: Any) -> list[Caution]:
    """A warning where the states need more memory than the devices have together (rajbhandari2020: 16 bytes a parameter, ZeRO stage 3)."""
    capacity, held = device.data.get("memory", {}).get("capacity_bytes"), held_bytes(asked)
    if capacity is None or held is None or n_devices is None or not is_number(held, n_devices) or held <= n_devices * capacity:
        return []
    least = -(-held // capacity)
    states = f"weights, gradients and optimizer states take {show_bytes(held)} in mixed precision with Adam"
    room = f"even fully sharded more than the {show_bytes(n_devices * capacity)} of {n_devices:,} devices"
    hint = f"; {least:,} devices or more hold them" + ("" if asked.model is None else f": {question('memory', asked.model.label)}")
    return [Caution("memory", f"{states}, {room}{hint}", {"states_bytes": held, "capacity_bytes": n_devices * capacity})]


def held_bytes(asked: Run) -> Any:
    """Bytes of weights, gradients and optimizer states on all devices together; None where no size is known."""
    if asked.model is None:
        return None if asked.n_params is None else TRAINED_BYTES * asked.n_params
    weights = list(adapted_bill(asked.model.arch, asked.lora).weights())
    return sum(layer.copies * weight.n_params * (TRAINED_BYTES if weight.trainable else FROZEN_BYTES) for layer, weight in weights)
