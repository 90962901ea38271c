"""What the shapes of `memory` share: how training is done, on which device, and what is said of a model and its length."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from scaleplan import library
from scaleplan.answer import Answer, Caution, Column, Table
from scaleplan.chain.default_layout import USUAL_NODE
from scaleplan.chain.lengths import chosen_length, length_cautions
from scaleplan.chain.memory import USUAL_OPTIMIZER, USUAL_PRECISION, USUAL_STACK, Wishes, capacity_of, format_missing
from scaleplan.machine.recipe import Precision
from scaleplan.units import show_bytes

FORMULA_SOURCES = ("korthikanti2022", "rajbhandari2020")
PARTS = ("weights", "gradients", "optimizer", "activations")
NAMES = {"forward": "in the forward pass", "loss": "at the loss", "backward": "in the backward pass", "optimizer": "in the optimizer step"}
"""Where a peak is, in words."""


class Device(NamedTuple):
    """The device to fit on. `name` is None where only its memory was given."""

    name: str | None
    capacity_bytes: int
    data: Mapping[str, Any]

    @property
    def shown(self) -> str:
        """What an answer calls it."""
        return self.name or f"a device with {show_bytes(self.capacity_bytes)}"

    @property
    def n_per_node(self) -> int:
        """Devices of one node; 8 where the device's preset does not say."""
        return int(self.data.get("intranode", {}).get("n_devices_per_node", USUAL_NODE))


def device_of(hardware: str | None, capacity: float | None) -> Device | None:
    """The device that was named, with the memory that was given or its own; None where neither was."""
    if hardware is None:
        return None if capacity is None else Device(None, int(capacity), {})
    preset = library.load("hardware", hardware)
    return Device(preset.name, capacity_of(preset.data, preset.name) if capacity is None else int(capacity), preset.data)


def options_of(asked: Any) -> Wishes:
    """How training is done: as given, else as usual. `asked` is a request of training."""
    length, _ = chosen_length(asked.model, asked.seq_len)
    micro = asked.batch_size_seqs if asked.batch_size_seqs is not None else asked.micro_batch_size_seqs
    under_layout = {"schedule": "pipeline_schedule", "offload": "offload", "global_batch_size_seqs": "global_batch_size_seqs"}
    more = {name: value for name, field in under_layout.items() if (value := getattr(asked, field, None)) is not None}
    return Wishes(
        stack=asked.stack or USUAL_STACK,
        precision=asked.precision or USUAL_PRECISION,
        optimizer=asked.optimizer or USUAL_OPTIMIZER,
        attention=asked.attention,
        recompute=asked.recompute or "none",
        dropout=asked.dropout,
        recompute_every=1 if asked.recompute_every is None else asked.recompute_every,
        frozen_format=asked.frozen_format,
        seq_len=length,
        micro_batch_size_seqs=1 if micro is None else micro,
        **more,
    )


def inputs_of(asked: Any, **assumed: Any) -> dict[str, Any]:
    """What was asked, and what was assumed where it was left open, in base units."""
    given = {name: spelled(value) for name, value in asked._asdict().items() if value is not None}
    return {**given, **{name: value for name, value in assumed.items() if value is not None}}


def spelled(value: Any) -> Any:
    """A model by its label, a layout as it is typed, an adapter by its parts."""
    if hasattr(value, "arch"):
        return value.label
    return value.spelled() if hasattr(value, "spelled") else value._asdict() if hasattr(value, "_asdict") else value


def format_cautions(device: Device | None, precision: Precision | None) -> list[Caution]:
    """A device that has no arithmetic in the format that was asked for."""
    said = None if device is None or precision is None or not device.data else format_missing(device.data, precision)
    return [] if said is None else [Caution("number-format", said)]


def completed(answer: Answer, asked: Any, cautions: list[Caution]) -> Answer:
    """The answer with what is to be said of the model, its sequence length and its number format."""
    model = asked.model
    length, why = chosen_length(model, asked.seq_len)
    return answer._replace(
        warnings=[*model.cautions, *length_cautions(model, length), *cautions, *answer.warnings],
        notes=[*([why] if why else []), *answer.notes],
        more_sources=[*answer.more_sources, *model.sources],
    )


def inverse_tables(inverse: Mapping[str, Any] | None) -> list[Table]:
    """The answer of an inverse question, before all other tables."""
    if inverse is None:
        return []
    word = "Fewest" if inverse["quantity"] == "n-devices" else "Largest"
    columns = [Column("quantity", f"{word} that fits"), Column("value", "value", "int"), Column("peak_bytes", "peak", "bytes")]
    return [Table("", columns, [inverse], [] if inverse["value"] is not None else [f"No {inverse['quantity']} fits."])]
