"""Every layout of a model on so many devices, as arrays: which are legal, and what is wrong with the others."""

from __future__ import annotations

import re
from collections.abc import Iterator
from math import prod
from typing import Any, NamedTuple, TypeAlias

from scaleplan.errors import InputError
from scaleplan.machine.inverse import divisors, prime_powers
from scaleplan.machine.layout import SHARDS_WEIGHTS, Fixed, Layout, rules
from scaleplan.machine.offload import OFFLOADS, Offload
from scaleplan.model.passes import RECOMPUTATIONS
from scaleplan.numeric import maximum, where
from scaleplan.wording import field

LEAST_FIRST = ("none", "selective", "per-op", "full")
"""Recomputation by what it costs."""
LEGAL = 0  # the reason of a candidate that no rule rejects
SHAPES_AT_ONCE = 262_144  # degrees and micro-batches that the rules are held to together
EXPANDED_AT_ONCE = 4096  # of them with all their choices
MOST_SHAPES = 20_000_000
MOST_LEGAL = 5_000_000  # layouts that are held at once


class Space(NamedTuple):
    """What is searched.

    n_devices, seq_len, global_batch_size_seqs  of the run
    recompute        the recomputations that are tried
    zero_stages      stages of ZeRO
    stores_scores    attention writes its scores: only then is selective recomputation another thing than none
    most_micro       largest micro-batch, in sequences
    offloads         what the host's memory may keep
    shard_groups     devices of the groups inside which ZeRO 3 may divide and across which it copies (hybrid sharding)
    """

    n_devices: int
    seq_len: int
    global_batch_size_seqs: int
    recompute: tuple[str, ...] = LEAST_FIRST
    zero_stages: tuple[int, ...] = (0, 1, 2, 3)
    stores_scores: bool = False
    most_micro: int = 2**20
    shard_groups: tuple[int, ...] = ()
    offloads: tuple[Offload, ...] = ("none",)


class Candidates(NamedTuple):
    """Layouts as arrays, and how each is run.

    n_shards   ranks over which ZeRO divides; 0: all there are
    recompute  an index into LEAST_FIRST, `offload` into OFFLOADS
    reason     an index into the rules that reject (0: none)
    """

    tp: Any
    pp: Any
    cp: Any
    dp: Any
    ep: Any
    etp: Any
    n_virtual_stages: Any
    micro_batch_size_seqs: Any
    zero_stage: Any
    n_shards: Any
    sequence_parallel: Any
    recompute: Any
    offload: Any
    reason: Any

    @property
    def n(self) -> int:
        """How many."""
        return int(self.tp.size)

    def take(self, places: Any) -> Candidates:
        """Some of them."""
        return Candidates._make(column[places] for column in self)

    @property
    def shards(self) -> Any:
        """Ranks over which ZeRO divides; 1 without it."""
        return where(self.zero_stage > 0, where(self.n_shards > 0, self.n_shards, self.dp * self.cp), 1)

    def layout(self) -> Layout:
        """Their degrees of parallelism."""
        own = None if (self.etp == self.tp).all() else self.etp
        few = where(self.n_shards > 0, self.n_shards, self.dp * self.cp) if self.n_shards.any() else None
        return Layout(self.tp, self.pp, self.cp, self.dp, self.ep, self.n_virtual_stages, self.zero_stage, self.sequence_parallel, few, own)


Choice: TypeAlias = tuple[int, int, bool, int, int]


class How(NamedTuple):
    """What the candidates of one pass have in common."""

    recompute: str = "none"
    offload: Offload = "none"


class Enumerated(NamedTuple):
    """All candidates by degree and micro-batch, and the choices that each of them has; together they are every candidate.

    space      what is searched, and the sizes of the model that the rules need
    shapes     degrees and micro-batches that no rule rejects
    n_shapes   shapes by the number of the rule that rejects them first; the first number is of those that none does
    choices    ZeRO, sequence parallel and recomputation: (stage, devices of a group of shards or 0, sequence parallel, recomputation,
               offload)
    reasons    what the numbers of `reason` mean
    """

    space: Space
    sizes: Fixed
    shapes: Candidates
    n_shapes: Any
    choices: tuple[Choice, ...]
    reasons: list[str]

    @property
    def n_considered(self) -> int:
        return int(self.n_shapes.sum()) * len(self.choices)

    def legal(self) -> Candidates:
        """Legal shapes with every choice that differs from a simpler one."""
        return expanded(self.shapes, self)

    def illegal(self) -> Iterator[Candidates]:
        """Shapes that a rule rejects with every choice, for a ledger: enumerated once more, some at a time."""
        import numpy as np

        for some, _ in shapes_of(self.space, self.sizes):
            rejected = some.take(np.flatnonzero(some.reason != LEGAL))
            for start in range(0, rejected.n, EXPANDED_AT_ONCE):
                yield expanded(rejected.take(slice(start, start + EXPANDED_AT_ONCE)), self)


# ------------------------------------------------------------------------------------------------------------------- shapes


def degrees(n_devices: int) -> list[tuple[int, int, int, int]]:
    """Every (tp, pp, cp, dp) whose product is the number of devices."""
    found = []
    for tp in divisors(n_devices):
        for pp in divisors(n_devices // tp):
            found += [(tp, pp, cp, n_devices // (tp * pp * cp)) for cp in divisors(n_devices // (tp * pp))]
    return found


def enumerate_layouts(space: Space, sizes: Fixed) -> Enumerated:
    """Degrees x virtual stages x experts' degrees x micro-batches, each with the first rule that it breaks.

    Raises InputError where there are more than a search goes through.
    """
    import numpy as np

    legal, counts, reasons = [], [], ["legal"]
    for some, reasons in shapes_of(space, sizes):
        counts.append(np.bincount(some.reason, minlength=len(reasons)))
        legal.append(some.take(np.flatnonzero(some.reason == LEGAL)))
    choices, shapes = choices_of(space), Candidates._make(map(np.concatenate, zip(*legal, strict=True)))
    check_number(shapes.n * len(choices), MOST_LEGAL, "legal layouts", space)
    return Enumerated(space, sizes, shapes, np.sum(counts, axis=0), choices, reasons)


def shapes_of(space: Space, sizes: Fixed) -> Iterator[tuple[Candidates, list[str]]]:
    """Every shape, some at a time, each with the first rule that it breaks; and what the numbers of the rules mean."""
    import numpy as np

    virtual = divisors(int(sizes.n_layers))
    experts = divisors(int(sizes.n_experts)) if sizes.n_experts else [1]
    micro = [b for b in divisors(space.global_batch_size_seqs) if b <= space.most_micro]
    own = (0, 1) if sizes.n_experts else (0,)  # etp: that of the rest, or 1
    each = len(virtual) * len(experts) * len(own) * len(micro)
    check_number(n_degrees(space.n_devices) * each, MOST_SHAPES, "layouts", space)
    base = np.array(degrees(space.n_devices), dtype=np.int64)
    at_once = max(1, SHAPES_AT_ONCE // each)
    for start in range(0, len(base), at_once):
        here = base[start : start + at_once]
        axes = np.meshgrid(np.arange(len(here)), virtual, experts, own, micro, indexing="ij")
        differs = (axes[3] == 0) | (here[axes[0], 0] > 1)
        which, vpp, ep, alone, micro_batch = (axis[differs] for axis in axes)
        tp, pp, cp, dp = (here[which, column] for column in range(4))
        none = np.zeros(len(tp), dtype=np.int64)
        etp = np.where(alone == 1, 1, tp)
        shapes = Candidates(tp, pp, cp, dp, ep, etp, vpp, micro_batch, none, none, none, none, none, none)
        reasons, broken = broken_rules(shapes, space, sizes)
        yield shapes._replace(reason=broken), reasons


def n_degrees(n_devices: int) -> int:
    """How many (tp, pp, cp, dp) have a product: of p^k there are k stars between three bars.

    >>> n_degrees(8), len(degrees(8))
    (20, 20)
    """
    return prod((power + 1) * (power + 2) * (power + 3) // 6 for _, power in prime_powers(n_devices))


def check_number(n: int, most: int, what: str, space: Space) -> None:
    """Refuse to go through more than some millions of layouts."""
    if n > most:
        raise InputError(
            f"{n:,} {what} of {space.n_devices:,} devices and {space.global_batch_size_seqs:,} sequences; at most {most:,} are searched",
            hint=f"give {field('recompute')}, or {field('n_devices')} and {field('global_batch_size_seqs')} with fewer divisors",
        )


def choices_of(space: Space) -> tuple[Choice, ...]:
    """Stages of ZeRO, the third also inside groups; sequence parallelism, recomputations, offloads."""
    again = [LEAST_FIRST.index(name) for name in space.recompute if name in RECOMPUTATIONS]
    hybrid = [(SHARDS_WEIGHTS, group) for group in space.shard_groups if SHARDS_WEIGHTS in space.zero_stages]
    zeros = [*((zero, 0) for zero in space.zero_stages), *hybrid]
    away = [OFFLOADS.index(name) for name in space.offloads]
    return tuple((*zero, sequence, how, host) for zero in zeros for sequence in (False, True) for how in again for host in away)


def broken_rules(shapes: Candidates, space: Space, sizes: Fixed) -> tuple[list[str], Any]:
    """What each number of a reason means, and the first rule that each shape breaks."""
    import numpy as np

    reasons, broken = ["legal"], np.zeros(shapes.n, dtype=np.int64)
    for holds, reason in [*own_rules(shapes, space, sizes), *layout_rules(shapes, space, sizes)]:
        reasons.append(reason)
        broken[(broken == LEGAL) & ~np.broadcast_to(holds, shapes.n)] = len(reasons) - 1
    return reasons, broken


def layout_rules(shapes: Candidates, space: Space, sizes: Fixed) -> list[tuple[Any, str]]:
    """The rules of every layout, without their numbers."""
    found = rules(shapes.layout(), sizes, space.seq_len, shapes.micro_batch_size_seqs, space.global_batch_size_seqs)
    return [(rule.holds, without_numbers(rule.reason)) for rule in found]


def own_rules(shapes: Candidates, space: Space, sizes: Fixed) -> list[tuple[Any, str]]:
    """What a search asks on top: layers in equal virtual stages, full rounds of an interleaved pipeline (narayanan2021)."""
    vpp, pp = shapes.n_virtual_stages, shapes.pp
    rounds = space.global_batch_size_seqs // (shapes.dp * shapes.micro_batch_size_seqs)
    return [
        ((vpp == 1) | (int(sizes.n_layers) % (pp * vpp) == 0), "vpp does not divide the layers of a stage"),
        ((vpp == 1) | (rounds % pp == 0), "an interleaved pipeline needs a multiple of pp micro-batches"),
    ]


def without_numbers(reason: str) -> str:
    """`tp {tp} does not divide the {whole} heads` as a name for all its cases: `tp does not divide the heads`."""
    bare = re.sub(r" of \{[^}]*\}(?= on )", "", reason)
    return re.sub(r"\s+", " ", re.sub(r"\{[^}]*\}", "", bare).replace("`", "")).strip()


# ------------------------------------------------------------------------------------------------------------------ choices

SAME_AS_SIMPLER = (
    "ZeRO needs several data parallel ranks",
    "sequence parallelism needs tp",
    "selective recomputation needs stored scores",
    "the group of a hybrid sharding is not a part of the data parallel ranks",
    "offloaded weights need ZeRO 3",
)


def expanded(shapes: Candidates, of: Enumerated) -> Candidates:
    """Every shape with every choice; what comes to the same as a simpler choice is rejected."""
    import numpy as np

    choices, reasons = of.choices, of.reasons
    n, many = shapes.n, len(choices)
    columns = [np.repeat(column, many) for column in shapes]
    zero, group, sequence, how, host = (np.tile(np.array(column), n) for column in zip(*choices, strict=True))
    found = Candidates._make([*columns[:8], zero, group // columns[0], sequence, how, host, columns[-1]])
    for name in SAME_AS_SIMPLER:
        if name not in reasons:
            reasons.append(name)
    no_scores = (how == LEAST_FIRST.index("selective")) & (not of.space.stores_scores)
    apart, whole = (group > 0) & ~is_part(found, group), (host == OFFLOADS.index("all")) & (zero < SHARDS_WEIGHTS)
    simpler = ((zero > 0) & (found.dp * found.cp == 1), sequence & (found.tp == 1), no_scores, apart, whole)
    reason = found.reason.copy()
    for name, same in zip(SAME_AS_SIMPLER, simpler, strict=True):
        reason[(reason == LEGAL) & same] = reasons.index(name)
    return found._replace(reason=reason)


def is_part(some: Candidates, group: Any) -> Any:
    """Whether so many devices in a row are several whole context parallel groups, fewer than all data parallel ranks, and divide them."""
    shards, ranks = some.n_shards, some.dp * some.cp
    whole = (shards * some.tp == group) & (shards % some.cp == 0)
    few = maximum(shards, 1)
    return whole & (shards > 1) & (shards < ranks) & (ranks % few == 0)
