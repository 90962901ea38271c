"""Which layers a pipeline stage holds."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

from scaleplan.machine.layout import Layout, Placement
from scaleplan.model.arch import Size
from scaleplan.model.items import Bill, Layer, total
from scaleplan.numeric import floor, floor_div, maximum, minimum, where


def layers_before(stage: Size, layout: Layout, n_layers: Size, head_layers: Any, placement: Placement) -> Size:
    """Layers on the stages before this one (0-based).

        even      stage (L // p) + min(stage, L mod p)
        balanced  min(L, floor(stage (L + H) / p) + 1), 0 for the first stage

    `balanced` counts the head as H layers and fills a stage until it has passed its share of L + H, as nanotron does; the last stages
    may then hold nothing but the head, or nothing at all.
    """
    if placement == "even":
        each = floor_div(n_layers, layout.pp)
        return stage * each + minimum(stage, n_layers - each * layout.pp)
    passed = floor(stage * (n_layers + head_layers) / layout.pp) + 1
    return where(stage == 0, 0, minimum(n_layers, passed))


def head_stage(layout: Layout, n_layers: Size, head_layers: Any, placement: Placement) -> Size:
    """The stage of the head: the last one, or the one at which a balanced placement has arrived when all layers are placed."""
    if placement == "even":
        return layout.pp - 1
    return -floor(-(n_layers * layout.pp / (n_layers + head_layers))) - 1


# ------------------------------------------------------------------------------------------------------------------ stages


class Place(NamedTuple):
    """One stage of the pipeline, and how many layers of each kind it holds: (index into the bill's layers, how many).

    first, last, apart  whether it holds the tables, the head, and the head without the tables
    """

    name: str
    stage: Size
    counts: tuple[tuple[int, Size], ...]
    first: Any
    last: Any
    apart: Any = False


def places(bill: Bill, layout: Layout, placement: Placement) -> list[Place]:
    """The stages that can be the fullest: the first, with the most micro-batches waiting, and the last, with head and loss."""
    runs = [(index, count) for index, count in bill.order if bill.layers[index].place == "block"]
    if layout.stage_layers is not None:
        return listed_places(runs, layout, layout.stage_layers)
    n_layers, head = total(count for _, count in runs), head_in_layers(bill)
    last = head_stage(layout, n_layers, head, placement)
    if isinstance(last, int) and last == 0:
        return [Place("first", 0, tuple(runs), True, True)]
    alone = last == 0
    end = where(alone, n_layers, layers_before(0 * last + 1, layout, n_layers, head, placement))
    start = layers_before(last, layout, n_layers, head, placement)
    return [
        Place("first", 0 * last, tuple(counts_between(runs, 0 * last, end)), True, alone),
        Place("last", last, tuple(counts_between(runs, start, n_layers)), alone, True, last > 0),
    ]


def listed_places(runs: list[tuple[int, Size]], layout: Layout, stage_layers: tuple[int, ...]) -> list[Place]:
    """Every rank of the pipeline, where the layers of each stage are given; rank i holds stages i, i + p, i + 2p, ..."""
    starts = [sum(stage_layers[:stage]) for stage in range(len(stage_layers))]
    found = []
    for rank in range(layout.pp):
        held: dict[int, Size] = {}
        for stage in range(rank, len(stage_layers), layout.pp):
            for index, count in counts_between(runs, starts[stage], starts[stage] + stage_layers[stage]):
                held[index] = held.get(index, 0) + count
        first, last = rank == 0, rank == layout.pp - 1
        name = "first" if first else "last" if last else f"stage {rank}"
        found.append(Place(name, rank, tuple(held.items()), first, last, last and not first))
    return found


class StageShare(NamedTuple):
    """What one pipeline rank has of the model.

    n_layers  layers on it
    work      its matrix products in units of the model's average layer; the head counts as `head_in_layers`
    n_params  weights before tensor parallelism divides them; a tied head on another rank than the table is a copy of it
    """

    name: str
    rank: int
    n_layers: int
    work: float
    n_params: int


def stage_shares(bill: Bill, layout: Layout, placement: Placement = "even") -> list[StageShare]:
    """Layers, work and weights of every pipeline rank: embedding and head weigh as the layers that they are worth.

    One layout; without `stage_layers` the layers are spread as the placement does.
    """
    runs = [(index, count) for index, count in bill.order if bill.layers[index].place == "block"]
    listed = layout.stage_layers or spread(bill, layout, placement)
    average = total(layer.runs * products(layer) for layer in bill.blocks()) / bill.n_layers
    found = []
    for place in listed_places(runs, layout, listed):
        work = total(count * products(bill.layers[index]) for index, count in place.counts) / average
        params = total(count * total(w.n_params for w in bill.layers[index].weights) for index, count in place.counts)
        for layer in bill.layers:
            if layer.place != "block" and (place.first if layer.place == "embedding" else place.last):
                params += total(w.n_params if w.stored else w.elements * place.apart for w in layer.weights)
                work += products(layer) / average if layer.place == "head" else 0
        found.append(StageShare(place.name, place.stage, total(count for _, count in place.counts), work, params))
    return found


def spread(bill: Bill, layout: Layout, placement: Placement) -> tuple[int, ...]:
    """Layers of each stage under a placement, in the order of the model."""
    n_layers = bill.n_layers
    stages = layout._replace(pp=layout.pp * layout.n_virtual_stages)
    ends = [layers_before(i, stages, n_layers, head_in_layers(bill), placement) for i in range(stages.pp)] + [n_layers]
    return tuple(end - start for start, end in pairwise(ends))


def heaviest(shares: list[StageShare]) -> StageShare:
    """The rank with the most work: every micro-batch waits for it."""
    return max(shares, key=lambda share: share.work)


def head_in_layers(bill: Bill) -> Any:
    """Products of the head over those of an average layer: what a placement that balances work counts it as."""
    work = total(layer.runs * products(layer) for layer in bill.blocks())
    return total(products(layer) for layer in bill.layers if layer.place == "head") * bill.n_layers / maximum(work, 1)


def products(layer: Layer) -> Size:
    """Elements of the weights that a token is multiplied with."""
    return total(w.used * w.elements for w in layer.weights if w.matmul)


def counts_between(runs: list[tuple[int, Size]], start: Size, end: Size) -> list[tuple[int, Size]]:
    """How many layers of each run of equal layers lie in [start, end)."""
    if len(runs) == 1:
        return [(runs[0][0], end - start)]
    found, before = [], 0
    for index, count in runs:
        found.append((index, maximum(0, minimum(end, before + count) - maximum(start, before))))
        before = before + count
    return found
