"""Where layers are: closed forms against layers dealt out one by one."""

from __future__ import annotations

import random

import numpy as np
import pytest

from scaleplan.machine.layout import Layout
from scaleplan.machine.pipeline import counts_between, head_in_layers, head_stage, layers_before, places, products, spread, stage_shares
from scaleplan.model.bill import bill_of
from scaleplan.model.shape import arch_of_shape

SHAPE = {
    "d_model": 40,
    "n_heads": 4,
    "n_kv_heads": 2,
    "d_head": 10,
    "d_ff": 84,
    "n_vocab": 1010,
    "gated": True,
    "norm": "rms",
    "tied": False,
}
LAYER = 40 * 40 + 2 * 40 * 20 + 40 * 40 + 3 * 40 * 84
HEAD = 1010 * 40


def model(n_layers: int, **words: object):
    return bill_of(arch_of_shape({**SHAPE, "n_layers": n_layers, **words}))


def dealt_evenly(n_layers: int, pp: int) -> list[int]:
    """One layer more to each stage in turn, the first stages first."""
    return [len(part) for part in np.array_split(np.arange(n_layers), pp)]


def dealt_by_cost(n_layers: int, pp: int, head: float) -> tuple[list[int], int]:
    """Layers of each stage, and the stage of the head: a stage is full when the cost so far passes its share, as nanotron deals."""
    stages, stage, done = [0] * pp, 0, 0.0
    for _ in range(n_layers):
        stages[stage] += 1
        done += 1
        if done > (stage + 1) * (n_layers + head) / pp and stage < pp - 1:
            stage += 1
    return stages, stage


@pytest.mark.parametrize("pp", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("n_layers", [7, 12, 13, 30, 32])
def test_even_layers_are_dealt_one_by_one(n_layers: int, pp: int):
    """The first stages have one more where they do not divide; the head is on the last."""
    layout = Layout(pp=pp)
    before = [layers_before(stage, layout, n_layers, 0, "even") for stage in range(pp)]

    assert before == np.cumsum([0, *dealt_evenly(n_layers, pp)])[:-1].tolist()
    assert head_stage(layout, n_layers, 3.5, "even") == pp - 1
    assert list(spread(model(n_layers), layout, "even")) == dealt_evenly(n_layers, pp)


@pytest.mark.parametrize("seed", range(40))
def test_balanced_layers_are_dealt_by_cost(seed: int):
    """Any number of layers and stages, and a head worth any number of layers."""
    chance = random.Random(seed)
    n_layers, pp, head = chance.randint(4, 60), chance.choice((1, 2, 3, 4, 5, 8)), chance.choice((0.3, 0.75, 1.6, 2.4, 5.2, 9.1))
    stages, last = dealt_by_cost(n_layers, pp, head)
    layout = Layout(pp=pp)
    before = [layers_before(stage, layout, n_layers, head, "balanced") for stage in range(pp)]

    assert before == np.cumsum([0, *stages])[:-1].tolist()
    assert head_stage(layout, n_layers, head, "balanced") == last


def test_a_head_is_worth_its_products_over_those_of_a_layer():
    """1,010 words of 40 numbers over the 14,880 products of a layer: 2.7 layers; norms and the table are no products."""
    bill = model(6)

    assert [products(layer) for layer in bill.blocks()] == [LAYER]
    assert head_in_layers(bill) == pytest.approx(HEAD / LAYER, rel=1e-12)


@pytest.mark.parametrize("seed", range(20))
def test_runs_of_layers_are_cut_where_a_list_of_them_is(seed: int):
    """Kinds of layer in a row, cut anywhere: as many of each as the list has between the two places."""
    chance = random.Random(seed)
    runs = [(kind, chance.randint(1, 6)) for kind in range(chance.randint(1, 5))]
    each = [kind for kind, count in runs for _ in range(count)]
    start = chance.randint(0, len(each))
    end = chance.randint(start, len(each))

    assert dict(counts_between(runs, start, end)) == {kind: each[start:end].count(kind) for kind, _ in runs}


@pytest.mark.parametrize("placement", ["even", "balanced"])
@pytest.mark.parametrize("pp", [1, 2, 3, 5])
def test_first_and_last_stage_hold_what_was_dealt_to_them(pp: int, placement: str):
    """The first has the table, the stage of the head what is left there."""
    bill, layout = model(14), Layout(pp=pp)
    stages, last = (dealt_evenly(14, pp), pp - 1) if placement == "even" else dealt_by_cost(14, pp, HEAD / LAYER)
    found = {
        place.stage: (sum(count for _, count in place.counts), bool(place.first), bool(place.last))
        for place in places(bill, layout, placement)
    }

    assert found == {0: (stages[0], True, last == 0), last: (stages[last], last == 0, True)}


def test_dense_layers_first_then_experts():
    """Three dense layers and seven of experts on two stages: 3 + 2 and 5."""
    bill = model(10, n_experts=4, n_experts_per_token=2, d_ff_expert=20, n_dense_layers=3)
    first, last = places(bill, Layout(pp=2), "even")

    assert [count for _, count in first.counts] == [3, 2]
    assert [count for _, count in last.counts] == [0, 5]


@pytest.mark.parametrize("tied", [False, True])
def test_a_tied_head_on_another_stage_is_a_copy(tied: bool):
    """On one rank table and head are one matrix; on two the last has its own: as many weights as untied."""
    bill = model(6, tied=tied)
    alone, apart = (stage_shares(bill, Layout(pp=pp)) for pp in (1, 2))
    block = LAYER + 2 * 40

    assert [share.n_params for share in alone] == [6 * block + 40 + HEAD * (1 if tied else 2)]
    assert [share.n_params for share in apart] == [3 * block + HEAD, 3 * block + HEAD + 40]
    assert sum(share.work for share in apart) == pytest.approx(6 + HEAD / LAYER)


def test_virtual_stages_are_dealt_as_stages():
    """Ten layers in four chunks of two ranks: 3, 3, 2, 2, of which each rank has every other."""
    assert spread(model(10), Layout(pp=2, n_virtual_stages=2), "even") == (3, 3, 2, 2)
    assert [share.n_layers for share in stage_shares(model(10), Layout(pp=2, n_virtual_stages=2))] == [5, 5]
    assert [share.n_layers for share in stage_shares(model(9), Layout(pp=2, n_virtual_stages=2))] == [5, 4]


def test_unequal_layers_weigh_by_their_products():
    """Two layers of experts that use two of 20 weigh less than two dense ones of 84; the mean layer is 1."""
    bill = model(4, n_experts=4, n_experts_per_token=2, d_ff_expert=20, n_dense_layers=2)
    attention = 40 * 40 + 2 * 40 * 20 + 40 * 40
    dense, routed = attention + 3 * 40 * 84, attention + 2 * 3 * 40 * 20 + 4 * 40
    average = (2 * dense + 2 * routed) / 4
    first, last = stage_shares(bill, Layout(pp=2))

    assert first.work == pytest.approx(2 * dense / average)
    assert last.work == pytest.approx((2 * routed + HEAD) / average)


@pytest.mark.parametrize("placement", ["even", "balanced"])
def test_places_of_several_layouts_at_once_are_those_of_each(placement: str):
    """One stage, and some: the same layers on first and last, and whether table and head stand apart."""
    bill, stages = model(14), np.array([1, 2, 3, 5])
    first, last = places(bill, Layout(pp=stages), placement)
    for place, pp in enumerate(stages.tolist()):
        alone = places(bill, Layout(pp=pp), placement)
        for both, one in ((first, alone[0]), (last, alone[-1])):
            assert [int(np.broadcast_to(count, 4)[place]) for _, count in both.counts] == [count for _, count in one.counts]
            assert bool(np.broadcast_to(both.last, 4)[place]) == bool(one.last)
        assert bool(np.broadcast_to(last.apart, 4)[place]) == bool(alone[-1].apart)
