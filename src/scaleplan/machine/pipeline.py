"""Which layers a pipeline stage holds."""

from __future__ import annotations

from typing import Any, NamedTuple

from scaleplan.machine.layout import Layout
from scaleplan.model.arch import Size
from scaleplan.model.items import Bill, Layer, total
from scaleplan.numeric import floor_div, maximum, minimum, where

PLACEMENTS = ("even", "balanced")


def layers_before(stage: Size, layout: Layout, n_layers: Size, head_layers: Any, placement: str) -> Size:
    """Layers on the stages before this one (0-based).

        even      stage (L // p) + min(stage, L mod p)
        balanced  min(L, floor(stage (L + H) / p) + 1), 0 for the first stage

    `balanced` counts the head as H layers and fills a stage until it has passed its share of L + H, as nanotron does; the last stages
    may then hold nothing but the head, or nothing at all.
    """
    if placement == "even":
        each = floor_div(n_layers, layout.pp)
        return stage * each + minimum(stage, n_layers - each * layout.pp)
    passed = whole(stage * (n_layers + head_layers) / layout.pp) + 1
    return where(stage == 0, 0, minimum(n_layers, passed))


def head_stage(layout: Layout, n_layers: Size, head_layers: Any, placement: str) -> Size:
    """The stage of the head: the last one, or the one at which a balanced placement has arrived when all layers are placed."""
    if placement == "even":
        return layout.pp - 1
    return minimum(layout.pp - 1, -whole(-(n_layers * layout.pp / (n_layers + head_layers))) - 1)


def whole(x: Any) -> Any:
    """Rounded down, an int or an array of ints."""
    return (x // 1).astype("int64") if hasattr(x, "astype") else int(x // 1)


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


def places(bill: Bill, layout: Layout, placement: str) -> list[Place]:
    """The stages that can be the fullest: the first, with the most micro-batches waiting, and the last, with head and loss."""
    runs = [(index, count) for index, count in bill.order if bill.layers[index].place == "block"]
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


def head_in_layers(bill: Bill) -> Any:
    """Products of the head over those of an average layer: what a placement that balances work counts it as."""
    blocks = [layer for layer in bill.layers if layer.place == "block"]
    work = total(layer.runs * products(layer) for layer in blocks)
    runs = total(layer.runs for layer in blocks)
    return total(products(layer) for layer in bill.layers if layer.place == "head") * runs / maximum(work, 1)


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
