"""What files that users write must hold, as pydantic models that also emit JSON Schema.

Imported only when such a file is read: the built-in presets are held to the same models by the tests.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from scaleplan.errors import InputError, raise_all

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Whole = Annotated[int, Field(gt=0)]
Text = str
Finite = Annotated[float, Field(allow_inf_nan=False)]


class Part(BaseModel):
    """A table of a file. `source` names an entry of sources.toml, `date` the day it was read."""

    model_config = ConfigDict(extra="forbid", strict=False, allow_inf_nan=False)

    source: Text | list[Text] | None = None
    date: Text | None = None
    note: Text | None = None


class Peak(Part):
    """Dense rates in FLOP/s (int8: operations a second)."""

    fp64: Positive | None = None
    fp32: Positive | None = None
    tf32: Positive | None = None
    bf16: Positive | None = None
    fp16: Positive | None = None
    fp8: Positive | None = None
    int8: Positive | None = None
    fp4: Positive | None = None


class Memory(Part):
    """The memory of one device."""

    capacity_bytes: Whole
    bandwidth_bytes_per_s: Positive
    kind: Text | None = None


class Intranode(Part):
    """Links inside a node, one direction, all links of a device together."""

    link: Text | None = None
    bytes_per_s_per_device: Positive | None = None
    n_devices_per_node: Whole | None = None
    n_devices_scaleup: Whole | None = None


class Internode(Part):
    """The share of the network that one device has, one direction."""

    bytes_per_s_per_device: Positive
    example: Text | None = None


class Fabric(Part):
    """All-reduce rates that were measured on a cluster, by number of nodes."""

    n_nodes: list[Whole]
    all_reduce_bytes_per_s: list[Positive]
    latency_s: Positive | None = None


class Sustained(Part):
    """Share of the peak rates that a power limit below the module's own lets it keep up."""

    peak_share: Positive


class Host(Part):
    """Host time of a kernel launch over that of the hosts of other devices."""

    launch_share: Positive


class Processors(Part):
    """Multiprocessors (SMs) of a device, to which tiles of a product are dealt in waves."""

    n_per_device: Whole


class Power(Part):
    """Rated power."""

    tdp_w: Positive | None = None
    term: Text | None = None
    node_w: Positive | None = None
    node_example: Text | None = None


class MeasuredPower(Part):
    """Average power while training."""

    device_w: Positive | None = None
    system_w: Positive | None = None


class Embodied(Part):
    """Emissions of making one device."""

    kgco2e: Positive


class Hardware(BaseModel):
    """A device: presets/hardware/*.toml."""

    model_config = ConfigDict(extra="forbid")

    name: Text
    title: Text | None = None
    vendor: Text | None = None
    arch: Text | None = None
    year: int | None = None
    aliases: list[Text] = []
    confidence: Text | None = None
    note: Text | None = None
    priced_as: Text | None = None
    peak_flops_per_s: Peak
    measured_flops_per_s: Peak | None = None
    processors: Processors | None = None
    sustained: Sustained | None = None
    host: Host | None = None
    memory: Memory
    intranode: Intranode | None = None
    internode: Internode | None = None
    fabric: Fabric | None = None
    power: Power | None = None
    measured_power: MeasuredPower | None = None
    embodied: Embodied | None = None


Block = dict[str, Text | bool | int | Finite | list[Text] | list[Finite]]


class Law(BaseModel):
    """A published or fitted law: presets/laws/*.toml. Its blocks of constants are checked by the form each of them names."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Block | Text]

    name: Text | None = None  # that of the file, unless it says otherwise
    title: Text | None = None
    standing: Text | None = None
    aliases: list[Text] = []
    remark: Text | None = None  # how it differs, said beside other laws
    role: dict[str, Positive] = {}  # topic -> rank: default, recommended, repetition, experts, precision, ...
    draws: Text | None = None
    convention: Block
    range: Block = {}


class Task(BaseModel):
    """A two-step law of the accuracy on a task: presets/tasks/*.toml."""

    model_config = ConfigDict(extra="forbid")

    name: Text | None = None
    title: Text | None = None
    task: Text
    aliases: list[Text] = []
    family: Text
    standing: Text | None = None
    loss_law: Text | None = None  # a law whose loss it takes; else [loss]
    convention: Block
    range: Block = {}
    checked: Block = {}
    loss: Block = {}
    score: Block
    spread: Block


class Model(BaseModel):
    """An architecture: presets/models/*.toml. The words of [architecture] are checked by the vocabulary they belong to."""

    model_config = ConfigDict(extra="allow")

    name: Text
    aliases: list[Text] = []
    architecture: dict[str, Any]
    training: Block = {}


class Stack(BaseModel):
    """Measured efficiencies of a software stack: presets/stacks/*.toml."""

    model_config = ConfigDict(extra="allow")

    name: Text


SCHEMAS: Mapping[str, type[BaseModel]] = {"hardware": Hardware, "laws": Law, "models": Model, "stacks": Stack, "tasks": Task}


def validate(kind: str, data: Mapping[str, Any], path: str) -> None:
    """Refuse a file that does not hold what its kind must; every fault is named with its dotted key."""
    try:
        SCHEMAS[kind].model_validate(dict(data))
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False)
        raise_all([InputError(f"`{dotted(fault['loc'])}`: {fault['msg'].lower()}", file=path) for fault in faults[:10]])


def dotted(place: tuple[int | str, ...]) -> str:
    """`power.tdp_w` for the parts of a place."""
    return ".".join(map(str, place)) or "the file"


def json_schema(kind: str) -> dict[str, Any]:
    """The JSON Schema of a kind of file, for editors that complete and check as one types."""
    return SCHEMAS[kind].model_json_schema()
