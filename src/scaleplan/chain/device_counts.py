"""Runs over device counts, each with its fastest layout: what no other count beats, strong scaling, and the critical batch in both."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from scaleplan.chain.layout_search import Asked, best_on
from scaleplan.laws.batch import Tradeoff
from scaleplan.machine.scaling import Point, pareto, scaling
from scaleplan.machine.search import Progress

MOST_DOUBLINGS = 40  # of a global batch


class FrontPoint(NamedTuple):
    """A run on so many devices with its best layout, and what it costs.

    batch_seqs  sequences of a step
    n_tokens    tokens of the run: with a larger batch more are needed to the same loss, where a law tells how many
    on_front    no other count is at least as good in time, devices, dollars and energy, and better in one
    """

    point: Point
    batch_seqs: int
    n_tokens: float
    usd: float | None
    energy_wh: float | None
    on_front: bool


class Front(NamedTuple):
    """Runs over device counts, and the count from which adding devices turns less than half of them into speed."""

    points: list[FrontPoint]
    stops_paying: int | None


class Batched(NamedTuple):
    """The best layout on so many devices at one global batch, and the tokens that the run then needs."""

    batch_seqs: int
    n_tokens: float
    point: Point


def front_over(
    asked: Asked,
    counts: Sequence[int],
    n_tokens: float,
    usd_per_device_hour: float | None = None,
    system_w: float | None = None,
    progress: Progress | None = None,
    curve: Tradeoff | None = None,
) -> Front:
    """The best layout on each count; `system_w` is a device's power with its share of host and network.

    curve  steps against tokens to the loss of the run: the global batch is then the one with which the run is fastest on each count
    """
    found: list[Batched] = []
    for done, n in enumerate(sorted(counts), 1):
        start = found[-1].batch_seqs if found and curve is not None else asked.batch_seqs
        found += on_count(asked._replace(n_devices=n), start, n_tokens, curve)
        if progress is not None and progress(done, len(counts)):
            break
    hours = [one.point.device_hours for one in found]
    usd = [None if usd_per_device_hour is None else usd_per_device_hour * hour for hour in hours]
    energy = [None if system_w is None else system_w * hour for hour in hours]
    sizes = [(one.point.wall_s, float(one.point.n_devices), u or 0.0, e or 0.0) for one, u, e in zip(found, usd, energy, strict=True)]
    best = set(pareto(sizes))
    rows = [FrontPoint(one.point, *one[:2], u, e, place in best) for place, (one, u, e) in enumerate(zip(found, usd, energy, strict=True))]
    return Front(rows, scaling([one.point for one in found]).stops_paying)


def on_count(asked: Asked, batch_seqs: int, n_tokens: float, curve: Tradeoff | None) -> Iterator[Batched]:
    """The fastest run on one count, if any layout fits: at the batch of the question, or at the best power of two times it."""
    found = at_batch(asked, batch_seqs, n_tokens, curve)
    if curve is not None:
        grown = improved(asked, batch_seqs, n_tokens, curve, found, up=True)
        found = grown if grown is not found else improved(asked, batch_seqs, n_tokens, curve, found, up=False)
    if found is not None:
        yield found


def improved(asked: Asked, batch_seqs: int, n_tokens: float, curve: Tradeoff, best: Batched | None, *, up: bool) -> Batched | None:
    """The best of the doubled or halved batches, as long as the run gets faster."""
    for _ in range(MOST_DOUBLINGS):
        if not up and batch_seqs % 2:
            break
        batch_seqs = 2 * batch_seqs if up else batch_seqs // 2
        tried = at_batch(asked, batch_seqs, n_tokens, curve)
        if best is not None and (tried is None or tried.point.wall_s >= best.point.wall_s):
            break
        best = tried or best
    return best


def at_batch(asked: Asked, batch_seqs: int, n_tokens: float, curve: Tradeoff | None) -> Batched | None:
    """The run at one global batch; None where no layout fits."""
    row = best_on(asked._replace(global_batch_size_seqs=batch_seqs), asked.n_devices)
    if row is None:
        return None
    batch_tokens = batch_seqs * asked.seq_len
    tokens = n_tokens if curve is None else float(curve.tokens(batch_tokens))
    return Batched(batch_seqs, tokens, Point(asked.n_devices, row, tokens / batch_tokens * row.step_s))
