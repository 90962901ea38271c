"""A layout for a number of devices where none was named: the fastest that fits, and what simpler ones lack.

Where step times are not known, the order is that of simplicity: data parallelism, then what ZeRO divides, then tensor parallelism inside
a node. In serving it is tensor parallelism inside a node first, then stages.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from scaleplan.chain.every_layout import can_rank, every_layout, ranked
from scaleplan.chain.layout_search import shard_groups
from scaleplan.chain.memory import Setup, Wishes, stack_named, training_setup
from scaleplan.chain.step_time import device_named
from scaleplan.errors import ScaleplanError
from scaleplan.machine.layout import Fixed, Layout, fixed_sizes, rules
from scaleplan.machine.memory import Room
from scaleplan.machine.serving_memory import Serving, serving_memory
from scaleplan.machine.stack import Stack
from scaleplan.model.items import Bill

USUAL_NODE = 8  # devices, where a device does not say how many share a node
ZERO_STAGES = (0, 1, 2, 3)
MOST_DEVICES = 2**20
EVERY_COUNT_TO = 1024  # of the plainest layouts; beyond it only whole nodes are tried
EVERY_LAYOUT_TO, NODES_TO = 64, 1024  # every legal layout: of each count, then of whole nodes


class Tried(NamedTuple):
    """A layout that was priced, and the bytes by which a device is too small for it (0 where it fits)."""

    layout: Layout
    peak_bytes: int
    lacks_bytes: int


class Choice(NamedTuple):
    """The layout that was chosen, whether it fits, and the simpler ones that do not.

    step_s   its predicted step, where it was chosen for being the fastest; else it is the simplest
    lacking  the chosen one again where it does not fit
    """

    layout: Layout
    peak_bytes: int
    fits: bool
    simpler: tuple[Tried, ...]
    step_s: float | None = None
    lacking: tuple[Tried, ...] = ()

    def missed(self, layout: Layout) -> tuple[Tried, ...]:
        """All layouts that were tried in vain but for one."""
        return tuple(one for one in (*self.simpler, *self.lacking) if one.layout != layout)


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
    bill: Bill,
    n_devices: int,
    wishes: Wishes,
    room: Room,
    n_per_node: int = USUAL_NODE,
    hardware: str | None = None,
    device: Mapping[str, Any] | None = None,
    stack: Stack | None = None,
) -> Choice:
    """The fastest layout of so many devices that fits, as `layout` ranks them; the simplest that fits where step times are not known.

    Where none of all legal layouts fits, the one that lacks least.

    hardware, device  name and parsed preset of the device, for its rates
    """
    stack = stack or stack_named(wishes.stack)
    ranks = hardware is not None and device is not None and can_rank(bill, wishes, stack, device)
    groups = shard_groups(device_named(hardware), n_devices) if ranks and hardware is not None and stack.hybrid_sharding else ()
    every = every_layout(bill, n_devices, wishes, stack, groups)
    if every.some.n == 0:
        training_setup(bill, Layout(dp=n_devices), wishes, stack)  # says what is wrong
    fitting = room.holds(every.peak_bytes)
    simple = chosen(simple_peaks(bill, n_devices, wishes, n_per_node, stack), room)
    if not fitting.any():
        layout = every.least()
        return Choice(layout, training_setup(bill, layout, wishes, stack).peak_bytes(), False, simple.missed(layout))
    if ranks and hardware is not None:
        row = ranked(every, fitting, bill, wishes, room, hardware)
        if row is not None:
            peak = training_setup(bill, row.layout, wishes, stack).peak_bytes()
            return Choice(row.layout, peak, bool(room.holds(peak)), simple.simpler, row.step_s)
    if simple.fits:
        return simple
    layout = every.simplest(fitting)
    return Choice(layout, training_setup(bill, layout, wishes, stack).peak_bytes(), True, simple.missed(layout))


def simple_peaks(bill: Bill, n_devices: int, wishes: Wishes, n_per_node: int, stack: Stack) -> Iterator[tuple[Layout, int]]:
    """The candidates that a model can be divided by, with their peaks."""
    for layout in training_candidates(n_devices, n_per_node):
        try:
            yield layout, training_setup(bill, layout, wishes, stack).peak_bytes()
        except ScaleplanError:
            if layout == Layout(dp=n_devices):
                raise  # what even plain data parallelism refuses is wrong with the question


def serving_layout(bill: Bill, n_devices: int, served: Serving, room: Room, context_bytes: int = 0, n_per_node: int = USUAL_NODE) -> Choice:
    """Tensor parallelism first: the first layout of so many devices that fits; where none does, the one that lacks least."""
    layouts = serving_candidates(n_devices, fixed_sizes(bill.arch), n_per_node)
    return chosen(((layout, int(serving_memory(bill, layout, served, context_bytes).total_bytes)) for layout in layouts), room)


def chosen(priced: Iterator[tuple[Layout, int]], room: Room) -> Choice:
    """The first that fits, and those before it; all of them where none does."""
    tried: list[Tried] = []
    for layout, peak in priced:
        if room.holds(peak):
            return Choice(layout, peak, True, tuple(tried))
        tried.append(Tried(layout, peak, peak - room.usable_bytes))
    least = min(tried, key=lambda one: one.peak_bytes)
    return Choice(least.layout, least.peak_bytes, False, tuple(one for one in tried if one is not least), lacking=(least,))


# ------------------------------------------------------------------------------------------------------- fewest devices


def fewest_for_training(
    bill: Bill,
    wishes: Wishes,
    room: Room,
    n_per_node: int = USUAL_NODE,
    hardware: str | None = None,
    device: Mapping[str, Any] | None = None,
    stack: Stack | None = None,
) -> tuple[int, Choice] | None:
    """The fewest devices on which some layout fits, and the one that is taken there; None where none is found.

    Data and tensor parallel layouts are priced at all counts up to 2^20 in one pass; below the least of these, every legal layout of
    each count that the state alone does not rule out (of whole nodes from 64 devices on, up to 1,024).
    """
    stack = stack or stack_named(wishes.stack)
    found = [n for n in (first_that_fits(bill, tp, stage, wishes, room, stack) for tp, stage in kinds(n_per_node)) if n]
    plain = min(found, default=MOST_DEVICES + 1)
    for n in counts(fewest_for_state(bill, wishes, room, stack), plain, n_per_node):
        every = every_layout(bill, n, wishes, stack)
        if every.some.n and room.holds(every.peak_bytes).any():
            plain = n
            break
    if plain > MOST_DEVICES:
        return None
    return plain, training_layout(bill, plain, wishes, room, n_per_node, hardware, device, stack)


def counts(least: int, below: int, n_per_node: int) -> Iterator[int]:
    """Device counts that are tried one by one: all of them first, then whole nodes."""
    yield from range(least, min(below, EVERY_LAYOUT_TO + 1))
    first = max(least, EVERY_LAYOUT_TO + 1)
    yield from range(-(-first // n_per_node) * n_per_node, min(below, NODES_TO + 1), n_per_node)


def fewest_for_state(bill: Bill, wishes: Wishes, room: Room, stack: Stack) -> int:
    """Devices among which the state of training must be divided, whatever the layout."""
    setup = training_setup(bill, Layout(), wishes._replace(global_batch_size_seqs=None), stack)
    state = sum(setup.stages()[0].parts.state)
    return int(max(1, -(-state // max(1, room.usable_bytes - setup.run.stack.context_bytes))))


def kinds(n_per_node: int) -> Iterator[tuple[int, int]]:
    """Tensor parallel ranks and stages of ZeRO of the candidates."""
    tp = 1
    while tp <= n_per_node:
        yield from ((tp, stage) for stage in ZERO_STAGES)
        tp *= 2


def first_that_fits(bill: Bill, tp: int, zero_stage: int, wishes: Wishes, room: Room, stack: Stack) -> int | None:
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
    held = np.broadcast_to(room.holds(peaks[0] if len(peaks) == 1 else np.maximum(*peaks)), len(dp)) & legal
    return int(dp[held][0] * tp) if held.any() else None


def fewest_for_serving(
    bill: Bill, served: Serving, room: Room, context_bytes: int = 0, n_per_node: int = USUAL_NODE
) -> tuple[int, Choice] | None:
    """The fewest devices on which a layout for serving fits; None where none does with every layer on a stage of its own."""
    sizes = fixed_sizes(bill.arch)
    most = n_per_node * int(sizes.n_layers)
    for n in range(1, most + 1):
        choice = serving_layout(bill, n, served, room, context_bytes, n_per_node)
        if choice.fits:
            return n, choice
    return None
