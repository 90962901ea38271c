"""The search for the fastest layout, from names: model, device, stack, conditions; one layout explained; device counts compared."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from operator import eq, ge, gt, le, lt, ne
from typing import Any, NamedTuple

from scaleplan.chain.memory import USUAL_OPTIMIZER, USUAL_PRECISION, USUAL_STACK, Wishes, pass_of, peak_errors_of, stack_named
from scaleplan.chain.step_time import device_named, efficiency_of, kernels_of
from scaleplan.errors import UsageError, clipped
from scaleplan.machine.candidates import LEAST_FIRST, Space
from scaleplan.machine.communication import group
from scaleplan.machine.device import Device
from scaleplan.machine.held import Formats
from scaleplan.machine.layer_time import Passes
from scaleplan.machine.layout import Layout, check_layout, fixed_sizes
from scaleplan.machine.memory import usual_batch_seqs
from scaleplan.machine.offload import OFFLOADS, Offload, host_link_of
from scaleplan.machine.recipe import optimizer_named
from scaleplan.machine.scaling import GoodputOn, Point, Priced, always, fewest
from scaleplan.machine.schedules import Schedule, staged
from scaleplan.machine.search import Constraint, Progress, Searched, search
from scaleplan.machine.step_time import Step
from scaleplan.machine.training_run import Machine, Row, Run, explained
from scaleplan.model.flops import count_flops
from scaleplan.model.items import Bill
from scaleplan.wording import field, question


class Asked(NamedTuple):
    """What is to be trained, on what; None leaves it to the stack or to what is usual.

    where         conditions on the layouts of a search
    offloads      what the host's memory may keep
    tile_overlap  tensor parallel collectives are hidden behind the tiles of products
    """

    bill: Bill
    hardware: str
    n_devices: int
    seq_len: int
    global_batch_size_seqs: int | None = None
    stack: str = USUAL_STACK
    precision: str = USUAL_PRECISION
    optimizer: str = USUAL_OPTIMIZER
    attention: str | None = None
    recompute: tuple[str, ...] = LEAST_FIRST
    expert_imbalance: float = 1.0
    where: tuple[str, ...] = ()
    offloads: tuple[Offload, ...] = ("none",)
    tile_overlap: bool = False

    @property
    def batch_seqs(self) -> int:
        """Sequences of a step: as given, else the usual batch."""
        return self.global_batch_size_seqs or usual_batch_seqs(self.seq_len)


def run_of(asked: Asked) -> Run:
    """Everything that a search prices, names resolved."""
    stack, device = stack_named(asked.stack), device_named(asked.hardware)
    attention = asked.attention or stack.attention
    check_imbalance(asked.bill, asked.expert_imbalance)
    check_recomputation(asked)
    if asked.offloads != ("none",):
        host_link_of(device)
    machine = Machine(
        kernels=kernels_of(device, efficiency_of(device, asked.stack), asked.precision, attention),
        stack=stack,
        formats=Formats(stack.precision(asked.precision), optimizer_named(asked.optimizer)),
        passes=passes_of(asked, attention),
        errors=peak_errors_of(stack),
    )
    groups = shard_groups(device, asked.n_devices) if stack.hybrid_sharding else ()
    space = Space(
        asked.n_devices,
        asked.seq_len,
        asked.batch_seqs,
        asked.recompute,
        stores_scores=attention == "eager",
        shard_groups=groups,
        offloads=asked.offloads,
    )
    return Run(asked.bill, space, machine, asked.expert_imbalance, asked.tile_overlap)


def shard_groups(device: Device, n_devices: int) -> tuple[int, ...]:
    """Devices inside which hybrid sharding may divide: a node, two of them, four, ..."""
    groups, size = [], max(2, device.n_linked)
    while size < n_devices:
        groups.append(size)
        size *= 2
    return tuple(groups)


def passes_of(asked: Asked, attention: str) -> Callable[[str], Any]:
    """How a forward pass runs under a recomputation."""
    stack = stack_named(asked.stack)

    def passes(recompute: str) -> Any:
        wishes = Wishes(precision=asked.precision, attention=attention, recompute=recompute)
        return pass_of(wishes, stack)._replace(one_sequence=False)

    return passes


def check_recomputation(asked: Asked) -> None:
    """Chosen modules have bytes and no seconds."""
    strange = [name for name in asked.recompute if name not in LEAST_FIRST]
    if strange:
        problem = f"{field('recompute')} `{clipped(strange[0])}`: step times know {', '.join(LEAST_FIRST)} only"
        raise UsageError(problem, hint=f"for its memory ask {question('memory', 'MODEL', recompute=clipped(strange[0]))}")


def check_imbalance(bill: Bill, imbalance: float) -> None:
    """The busiest device has at least the mean; a dense model has no experts."""
    name = field("expert_imbalance")
    if imbalance < 1:
        raise UsageError(f"{name} is {imbalance:g}; the busiest device has at least the mean: 1 or more")
    if imbalance > 1 and fixed_sizes(bill.arch).n_experts is None:
        raise UsageError(f"{name} is of mixtures of experts; this model has none")


# ---------------------------------------------------------------------------------------------------------------- conditions

SIGNS: dict[str, Callable[[Any, Any], Any]] = {"<=": le, ">=": ge, "!=": ne, "==": eq, "=": eq, "<": lt, ">": gt}
COLUMNS = {
    "tp": "tp", "pp": "pp", "cp": "cp", "dp": "dp", "ep": "ep", "etp": "etp", "vpp": "n_virtual_stages", "zero": "zero_stage",
    "micro": "micro_batch_size_seqs", "micro_batch_size_seqs": "micro_batch_size_seqs", "sp": "sequence_parallel",
    "n_virtual_stages": "n_virtual_stages", "zero_stage": "zero_stage", "recompute": "recompute", "shard": "shards", "offload": "offload",
}  # fmt: skip


WORDS = {"recompute": LEAST_FIRST, "offload": OFFLOADS}
"""Columns whose values are words."""


def constraint_of(text: str) -> Constraint:
    """A condition as it is typed: `tp=8`, `pp<=16`, `recompute=none`."""
    found = re.fullmatch(r"\s*([a-z_]+)\s*(<=|>=|!=|==|=|<|>)\s*([a-z0-9-]+)\s*", text)
    example = f"a condition is like `tp=8` or `pp<=16`, on {', '.join(COLUMNS)}"
    if found is None or found[1] not in COLUMNS:
        raise UsageError(f"{field('where')} `{clipped(text)}` is not a condition on a layout", hint=example)
    column, sign, value = COLUMNS[found[1]], SIGNS[found[2]], found[3]
    if column in WORDS:
        words: tuple[str, ...] = WORDS[column]
        if value not in words or sign not in (eq, ne):
            raise UsageError(f"{field('where')} `{clipped(text)}`: {column} is one of {', '.join(words)}", hint=example)
        number = words.index(value)
    elif value.isdigit() and len(value) < 10:
        number = int(value)
    else:
        raise UsageError(f"{field('where')} `{clipped(text)}`: `{clipped(value)}` is not a whole number", hint=example)
    return Constraint(text.strip(), column, lambda values: sign(values, number))


def search_layouts(
    asked: Asked, where: Sequence[str] = (), top: int = 10, progress: Progress | None = None
) -> tuple[Searched, Iterator[tuple[Any, ...]]]:
    """The ranked layouts and the rows of a ledger."""
    return search(run_of(asked), top, [constraint_of(text) for text in (*asked.where, *where)], progress)


# ----------------------------------------------------------------------------------------------------------------- explaining

MEASURED_SCHEDULES = ("1f1b", "interleaved")
"""Schedules that measured steps ran; the others stand on their papers' formulas alone."""


class ScheduleRow(NamedTuple):
    """One layout under one pipeline schedule."""

    pipeline_schedule: Schedule
    step_s: float
    bubble_s: float
    peak_bytes: int
    standing: str


class Explained(NamedTuple):
    """One layout, what it loses to the best, and how sure its schedule is: `estimate`, or `formula only`."""

    row: Row
    lost_s: float | None
    standing: str


def standing_of(schedule: str, offload: str = "none", *, crosses_rails: bool = False) -> str:
    """Whether measured steps ran a schedule, with nothing on the host and no traffic between rails."""
    return "estimate" if schedule in MEASURED_SCHEDULES and offload == "none" and not crosses_rails else "formula only"


def crosses_rails(layout: Layout, device: Device) -> bool:
    """Whether collectives or pipeline transfers of one layout leave the rail of their device."""
    if device.spine_share is None:
        return False
    inner = layout.tp * layout.replicas
    groups = ((layout.cp, layout.tp), (layout.shards, layout.tp), (layout.ep, layout.expert_tp))
    transfers = layout.pp > 1 and inner * layout.pp > device.n_linked and inner % device.n_linked > 0
    return bool(transfers or any(group(size, stride, device).crosses for size, stride in groups))


def step_of(
    asked: Asked, layout: Layout, micro: int, recompute: str, schedule: Schedule, offload: Offload = "none"
) -> tuple[Run, Layout, Step]:
    """A legal step of one layout."""
    run = run_of(asked)
    batch = run.space.global_batch_size_seqs
    layout = staged(layout, schedule)
    check_layout(layout, fixed_sizes(asked.bill.arch), asked.seq_len, micro, batch)
    rounds = batch // (layout.dp * micro)
    return run, layout, Step(micro, asked.seq_len, rounds, Passes(recompute, asked.tile_overlap), schedule, asked.expert_imbalance, offload)


def explain_layout(
    asked: Asked,
    layout: Layout,
    micro: int = 1,
    recompute: str = "none",
    schedule: Schedule = "1f1b",
    best: Row | None = None,
    offload: Offload = "none",
) -> Explained:
    """One layout by part, whether it fits or not."""
    run, layout, step = step_of(asked, layout, micro, recompute, schedule, offload)
    row = explained(run, layout, step)
    crosses = crosses_rails(layout, run.machine.kernels.device)
    return Explained(row, None if best is None else row.step_s - best.step_s, standing_of(schedule, offload, crosses_rails=crosses))


def schedule_rows(
    asked: Asked, layout: Layout, schedules: Sequence[Schedule], micro: int = 1, recompute: str = "none", offload: Offload = "none"
) -> list[ScheduleRow]:
    """The same layout under several schedules: the interleaved one with its virtual stages, the others without."""
    found = []
    for schedule in schedules:
        alone = layout if schedule == "interleaved" else layout._replace(n_virtual_stages=1)
        told = explain_layout(asked, alone, micro, recompute, schedule, offload=offload)
        found.append(ScheduleRow(schedule, told.row.step_s, told.row.parts["bubble"], told.row.peak_bytes, told.standing))
    return found


# -------------------------------------------------------------------------------------------------------------- device counts


def whole_nodes(hardware: str, least: int, most: int) -> list[int]:
    """Device counts of whole nodes in a range; below one node, the powers of two."""
    node = device_named(hardware).n_per_node
    few = [n for n in (1, 2, 4, 8, 16) if n < node and least <= n <= most]
    return few + list(range(-(-max(least, node) // node) * node, most + 1, node))


def best_on(asked: Asked, n_devices: int) -> Row | None:
    """The fastest layout on so many devices."""
    found, _ = search_layouts(asked._replace(n_devices=n_devices), top=1)
    return found.ranked[0] if found.ranked else None


def fewest_devices(
    asked: Asked, counts: Sequence[int], n_tokens: float, deadline_s: float, priced: Priced | None = None, goodput: GoodputOn = always
) -> Point | None:
    """The smallest count that passes so many tokens in time; counts that could not at the device's peak are not priced."""
    run = run_of(asked)
    batch_tokens = run.space.global_batch_size_seqs * asked.seq_len
    flops = count_flops(asked.bill, asked.seq_len).training_flops / asked.seq_len
    least_device_s = n_tokens * float(flops) / 2 / run.machine.kernels.product_flops_per_s  # causal attention may halve what is computed
    return fewest(lambda n: best_on(asked, n), counts, n_tokens / batch_tokens, deadline_s, least_device_s, priced, goodput)
