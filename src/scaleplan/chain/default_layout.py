"""A layout for a number of devices where none was named: the simplest that fits, and what simpler ones lack.

In training the order is that of simplicity: data parallelism, then what ZeRO divides, then tensor parallelism inside a node. In serving
it is tensor parallelism inside a node first, then stages. Where layouts are ranked by step time, that ranking takes this one's place.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from scaleplan.chain.memory import Setup, Wishes, stack_named, training_setup
from scaleplan.errors import ScaleplanError
from scaleplan.machine.layout import Fixed, Layout, fixed_sizes, rules
from scaleplan.machine.memory import fits
from scaleplan.machine.serving_memory import Serving, serving_memory
from scaleplan.machine.stack import Stack
from scaleplan.model.items import Bill

USUAL_NODE = 8  # devices, where a device does not say how many share a node
ZERO_STAGES = (0, 1, 2, 3)
MOST_DEVICES = 2**20
EVERY_COUNT_TO = 1024  # beyond it only whole nodes are tried


class Tried(NamedTuple):
    """A layout that was priced, and the bytes by which a device is too small for it (0 where it fits)."""

    layout: Layout
    peak_bytes: int
    lacks_bytes: int


class Choice(NamedTuple):
    """The layout that was chosen, whether it fits, and the simpler ones that do not."""

    layout: Layout
    peak_bytes: int
    fits: bool
    simpler: tuple[Tried, ...]


def training_candidates(n_devices: int, n_per_node: int = USUAL_NODE) -> Iterator[Layout]:
    """Data parallelism with ZeRO 0 to 3, then the same beside 2, 4, 8 ... tensor parallel ranks of one node."""
    tp = 1
    while tp <= min(n_per_node, n_devices):
        if n_devices % tp == 0:
            dp = n_devices // tp
            for stage in ZERO_STAGES if dp > 1 else (0,):
                yield Layout(tp=tp, dp=dp, zero_stage=stage)
        tp *= 2


def serving_candidates(n_devices: int, sizes: Fixed, n_per_node: int = USUAL_NODE) -> Iterator[Layout]:
    """The most tensor parallel ranks of a node that the model's heads allow, the rest as pipeline stages, or else as copies."""
    for tp in sorted((k for k in range(1, min(n_per_node, n_devices) + 1) if n_devices % k == 0), reverse=True):
        rest = n_devices // tp
        for layout in (Layout(tp=tp, pp=rest), Layout(tp=tp, dp=rest)) if rest > 1 else (Layout(tp=tp),):
            if is_legal(layout, sizes):
                yield layout


def is_legal(layout: Layout, sizes: Fixed) -> bool:
    """Whether a model can be divided so, whatever the batch."""
    return all(bool(rule.holds) for rule in rules(layout, sizes, layout.cp, 1, layout.dp))


def training_layout(
    bill: Bill, n_devices: int, wishes: Wishes, capacity_bytes: int, n_per_node: int = USUAL_NODE, stack: Stack | None = None
) -> Choice:
    """The simplest layout of so many devices that fits; where none does, the one that lacks least."""
    stack = stack or stack_named(wishes.stack)

    def peaks() -> Iterator[tuple[Layout, int]]:
        for layout in training_candidates(n_devices, n_per_node):
            try:
                yield layout, training_setup(bill, layout, wishes, stack).peak_bytes()
            except ScaleplanError:
                if layout == Layout(dp=n_devices):
                    raise  # what even plain data parallelism refuses is wrong with the question

    return chosen(peaks(), capacity_bytes)


def serving_layout(
    bill: Bill, n_devices: int, served: Serving, capacity_bytes: int, context_bytes: int = 0, n_per_node: int = USUAL_NODE
) -> Choice:
    """Tensor parallelism first: the first layout of so many devices that fits; where none does, the one that lacks least."""
    layouts = serving_candidates(n_devices, fixed_sizes(bill.arch), n_per_node)
    return chosen(((layout, int(serving_memory(bill, layout, served, context_bytes).total_bytes)) for layout in layouts), capacity_bytes)


def chosen(priced: Iterator[tuple[Layout, int]], capacity_bytes: int) -> Choice:
    """The first that fits, and those before it; all of them where none does."""
    tried: list[Tried] = []
    for layout, peak in priced:
        if fits(peak, capacity_bytes):
            return Choice(layout, peak, True, tuple(tried))
        tried.append(Tried(layout, peak, lacking(peak, capacity_bytes)))
    least = min(tried, key=lambda one: one.peak_bytes)
    return Choice(least.layout, least.peak_bytes, False, tuple(one for one in tried if one is not least))


def lacking(peak_bytes: int, capacity_bytes: int) -> int:
    """Bytes of usable memory that a device has too little."""
    from scaleplan.machine.memory import USABLE_SHARE

    return peak_bytes - int(USABLE_SHARE * capacity_bytes)


# ------------------------------------------------------------------------------------------------------- fewest devices


def fewest_for_training(
    bill: Bill, wishes: Wishes, capacity_bytes: int, n_per_node: int = USUAL_NODE, stack: Stack | None = None
) -> tuple[int, Choice] | None:
    """The fewest devices on which one of the candidates fits, and that one; None where none does on up to 2^20.

    Every kind of layout is priced at all counts in one pass over arrays.
    """
    stack = stack or stack_named(wishes.stack)
    found = [n for n in (first_that_fits(bill, tp, stage, wishes, capacity_bytes, stack) for tp, stage in kinds(n_per_node)) if n]
    if not found:
        return None
    least = min(found)
    return least, training_layout(bill, least, wishes, capacity_bytes, n_per_node, stack)


def kinds(n_per_node: int) -> Iterator[tuple[int, int]]:
    """Tensor parallel ranks and stages of ZeRO of the candidates."""
    tp = 1
    while tp <= n_per_node:
        yield from ((tp, stage) for stage in ZERO_STAGES)
        tp *= 2


def first_that_fits(bill: Bill, tp: int, zero_stage: int, wishes: Wishes, capacity_bytes: int, stack: Stack) -> int | None:
    """The least multiple of tp at which one kind of layout is legal and fits."""
    import numpy as np

    counts = np.concatenate([np.arange(1, EVERY_COUNT_TO), np.arange(EVERY_COUNT_TO, MOST_DEVICES + 1, USUAL_NODE)]).astype(np.int64)
    dp = counts[counts % tp == 0] // tp
    layout = Layout(tp=tp, dp=dp, zero_stage=zero_stage)
    try:
        one = training_setup(bill, Layout(tp=tp, zero_stage=zero_stage), wishes._replace(global_batch_size_seqs=None), stack)
    except ScaleplanError:
        return None
    in_all = wishes.global_batch_size_seqs or dp * wishes.micro_batch_size_seqs
    legal: Any = np.ones(len(dp), dtype=bool)
    for rule in rules(layout, fixed_sizes(bill.arch), wishes.seq_len, wishes.micro_batch_size_seqs, in_all):
        legal = legal & rule.holds
    setup = Setup(bill, layout, one.run, 0)
    peaks = [stage.peak_bytes for stage in setup.stages()]
    held = np.broadcast_to(fits(peaks[0] if len(peaks) == 1 else np.maximum(*peaks), capacity_bytes), len(dp)) & legal
    return int(dp[held][0] * tp) if held.any() else None


def fewest_for_serving(
    bill: Bill, served: Serving, capacity_bytes: int, context_bytes: int = 0, n_per_node: int = USUAL_NODE
) -> tuple[int, Choice] | None:
    """The fewest devices on which a layout for serving fits; None where none does with every layer on a stage of its own."""
    sizes = fixed_sizes(bill.arch)
    most = n_per_node * int(sizes.n_layers)
    for n in range(1, most + 1):
        choice = serving_layout(bill, n, served, capacity_bytes, context_bytes, n_per_node)
        if choice.fits:
            return n, choice
    return None
