"""The whole chain from one end to the other: budget -> compute -> (N, D) -> architecture -> days -> dollars, energy, carbon.

`walk` takes what a plan says, field by field, and fills in what follows from it: each link is the function of its own room. The
tokens and the number of devices may be arrays; everything that hangs on them is then an array too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from scaleplan import library
from scaleplan.answer import Interval
from scaleplan.chain import catalogue
from scaleplan.chain.budget import BUDGETS, budget_flops
from scaleplan.chain.compute import EXACT, compute_of
from scaleplan.chain.cost_given import assumptions, costing, in_time, within_deadline
from scaleplan.chain.cost_inputs import peak_input
from scaleplan.chain.failures import Failures, failures_of
from scaleplan.chain.lengths import chosen_length
from scaleplan.chain.run_cost import CostInputs, Input, RunCost, intervals_of, run_cost
from scaleplan.chain.tokens import whole_sequences
from scaleplan.errors import UsageError
from scaleplan.laws.allocation import Question, allocate
from scaleplan.laws.convention import training_flops
from scaleplan.model.bill import bill_of
from scaleplan.model.params import count_params
from scaleplan.numeric import ceil_div, floats, is_number
from scaleplan.units import SECONDS_PER_DAY
from scaleplan.wording import field, fields, question

if TYPE_CHECKING:
    from scaleplan.chain.layout_step import LayoutStep
    from scaleplan.laws.law import Law
    from scaleplan.model_files import Model

OPTIMAL = "optimal"
CRITICAL = "critical"
AUTO = "auto"
Given = Mapping[str, Any]
"""Field -> value in base units, or a word that leaves it to the plan."""


class Size(NamedTuple):
    """What is trained, and on how many tokens.

    model     the architecture; None where the number of parameters alone is known
    standing  given, where a user or a preset says both; fitted, where a law chose one of them; `n_standing` is that of N alone
    """

    model: Model | None
    n_params: Any
    n_active_params: Any
    tokens: Any
    standing: str
    n_standing: str = "given"


class Walk(NamedTuple):
    """Every link of a plan.

    inputs, cost    the device-hours and all that is proportional to them
    step            the step time and memory of the layout; None without a layout
    other_usd       dollars beside the devices, by name
    assumed         what was assumed, in sentences
    failures        goodput by failure rate and checkpoints; None where no rate is known
    """

    size: Size
    convention: str
    training_flops: Input
    seq_len: Any
    batch_tokens: Any
    n_steps: Any
    law: Law
    loss_nats: Any
    loss_interval: Interval | None
    device: library.Preset
    n_devices: Any
    layout: Any
    step: LayoutStep | None
    inputs: CostInputs
    cost: RunCost
    other_usd: dict[str, Any]
    assumed: tuple[str, ...]
    failures: Failures | None = None

    @property
    def usd(self) -> Any:
        """Dollars of the devices and of everything beside them."""
        return None if self.cost.usd is None else self.cost.usd + sum(self.other_usd.values())

    def intervals(self) -> dict[str, Interval]:
        """The 80 % interval of each number that has one; a sum beside the devices moves dollars and not their width."""
        found = dict(intervals_of(self.inputs, self.cost))
        if "usd" in found:
            found["usd"] = moved(found["usd"], self.cost.usd, self.usd)
        return found


def moved(interval: Interval, old: float, new: float) -> Interval:
    """The interval of a number to which something known is added."""
    return Interval(*(point + new - old for point in interval))


def walk(given: Given, costs: Callable[[Any, Any], dict[str, Any]] | None = None) -> Walk:
    """Every link of a plan.

    costs  dollars beside the devices, from device-hours and wall time
    Raises UsageError where the plan leaves a link open, or says it twice.
    """
    defaults = library.defaults()
    device = device_of(given)
    law = law_of(given)
    size = size_of(given, law, device, defaults)
    seq_len = length_of(given, size)
    convention, flops = compute(given, size, seq_len)
    loss, interval = loss_of(law, size)
    batch_tokens = batch_of(given, seq_len) if given.get("batch_size_tokens") != CRITICAL else critical_batch(loss)
    given = with_devices_in_time(given, size, seq_len, batch_tokens, defaults)
    step = step_of(given, size, seq_len, batch_tokens)
    if step is not None:
        given, batch_tokens = {**given, "n_devices": step.layout.n_devices}, step.batch_tokens
    n_steps = None if batch_tokens is None else ceil_div(size.tokens, batch_tokens)
    rate = None if step is None or rate_is_given(given) else step.run_mfu(flops.value, n_steps, peak_input(device).value)
    told = given if rate is None else {**given, "mfu": rate.value, "mfu_of": "step"}
    inputs, assumed = cost_inputs(told, device, size, convention, flops, defaults)
    lost = failures_of(given, given.get("n_devices"), of_a_step=rate is not None or given.get("mfu_of") == "step")
    if lost is not None:
        inputs = inputs._replace(goodput=lost.input())
    if step is not None and rate is not None:
        inputs = inputs._replace(mfu=rate)
        assumed = [step.hours_words(inputs.goodput.value), *assumed]
    inputs = in_time(given, with_devices(given, device, inputs))
    if inputs.n_devices is not None and given.get("n_devices") is None and given.get("deadline") is None:
        assumed = [*assumed, f"No {fields('n_devices', 'deadline', joined=' or ')}: the fewest whole nodes that finish in 30 days."]
    idle = [name for name in OF_A_STEP if given.get(name) is not None] if step is None else []
    if idle:
        assumed = [*assumed, f"Without {field('layout')} no step is priced: {fields(*idle, joined=', ')} changes nothing."]
    cost = run_cost(inputs)
    other_usd = {} if costs is None else costs(cost.device_hours, cost.wall_s)
    return Walk(
        size, convention, flops, seq_len, batch_tokens, n_steps, law, loss, interval, device, inputs.n_devices, given.get("layout"), step,
        inputs, cost, other_usd, tuple(assumed), lost,
    )  # fmt: skip


OF_A_STEP = ("stack", "precision", "optimizer", "attention", "pipeline_schedule", "micro_batch_size_seqs")
"""Fields that mean something in the step of a layout alone."""


def with_devices_in_time(given: Given, size: Size, seq_len: Any, batch_tokens: Any, defaults: Mapping[str, Any]) -> Given:
    """The plan with the fewest whole nodes whose fastest layout finishes by the deadline, where both are left open."""
    if size.model is None or given.get("layout") != AUTO:
        return given
    from scaleplan.chain import run_step

    return run_step.with_devices_in_time(given, size.model, size.tokens, seq_len, batch_tokens, defaults)


def step_of(given: Given, size: Size, seq_len: Any, batch_tokens: Any) -> LayoutStep | None:
    """The step of the layout that is given, or of the fastest that fits; None where the plan names none."""
    if given.get("layout") is None:
        return None
    if size.model is None:
        raise UsageError(f"{field('layout')} divides an architecture", hint=f"give {field('model')}")
    from scaleplan.chain import run_step

    return run_step.step_of(given, size.model, seq_len, batch_tokens)


def rate_is_given(given: Given) -> bool:
    """Whether hours follow from a rate that was given and not from a step's seconds."""
    return given.get("mfu") is not None or given.get("flops_per_s_per_device") is not None


def device_of(given: Given) -> library.Preset:
    """The device that was named."""
    if given.get("hardware") is None:
        devices = f"`{question('presets', 'hardware')}`"
        raise UsageError(f"a plan needs {field('hardware')}", hint=f"for example h100-sxm; list devices with {devices}")
    return library.load("hardware", given["hardware"])


def law_of(given: Given) -> Law:
    """The law that was named, else the recommended one."""
    named = given.get("law") or (catalogue.recommended(),)
    if len(named) > 1:
        raise UsageError(f"one {field('law')} chooses N and D", hint="give one")
    return catalogue.load_law(named[0])


# ------------------------------------------------------------------------------------------------------------ N and D


def size_of(given: Given, law: Law, device: library.Preset, defaults: Mapping[str, Any]) -> Size:
    """N and D: both given, or one or both by the law, for a budget or at the optimum of the other."""
    model, n_params, n_active = model_of(given)
    tokens = tokens_of(given)
    open_n, open_d = n_params is None, tokens is None
    budget = budget_flops(given, device, n_active, defaults)
    if not (open_n or open_d):
        if budget is not None:
            both = f"{fields(*said(given))} and model with tokens both set the compute"
            raise UsageError(both, hint=f"leave out {fields(*said(given))}, the tokens, or the model")
        return Size(model, n_params, n_active, tokens, "given")
    asked = Question(
        compute_flops=budget, n_params=None if open_n else n_params, n_tokens=None if open_d else tokens, loss_nats=given.get("loss")
    )
    if not asked.fixed():
        words = (
            f"{fields('target', 'tokens')} `{OPTIMAL}` are optimal for each other"
            if OPTIMAL in (given.get("tokens"), given.get("target"))
            else "nothing says how large the run is"
        )
        raise UsageError(
            words, hint=f"give {fields('model', 'tokens', joined=' or ')}, or a budget: {fields(*BUDGETS, 'deadline', joined=', ')}"
        )
    run = allocate(law, asked)
    if not open_n:
        return Size(model, n_params, n_active, run.n_tokens, "fitted")
    built = built_near(given, run.n_params)
    n = count_params(bill_of(built.arch))
    return Size(built, n.n_params, n.n_active_params, run.n_tokens if open_d else tokens, "fitted", "fitted")


def said(given: Given) -> list[str]:
    """The budgets that were given."""
    return [name for name in (*BUDGETS, "deadline", "loss") if given.get(name) is not None]


def model_of(given: Given) -> tuple[Model | None, Any, Any]:
    """The model and its parameters, all and active; None where they are left open."""
    model, target = given.get("model"), given.get("target")
    if model is not None:
        n = count_params(bill_of(model.arch))
        return model, n.n_params, n.n_active_params
    if given.get("n_params") is not None:
        return None, given["n_params"], given.get("n_active_params") or given["n_params"]
    if target is not None and target != OPTIMAL:
        built = built_near(given, target)
        n = count_params(bill_of(built.arch))
        return built, n.n_params, n.n_active_params
    return None, None, None


def built_near(given: Given, n_params: float) -> Model:
    """The first buildable architecture near a number of parameters."""
    from scaleplan.model.synthesis import shapes_near
    from scaleplan.model_files import model_of_words
    from scaleplan.units import show_count

    like = given.get("like") or "llama"
    best = shapes_near(round(n_params), like, fixed=given.get("shape") or {}, tp=1, pp=1)[0]
    return model_of_words(best.words)._replace(label=f"{like}-{show_count(best.params.n_params)}")


def tokens_of(given: Given) -> Any:
    """Training tokens as given; None where they are left to the law."""
    told = given.get("tokens")
    if told is not None and not isinstance(told, str):
        return told
    if given.get("n_steps") is not None:
        batch = batch_of(given, given.get("seq_len"))
        if batch is None:
            raise UsageError(f"{field('n_steps')} needs a batch size", hint=f"add {field('batch_size_tokens')}")
        return given["n_steps"] * batch
    if given.get("text") is not None and given.get("bytes_per_token") is not None:
        return given["text"] / given["bytes_per_token"]
    return None


# ------------------------------------------------------------------------------------------------------------- compute


def length_of(given: Given, size: Size) -> Any:
    """Tokens of a sequence: as given, else the model's own."""
    if size.model is None:
        return given.get("seq_len")
    return chosen_length(size.model, given.get("seq_len"))[0]


def compute(given: Given, size: Size, seq_len: Any) -> tuple[str, Input]:
    """The convention and the FLOP of training: the exact count of an architecture, 6 N D of a size alone."""
    named = given.get("flops_convention")
    if size.model is None:
        if named not in (None, "six_n"):
            raise UsageError(f"{field('flops_convention')} `{named}` counts an architecture", hint=f"give {field('model')}")
        return "six_n", Input(
            training_flops(size.n_active_params, floats(size.tokens)), "exact" if size.standing == "given" else "fitted", ("kaplan2020",)
        )
    found = compute_of(bill_of(size.model.arch), seq_len, convention=named)
    return named or EXACT, Input(
        found.flops_per_token * floats(size.tokens), "exact" if size.standing == "given" else "fitted", size.model.sources
    )


def batch_of(given: Given, seq_len: Any) -> Any:
    """Tokens of a step, whole sequences where their length is known; None where nothing says."""
    tokens, seqs = given.get("batch_size_tokens"), given.get("batch_size_seqs") or given.get("global_batch_size_seqs")
    if tokens == CRITICAL:
        return None
    if tokens is not None:
        return tokens if seq_len is None else whole_sequences(tokens, seq_len) * seq_len
    return seqs * seq_len if seqs is not None and seq_len is not None else None


def critical_batch(loss_nats: Any) -> Any:
    """B_crit at the loss of the run, in whole tokens; None where no loss is known."""
    if loss_nats is None:
        return None
    found = catalogue.critical_batch().at(loss_nats=loss_nats)
    return round(found) if is_number(found) else found


def loss_of(law: Law, size: Size) -> tuple[Any, Interval | None]:
    """The loss by the law, with its interval where the law has draws; None where it tells none."""
    from scaleplan.chain.optimum import advise
    from scaleplan.errors import ScaleplanError
    from scaleplan.laws.convention import TOTAL

    if not is_number(size.n_params, size.tokens):
        try:
            run = allocate(law, Question(n_params=size.n_params, n_tokens=size.tokens))
            return (run.loss_nats if law.in_nats else None), None
        except ScaleplanError:
            return None, None
    try:
        found = advise(law, Question(n_params=size.n_params, n_tokens=size.tokens), law, catalogue.critical_batch(), TOTAL)
    except ScaleplanError:
        return None, None
    return found.loss_nats, (found.intervals or {}).get("loss_nats")


# ----------------------------------------------------------------------------------------------------------------- cost


def cost_inputs(
    given: Given, device: library.Preset, size: Size, convention: str, flops: Input, defaults: Mapping[str, Any]
) -> tuple[CostInputs, list[str]]:
    """Everything that hours, dollars, energy and carbon follow from, and what was assumed."""
    found = costing(given, device, defaults, training_flops=flops, n_active_params=size.n_active_params, convention=convention)
    return found.inputs, assumptions(given, found, device)


def with_devices(given: Given, device: library.Preset, inputs: CostInputs) -> CostInputs:
    """The inputs with the fewest devices that finish in time, where a deadline is given and no number of devices.

    A plan from a budget that names neither gets the fewest whole nodes that finish in 30 days.
    """
    if given.get("n_devices") is not None:
        return inputs
    if given.get("deadline") is not None:
        return within_deadline(inputs, given["deadline"])
    if not any(given.get(name) is not None for name in (*BUDGETS, "loss")):
        return inputs
    n_devices = within_deadline(inputs, USUAL_DEADLINE_S).n_devices
    if n_devices is None:
        return inputs
    node = int(device.data.get("intranode", {}).get("n_devices_per_node") or 1)
    return inputs._replace(n_devices=n_devices if n_devices < node else ceil_div(n_devices, node) * node)


USUAL_DEADLINE_S = 30 * SECONDS_PER_DAY  # of a plan that starts from a budget and names neither devices nor time


def walk_stages(given: Given, flops: list[Any], costs: Callable[[Any, Any], dict[str, Any]] | None = None) -> Walk:
    """The links of a run of several stages, whose compute is given: hours, dollars, energy and carbon of their sum."""
    for name in ("tokens", "compute", "usd", "device_days", "loss"):
        if given.get(name) is not None:
            raise UsageError(f"{field(name)} and [[stage]] both say how much is computed", hint="leave one of them out")
    defaults = library.defaults()
    device, law = device_of(given), law_of(given)
    model, n_params, n_active = model_of(given)
    size = Size(model, n_params, n_active, None, "given")
    total = Input(sum(flops), "exact", ("kaplan2020",))
    inputs, assumed = cost_inputs(given, device, size, "six_n", total, defaults)
    inputs = in_time(given, with_devices(given, device, inputs))
    cost = run_cost(inputs)
    return Walk(
        size, "six_n", total, None, None, None, law, None, None, device, inputs.n_devices, None, None, inputs, cost,
        {} if costs is None else costs(cost.device_hours, cost.wall_s), tuple(assumed),
    )  # fmt: skip
