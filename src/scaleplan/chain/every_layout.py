"""Every legal layout of a model on so many devices, its peak memory, and which of those that fit is the fastest.

The step is the one that was asked for: its micro-batch, its recomputation, its formats. Peaks are those of `chain.memory`, over arrays.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from scaleplan.chain.layout_search import Asked, run_of
from scaleplan.chain.memory import Wishes, format_missing, peak_errors_of, training_setup
from scaleplan.machine.candidates import LEAST_FIRST, LEGAL, Candidates, How, Space, enumerate_layouts
from scaleplan.machine.inverse import best_of, divisors
from scaleplan.machine.layout import Layout, fixed_sizes, rules
from scaleplan.machine.memory import Room, peak_bytes, usual_batch_seqs
from scaleplan.machine.search import LOOKED_AT, Priced, fastest, recommended, row_of, single, times_of
from scaleplan.machine.stack import Stack
from scaleplan.machine.training_run import Row, Run
from scaleplan.model.items import Bill
from scaleplan.numeric import ceil_div


class Every(NamedTuple):
    """Legal layouts as arrays, and the peak of each."""

    space: Space
    some: Candidates
    peak_bytes: Any

    def least(self) -> Layout:
        """The one that needs least memory."""
        return single(self.some.take([int(self.peak_bytes.argmin())]))

    def simplest(self, fitting: Any) -> Layout:
        """Of those that fit: the fewest stages, the least division of the sequence, the fewest tensor parallel ranks, the lowest ZeRO."""
        import numpy as np

        some = self.some.take(np.flatnonzero(fitting))
        keys = (some.n_shards, some.sequence_parallel, some.zero_stage, some.tp, some.cp, some.n_virtual_stages, some.ep, some.pp)
        return single(some.take([int(np.lexsort(keys)[0])]))


def space_of(n_devices: int, wishes: Wishes, groups: tuple[int, ...] = ()) -> Space:
    """What is enumerated: without a global batch it is one that every layout of so many devices divides; `groups` of hybrid sharding."""
    batch, replicas = wishes.global_batch_size_seqs, n_devices * wishes.micro_batch_size_seqs
    if batch is None:
        batch = replicas * int(ceil_div(usual_batch_seqs(wishes.seq_len), replicas))
    return Space(n_devices, wishes.seq_len, batch, ("none",), most_micro=wishes.micro_batch_size_seqs, shard_groups=groups)


def every_layout(bill: Bill, n_devices: int, wishes: Wishes, stack: Stack, groups: tuple[int, ...] = ()) -> Every:
    """All legal layouts with the micro-batch that was asked for, and their peaks."""
    import numpy as np

    space = space_of(n_devices, wishes, groups)
    legal = enumerate_layouts(space, fixed_sizes(bill.arch)).legal()
    some = legal.take(np.flatnonzero((legal.reason == LEGAL) & (legal.micro_batch_size_seqs == wishes.micro_batch_size_seqs)))
    if wishes.recompute in LEAST_FIRST:
        some = some._replace(recompute=np.full(some.n, LEAST_FIRST.index(wishes.recompute)))
    return Every(space, some, peaks(bill, some.layout(), wishes, stack) if some.n else np.zeros(0, dtype=np.int64))


def peaks(bill: Bill, layout: Layout, wishes: Wishes, stack: Stack) -> Any:
    """Peaks of arrays of layouts; sequence length and micro-batch of `wishes` may be arrays of the same length."""
    import numpy as np

    plain = wishes._replace(global_batch_size_seqs=None, micro_batch_size_seqs=1, seq_len=1)
    one = training_setup(bill, Layout(), plain, stack).run
    one = one._replace(how=one.how._replace(one_sequence=wishes.micro_batch_size_seqs == 1))
    batch = one.batch._replace(n_seqs=wishes.micro_batch_size_seqs, seq_len=wishes.seq_len)
    run = one._replace(batch=batch, n_micro_batches=accumulated(layout, wishes))
    return np.broadcast_to(peak_bytes(bill, layout, run), np.shape(layout.dp))


def accumulated(layout: Layout, wishes: Wishes) -> Any:
    """Micro-batches of one pipeline in a step: of the batch that was given, or of 4 Mi tokens and at least one."""
    replicas = layout.dp * wishes.micro_batch_size_seqs
    if wishes.global_batch_size_seqs is not None:
        return wishes.global_batch_size_seqs // replicas
    return ceil_div(usual_batch_seqs(wishes.seq_len), replicas)


# ------------------------------------------------------------------------------------------------------------------ ranking


def can_rank(bill: Bill, wishes: Wishes, stack: Stack, device: Mapping[str, Any]) -> bool:
    """Whether step times are known of such a step: a device with rates, all weights trained on it, one stack of layers, 1F1B."""
    rates = device.get("peak_flops_per_s", {}) and device.get("memory", {}).get("bandwidth_bytes_per_s")
    links = any(device.get(net, {}).get("bytes_per_s_per_device") for net in ("intranode", "internode"))
    plain = wishes.recompute in LEAST_FIRST and wishes.recompute_every == 1 and wishes.offload == "none" and wishes.frozen_format is None
    plain = plain and wishes.schedule == "1f1b"
    if not (rates and links and plain) or len(bill.arch.stacks) != 1 or not all(weight.trainable for _, weight in bill.weights()):
        return False
    return format_missing(device, stack.precision(wishes.precision)) is None


def ranked(every: Every, fitting: Any, bill: Bill, wishes: Wishes, room: Room, hardware: str) -> Row | None:
    """The fastest of those that fit, as `layout` ranks them; one whose memory is sure goes before one within 2 % that is not."""
    import numpy as np

    run = timed_run(every.space, bill, wishes, room, hardware)
    places = np.flatnonzero(fitting)
    some = every.some.take(places)
    steps = times_of(run, some, How(wishes.recompute)).step_s
    priced = Priced(some, every.peak_bytes[places], np.broadcast_to(steps, some.n))
    return recommended(row_of(run, some.take([place])) for place in fastest(priced, LOOKED_AT))


def timed_run(space: Space, bill: Bill, wishes: Wishes, room: Room, hardware: str) -> Run:
    """The run that the search prices, with exactly the step that was asked for."""
    asked = Asked(
        bill, hardware, space.n_devices, wishes.seq_len, space.global_batch_size_seqs, wishes.stack, wishes.precision, wishes.optimizer,
        wishes.attention, (wishes.recompute,),
    )  # fmt: skip
    run, step = run_of(asked), training_setup(bill, Layout(), wishes._replace(global_batch_size_seqs=None)).run
    device = run.machine.kernels.device._replace(capacity_bytes=room.capacity_bytes)
    machine = run.machine._replace(
        kernels=run.machine.kernels._replace(device=device),
        formats=step.formats,
        passes=lambda _: step.how,
        errors=peak_errors_of(step.stack),
        usable_share=room.usable_share,
    )
    return run._replace(space=space, machine=machine)


# ---------------------------------------------------------------------------------------------------------------- inverse


def most_over_layouts(quantity: str, bill: Bill, n_devices: int, wishes: Wishes, room: Room, stack: Stack) -> int | None:
    """The largest micro-batch or sequence length with which some layout of so many devices fits."""
    import numpy as np

    one = wishes._replace(micro_batch_size_seqs=1, global_batch_size_seqs=None)
    if quantity == "seq-len":  # every degree of context parallelism divides that many tokens
        one = wishes._replace(seq_len=n_devices)
    some = every_layout(bill, n_devices, one, stack).some
    layout, ones = some.layout(), np.ones(some.n, dtype=np.int64)
    name, step = ("seq_len", layout.cp) if quantity == "seq-len" else ("micro_batch_size_seqs", ones)

    def holds(value: Any) -> Any:
        there = wishes._replace(**{name: value})
        in_all = wishes.global_batch_size_seqs or layout.dp * there.micro_batch_size_seqs
        legal: Any = ones > 0
        for rule in rules(layout, fixed_sizes(bill.arch), there.seq_len, there.micro_batch_size_seqs, in_all):
            legal = legal & rule.holds
        return legal & room.holds(peaks(bill, layout, there, stack))

    if name == "micro_batch_size_seqs" and wishes.global_batch_size_seqs is not None:
        return best_of(divisors(wishes.global_batch_size_seqs)[::-1], lambda n: bool(holds(n * ones).any()))
    return most_of_each(holds, step)


MOST = 2**36


def most_of_each(holds: Any, step: Any) -> int | None:
    """The largest multiple of each layout's step that fits, all layouts at once: doubled until none fits, then halved; the best of them."""
    import numpy as np

    below, above = np.zeros_like(step), np.ones_like(step)
    growing = np.ones(len(step), dtype=bool)
    while growing.any() and int(above.max()) * int(step.max()) <= MOST:
        fitting = growing & holds(above * step)
        below, above, growing = np.where(fitting, above, below), np.where(fitting, 2 * above, above), fitting
    while (above - below > 1).any():
        middle = (below + above) // 2
        fitting = holds(np.maximum(middle, 1) * step) & (middle > below)
        below, above = np.where(fitting, middle, below), np.where(fitting, above, np.where(above - below > 1, middle, above))
    best = int((below * step).max()) if len(step) else 0
    return best or None
