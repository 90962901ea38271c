"""The whole chain from one end to the other: budget -> compute -> (N, D) -> architecture -> days -> dollars, energy, carbon.

`walk` takes what a plan says, field by field, and fills in what follows from it: each link is the function of its own room. The
tokens and the number of devices may be arrays; everything that hangs on them is then an array too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from scaleplan import library
from scaleplan.answer import Interval
from scaleplan.chain.budget import is_time_of_devices, paid_hours
from scaleplan.chain.failures import Failures
from scaleplan.chain.hours import USUAL_DEADLINE_S, hours_of_run, in_whole_nodes, leaves_devices_open, rate_is_given, usual_deadline_words
from scaleplan.chain.idle import OF_ONE_RUN, idle_in_stages, idle_words, refuse_contradictions
from scaleplan.chain.run_cost import CostInputs, Input, RunCost, hours_of, intervals_of, run_cost
from scaleplan.chain.sizes import (
    CRITICAL,
    Given,
    Settled,
    Size,
    Work,
    batch_of,
    compute,
    critical_batch,
    law_of,
    length_of,
    loss_of,
    model_of,
    size_of,
    tokens_of,
)
from scaleplan.errors import InputError, UsageError
from scaleplan.machine.run_time import fewest_devices
from scaleplan.numeric import ceil_div, is_number
from scaleplan.wording import field, fields, question

if TYPE_CHECKING:
    from scaleplan.chain.layout_step import LayoutStep
    from scaleplan.chain.lifetime import Lifetime
    from scaleplan.chain.tasks import TaskForecasts
    from scaleplan.chain.walls import Wall
    from scaleplan.laws.law import Law

AUTO = "auto"
Costs = Callable[[Any, Any], dict[str, Any]]
"""Device-hours and wall time -> dollars beside the devices, by name."""


class Walk(NamedTuple):
    """Every link of a plan.

    inputs, cost    the device-hours and all that is proportional to them
    step            the step time and memory of the layout; None without a layout
    other_usd       dollars beside the devices, by name
    assumed         what was assumed, in sentences
    idle            fields that change nothing, in sentences
    failures        goodput by failure rate and checkpoints; None where no rate is known
    serving         of the model's lifetime; None where no tokens are to be served
    tasks           accuracy on a task; None where none was asked for
    walls           what stops a run from being larger; empty where no devices and time are given
    wanted_params   by the law, where memory cannot hold so many; else None
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
    idle: tuple[str, ...] = ()
    failures: Failures | None = None
    serving: Lifetime | None = None
    tasks: TaskForecasts | None = None
    walls: tuple[Wall, ...] = ()
    wanted_params: Any = None

    @property
    def usd(self) -> Any:
        """Dollars of the devices and of everything beside them."""
        return None if self.cost.usd is None else self.cost.usd + sum(self.other_usd.values())

    def intervals(self) -> dict[str, Interval]:
        """The 80 % interval of each number that has one; a sum beside the devices moves dollars and not their width."""
        found = dict(intervals_of(self.inputs, self.cost))
        if "usd" in found:
            found["usd"] = found["usd"].plus(self.usd - self.cost.usd)
        return found


def no_costs(*_run: Any) -> dict[str, Any]:
    """Nothing beside the devices."""
    return {}


def walk(given: Given, costs: Costs = no_costs) -> Walk:
    """Every link of a plan; one from a budget spends the whole of it.

    costs  dollars beside the devices
    Raises UsageError where the plan leaves a link open, or says it twice.
    """
    refuse_contradictions(given)
    given = with_layout_devices(given)
    found = within_memory(given, costs) if is_time_of_devices(given) else to_the_budget(given, costs, Settled())
    return with_ends(given, found)


def with_layout_devices(given: Given) -> Given:
    """The plan with the devices of a layout that was given."""
    layout = given.get("layout")
    if layout in (None, AUTO) or given.get("n_devices") is not None:
        return given
    return {**given, "n_devices": layout.n_devices}


def with_ends(given: Given, found: Walk) -> Walk:
    """The plan with the links that follow from the run: tasks, serving, and for the time of given devices what stops it."""
    if given.get("task") is not None:
        from scaleplan.chain.tasks import forecast_of

        found = found._replace(tasks=forecast_of(given["task"], found.size, given.get("family")))
    found = with_serving(given, found)
    if is_time_of_devices(given):
        from scaleplan.chain.walls import walls_of

        found = found._replace(walls=walls_of(given, found))
    return found


def with_serving(given: Given, found: Walk) -> Walk:
    """The plan with the serving of its model."""
    from scaleplan.chain.lifetime import lifetime_of

    serving = lifetime_of(given, found.size.model, found.device, library.defaults())
    return found if serving is None else found._replace(serving=serving, assumed=(*found.assumed, *serving.assumed(given)))


# --------------------------------------------------------------------------------------------------------------- budgets

ROUNDS = 4  # of a size that the rate of its own step changes
NEAR = 0.02  # hours of the budget within which a size is left alone
SMALLER = 0.98  # of the largest size that memory seems to hold, to be tried next
LEAST_SHRINK = 0.9
MOST_SHRINKS = 40
MOST_ILLEGAL = 50_000_000  # layouts, all illegal, after which no smaller size is tried: a smaller one may have layers that divide


def within_memory(given: Given, costs: Costs) -> Walk:
    """The plan of given devices and a time; where their memory cannot hold the size that the law wants, of the largest that it can."""
    from scaleplan.chain.layout_step import NoLayoutFits
    from scaleplan.chain.walls import memory_wall

    settled, wanted, n_illegal = Settled(), None, 0
    free = model_of(given)[1] is None and tokens_of(given) is None
    for _ in range(MOST_SHRINKS):
        try:
            found = to_the_budget(given, costs, settled)
            used = memory_wall(given, found).used_fraction
            if not free or used is None or used <= 1:
                return found._replace(wanted_params=wanted)
            wanted = wanted or found.size.n_params
            most = found.size.n_params * (SMALLER / used if found.step is None else LEAST_SHRINK)
        except NoLayoutFits as error:
            n_illegal += error.n_illegal
            if not free or n_illegal > MOST_ILLEGAL:
                raise
            wanted = wanted or error.n_params
            most = error.n_params * LEAST_SHRINK
        settled = settled._replace(most_params=most)
    return to_the_budget(given, costs, settled)


def to_the_budget(given: Given, costs: Costs, settled: Settled) -> Walk:
    """The plan that spends the hours of its budget: N at the rate of its own step, D to the last step."""
    found = walked(given, costs, settled)
    hours = paid_hours(given, found.device, library.defaults())
    open_n, open_d = model_of(given)[1] is None, tokens_of(given) is None
    if hours is None or not (open_n or open_d):
        return found
    hours = beside_costs(given, costs, found, hours)
    if found.step is not None and open_n:
        found, settled = at_own_rate(given, costs, found, settled, hours)
    if not open_d:
        return found
    fixed = {**given, "batch_size_tokens": found.batch_tokens} if given.get("batch_size_tokens") == CRITICAL else given
    return walked(fixed, costs, settled._replace(tokens=tokens_in(found, hours)))


def beside_costs(given: Given, costs: Costs, found: Walk, hours: Any) -> Any:
    """The hours of devices that a budget in dollars leaves when the costs beside them are paid from it too.

    Costs are a sum for the run and a rate for an hour: usd = fixed + rate * hours.
    """
    if given.get("usd") is None or not found.other_usd:
        return hours
    fixed = sum(costs(0.0, 0.0).values())
    if not given["usd"] > fixed:
        raise InputError(f"[[cost]] alone takes ${fixed:,.0f} of a budget of ${given['usd']:,.0f}", hint=f"raise {field('usd')}")
    return min(hours, (given["usd"] - fixed) / ((found.usd - fixed) / found.cost.device_hours))


def at_own_rate(given: Given, costs: Costs, found: Walk, settled: Settled, hours: Any) -> tuple[Walk, Settled]:
    """The plan with the size that is optimal at the rate of its own step."""
    flops = found.training_flops.value
    for _ in range(ROUNDS):
        share = hours / found.cost.device_hours
        if abs(share - 1) < NEAR:
            break
        flops *= share
        settled = settled._replace(flops=flops)
        found = walked(given, costs, settled)
    return found, settled


def tokens_in(found: Walk, hours: Any) -> Any:
    """The tokens of so many device-hours, in whole steps where there is a step."""
    share = hours / found.cost.device_hours
    if found.step is None or not is_number(share):
        return found.size.tokens * share
    return max(1, int(found.n_steps * share)) * found.batch_tokens


# ----------------------------------------------------------------------------------------------------------------- links


def walked(given: Given, costs: Costs, settled: Settled) -> Walk:
    """Every link from N and D to carbon."""
    defaults = library.defaults()
    device, law = device_of(given), law_of(given)
    size = size_of(given, law, device, defaults, settled)._replace(unique_tokens=given.get("unique_tokens"))
    seq_len = length_of(given, size)
    refuse_less_than_a_sequence(given, size, seq_len)
    work = compute(given, size, seq_len)
    loss, interval = loss_of(law, size)
    batch_tokens = batch_of(given, seq_len) if given.get("batch_size_tokens") != CRITICAL else critical_batch(loss)
    left_open, more = open_to_the_search(given), given.get("n_devices") is None
    given = with_devices_in_time(given, device, size, seq_len, batch_tokens, work)
    step = (step_on_enough if more else step_of)(given, size, seq_len, batch_tokens)
    if step is not None:
        given, batch_tokens = {**given, "n_devices": step.layout.n_devices}, step.batch_tokens
    n_steps = None if batch_tokens is None else ceil_div(size.tokens, batch_tokens)
    hours = hours_of_run(given, device, size, step, work, n_steps)
    cost = run_cost(hours.inputs)
    other_usd = costs(cost.device_hours, cost.wall_s)
    return Walk(
        size, work.convention, work.training_flops, seq_len, batch_tokens, n_steps, law, loss, interval, device,
        hours.inputs.n_devices, given.get("layout"), step, hours.inputs, cost, other_usd,
        (*hours.assumed, *([usual_deadline_words()] if left_open else [])), tuple(idle_words(given, step, size)), hours.failures,
    )  # fmt: skip


def refuse_less_than_a_sequence(given: Given, size: Size, seq_len: Any) -> None:
    """Raise InputError where a budget pays for fewer tokens than one sequence has."""
    if tokens_of(given) is None and is_number(size.tokens, seq_len) and size.tokens < seq_len:
        words = f"the budget trains at most {size.tokens:,} tokens, less than one sequence of {seq_len:,}"
        raise InputError(words, hint=f"a larger budget, or a shorter {field('seq_len')}")


def open_to_the_search(given: Given) -> bool:
    """Whether a plan from a budget leaves layout, devices and time open."""
    return given.get("layout") == AUTO and leaves_devices_open(given)


def with_devices_in_time(given: Given, device: library.Preset, size: Size, seq_len: Any, batch_tokens: Any, work: Work) -> Given:
    """The plan with the fewest whole nodes whose fastest layout finishes in time, where both are left open.

    A budget or a rate says the device-hours: the devices follow from them. A plan from a budget without a deadline finishes in 30 days.
    """
    if size.model is None or given.get("layout") != AUTO or given.get("n_devices") is not None:
        return given
    if open_to_the_search(given):
        given = {**given, "deadline": USUAL_DEADLINE_S}
    if given.get("deadline") is None:
        return given
    hours = paid_hours(given, device, library.defaults())
    if hours is None and (rate_is_given(given) or given.get("step_s") is not None):
        hours = hours_of(hours_of_run(given, device, size, None, work, None).inputs)
    if hours is not None and is_number(hours, given["deadline"]):
        return {**given, "n_devices": in_whole_nodes(fewest_devices(hours, given["deadline"]), device)}
    from scaleplan.chain import run_step

    return run_step.with_devices_in_time(given, size.model, size.tokens, seq_len, batch_tokens, library.defaults())


def step_of(given: Given, size: Size, seq_len: Any, batch_tokens: Any) -> LayoutStep | None:
    """The step of the layout that is given, or of the fastest that fits; None where the plan names none."""
    if given.get("layout") is None:
        return None
    if size.model is None:
        raise UsageError(f"{field('layout')} divides an architecture", hint=f"give {field('model')}")
    if given.get("decoder_seq_len") is not None:
        words = f"{field('decoder_seq_len')}: the step time of an encoder with a decoder is not known"
        raise UsageError(words, hint=f"leave out {field('layout')}")
    from scaleplan.chain import run_step

    return run_step.step_of(given, size.model, seq_len, batch_tokens)


def step_on_enough(given: Given, size: Size, seq_len: Any, batch_tokens: Any) -> LayoutStep | None:
    """The step on the devices that are in time, or where no layout fits them, on as many whole nodes more as hold one."""
    if given.get("layout") != AUTO or given.get("n_devices") is None:
        return step_of(given, size, seq_len, batch_tokens)
    from scaleplan.chain.layout_search import whole_nodes
    from scaleplan.chain.layout_step import MOST_DEVICES, NoLayoutFits

    *counts, most = given["n_devices"], *whole_nodes(given["hardware"], given["n_devices"] + 1, MOST_DEVICES)
    for n in counts:
        with suppress(NoLayoutFits):
            return step_of({**given, "n_devices": n}, size, seq_len, batch_tokens)
    return step_of({**given, "n_devices": most}, size, seq_len, batch_tokens)


def device_of(given: Given) -> library.Preset:
    """The device that was named."""
    if given.get("hardware") is None:
        devices = f"`{question('presets', 'hardware')}`"
        raise UsageError(f"a plan needs {field('hardware')}", hint=f"for example h100-sxm; list devices with {devices}")
    return library.load("hardware", given["hardware"])


# --------------------------------------------------------------------------------------------------------------- stages

NOT_OF_STAGES = (
    "tokens", "n_steps", "text", "compute", "usd", "device_days", "energy_budget", "carbon_budget", "loss", "n_params", "target",
)  # fmt: skip
"""Fields that say how much is computed, as stages do themselves."""


def walk_stages(given: Given, flops: Sequence[Any], costs: Costs = no_costs) -> Walk:
    """The links of a run of several stages, whose compute is given: hours, dollars, energy and carbon of their sum."""
    refuse_contradictions(given)
    for name in NOT_OF_STAGES:
        if given.get(name) is not None:
            raise UsageError(f"{field(name)} and [[stage]] both say how much is computed", hint="leave one of them out")
    if is_time_of_devices(given):
        both = fields("n_devices", "deadline")
        raise UsageError(f"{both} and [[stage]] all say how long it takes", hint=f"leave one of {both} out")
    device, law = device_of(given), law_of({**given, "unique_tokens": None})
    model, n_params, n_active = model_of(given)
    size = Size(model, n_params, n_active, None, "given")
    total = Input(sum(flops), "exact", ("kaplan2020",))
    hours = hours_of_run({**given, **dict.fromkeys(OF_ONE_RUN)}, device, size, None, Work("six_n", total), None)
    cost = run_cost(hours.inputs)
    found = Walk(
        size, "six_n", total, None, None, None, law, None, None, device, hours.inputs.n_devices, None, None, hours.inputs, cost,
        costs(cost.device_hours, cost.wall_s), tuple(hours.assumed), tuple(idle_in_stages(given)), hours.failures,
    )  # fmt: skip
    return with_serving(given, found)
