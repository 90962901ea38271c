"""In which order each rank of a pipeline runs its passes, schedule by schedule."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple, TypeAlias

from scaleplan.errors import InputError
from scaleplan.machine.schedules import Schedule

Kind: TypeAlias = Literal["forward", "backward", "input_gradient", "weight_gradient"]


class Op(NamedTuple):
    """One pass of one micro-batch through one stage. Stages count along the way of the micro-batch."""

    kind: Kind
    stage: int
    micro_batch: int


Pass: TypeAlias = tuple[Kind, int]
"""A kind of pass through one of the two stages of a rank."""

Slot: TypeAlias = tuple[Op, ...]
"""Operations that a rank starts together: one, or a forward and a backward pass that overlap."""


def orders(schedule: Schedule, pp: int, n_virtual_stages: int, n_micro_batches: int) -> list[list[Slot]]:
    """The slots of each rank, in the order in which the schedule runs them."""
    makers: dict[str, Callable[[int], list[Slot]]] = {
        "gpipe": lambda rank: gpipe_order(rank, n_micro_batches),
        "1f1b": lambda rank: interleaved_order(rank, pp, n_virtual_stages, n_micro_batches),
        "interleaved": lambda rank: interleaved_order(rank, pp, n_virtual_stages, n_micro_batches),
        "zb1p": lambda rank: zb1p_order(rank, pp, n_micro_batches),
        "zbv": lambda rank: zbv_order(rank, pp, n_micro_batches),
        "dualpipe": lambda rank: dualpipe_order(rank, pp, n_micro_batches),
    }
    check_micro_batches(schedule, pp, n_virtual_stages, n_micro_batches)
    return [makers[schedule](rank) for rank in range(pp)]


def check_micro_batches(schedule: Schedule, pp: int, virtual: int, n_micro_batches: int) -> None:
    """Refuse counts of stages and micro-batches that a schedule cannot run."""
    if schedule in ("1f1b", "interleaved") and virtual > 1 and n_micro_batches % pp:
        raise InputError(f"interleaved 1F1B needs a multiple of pp = {pp} micro-batches; there are {n_micro_batches}")
    if schedule == "zbv" and n_micro_batches < 2 * pp - 1:
        raise InputError(f"ZBV on {pp} ranks needs at least {2 * pp - 1} micro-batches; there are {n_micro_batches}")
    if schedule == "dualpipe" and (pp % 2 or n_micro_batches % 2 or n_micro_batches < 2 * pp):
        raise InputError(
            f"DualPipe needs an even pp and an even number of at least {2 * pp} micro-batches; pp is {pp}, there are {n_micro_batches}"
        )


def one(kind: Kind, stage: int, micro_batch: int) -> Slot:
    """A slot of one operation."""
    return (Op(kind, stage, micro_batch),)


def gpipe_order(rank: int, m: int) -> list[Slot]:
    """All forward passes, then all backward passes (huang2018)."""
    return [one("forward", rank, i) for i in range(m)] + [one("backward", rank, i) for i in range(m)]


def interleaved_order(rank: int, pp: int, virtual: int, m: int) -> list[Slot]:
    """One forward, one backward; with virtual stages, groups of pp micro-batches go through a rank's stages in turn (narayanan2021)."""
    in_all = virtual * m
    warm_up = min(in_all, pp - rank - 1 if virtual == 1 else 2 * (pp - rank - 1) + (virtual - 1) * pp)

    def nth(kind: Kind, k: int) -> Slot:
        group, inside = divmod(k, pp * virtual)
        chunk = inside // pp
        chunk = chunk if kind == "forward" else virtual - 1 - chunk
        return one(kind, chunk * pp + rank, group * pp + inside % pp)

    slots = [nth("forward", k) for k in range(warm_up)]
    for k in range(in_all - warm_up):
        slots += [nth("forward", warm_up + k), nth("backward", k)]
    return slots + [nth("backward", k) for k in range(in_all - warm_up, in_all)]


def zb1p_order(rank: int, pp: int, m: int) -> list[Slot]:
    """1F1B with the gradients of the weights apart and `rank` micro-batches late, so that every rank holds as many (qi2024, ZB-H1)."""
    warm_up = min(m, pp - rank - 1)
    slots = [one("forward", rank, i) for i in range(warm_up)]
    weights = 0
    for i in range(m):
        if warm_up + i < m:
            slots.append(one("forward", rank, warm_up + i))
        slots.append(one("input_gradient", rank, i))
        if i >= rank:
            slots.append(one("weight_gradient", rank, weights))
            weights += 1
    return slots + [one("weight_gradient", rank, i) for i in range(weights, m)]


class Queue:
    """The slots of a rank as they are put together, with the next micro-batch of each kind of pass through each of its two stages."""

    def __init__(self, stages: tuple[int, int], firsts: tuple[int, int] = (0, 0)) -> None:
        self.stages, self.firsts = stages, firsts
        self.counts: dict[tuple[str, int], int] = {}
        self.slots: list[Slot] = []
        self.late: list[Op] = []

    def count(self, kind: Kind, chunk: int) -> int:
        """How many passes of a kind there are so far."""
        return self.counts.get((kind, chunk), 0)

    def next(self, kind: Kind, chunk: int) -> Op:
        """The next pass of a kind through a stage."""
        number = self.count(kind, chunk)
        self.counts[kind, chunk] = number + 1
        return Op(kind, self.stages[chunk], self.firsts[chunk] + number)

    def put(self, *passes: Pass, times: int = 1) -> None:
        """One slot after another, the whole row so many times."""
        self.slots += [(self.next(kind, chunk),) for _ in range(times) for kind, chunk in passes]


def zbv_order(rank: int, pp: int, m: int) -> list[Slot]:
    """The V-shaped zero-bubble schedule: a rank holds stage `rank` and stage 2p - 1 - rank (qi2024 section 5)."""

    def back(chunk: int) -> tuple[Pass, Pass]:
        return ("input_gradient", chunk), ("weight_gradient", chunk)

    queue = Queue((rank, 2 * pp - 1 - rank))
    queue.put(("forward", 0), times=2 * (pp - rank) - 1)
    queue.put(("forward", 1), ("forward", 0), times=rank)
    queue.put(("forward", 1), *back(1), times=pp - rank)
    while queue.count("forward", 1) < queue.count("forward", 0) or queue.count("forward", 0) < m:
        if queue.count("forward", 0) < m:
            queue.put(("forward", 0))
        queue.put(*back(0), ("forward", 1), *back(1))
    queue.put(("input_gradient", 0), ("input_gradient", 1), times=rank)
    queue.put(*back(0), times=pp - rank)
    queue.put(("weight_gradient", 1), times=m - queue.count("weight_gradient", 1))
    queue.put(("weight_gradient", 0), times=m - queue.count("weight_gradient", 0))
    return queue.slots


def dualpipe_order(rank: int, pp: int, m: int) -> list[Slot]:
    """Half of the micro-batches enter at each end; a forward and a backward pass run together wherever both are there (dualpipe)."""
    half, near = pp // 2, min(rank, pp - 1 - rank)
    second = rank >= half
    stages = (pp - 1 - rank, rank) if second else (rank, pp - 1 - rank)
    queue = DualQueue(stages, (m // 2, 0) if second else (0, m // 2))
    middle = near == half - 1
    queue.put(("forward", 0), times=2 * (half - near - 1))
    queue.put(("forward", 0), ("forward", 1), times=near + 1)
    for _ in range(half - near - 1):
        queue.backward(1, split=True)
        queue.weights()
        queue.put(("forward", 1))
    for i in range(m // 2 - pp + near + 1):
        if i == 0 and middle:
            queue.put(("forward", 0), ("backward", 1))
        else:
            queue.pair(0, 1)
        queue.pair(1, 0)
    for _ in range(half - near - 1):
        queue.backward(1)
        queue.pair(1, 0)
    for i in range(near + 1):  # the second half of these passes is split
        queue.backward(1, split=2 * i > near)
        queue.backward(0, split=2 * i + 1 > near)
    for _ in range(half - near - 1):
        queue.weights()
        queue.backward(0, split=True)
    for _ in range(near + 1):
        queue.weights()
    return queue.slots


class DualQueue(Queue):
    """The passes of DualPipe: whole or split backward passes share one count."""

    def backward(self, chunk: int, *, split: bool = False) -> None:
        """A backward pass; split, the gradients of its weights wait."""
        op = self.next("backward", chunk)
        if split:
            self.late.append(Op("weight_gradient", op.stage, op.micro_batch))
            op = Op("input_gradient", op.stage, op.micro_batch)
        self.slots.append((op,))

    def weights(self) -> None:
        """The gradients of weights that have waited longest."""
        self.slots.append((self.late.pop(0),))

    def pair(self, forward: int, backward: int) -> None:
        """A forward and a backward pass together."""
        self.slots.append((self.next("forward", forward), self.next("backward", backward)))
