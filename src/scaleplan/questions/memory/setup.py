"""What the shapes of `memory` share: how training is done, on which device, and what is said of a model and its length."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from scaleplan import library
from scaleplan.answer import Answer, Caution, Column, Table
from scaleplan.chain.lengths import chosen_length, length_cautions
from scaleplan.chain.memory import USUAL_OPTIMIZER, USUAL_PRECISION, USUAL_STACK, Wishes, capacity_of, format_missing
from scaleplan.machine.memory import USABLE_SHARE, Room
from scaleplan.machine.recipe import RECIPE_USERS, Precision, optimizer_named
from scaleplan.questions.asking import plain
from scaleplan.units import show_bytes
from scaleplan.wording import field

FORMULA_SOURCES = ("korthikanti2022", "rajbhandari2020")
PARTS = ("weights", "gradients", "optimizer", "activations")
NAMES = {"forward": "in the forward pass", "loss": "at the loss", "backward": "in the backward pass", "optimizer": "in the optimizer step"}
"""Where a peak is, in words."""


class Device(NamedTuple):
    """The device to fit on. `name` is None where only its memory was given."""

    name: str | None
    capacity_bytes: int
    data: Mapping[str, Any]
    usable_share: float = USABLE_SHARE

    @property
    def room(self) -> Room:
        """Its memory and the share of it that may be used."""
        return Room(self.capacity_bytes, self.usable_share)

    @property
    def usable(self) -> str:
        """What may be used, in words."""
        return f"{show_bytes(self.room.usable_bytes)} usable ({self.usable_share:.0%} of {show_bytes(self.capacity_bytes)})"

    @property
    def shown(self) -> str:
        """What an answer calls it."""
        return self.name or f"a device with {show_bytes(self.capacity_bytes)}"

    @property
    def n_per_node(self) -> int:
        """Devices of one node; 8 where the device's preset does not say."""
        from scaleplan.chain.default_layout import USUAL_NODE

        return int(self.data.get("intranode", {}).get("n_devices_per_node", USUAL_NODE))


def device_of(asked: Any) -> Device | None:
    """The device that was named, with the memory that was given or its own; None where neither was."""
    share = USABLE_SHARE if asked.usable_share is None else asked.usable_share
    if asked.hardware is None:
        return None if asked.capacity is None else Device(None, int(asked.capacity), {}, share)
    preset = library.load("hardware", asked.hardware)
    capacity = capacity_of(preset.data, preset.name) if asked.capacity is None else int(asked.capacity)
    return Device(preset.name, capacity, preset.data, share)


def options_of(asked: Any) -> Wishes:
    """How training is done: as given, else as usual. `asked` is a request of training."""
    length, _ = chosen_length(asked.model, asked.seq_len)
    micro = asked.batch_size_seqs if asked.batch_size_seqs is not None else asked.micro_batch_size_seqs
    under_layout = {"schedule": "pipeline_schedule", "offload": "offload", "global_batch_size_seqs": "global_batch_size_seqs"}
    more = {name: value for name, known in under_layout.items() if (value := getattr(asked, known, None)) is not None}
    return Wishes(
        stack=asked.stack or USUAL_STACK,
        precision=asked.precision or USUAL_PRECISION,
        optimizer=asked.optimizer or USUAL_OPTIMIZER,
        attention=asked.attention,
        recompute=asked.recompute or "none",
        dropout=asked.dropout,
        recompute_every=1 if asked.recompute_every is None else asked.recompute_every,
        frozen_format=asked.frozen_format or (None if asked.lora is None else asked.lora.base),
        seq_len=length,
        micro_batch_size_seqs=1 if micro is None else micro,
        **more,
    )


def inputs_of(asked: Any, **assumed: Any) -> dict[str, Any]:
    """What was asked, and what was assumed where it was left open, in base units."""
    given = {name: plain(value) for name, value in asked._asdict().items() if value is not None}
    return {**given, **{name: value for name, value in assumed.items() if value is not None}}


def recipe_note(options: Wishes, precision: Precision) -> list[str]:
    """The bytes of a parameter in words, and whose recipe that is; of the usual optimizer alone."""
    optimizer = optimizer_named(options.optimizer)
    if optimizer.factored or optimizer.block_states or optimizer.matrices:
        return []
    kept = optimizer.states * precision.moment_bytes + 4 * optimizer.wide_states + precision.master_bytes
    parts = (precision.weight_bytes, precision.gradient_bytes, kept)
    copies = f" + {precision.copy_bits / 256:g} narrow copies of matrices" if precision.copy_bits else ""
    each = f"{parts[0]} weights + {parts[1]} gradients + {parts[2]} optimizer{copies}"
    return [f"Recipe `{precision.name}`: {sum(parts)} bytes a parameter = {each} ({precision.meaning}){whose(precision, sum(parts))}."]


def whose(precision: Precision, n_bytes: int) -> str:
    """Which software keeps the recipe, and which keeps another."""
    if precision.counts_steps or n_bytes not in RECIPE_USERS or not precision.name.startswith(("bf16-mixed", "fp16-mixed")):
        return ""
    other = 18 if n_bytes == 16 else 16
    kind = precision.name[:4]
    return f", as {RECIPE_USERS[n_bytes]}; {RECIPE_USERS[other]} keep {other}: {field('precision')} {kind}-mixed-{other}"


def format_cautions(device: Device | None, *precisions: Precision | None) -> list[Caution]:
    """Number formats that were asked for and that the device has no arithmetic in."""
    if device is None:
        return []
    said = [format_missing(device.data, precision) for precision in precisions if precision is not None]
    return [Caution("number-format", one) for one in dict.fromkeys(said) if one is not None]


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
