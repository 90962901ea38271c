"""What files that users write must hold, as pydantic models that also emit JSON Schema.

Imported only when such a file is read: the built-in presets are held to the same models by the tests.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from scaleplan.errors import InputError, clipped, raise_all


def whole_of_float(value: Any) -> Any:
    """8e10 is a whole number, too."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def within_reach(value: float) -> float:
    """A number above zero of which products and quotients of some are numbers too."""
    if not 1e-30 <= value <= 1e40:
        raise PydanticCustomError("within_reach", "should be a number from 1e-30 to 1e40")
    return value


Positive = Annotated[float, Field(gt=0, allow_inf_nan=False), AfterValidator(within_reach)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Whole = Annotated[int, Field(gt=0), BeforeValidator(whole_of_float)]
Length = Annotated[int, Field(gt=0, le=10**12), BeforeValidator(whole_of_float)]
Bytes = Annotated[int, Field(ge=0), BeforeValidator(whole_of_float)]
Text = str
Finite = Annotated[float, Field(allow_inf_nan=False)]
SizePower = Annotated[float, Field(ge=0, le=10)]  # the exponent of N or D
Share = Annotated[float, Field(ge=0, le=1)]
Few = Annotated[float, Field(ge=0, le=1e6)]  # bytes of a value, launches of a layer: no more than a million
Seconds = Annotated[float, Field(ge=0, le=1e6)]
Pace = Annotated[float, Field(ge=1e-6, le=1e6)]
Exponent = Annotated[float, Field(ge=-300, le=300)]  # of which e to the power is a number

MOST_FAULTS = 10  # told at once


class Part(BaseModel):
    """A table of a file. `source` names an entry of sources.toml, `date` the day it was read."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

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
    torus_axes: Whole | None = None
    torus_ring: Annotated[int, Field(ge=2)] | None = None  # one device is no ring
    hop_s: Positive | None = None


class Internode(Part):
    """The share of the network that one device has, one direction."""

    bytes_per_s_per_device: Positive
    spine_share: Share | None = None
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


class HostLink(Part):
    """Link of a device to its host, one direction, and the device's share of the rate of the host's memory."""

    link: Text | None = None
    bytes_per_s_per_device: Positive
    memory_bytes_per_s_per_device: Positive | None = None
    example: Text | None = None


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


class Sparse(Part):
    """The pattern of zero weights whose products the device skips, and their peak over the dense one."""

    factor: Annotated[float, Field(gt=1)]
    pattern: Annotated[str, Field(pattern=r"^[0-9]{1,3}:[0-9]{1,3}$")]


class Hardware(BaseModel):
    """A device: presets/hardware/*.toml."""

    model_config = ConfigDict(extra="forbid", strict=True)

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
    sparse: Sparse | None = None
    measured_flops_per_s: Peak | None = None
    processors: Processors | None = None
    sustained: Sustained | None = None
    host: Host | None = None
    host_link: HostLink | None = None
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

    model_config = ConfigDict(extra="allow", strict=True)
    __pydantic_extra__: dict[str, Block]

    name: Text | None = None  # that of the file, unless it says otherwise
    title: Text | None = None
    standing: Text | None = None
    aliases: list[Text] = []
    remark: Text | None = None  # how it differs, said beside other laws
    caution: Text | None = None  # what to heed, said with its answers
    superseded_by: Text | None = None
    role: dict[str, Positive] = {}  # topic -> rank: default, recommended, repetition, experts, precision, ...
    draws: Text | None = None
    convention: Block
    range: Block = {}


class TaskConvention(Part):
    """What N, D and the loss of a task law mean."""

    source: Text | list[Text]
    n_params: Literal["total", "without_input_embedding"]
    n_tokens: Text | None = None
    loss: Text
    tokenizer: Text | None = None
    data: Text | None = None
    format: Text | None = None
    score: Text | None = None
    chance: Share | None = None


class TaskRange(Part):
    """The runs that a task law was fitted to."""

    n_params_min: Positive | None = None
    n_params_max: Positive | None = None
    n_tokens_min: Positive | None = None
    n_tokens_max: Positive | None = None


class TaskChecked(Part):
    """Runs held out of the fit, an item a run."""

    n_params: list[Positive] = []
    n_tokens: list[Positive] = []
    forecast: list[Share] = []
    measured: list[Share] = []

    @model_validator(mode="after")
    def same_length(self) -> Self:
        """An accuracy that was forecast for each that was measured."""
        if len(self.forecast) != len(self.measured):
            raise ValueError(f"{len(self.forecast)} accuracies forecast and {len(self.measured)} measured")
        return self


class TaskLoss(Part):
    """Step 1, the loss of N and D: coefficients as logarithms."""

    form: Literal["additive"] = "additive"
    e: Finite
    log_a: Exponent
    log_b: Exponent
    alpha: SizePower
    beta: SizePower


class SigmoidScore(Part):
    """Step 2, from the loss to the accuracy."""

    form: Literal["sigmoid"]
    a: Finite
    l0: Finite
    k: Finite
    b: Finite


class ExponentialScore(Part):
    """Step 2, from the loss to the error."""

    form: Literal["exponential"]
    eps: Finite
    k: Finite
    gamma: Finite


class TaskSpread(Part):
    """Noise of checkpoints, and the least half-width of an 80 % interval."""

    noise_sd: NotNegative
    least_half_width: NotNegative


class Task(BaseModel):
    """A two-step law of the accuracy on a task: presets/tasks/*.toml."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: Text | None = None
    title: Text | None = None
    task: Text
    aliases: list[Text] = []
    family: Text
    standing: Text | None = None
    loss_law: Text | None = None  # a law whose loss it takes; else [loss]
    convention: TaskConvention
    range: TaskRange = TaskRange()
    checked: TaskChecked = TaskChecked()
    loss: TaskLoss | None = None
    score: Annotated[SigmoidScore | ExponentialScore, Field(discriminator="form")]
    spread: TaskSpread

    @model_validator(mode="after")
    def has_loss(self) -> Self:
        """A loss of its own, or that of a law."""
        if (self.loss is None) == (self.loss_law is None):
            raise ValueError("should have either `loss_law` or a table [loss]")
        return self


class Training(Part):
    """How the model was trained, as far as it is published."""

    year: Whole | None = None
    n_tokens: Positive | None = None
    compute_flops: Positive | None = None
    seq_len: Length | None = None
    decoder_seq_len: Length | None = None
    batch_size_tokens: Positive | None = None
    learning_rate: Positive | None = None
    optimizer: Text | None = None
    weight_decay: NotNegative | None = None
    schedule: Text | None = None
    warmup_n_steps: NotNegative | None = None
    warmup_n_tokens: NotNegative | None = None
    last_rate_fraction: NotNegative | None = None


class Model(BaseModel):
    """An architecture: presets/models/*.toml. The words of [architecture] are checked by the vocabulary they belong to."""

    model_config = ConfigDict(extra="allow", strict=True)

    name: Text
    title: Text | None = None
    note: Text | None = None
    aliases: list[Text] = []
    architecture: dict[str, Any]
    training: Training | None = None


class ModelFile(BaseModel):
    """A model file of the user's, whose words may also stand at its top."""

    model_config = ConfigDict(extra="allow", strict=True)

    name: Text | None = None
    title: Text | None = None
    note: Text | None = None
    architecture: dict[str, Any] | None = None
    training: Training | None = None
    not_counted: list[Text] = []


class StackKeeping(Part):
    """What the blocks of a stack keep for the backward pass."""

    in_steps: bool = False
    gate_in_steps: bool = True
    norm_stats_bytes: Bytes | Literal["residual"] = 4
    more_per_width: NotNegative = 0


class StackMemory(Part):
    """How the code of a stack computes and what it keeps."""

    keeping: StackKeeping | None = None
    attention: Literal["eager", "sdpa", "flash", "fa1", "fa2", "fa3"] = "flash"
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    recipe: Literal[12, 16, 18, 20] = 16
    placement: Literal["even", "balanced"] = "even"
    bytes_per_logit: Bytes | Literal["counted"] = 8
    context_bytes: Bytes = 0
    group_bytes: Bytes = 0
    bucket_copies: Bytes = 0
    most_gathered: Whole | None = None
    waiting_bytes: NotNegative = 0
    fragments: NotNegative = 0.0
    fp8_copies: Bytes = 0
    fp8_inputs: bool = False
    hybrid_sharding: bool = False
    peak_factor: Positive = 1.0
    peaks: list[Annotated[list[Positive], Field(min_length=2, max_length=2)]] = []
    fitted: dict[str, Any] | None = None


class StackTime(Part):
    """Shares of the device's rates and times that a stack takes in a step; `like` names the stack that has the rest."""

    like: Text | None = None
    balanced: bool | None = None
    n_gathers: Whole | None = None
    accumulation_bytes: Few | None = None
    gradient_bytes: Few | None = None
    logit_bytes: Few | None = None
    fixed_s: Seconds | None = None
    hop_s: Seconds | None = None
    launch_s: Seconds | None = None
    fusion: Few | None = None
    dp_hidden: Few | None = None
    gather_hidden: Few | None = None
    gather_network: Few | None = None
    hop_hidden: Few | None = None
    sharded_hidden: Few | None = None
    tp_hidden: Few | None = None
    expert_launches: Few | None = None
    pipeline_launches: Few | None = None
    product_pace: Pace = 1.0
    memory_pace: Pace = 1.0
    communication_pace: Pace = 1.0
    pace: Pace = 1.0
    shapes: list[Annotated[list[Positive], Field(min_length=4, max_length=4)]] = []
    steps: list[Annotated[list[Positive], Field(min_length=2, max_length=2)]] = []
    fitted: dict[str, Any] | None = None


class StackServing(Part):
    """Shares of the device's rates and times that a serving engine takes in a pass."""

    product: Pace
    narrow_product: Pace
    attention: Pace
    memory: Pace
    cache: Pace
    link: Pace
    collective_s: Seconds
    layer_s: Seconds
    step_s: Seconds = 0.0
    rereads: Few = 0.0
    factor_p10: Pace = 1.0
    factor_p90: Pace = 1.0
    fitted: dict[str, Any] | None = None


class StackCalibration(Part):
    """The measurements that corrected a stack, beside what was planned with the stack behind it."""

    stack: Text
    hardware: Text
    layout: list[Text]
    step_s: list[Positive]
    planned_step_s: list[Positive]
    peak_bytes: list[Positive] = []
    planned_peak_bytes: list[Positive] = []
    covariance: list[list[Finite]]


class Stack(Part):
    """A software stack: presets/stacks/*.toml."""

    name: Text | None = None  # that of the file, unless it says otherwise
    title: Text | None = None
    aliases: list[Text] = []
    memory: StackMemory | None = None
    time: StackTime | None = None
    serving: StackServing | None = None
    calibration: StackCalibration | None = None


SCHEMAS: Mapping[str, type[BaseModel]] = {"hardware": Hardware, "laws": Law, "models": Model, "stacks": Stack, "tasks": Task}
MODEL_FILES = "model files"  # a user's own, outside the presets


def validate(kind: str, data: Mapping[str, Any], path: str, text: str = "") -> None:
    """Refuse a file that does not hold what its kind must; every fault is named with its dotted key.

    text  of the file, in which the line of each fault is looked for
    """
    errors = faults_of(ModelFile if kind == MODEL_FILES else SCHEMAS[kind], data)
    more = faults_of_citations(data, ()) + (faults_of_constants(data) if kind == "laws" else [])
    errors += [(place, said) for place, said in more if place not in dict(errors)]
    lines = lines_of(text)
    raise_all([InputError(f"`{dotted(place)}`: {said}", file=path, line=line_of(lines, place)) for place, said in errors[:MOST_FAULTS]])


Place = tuple[int | str, ...]


def faults_of(schema: type[BaseModel], data: Mapping[str, Any]) -> list[tuple[Place, str]]:
    """Every place of a file that the schema refuses, once, with what it says; where several kinds of value are allowed, all of them."""
    try:
        schema.model_validate(dict(data))
    except ValidationError as error:
        found: dict[Place, list[str]] = {}
        for fault in error.errors(include_url=False):
            place = known_place(fault["loc"], data)
            said = fault["msg"].lower().removeprefix("input ")
            seen = found.setdefault(place, [])
            if said not in seen:
                seen.append(said)
        return [(place, " or ".join(said) + shown_value(place, data)) for place, said in found.items()]
    return []


def known_place(place: tuple[Any, ...], data: Any) -> Place:
    """The part of a place that is in the file, or is missing from it: what follows is the schema's own name of a kind of value."""
    for depth, key in enumerate(place):
        if (isinstance(data, Mapping) and key in data) or (isinstance(data, list) and isinstance(key, int) and key < len(data)):
            data = data[key]
        elif isinstance(data, Mapping) and depth == len(place) - 1:
            return place  # missing
        else:
            return place[:depth]
    return place


def shown_value(place: tuple[Any, ...], data: Any) -> str:
    """The value at a place, for a message; nothing where there is none."""
    for key in place:
        if isinstance(data, Mapping) and key not in data:
            return ""
        data = data[key]
    return f"; it is `{clipped(data)}`"


def faults_of_citations(data: Any, place: Place) -> list[tuple[Place, str]]:
    """Every `source` that is neither a citation key nor a list of them, however deep."""
    if isinstance(data, list):
        return [fault for position, item in enumerate(data) for fault in faults_of_citations(item, (*place, position))]
    if not isinstance(data, Mapping):
        return []
    source = data.get("source", "")
    fine = isinstance(source, str) or (isinstance(source, list) and all(isinstance(one, str) for one in source))
    found = [] if fine else [((*place, "source"), f"should be a citation key or a list of them; it is `{clipped(source)}`")]
    return found + [fault for key, item in data.items() if key != "source" for fault in faults_of_citations(item, (*place, key))]


ABOUT_FORM = ("form", "gives", "source", "date", "note")
SUM_OF_TWO = ("e_nats", "a", "b", "alpha", "beta")
FORMS: Mapping[str, tuple[str, ...]] = {
    "additive": SUM_OF_TWO,
    "over-training": ("e_nats", "a", "b", "eta"),
    "repeating": (*SUM_OF_TWO, "r_d_star", "r_n_star"),
    "kaplan": ("n_c", "d_c", "alpha_n", "alpha_d"),
    "power": (),
    "power-sum": ("n_c", "alpha_n", "s_c", "alpha_s"),
    "logarithm": ("offset", "slope"),
    "sparse-experts": ("a", "alpha", "b", "beta", "c", "lambda", "d", "delta", "gamma", "e"),
    "routed-experts": ("a", "b", "c", "d", "e_start", "e_max"),
    "fine-grained-experts": ("a", "alpha", "b", "beta", "c", "g", "gamma", "n_experts"),
    "joint-experts": ("a", "alpha", "delta", "gamma", "b", "beta", "omega", "zeta", "c", "e_start", "e_max"),
    "precision": (),  # its constants are those of its role
    "sparsity": ("a_s", "b_s", "c_s", "b_n", "a_d", "b_d", "c"),
}
"""The forms of a block, each with the constants that it needs."""


class Gammas(BaseModel):
    """What is kept of weights, activations and KV cache in few bits."""

    gamma_w: Positive
    gamma_a: Positive
    gamma_kv: Positive


class AfterTraining(BaseModel):
    """The loss that rounding after training adds."""

    c_t: Positive
    gamma_d: Positive
    gamma_n: Positive
    gamma_post: Positive


class BestBits(BaseModel):
    """The best bits as an article prints them."""

    best_bits_low: Positive
    best_bits_high: Positive


class PrecisionRole(BaseModel):
    """A law that answers for `precision`."""

    precision: Gammas
    after_training: AfterTraining
    published: BestBits


class Stock(BaseModel):
    """Tokens of public text, with a 90 % interval."""

    n_tokens: Positive
    n_tokens_p5: Positive
    n_tokens_p95: Positive


class StockRole(BaseModel):
    """A law that answers for `token_stock`."""

    stock: Stock


class TokenGain(BaseModel):
    """How much further a token goes than with AdamW, at the ends of the sizes that were compared."""

    optimizers: list[Text]
    n_params: Annotated[list[Positive], Field(min_length=2, max_length=2)]
    gain: Annotated[list[Positive], Field(min_length=2, max_length=2)]


class GainRole(BaseModel):
    """A law that answers for `optimizer_gain`."""

    token_gain: TokenGain


OF_ROLES: Mapping[str, type[BaseModel]] = {"precision": PrecisionRole, "token_stock": StockRole, "optimizer_gain": GainRole}
"""The blocks without a form that a role needs."""
STEEPEST = 10  # an exponent of a law: the steepest published one is 4.8
SWITCHES = ("of_spent_compute",)  # keys of forms that are true or false


def faults_of_constants(data: Mapping[str, Any]) -> list[tuple[Place, str]]:
    """Every constant of a form that is none or missing, and every end of the range of a law that is no number above zero."""
    blocks = {name: block for name, block in data.items() if isinstance(block, Mapping) and ("form" in block or name == "range")}
    faults: list[tuple[Place, str]] = [
        ((name, key), f"should be {wanted}; it is `{clipped(value)}`")
        for name, block in blocks.items()
        for key, value in block.items()
        if key not in (*ABOUT_FORM, *SWITCHES) and (wanted := wanted_constant(name, key, value))
    ]
    for name, block in blocks.items():
        if name == "range":
            continue
        if not isinstance(block["form"], str) or block["form"] not in FORMS:
            faults.append(((name, "form"), f"should be one of {', '.join(FORMS)}; it is `{clipped(block['form'])}`"))
        else:
            faults += [((name, key), "field required") for key in FORMS[block["form"]] if key not in block]
    return faults + faults_of_roles(data) + faults_of_allocation(blocks.get("allocation", {}))


def faults_of_roles(data: Mapping[str, Any]) -> list[tuple[Place, str]]:
    """What a law lacks of the blocks that its roles need."""
    roles = data.get("role")
    needed = [schema for role, schema in OF_ROLES.items() if isinstance(roles, Mapping) and role in roles]
    return [fault for schema in needed for fault in faults_of(schema, data)]


def wanted_constant(block: str, key: str, value: Any) -> str | None:
    """What a constant should be, where it is something else."""
    above = block == "range" or key == "scale" or key.endswith("_unit")
    if not is_number(value) or (above and value <= 0):
        return "a number above zero" if above else "a number"
    least, most = (0, 1) if block == "allocation" else (-STEEPEST, STEEPEST)
    return f"a number from {least} to {most}" if key.endswith("_exponent") and not least <= value <= most else None


def faults_of_allocation(block: Mapping[str, Any]) -> list[tuple[Place, str]]:
    """What the power of compute that gives N or D lacks: its exponent, or which of the two it is."""
    faults: list[tuple[Place, str]] = []
    if block and "compute_flops_exponent" not in block:
        faults.append((("allocation", "compute_flops_exponent"), "field required"))
    if block.get("gives", "n_params") not in ("n_params", "n_tokens"):
        faults.append((("allocation", "gives"), f"should be n_params or n_tokens; it is `{clipped(block['gives'])}`"))
    return faults


def is_number(value: Any) -> bool:
    """Whether a value is a number; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def lines_of(text: str) -> dict[tuple[str, ...], int]:
    """Dotted key -> its line in the text of a TOML file, as far as simple lines say it: `[table]` and `key = value`."""
    found: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), 1):
        said = line.strip()
        if said.startswith("["):
            table = parts_of(said.strip("[]").split("]")[0])
            found.setdefault(table, number)
        elif "=" in said and not said.startswith("#"):
            found.setdefault((*table, *parts_of(said.split("=", 1)[0])), number)
    return found


def parts_of(key: str) -> tuple[str, ...]:
    """The parts of a dotted key."""
    return tuple(part.strip().strip("\"'") for part in key.split("."))


def line_of(lines: Mapping[tuple[str, ...], int], place: Place) -> int | None:
    """The line of a place, or of the table around it."""
    names = tuple(str(part) for part in place if isinstance(part, str))
    return next((lines[names[:count]] for count in range(len(names), 0, -1) if names[:count] in lines), None)


def dotted(place: Place) -> str:
    """`power.tdp_w` for the parts of a place."""
    return clipped(".".join(map(str, place)), 120) or "the file"


def json_schema(kind: str) -> dict[str, Any]:
    """The JSON Schema of a kind of file, for editors that complete and check as one types."""
    return SCHEMAS[kind].model_json_schema()
