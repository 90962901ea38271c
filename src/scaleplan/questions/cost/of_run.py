"""The cost of a training run, from its compute and the rate at which devices do it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from scaleplan import library
from scaleplan.answer import Answer, Caution, Line
from scaleplan.chain import cost as steps
from scaleplan.chain.assumptions import rate_of, whole_run_remark
from scaleplan.chain.lengths import chosen_length, length_cautions
from scaleplan.machine.run_time import likely_hardware_rate
from scaleplan.questions.cost.footprint import Site, answer_of, lines_after_hours, said, site_of_device
from scaleplan.questions.cost.work import Work, work_lines, work_of
from scaleplan.wording import field

if TYPE_CHECKING:
    from scaleplan.questions.cost import Run


class Costed(NamedTuple):
    """The compute of the run, the rate of a device, the device-hours, and what they cost."""

    work: Work
    rate: steps.Rate
    hours: Line
    at: Site


def solve(asked: Run) -> Costed:
    """The cost of a run; its tokens, its rate and the number of devices may be arrays."""
    defaults = library.defaults()
    device = library.load("hardware", asked.hardware)
    work = work_of(asked)
    rate = rate_of(device, asked.mfu, asked.flops_per_s_per_device, asked.flops_kind, asked.recompute, asked.goodput, defaults)
    if rate.standing == "given":
        rate = rate._replace(standing="estimate")  # a rate that is hoped for: what follows is a forecast
    return Costed(work, rate, hours_line(work, rate), site_of_device(asked, device, defaults))


def hours_line(work: Work, rate: steps.Rate) -> Line:
    """Device-hours of the FLOP that the rate counts."""
    key = "training_flops" if rate.flops_kind == "model" or work.hardware_flops is None else "hardware_flops"
    found = steps.device_hours_line(getattr(work, key), rate._replace(flops_kind="model"))
    inputs = {key if name == "training_flops" else name: value for name, value in (found.inputs or {}).items()}
    return found._replace(formula=(found.formula or "").replace("training_flops", key), inputs=inputs)


def explain(asked: Run, solved: Costed) -> Answer:
    """The answer of one run."""
    work, rate, at = solved.work, solved.rate, solved.at
    lines = [*work_lines(asked, work), *lines_after_hours(solved.hours, asked.n_devices, at, asked.published_kgco2e)]
    first = {"training_flops": work.training_flops, "flops_convention": work.convention, "hardware_flops": work.hardware_flops}
    notes = [*length_notes(asked), *whole_run_remark(rate), *at.notes]
    inputs = said(asked) | ({} if work.compute is None else {"seq_len": work.compute.seq_len})
    return answer_of(inputs, first, lines, notes, [*model_cautions(asked), *hfu_warning(rate, library.defaults())])


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


def hfu_warning(rate: steps.Rate, defaults: Mapping[str, Any]) -> list[Caution]:
    """A model rate that only a hardware rate is likely to reach."""
    mfu = rate.flops_per_s / rate.peak_flops_per_s
    if rate.mfu or rate.flops_kind != "model" or not likely_hardware_rate(mfu, rate.recompute, defaults["whole_run_mfu"]["p90"]):
        return []
    model_mfu = mfu * 6 / 8
    message = (
        f"an MFU of {100 * mfu:.0f} % is likelier an HFU, a rate that counts recomputed FLOP; the MFU would then be "
        f"{100 * model_mfu:.1f} %. If so, give the rate with {field('flops_kind')} hardware and {field('recompute')} full"
    )
    return [Caution("hfu-not-mfu", message, {"mfu": mfu, "mfu_if_hardware_rate": model_mfu})]
