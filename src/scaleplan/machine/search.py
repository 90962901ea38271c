"""The fastest layout that fits: every candidate is cut by legality, then by memory, and what is left is priced and ranked.

Arrays all the way: a candidate costs a few microseconds. Seconds come from `step_time`, bytes from `memory`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import Any, NamedTuple

from scaleplan.machine.candidates import LEAST_FIRST, LEGAL, Candidates, Enumerated, How, enumerate_layouts
from scaleplan.machine.layer_time import LayerTime, Passes
from scaleplan.machine.layout import SHARDS_WEIGHTS, Layout, fixed_sizes
from scaleplan.machine.ledger import illegal_rows, priced_rows
from scaleplan.machine.memory import Phase, stages
from scaleplan.machine.offload import OFFLOADS
from scaleplan.machine.roofline import Ranks
from scaleplan.machine.step_time import Step, StepTime, Sums, assembled, sums_of
from scaleplan.machine.training_run import Row, Run, explained

AT_ONCE = 8192  # candidates in one pass: their arrays stay in a core's cache, and below the size that allocators map and unmap
LOOKED_AT = 20  # of the fastest layouts, among which one is recommended, however few are shown
CLOSE = 0.02  # a layout whose memory is unsure must be faster by more than this to be recommended before one that fits
MEMORY_PARTS = ("weights", "gradients", "optimizer", "activations", "other")
NO_MEMORY = "memory: mostly {}"
STOPPED = "not priced: stopped"
Progress = Callable[[int, int], Any]
"""Told how many of how many are priced; a true answer stops the search, which then has the best so far."""


class Searched(NamedTuple):
    """What a search found.

    ranked       the fastest layouts that fit, fastest first
    recommended  the first of them whose memory is sure to fit and that is within 2 % of the fastest; else the fastest
    rejected     candidates by the reason that they fell, most first
    closest      where nothing fits, the legal layout that needs least memory
    """

    ranked: list[Row]
    recommended: Row | None
    n_considered: int
    n_fitting: int
    rejected: dict[str, int]
    closest: Row | None = None


# ---------------------------------------------------------------------------------------------------------------- constraints


class Constraint(NamedTuple):
    """A condition on a column: `tp=8`, `pp<=16`."""

    text: str
    column: str
    holds: Callable[[Any], Any]


# ------------------------------------------------------------------------------------------------------------------ pricing


class Peaks(NamedTuple):
    """Peak bytes of candidates and the largest part of each, as an index into MEMORY_PARTS."""

    peak_bytes: Any
    largest: Any


def peaks_of(run: Run, some: Candidates, how: How) -> Peaks:
    """The fullest moment of the fullest stage."""
    import numpy as np

    peak: Any = np.zeros(some.n, dtype=np.int64)
    largest = np.zeros(some.n, dtype=np.int64)
    for stage in stages(run.bill, some.layout(), run.training(some, how)):
        for phase in stage.phases:
            total = phase.total_bytes
            fuller = total > peak
            peak = np.where(fuller, total, peak)
            if fuller.any():
                largest = np.where(fuller, largest_part(phase, some.n), largest)
    return Peaks(peak, largest)


def largest_part(phase: Phase, n: int) -> Any:
    """Which part of a phase takes most."""
    import numpy as np

    parts = (phase.weights_bytes, phase.gradients_bytes, phase.optimizer_bytes, phase.activations_bytes, phase.other_bytes)
    found, most = np.zeros(n, dtype=np.int64), np.broadcast_to(parts[0], n)
    for index, part in enumerate(parts[1:], 1):
        more = part > most
        found, most = np.where(more, index, found), np.where(more, part, most)
    return found


INNER = ("tp", "cp", "ep", "etp", "micro_batch_size_seqs", "sequence_parallel")
"""What a layer's seconds depend on, beside whether ZeRO 3 divides its weights."""


def times_of(run: Run, some: Candidates, how: How) -> StepTime:
    """Seconds of candidates: layers once for each combination that they depend on, steps for each candidate."""
    import numpy as np

    keys = [getattr(some, name).astype(np.int64) for name in INNER] + [(some.zero_stage >= SHARDS_WEIGHTS).astype(np.int64)]
    packed = np.zeros(some.n, dtype=np.int64)
    for key in keys:
        packed = packed * (int(key.max()) + 1) + key
    _, first, place = np.unique(packed, return_index=True, return_inverse=True)
    kinds = some.take(first)
    kernels = run.machine.kernels
    few = sums_of(
        run.bill,
        Ranks(kinds.layout(), kinds.micro_batch_size_seqs, run.space.seq_len, run.imbalance),
        kernels,
        Passes(how.recompute, run.tile_overlap),
    )
    ranks = Ranks(some.layout(), some.micro_batch_size_seqs, run.space.seq_len, run.imbalance)
    return assembled(spread(few, place), ranks, run.step(some, how), kernels, run.bill.arch.d_model)


def spread(few: Sums, place: Any) -> Sums:
    """Sums of kinds of layers for every candidate."""

    def each(value: Any) -> Any:
        return value[place] if getattr(value, "shape", ()) else value

    layers, head = (LayerTime._make(map(each, one)) for one in (few.layers, few.head))
    return Sums(layers, head, few.n_layers, each(few.dense), each(few.routed), each(few.outside))


# ------------------------------------------------------------------------------------------------------------------- search


class Priced(NamedTuple):
    """Legal candidates with peaks; seconds of those that fit, infinite for the others."""

    some: Candidates
    peak_bytes: Any
    step_s: Any


def search(
    run: Run, top: int = 10, constraints: Sequence[Constraint] = (), progress: Progress | None = None
) -> tuple[Searched, Iterator[tuple[Any, ...]]]:
    """The ranked layouts, and the rows of a ledger of all candidates (`ledger.HEADING`), made only as they are read."""
    found = enumerate_layouts(run.space, fixed_sizes(run.bill.arch))
    reasons = found.reasons
    priced = price(run, constrained(found.legal(), constraints, reasons), reasons, progress)
    rejected = counted(found, priced.some, reasons)
    rows = [row_of(run, priced.some.take([place])) for place in fastest(priced, top)]
    n_fitting = int((priced.some.reason == LEGAL).sum())
    closest = None if rows else closest_row(run, priced)
    result = Searched(rows, recommended_of(run, priced, rows), found.n_considered, n_fitting, rejected, closest)
    tokens = run.space.global_batch_size_seqs * run.space.seq_len / run.space.n_devices
    return result, chain(priced_rows(priced.some, priced.peak_bytes, priced.step_s, reasons, tokens), illegal_rows(found))


def closest_row(run: Run, priced: Priced) -> Row | None:
    """The candidate of least peak among those whose memory was counted."""
    import numpy as np

    counted_places = np.flatnonzero(priced.peak_bytes > 0)
    if not len(counted_places):
        return None
    return row_of(run, priced.some.take([counted_places[np.argmin(priced.peak_bytes[counted_places])]]))


def constrained(some: Candidates, constraints: Sequence[Constraint], reasons: list[str]) -> Candidates:
    """Candidates that break a condition of the user's are rejected by its text."""
    reason = some.reason.copy()
    for constraint in constraints:
        reasons.append(constraint.text)
        reason[(reason == LEGAL) & ~constraint.holds(getattr(some, constraint.column))] = len(reasons) - 1
    return some._replace(reason=reason)


def price(run: Run, some: Candidates, reasons: list[str], progress: Progress | None) -> Priced:
    """Memory of all that are legal, time of all that fit."""
    import numpy as np

    first = len(reasons)
    reasons += [*(NO_MEMORY.format(part) for part in MEMORY_PARTS), STOPPED]
    reason, peaks, steps = some.reason.copy(), np.zeros(some.n, dtype=np.int64), np.full(some.n, np.inf)
    legal = some.reason == LEGAL
    reason[legal] = len(reasons) - 1
    done, total = 0, int(legal.sum())
    for how, places in batches(some, legal):
        part = some.take(places)
        held = peaks_of(run, part, how)
        peaks[places] = held.peak_bytes
        fitting = run.machine.room.holds(held.peak_bytes)
        reason[places] = np.where(fitting, LEGAL, first + held.largest)
        if fitting.any():
            steps[places[fitting]] = times_of(run, part.take(fitting), how).step_s
        done += len(places)
        if progress is not None and progress(done, total):
            break
    return Priced(some._replace(reason=reason), peaks, steps)


def batches(some: Candidates, legal: Any) -> Iterator[tuple[How, Any]]:
    """Places of the legal candidates with one recomputation and offload, as many as one pass takes."""
    import numpy as np

    for host, offload in enumerate(OFFLOADS):
        here = legal & (some.offload == host)
        for again, recompute in enumerate(LEAST_FIRST if here.any() else ()):
            places = np.flatnonzero(here & (some.recompute == again))
            for start in range(0, len(places), AT_ONCE):
                yield How(recompute, offload), places[start : start + AT_ONCE]


def fastest(priced: Priced, top: int) -> list[int]:
    """Places of the fastest; among equals the one with least memory."""
    import numpy as np

    many = min(top, int(np.isfinite(priced.step_s).sum()))
    if not many:
        return []
    near = np.flatnonzero(priced.step_s <= np.partition(priced.step_s, many - 1)[many - 1])
    order = np.lexsort((priced.peak_bytes[near], priced.step_s[near]))
    return [int(place) for place in near[order][:many]]


def counted(found: Enumerated, legal: Candidates, reasons: list[str]) -> dict[str, int]:
    """Rejected candidates by reason, most first."""
    import numpy as np

    by_shape = np.append(found.n_shapes, [0] * (len(reasons) - len(found.n_shapes))) * len(found.choices)
    by_choice = np.bincount(legal.reason, minlength=len(reasons))
    counts: dict[str, int] = {}
    for name, shapes, choices in zip(reasons[1:], by_shape[1:], by_choice[1:], strict=True):
        counts[name] = counts.get(name, 0) + int(shapes) + int(choices)
    return dict(sorted(((name, n) for name, n in counts.items() if n), key=lambda item: -item[1]))


def recommended_of(run: Run, priced: Priced, rows: Sequence[Row]) -> Row | None:
    """The recommended of the ranked rows and of those that follow them."""
    more = (row_of(run, priced.some.take([place])) for place in fastest(priced, LOOKED_AT)[len(rows) :])
    return recommended(chain(rows, more))


def recommended(rows: Iterable[Row]) -> Row | None:
    """The fastest whose memory is sure to fit, if it is within 2 % of the fastest of all; rows are read as far as they are needed."""
    best = None
    for row in rows:
        best = best or row
        if row.step_s > (1 + CLOSE) * best.step_s:
            break
        if row.verdict == "fits":
            return row
    return best


# --------------------------------------------------------------------------------------------------------------------- rows


def row_of(run: Run, one: Candidates) -> Row:
    """All figures of one candidate."""
    recompute = LEAST_FIRST[int(one.recompute[0])]
    layout = single(one)
    micro, rounds = int(one.micro_batch_size_seqs[0]), int(run.n_micro_batches(one)[0])
    step = Step(
        micro,
        run.space.seq_len,
        rounds,
        Passes(recompute, run.tile_overlap),
        imbalance=run.imbalance,
        offload=OFFLOADS[int(one.offload[0])],
    )
    return explained(run, layout, step)


def single(one: Candidates) -> Layout:
    """The layout of an array of one."""
    numbers = [int(column[0]) for column in (one.tp, one.pp, one.cp, one.dp, one.ep, one.n_virtual_stages, one.zero_stage)]
    own = None if int(one.etp[0]) == numbers[0] else int(one.etp[0])
    few = int(one.n_shards[0]) or None
    return Layout._make([*numbers, bool(one.sequence_parallel[0]), few, own, None])
