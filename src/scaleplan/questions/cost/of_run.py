"""The cost of a training run, from its compute and the rate at which devices do it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from scaleplan import library
from scaleplan.answer import Answer, Caution
from scaleplan.chain.compute import EXACT
from scaleplan.chain.cost_given import Costing, assumptions, cautions, costing, settled
from scaleplan.chain.lengths import chosen_length, length_cautions
from scaleplan.chain.run_cost import Input, RunCost, run_cost
from scaleplan.questions.cost.answers import answer_of, side_by_side
from scaleplan.questions.cost.room import too_little_memory
from scaleplan.questions.cost.work import Work, work_lines, work_of
from scaleplan.questions.run_file import unused_notes
from scaleplan.wording import field

if TYPE_CHECKING:
    from scaleplan.questions.cost import Run


class Costed(NamedTuple):
    """The compute of the run, the device, the inputs of its cost, and the cost."""

    work: Work
    device: library.Preset
    costing: Costing
    cost: RunCost


def solve(asked: Run) -> Costed:
    """The cost of a run; its tokens, its rate and the number of devices may be arrays."""
    device, work = library.load("hardware", asked.hardware), work_of(asked)
    sources = ("kaplan2020",) if asked.model is None else asked.model.sources
    found = costing(
        asked._asdict(),
        device,
        library.defaults(),
        training_flops=Input(work.training_flops, work.standing, sources if work.standing == "exact" else ()),
        hardware_flops=None if work.hardware_flops is None else Input(work.hardware_flops, work.standing, sources),
        n_active_params=work.n_active,
        convention=EXACT if work.sparse is not None else work.convention,
    )
    found = found._replace(inputs=settled(asked._asdict(), found.inputs))
    return Costed(work, device, found, run_cost(found.inputs))


def explain(asked: Run, solved: Costed) -> Answer:
    """The answer of one run."""
    work, device, found, cost = solved
    given, defaults = asked._asdict(), library.defaults()
    return answer_of(
        asked,
        found,
        cost,
        [*unused_notes(asked.from_file), *length_notes(asked), *assumptions(given, found, device)],
        said={} if work.compute is None else {"seq_len": work.compute.seq_len},
        first={"training_flops": work.training_flops, "flops_convention": work.convention, "hardware_flops": work.hardware_flops},
        before=work_lines(asked, work),
        compared=side_by_side(asked, found.inputs, device, defaults),
        warnings=[
            *model_cautions(asked),
            *sparse_cautions(asked, work, device.name),
            *cautions(given, found, defaults),
            *too_little_memory(asked, device, found.inputs.n_devices),
        ],
    )


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


def sparse_cautions(asked: Run, work: Work, device: str) -> list[Caution]:
    """That a device computes zeros like other numbers, or that skipping them at the peak is more than was measured."""
    sparsity = asked.sparsity
    if sparsity is None:
        return []
    if work.sparse is None:
        message = (
            f"{device} computes zeros that may be anywhere like other weights: the cost is that of dense weights. "
            f"A pattern that it skips, such as {field('sparsity')} 2:4, costs less"
        )
    else:
        most = 3 / (1 + 2 * (1 - sparsity.share))
        message = (
            f"products of weights in the pattern {sparsity.pattern} are counted at the sparse peak of {device}, forward and in the "
            f"gradients of inputs: at most {most:.2g}x on these products; of 1.5x for 2:4, 1.3x was measured"
        )
    return [Caution("estimate", message)]
