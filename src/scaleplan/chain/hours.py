"""The rate at which a plan's FLOP are done, its devices, and the hours that follow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from scaleplan import library
from scaleplan.chain.budget import BUDGETS
from scaleplan.chain.cost_given import assumptions, costing, in_time, within_deadline
from scaleplan.chain.cost_inputs import peak_input
from scaleplan.chain.failures import Failures, failures_of
from scaleplan.chain.run_cost import CostInputs, Input
from scaleplan.chain.sizes import Given, Size, Work
from scaleplan.errors import UsageError
from scaleplan.numeric import ceil_div, is_number
from scaleplan.units import SECONDS_PER_DAY
from scaleplan.wording import field, fields

if TYPE_CHECKING:
    from scaleplan.chain.layout_step import LayoutStep


class Hours(NamedTuple):
    """What hours and all that goes with them follow from, and what was assumed."""

    inputs: CostInputs
    failures: Failures | None
    assumed: list[str]


def hours_of_run(given: Given, device: library.Preset, size: Size, step: LayoutStep | None, work: Work, n_steps: Any) -> Hours:
    """The rate of the run: that of its step where it has one, else as given or of whole runs; and its devices."""
    rate = step_rate(given, device, step, work.training_flops.value, n_steps)
    told = given if rate is None else {**given, "mfu": rate.value, "mfu_of": "step"}
    lost = failures_of(given, given.get("n_devices"), of_a_step=rate is not None or given.get("mfu_of") == "step")
    told = told if lost is None else {**told, "goodput": lost.goodput}
    inputs, assumed = cost_inputs(told, device, size, work, library.defaults())
    if lost is not None:
        inputs = inputs._replace(goodput=lost.input())
        assumed = (
            [f"Goodput {lost.goodput:.3g}, from failures, checkpoints and restarts.", *assumed] if is_number(lost.goodput) else assumed
        )
    if rate is not None:
        inputs = inputs._replace(mfu=rate)
        elsewhere = [] if step is None else step.elsewhere_words()
        assumed = [hours_words(step, inputs.goodput.value), *elsewhere, *assumed]
    inputs = in_time(given, with_devices(given, device, inputs))
    if inputs.n_devices is not None and leaves_devices_open(given):
        assumed = [*assumed, usual_deadline_words()]
    return Hours(inputs, lost, assumed)


def step_rate(given: Given, device: library.Preset, step: LayoutStep | None, flops: Any, n_steps: Any) -> Input | None:
    """The utilisation of a step whose seconds were given, or follow from the layout; None where the rate was given, or is of whole runs.

    mfu = FLOP / (steps * seconds * devices * peak)
    """
    peak = peak_input(device).value
    if given.get("step_s") is not None:
        if n_steps is None or given.get("n_devices") is None:
            needed = fields("n_devices", "batch_size_tokens")
            raise UsageError(f"{field('step_s')} needs {needed}", hint=f"add {needed}")
        return Input(flops / (n_steps * given["step_s"] * given["n_devices"] * peak), "estimate")
    return None if step is None or rate_is_given(given) else step.run_mfu(flops, n_steps, peak)


def hours_words(step: LayoutStep | None, goodput: Any) -> str:
    """What the hours of a plan follow from: the step of its layout, or one that was given."""
    if step is not None:
        return step.hours_words(goodput)
    share = f" and a goodput of {goodput:.2g}." if is_number(goodput) else " and the goodput."
    return f"Hours follow from {field('step_s')}{share}"


def rate_is_given(given: Given) -> bool:
    """Whether hours follow from a rate that was given and not from a step's seconds."""
    return given.get("mfu") is not None or given.get("flops_per_s_per_device") is not None


def cost_inputs(given: Given, device: library.Preset, size: Size, work: Work, defaults: Mapping[str, Any]) -> tuple[CostInputs, list[str]]:
    """Everything that hours, dollars, energy and carbon follow from, and what was assumed."""
    found = costing(
        given, device, defaults, training_flops=work.training_flops, hardware_flops=work.hardware_flops,
        n_active_params=size.n_active_params, convention=work.convention,
    )  # fmt: skip
    return found.inputs, assumptions(given, found, device)


def with_devices(given: Given, device: library.Preset, inputs: CostInputs) -> CostInputs:
    """The inputs with the fewest devices that finish in time, where a deadline is given and no number of devices.

    A plan from a budget that names neither gets the fewest whole nodes that finish in 30 days.
    """
    if given.get("n_devices") is not None:
        return inputs
    if given.get("deadline") is not None:
        return within_deadline(inputs, given["deadline"])
    if not leaves_devices_open(given):
        return inputs
    n_devices = within_deadline(inputs, USUAL_DEADLINE_S).n_devices
    return inputs if n_devices is None else inputs._replace(n_devices=in_whole_nodes(n_devices, device))


def leaves_devices_open(given: Given) -> bool:
    """Whether a plan starts from a budget or a loss and names neither devices nor time."""
    is_open = given.get("n_devices") is None and given.get("deadline") is None
    return is_open and any(given.get(name) is not None for name in (*BUDGETS, "loss"))


def in_whole_nodes(n_devices: int, device: library.Preset) -> int:
    """So many devices, or as many more as fill their nodes; fewer than a node holds stay as they are."""
    node = int(device.data.get("intranode", {}).get("n_devices_per_node") or 1)
    return n_devices if n_devices < node else ceil_div(n_devices, node) * node


def usual_deadline_words() -> str:
    """Where the devices of a plan that names neither devices nor time are from."""
    return f"No {fields('n_devices', 'deadline', joined=' or ')}: the fewest whole nodes that finish in 30 days."


USUAL_DEADLINE_S = 30 * SECONDS_PER_DAY  # of a plan that starts from a budget and names neither devices nor time
