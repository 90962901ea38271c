"""A pipeline schedule run operation by operation: when each rank works, idles, and how many micro-batches it holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

from scaleplan.machine.schedule_order import Op, Slot, orders
from scaleplan.machine.schedules import PassTimes, Schedule


class Event(NamedTuple):
    """A slot and when it ran, in seconds."""

    rank: int
    slot: Slot
    start_s: float
    end_s: float


class Timeline(NamedTuple):
    """Every event of one step, by rank in the order in which the rank runs them."""

    ranks: tuple[tuple[Event, ...], ...]

    @property
    def step_s(self) -> float:
        """From the first start to the last end."""
        return max(events[-1].end_s for events in self.ranks)

    def held(self, rank: int) -> Iterator[tuple[float, int]]:
        """(second, micro-batches in flight from then on), a micro-batch once for each stage of the rank that it has passed."""
        split = {(op.stage, op.micro_batch) for event in self.ranks[rank] for op in event.slot if op.kind == "weight_gradient"}
        count = 0
        for event in self.ranks[rank]:
            begun = sum(op.kind == "forward" for op in event.slot)
            done = sum(ends(op, split) for op in event.slot)
            if begun:
                count += begun
                yield event.start_s, count
            if done:
                count -= done
                yield event.end_s, count

    def peak_held(self, rank: int) -> int:
        """The most micro-batches in flight on a rank, as `held` counts them."""
        return max(count for _, count in self.held(rank))


def ends(op: Op, split: set[tuple[int, int]]) -> bool:
    """Whether an operation is the last that reads what its micro-batch keeps on the stage."""
    if op.kind == "input_gradient":
        return (op.stage, op.micro_batch) not in split
    return op.kind in ("backward", "weight_gradient")


# ------------------------------------------------------------------------------------------------------------- simulation

Seconds: TypeAlias = Callable[[Slot], float]
"""Seconds that a slot takes."""


def run_schedule(
    schedule: Schedule, pp: int, n_virtual_stages: int, n_micro_batches: int, seconds: Seconds, hop_s: float = 0.0
) -> Timeline:
    """A step of a schedule; `hop_s` passes before a neighbour has what was sent."""
    return simulate(orders(schedule, pp, n_virtual_stages, n_micro_batches), seconds, hop_s)


def even(passes: PassTimes, n_virtual_stages: int = 1) -> Seconds:
    """The same seconds on every rank; `passes` are those of all its layers, in equal shares on its virtual stages."""
    return lambda slot: slot_seconds(slot, passes, passes) / n_virtual_stages


def of_stages(stages: Sequence[PassTimes]) -> Seconds:
    """Seconds of stages that hold unequal shares of the layers, in the order in which a micro-batch passes them."""
    return lambda slot: slot_seconds(slot, stages[slot[0].stage], stages[slot[-1].stage])


def slot_seconds(slot: Slot, first: PassTimes, last: PassTimes) -> float:
    """One pass, or a forward and a backward pass of different stages: together they take the mean of the two pairs."""
    if len(slot) == 1:
        return float(getattr(first, slot[0].kind))
    return float(first.pair + last.pair) / 2


def simulate(order: Sequence[Sequence[Slot]], seconds: Seconds, hop_s: float = 0.0) -> Timeline:
    """Run each rank's slots in their order, each as soon as what it needs has arrived."""
    ended: dict[Op, tuple[float, int]] = {}
    last = last_stages(order)
    events: list[list[Event]] = [[] for _ in order]
    waiting = True
    while waiting:
        waiting = False
        for rank, slots in enumerate(order):
            while len(events[rank]) < len(slots):
                slot = slots[len(events[rank])]
                start = ready_s(slot, rank, ended, last, hop_s)
                if start is None:
                    break
                waiting = True
                start = max(start, events[rank][-1].end_s if events[rank] else 0.0)
                end = start + seconds(slot)
                ended.update((op, (end, rank)) for op in slot)
                events[rank].append(Event(rank, slot, start, end))
    assert all(len(done) == len(slots) for done, slots in zip(events, order, strict=True)), "the order of a schedule deadlocks"
    return Timeline(tuple(map(tuple, events)))


def last_stages(order: Sequence[Sequence[Slot]]) -> int:
    """The stage at which micro-batches turn round."""
    return max(op.stage for slots in order for slot in slots for op in slot)


def ready_s(slot: Slot, rank: int, ended: dict[Op, tuple[float, int]], last: int, hop_s: float) -> float | None:
    """When all that a slot needs is there; None while it is not."""
    ready = 0.0
    for needed in (need for op in slot for need in needs(op, last)):
        found = next((ended[one] for one in needed if one in ended), None)
        if found is None:
            return None
        ready = max(ready, found[0] + (hop_s if found[1] != rank else 0.0))
    return ready


def needs(op: Op, last: int) -> Iterator[tuple[Op, ...]]:
    """What must have ended before an operation, each in its possible forms (a backward pass, whole or split)."""
    _, stage, micro_batch = op
    if op.kind == "forward":
        if stage:
            yield (Op("forward", stage - 1, micro_batch),)
    elif op.kind == "weight_gradient":
        yield (Op("input_gradient", stage, micro_batch),)
    else:
        yield (Op("forward", stage, micro_batch),)
        if stage < last:
            yield Op("backward", stage + 1, micro_batch), Op("input_gradient", stage + 1, micro_batch)


# ------------------------------------------------------------------------------------------------------------------ trace


def chrome_trace(timeline: Timeline, fixed_bytes: Sequence[float], bytes_in_flight: Sequence[float]) -> dict[str, Any]:
    """The timeline in the format that Chrome's and Perfetto's viewers read: a process for each rank, its memory as a counter.

    fixed_bytes      by rank: what stays in memory through the step
    bytes_in_flight  by rank: what one micro-batch keeps on one stage of the rank
    """
    events: list[dict[str, Any]] = []
    for rank, ran in enumerate(timeline.ranks):
        events.append({"name": "process_name", "ph": "M", "pid": rank, "args": {"name": f"pipeline rank {rank}"}})
        events += [bar(event, op) for event in ran for op in event.slot]
        levels = [(0.0, 0), *timeline.held(rank)]
        events += [
            {"name": "memory", "ph": "C", "pid": rank, "ts": 1e6 * at, "args": {"bytes": fixed_bytes[rank] + count * bytes_in_flight[rank]}}
            for at, count in levels
        ]
    return {"traceEvents": events, "displayTimeUnit": "ms"}


def bar(event: Event, op: Op) -> dict[str, Any]:
    """One operation as a complete event, times in microseconds."""
    return {
        "name": f"{op.kind.replace('_', ' ')} {op.micro_batch}",
        "cat": op.kind,
        "ph": "X",
        "pid": event.rank,
        "tid": op.kind if len(event.slot) > 1 else "compute",
        "ts": 1e6 * event.start_s,
        "dur": 1e6 * (event.end_s - event.start_s),
        "args": {"stage": op.stage, "micro_batch": op.micro_batch},
    }
