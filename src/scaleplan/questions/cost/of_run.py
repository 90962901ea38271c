"""The cost of a training run, from its compute and the rate at which devices do it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from scaleplan import library
from scaleplan.answer import Answer, Caution, Interval, Line, line
from scaleplan.chain.cost_inputs import goodput_input, mfu_input, peak_input
from scaleplan.chain.lengths import chosen_length, length_cautions
from scaleplan.chain.run_cost import CostInputs, Input
from scaleplan.errors import InputError
from scaleplan.machine.run_time import likely_hardware_rate
from scaleplan.numeric import is_number
from scaleplan.questions.cost.footprint import Costed, answer_of, costed
from scaleplan.questions.cost.work import Work, passed_params, work_lines, work_of
from scaleplan.questions.run_file import unused_notes
from scaleplan.units import show_si
from scaleplan.wording import field

if TYPE_CHECKING:
    from scaleplan.questions.cost import Run


class Solved(NamedTuple):
    """The compute of the run, and what it costs."""

    work: Work
    costed: Costed


def solve(asked: Run) -> Solved:
    """The cost of a run; its tokens, its rate and the number of devices may be arrays."""
    device, work = library.load("hardware", asked.hardware), work_of(asked)
    peak = peak_input(device)
    by_hardware = asked.flops_kind == "hardware" and work.hardware_flops is not None
    inputs = CostInputs(
        training_flops=Input(work.training_flops, "given" if asked.compute is not None else "exact"),
        hardware_flops=Input(work.hardware_flops, "exact") if by_hardware else None,
        peak_flops_per_s=peak,
        mfu=mfu_of(asked, work, peak.value),
        goodput=goodput_of(asked),
    )
    return Solved(work, costed(asked, inputs, device))


def mfu_of(asked: Run, work: Work, peak_flops_per_s: float) -> Input:
    """The share of the peak that a device delivers: hoped for where it is given, else that of whole published runs.

    Raises InputError for a rate above the peak.
    """
    if asked.mfu is not None:
        return Input(asked.mfu, "estimate")  # what follows from a rate that is hoped for is a forecast
    rate = asked.flops_per_s_per_device
    if rate is None:
        return mfu_input(library.defaults(), active_params(asked, work), work.convention)
    if is_number(rate) and rate > peak_flops_per_s:
        shown = f"`{show_si(rate, 'FLOP/s')}` is more than the device's dense peak of {show_si(peak_flops_per_s, 'FLOP/s')}"
        raise InputError(f"{field('flops_per_s_per_device')}: {shown}", hint="vendors' headlines often count sparsity")
    return Input(rate / peak_flops_per_s, "estimate")


def active_params(asked: Run, work: Work) -> Any:
    """The parameters that a token passes; None where only the compute is known."""
    return passed_params(asked) if work.compute is None else work.compute.params.n_active_params


def goodput_of(asked: Run) -> Input:
    """The share of the time in which the run advances: in the usual MFU and in a rate of the whole run it is 1."""
    if asked.goodput is not None:
        return Input(asked.goodput, "estimate")
    return goodput_input(library.defaults()) if asked.mfu_of == "step" else Input(1.0, "exact")


def explain(asked: Run, solved: Solved) -> Answer:
    """The answer of one run."""
    work, inputs = solved.work, solved.costed.inputs
    first = [*work_lines(asked, work), *rate_lines(asked, inputs)]
    keys = {
        "training_flops": work.training_flops,
        "flops_convention": work.convention,
        "hardware_flops": work.hardware_flops,
        "mfu": None if inputs.mfu is None else inputs.mfu.value,
        "goodput": inputs.goodput.value,
    }
    length = None if work.compute is None else work.compute.seq_len
    notes = [*unused_notes(asked.from_file), *length_notes(asked), *rate_notes(asked, solved)]
    answer = answer_of(asked, solved.costed, first, keys, notes=notes, seq_len=length)
    return answer._replace(warnings=[*model_cautions(asked), *hfu_warning(asked, inputs, library.defaults()), *answer.warnings])


def rate_lines(asked: Run, inputs: CostInputs) -> list[Line]:
    """The utilisation, and the goodput of a step's rate."""
    if inputs.mfu is None or inputs.peak_flops_per_s is None:
        return []
    label = "HFU" if asked.flops_kind == "hardware" else "MFU"
    interval = spread_of(inputs.mfu)
    if asked.flops_per_s_per_device is None:
        lines = [
            line(
                "mfu",
                label,
                inputs.mfu.value,
                "fraction",
                standing=said(asked.mfu, inputs.mfu),
                sources=inputs.mfu.sources,
                interval=interval,
            )
        ]
    else:
        peak = inputs.peak_flops_per_s
        rate = {"flops_per_s_per_device": asked.flops_per_s_per_device, "peak_flops_per_s": peak.value}
        formula = "flops_per_s_per_device / peak_flops_per_s"
        lines = [line("mfu", label, inputs.mfu.value, "fraction", formula, sources=peak.sources, standing="estimate", **rate)]
    if asked.mfu_of == "step":
        goodput = inputs.goodput
        spread = spread_of(goodput)
        standing = said(asked.goodput, goodput)
        lines.append(line("goodput", "goodput", goodput.value, "fraction", standing=standing, sources=goodput.sources, interval=spread))
    return lines


def said(given: Any, used: Input) -> str:
    """The standing of an input itself, which is given where it was."""
    return used.standing if given is None else "given"


def spread_of(found: Input) -> Interval | None:
    """The 80 % interval of an input that is spread about its value."""
    return None if found.spread is None else Interval(found.value * found.spread.p10, found.value, found.value * found.spread.p90)


def rate_notes(asked: Run, solved: Solved) -> list[str]:
    """That the rate is the usual one of whole runs, if it is."""
    mfu = solved.costed.inputs.mfu
    if asked.mfu is not None or asked.flops_per_s_per_device is not None or mfu is None:
        return []
    spread = spread_of(mfu)
    between = f" (80 % interval {spread.p10:.2g} to {spread.p90:.2g})" if spread else ""
    counted = "6 N D" if solved.work.convention == "six_n" else f"the {solved.work.convention} count"
    return [f"No {field('mfu')}: using {mfu.value:.2g} of {counted}, the median of published end-to-end runs{between}."]


def length_notes(asked: Run) -> list[str]:
    """Where the sequence length is from when it was not given."""
    if asked.model is None:
        return []
    _, why = chosen_length(asked.model, asked.seq_len)
    return [why] if why else []


def model_cautions(asked: Run) -> list[Caution]:
    """What is to be said of the model and the length of its sequences."""
    if asked.model is None:
        return []
    return [*asked.model.cautions, *length_cautions(asked.model, chosen_length(asked.model, asked.seq_len)[0])]


def hfu_warning(asked: Run, inputs: CostInputs, defaults: Mapping[str, Any]) -> list[Caution]:
    """A model rate that only a hardware rate is likely to reach."""
    is_given = asked.mfu is not None or asked.flops_kind == "model"
    mfu = 0.0 if inputs.mfu is None else inputs.mfu.value
    if not is_given or not likely_hardware_rate(mfu, asked.recompute or "none", defaults["whole_run_mfu"]["p90"]):
        return []
    model_mfu = mfu * 6 / 8
    message = (
        f"an MFU of {100 * mfu:.0f} % is likelier an HFU, a rate that counts recomputed FLOP; the MFU would then be "
        f"{100 * model_mfu:.1f} %. If so, give the rate with {field('flops_kind')} hardware and {field('recompute')} full"
    )
    return [Caution("hfu-not-mfu", message, {"mfu": mfu, "mfu_if_hardware_rate": model_mfu})]
