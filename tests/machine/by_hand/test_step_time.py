"""The parts of a step, worked out by hand from made-up sums over the layers."""

from __future__ import annotations

from typing import Any

import pytest
from tests.machine.plain_device import DENSE, DEVICE, EXPERTS, LAUNCH, LINK, MEMORY, OWN, PEAK, bill, kernels, ring

from scaleplan.machine.correction import ProductShape
from scaleplan.machine.device import HostLink
from scaleplan.machine.layer_time import LayerTime, Passes, layer_time
from scaleplan.machine.layout import Layout
from scaleplan.machine.roofline import Ranks
from scaleplan.machine.step_time import (
    Step,
    StepTime,
    Sums,
    assembled,
    corrected,
    exposed_reduction_s,
    from_host_s,
    gathers_s,
    overlapped,
    reduction_s,
    stage_pass,
    stages_of,
    sums_of,
    transfers_s,
    update_s,
    utilisation,
    weight_groups,
)

LAYERS = LayerTime(0.2, 0.03, 0.05, 0.07, 0.011, 0.013, 0.17, 0.11, 0.067, 0.29)
HEAD = LayerTime(0.019, 0.0, 0.023, 0.0029, forward_s=0.0063, weight_s=0.0061)
SUMS = Sums(LAYERS, HEAD, n_layers=13, dense=3.1e9, routed=7.3e9, outside=1.3e9)
L, H = 0.2 + 0.03 + 0.05 + 0.07 + 0.011 + 0.013 + 0.17, 0.019 + 0.023 + 0.0029  # seconds of all layers, of the head
HOST = DEVICE._replace(host_link=HostLink(6.1e10, 7.9e10))


def ranks(layout: Layout) -> Ranks:
    return Ranks(layout, 5, 34)


# -------------------------------------------------------------------------------------------------------------------- layers


def test_every_kind_of_layer_times_its_number():
    """Three dense layers with weights of their own, seven of experts that share one set; what lies outside is the head."""
    dense, moe = bill(DENSE).blocks()[0], bill(EXPERTS).blocks()[0]
    head = bill(DENSE).layers[-1]
    layers = (dense._replace(runs=3, copies=2), moe._replace(runs=7, copies=1), head)
    here, on = ranks(Layout(tp=2, ep=3)), kernels()
    found = sums_of(bill(DENSE)._replace(layers=layers), here, on, Passes("full"))
    one, other = (layer_time(layer, here, on, Passes("full")) for layer in (dense, moe))

    assert found.layers == pytest.approx([*(3 * a + 7 * b for a, b in zip(one[:-1], other[:-1], strict=True)), one.u_host], rel=1e-12)
    assert found.n_layers == 10
    assert found.dense == 2 * 390 * ((840 + 420 + 3003) / 2 + 2) + 390 * ((840 + 420 + 3 * 420) / 2 + 12 + 2)
    assert found.routed == 12 / 3 * 3 * 390 * 210 / 2
    assert found.outside == 390 * 32003 / 2
    assert found.head.product_s > 0


# -------------------------------------------------------------------------------------------------------------------- stages


@pytest.mark.parametrize("balanced", [True, False])
def test_one_stage_has_all_layers_and_the_head(balanced):
    """And nobody waits for another."""
    assert stages_of(SUMS, Layout(), 0.37, balanced=balanced) == pytest.approx((L + 0.37 + H, L + 0.37 + H, 1))


@pytest.mark.parametrize(("pp", "most"), [(2, 7), (4, 4)])
def test_a_head_on_top_of_the_last_stage(pp, most):
    """13 layers over two stages or four: at most seven or four, and the head; the pipeline fills at the pace of the others."""
    each = (L + 0.37) / 13

    assert stages_of(SUMS, Layout(pp=pp), 0.37, balanced=False) == pytest.approx((most * each + H, most * each, most / 13))


@pytest.mark.parametrize(
    ("pp", "n_layers", "head", "slowest"),
    [
        (4, 13, 0.4, 4),  # some stage has four layers: 3.35 on average, and half of one
        (4, 12, 0.2, 3.2),  # three layers on each, the head on top of the last
        (4, 12, 1.8, 3.45 + 0.5),  # the average of 12 + 1.8, and half a layer
        (4, 12, 9.1, 9.1),  # a head longer than what is left for the others
        (2, 12, 1.8, 6.9 + 0.5),
    ],
)
def test_layers_make_room_for_the_head(pp, n_layers, head, slowest):
    """Balanced stages, layers of 1 s: no faster than the fullest or the head alone, no slower than the head on top of it.

    The pipeline fills at the pace of the mean.
    """
    sums = SUMS._replace(layers=LayerTime(product_s=n_layers - 0.7), head=LayerTime(product_s=head), n_layers=n_layers)
    found = stages_of(sums, Layout(pp=pp), 0.7, balanced=True)

    assert found == pytest.approx((slowest, (n_layers + head) / pp, -(-n_layers // pp) / n_layers))


@pytest.mark.parametrize(
    ("pp", "layers", "slowest", "pace", "most"),
    [
        (2, (2, 3, 5, 1), (7, 0), (7, 0), 7),  # ranks hold 2 + 5 and 3 + 1
        (2, (2, 3, 5, 5), (8, 1), (8, 0), 8),
        (1, (4, 3), (7, 1), (7, 1), 7),
        (3, (1, 5, 3), (5, 0), (5, 0), 5),
    ],
)
def test_stages_that_were_given(pp, layers, slowest, pace, most):
    """Rank r holds stages r, r + p, ...; the last has the head too; all wait for the slowest. (layers, heads) of each."""
    n = sum(layers)
    layout = Layout(pp=pp, n_virtual_stages=len(layers) // pp, stage_layers=layers)
    sums = SUMS._replace(n_layers=n)
    each, head = (L + 0.37) / n, H
    by_hand = (slowest[0] * each + slowest[1] * head, pace[0] * each + pace[1] * head, most / n)

    assert stages_of(sums, layout, 0.37, balanced=True) == pytest.approx(by_hand, rel=1e-12)


# ------------------------------------------------------------------------------------------------------------- data parallel


@pytest.mark.parametrize(
    ("layout", "dense", "experts"),
    [
        (Layout(tp=2, dp=4), (4, 4, 1), (4, 4, 1)),
        (Layout(tp=2, dp=4, ep=4, etp=1), (4, 4, 1), (2, 2, 1)),
        (Layout(tp=2, cp=2, dp=8, ep=2), (16, 4, 4), (8, 2, 4)),
        (Layout(tp=2, dp=16, n_shards=8, ep=4), (8, 4, 2), (2, 1, 2)),
        (Layout(dp=4, ep=8), (4, 4, 1), (1, 1, 1)),
    ],
)
def test_who_divides_dense_weights_and_who_an_expert(layout, dense, experts):
    """Data and context parallel ranks lie tp devices apart; those that hold the same expert ep etp apart, at least one."""
    found = weight_groups(layout, kernels())

    assert [group[:3] for group in found] == [dense, experts]


@pytest.mark.parametrize("gather_network", [None, 0.21])
def test_zero_3_gathers_weights_and_reduces_gradients_of_every_layer(gather_network):
    """3.3 collectives of 2 bytes a weight and layer: 16 ranks of four nodes, and eight of an expert's; at most 0.57 of it hidden.

    A stack may have a network rate of its own for them.
    """
    layout, on = Layout(tp=2, cp=2, dp=8, ep=2, zero_stage=3), kernels(gather_network=gather_network)
    network = 4.7e10 * (gather_network or 0.89) * 4**-0.037
    late = 41e-6 * 4**0.75 / 2

    def gathered(size: float, g: int, members: int) -> float:
        return (g - 1) / g * size / (network * members) + late

    moved = 3.3 * 13 * (gathered(2 * 3.1e9 / 13, 16, 4) + gathered(2 * 7.3e9 / 13, 8, 2))
    compute = 0.2 + 0.03 + 0.05 + 0.07
    idle = SUMS._replace(layers=LAYERS._replace(product_s=10.0))

    assert gathers_s(SUMS, ranks(layout), on) == pytest.approx(moved - compute, rel=1e-12)
    assert gathers_s(idle, ranks(layout), on) == pytest.approx(0.43 * moved, rel=1e-12)
    for stage in (0, 1, 2):
        assert gathers_s(SUMS, ranks(layout._replace(zero_stage=stage)), on) == 0


HYBRID = Layout(tp=2, dp=32, ep=4, etp=1, n_shards=4)


def copied(dense: float, routed: float) -> float:
    """All-reduces over eight copies of four shards, one member a node, and over eight of an expert's two shards."""
    return 2 * ring(dense / 4, 8, 8) + 2 * ring(routed / 2, 8, 8)


def test_hybrid_sharding_reduces_shards_over_their_copies():
    """32 ranks in groups of four; an expert is held by 64 / 4 ranks in groups of two. No experts: nothing is sent for them."""
    on, layout = kernels(gather_hidden=0.0), HYBRID._replace(zero_stage=3)
    inside = 3.3 * 13 * (ring(2 * 3.1e9 / 13, 4) + ring(2 * 7.3e9 / 13, 2))
    no_experts = 3.3 * 13 * (ring(2 * 3.1e9 / 13, 4) + ring(0, 2)) + 2 * ring(2 * 3.1e9 / 4, 8, 8)

    assert gathers_s(SUMS, ranks(layout), on) == pytest.approx(inside + copied(2 * 3.1e9, 2 * 7.3e9), rel=1e-12)
    assert gathers_s(SUMS._replace(routed=0), ranks(layout), on) == pytest.approx(no_experts, rel=1e-12)


@pytest.mark.parametrize(("zero_stage", "times"), [(0, None), (1, 1), (2, 7), (3, 0)])
def test_gradients_of_a_step_are_reduced(zero_stage, times):
    """3.7 bytes a weight all-reduced; sharded, they are reduced (with ZeRO 2 for each of 7 micro-batches) and 2 bytes gathered.

    Of the layers 0.41 are on this device, of head or table all.
    """
    layout = Layout(tp=2, cp=2, dp=8, ep=2, zero_stage=zero_stage)
    held = (0.41 * 3.1e9 + 1.3e9, 16), (0.41 * 7.3e9, 8)
    if times is None:
        by_hand = sum(2 * ring(3.7 * w, g, 4) for w, g in held)
    else:
        by_hand = sum(times * ring(3.7 * w, g, 4) + (times > 0) * ring(2 * w, g, 4) for w, g in held)

    assert reduction_s(SUMS, ranks(layout), kernels(), 0.41, 7) == pytest.approx(by_hand, rel=1e-12)


def test_gradients_of_hybrid_shards_pass_their_copies_too():
    """ZeRO 1 over four of 32 ranks: reduced and gathered in the group, all-reduced across."""
    dense, routed = 0.41 * 3.1e9 + 1.3e9, 0.41 * 7.3e9
    inside = ring(3.7 * dense, 4) + ring(2 * dense, 4) + ring(3.7 * routed, 2) + ring(2 * routed, 2)
    found = reduction_s(SUMS, ranks(HYBRID._replace(zero_stage=1)), kernels(), 0.41, 7)

    assert found == pytest.approx(inside + copied(3.7 * dense, 3.7 * routed), rel=1e-12)


@pytest.mark.parametrize(("zero_stage", "hidden"), [(0, 0.43), (1, 0.47), (2, 0.47)])
def test_a_share_of_the_reduction_hides_behind_computation(zero_stage, hidden):
    """At most as long as the computation that it hides behind."""
    layout = Layout(dp=8, zero_stage=zero_stage)

    assert exposed_reduction_s(0.7, layout, kernels(), 0.9) == pytest.approx(0.7 * (1 - hidden), rel=1e-12)
    assert exposed_reduction_s(0.7, layout, kernels(), 0.13) == pytest.approx(0.57, rel=1e-12)


@pytest.mark.parametrize(
    ("layout", "rate"),
    [
        (Layout(tp=2, pp=4, n_virtual_stages=3), LINK),  # eight devices are one node
        (Layout(tp=2, pp=4, cp=3, n_virtual_stages=3), OWN),
        (Layout(tp=2, pp=4, dp=3, n_virtual_stages=3), OWN),
        (Layout(tp=5, pp=2, n_virtual_stages=3), OWN),  # the second stage begins in the first node and ends in the next
    ],
)
def test_activations_go_to_the_next_stage_and_gradients_come_back(layout, rate):
    """2 bytes of T x h over the tensor parallel ranks and 19 us, each way, for each of three virtual stages; 0.27 is hidden."""
    sent = 2 * 5 * 34 / layout.cp * 390 / layout.tp

    assert transfers_s(ranks(layout), kernels(), 390) == pytest.approx(2 * 3 * (sent / rate + 1.9e-5) * 0.73, rel=1e-12)
    assert transfers_s(ranks(layout._replace(pp=1)), kernels(), 390) == 0


# -------------------------------------------------------------------------------------------------------------------- a step


def step_of(layout: Layout, *, sums: Sums = SUMS, **of_stack: Any) -> StepTime:
    return assembled(sums, ranks(layout), Step(5, 34, 7), kernels(balanced=False, **of_stack), 390)


def test_the_parts_of_a_step():
    """Seven micro-batches at the pace of the last of three stages, which has five of 13 layers and the head; each part is that stage's.

    Two stages fill the pipeline; 40 launches a step, and what depends on nothing.
    """
    layout = Layout(tp=2, pp=3, dp=4, zero_stage=3)
    gathered = gathers_s(SUMS, ranks(layout), kernels())
    found = step_of(layout)
    stage = {
        "matmul": 5 / 13 * 0.2 + 0.019, "attention": 5 / 13 * 0.03, "memory": 5 / 13 * 0.05 + 0.023, "launch": 5 / 13 * 0.07 + 0.0029,
        "tp": 5 / 13 * 0.011, "cp": 5 / 13 * 0.013, "ep": 5 / 13 * 0.17, "dp": 5 / 13 * gathered,
    }  # fmt: skip
    by_hand = {part: 7 * seconds for part, seconds in stage.items()} | {
        "bubble": 2 * 5 / 13 * (L + gathered),
        "p2p": 7 * 2 * (2 * 170 * 390 / 2 / OWN + 1.9e-5) * 0.73,
        "optimizer": 30 * ((5 / 13 * 3.1e9 + 1.3e9) / 4 + 5 / 13 * 7.3e9 / 4) / MEMORY,
        "fixed": 0.023,
    }
    by_hand["launch"] += 40 * LAUNCH

    assert gathered > 0
    assert found.parts() == pytest.approx(by_hand, rel=1e-12)
    assert found.step_s == pytest.approx(sum(by_hand.values()), rel=1e-12)
    assert found.exposed_s == pytest.approx(sum(by_hand[part] for part in ("tp", "cp", "ep", "p2p", "dp")), rel=1e-12)
    assert (found.u_host, found.u_nodes) == pytest.approx((0.29, 0.158496250072), rel=1e-9)  # log2(3) of three nodes, over 10


def test_balanced_stages_scale_every_part():
    """All parts of the stage's own layers grow alike, so that seven micro-batches take seven times the slowest stage."""
    layout = Layout(pp=3, dp=3)
    found, plain = (assembled(SUMS, ranks(layout), Step(5, 34, 7), kernels(balanced=way), 390) for way in (True, False))
    slowest = stages_of(SUMS, layout, 0.0, balanced=True).slowest_s
    of_stage = sum(found[:7]) - 40 * LAUNCH

    assert of_stage == pytest.approx(7 * slowest, rel=1e-12)
    assert found.matmul_s / plain.matmul_s == pytest.approx(slowest / (5 / 13 * L + H), rel=1e-12)


@pytest.mark.parametrize(("layout", "nodes"), [(Layout(dp=4), 1), (Layout(dp=8), 1), (Layout(tp=2, pp=5, dp=4), 5)])
def test_uncertainty_grows_with_the_nodes(layout, nodes):
    """log2 of them over ten; less than a node is one."""
    assert 2 ** (10 * step_of(layout).u_nodes) == pytest.approx(nodes, rel=1e-9)


@pytest.mark.parametrize(("zero_stage", "behind"), [(0, 1), (1, 1), (2, 7)])
def test_reductions_hide_behind_one_micro_batch_or_all_of_zero_2(zero_stage, behind):
    """A reduction far longer than that."""
    layout = Layout(tp=2, cp=2, dp=8, ep=2, zero_stage=zero_stage)
    sums = SUMS._replace(dense=3.1e13)
    whole = reduction_s(sums, ranks(layout), kernels(), 1.0, 7)

    assert step_of(layout, sums=sums).dp_s == pytest.approx(whole - behind * (L + H), rel=1e-9)


@pytest.mark.parametrize("pace", [1.3, 2.0])
def test_a_corrected_stack_stretches_every_part(pace):
    """Its pace, and the factor of a shape that was measured; what is uncertain of the step stays."""
    layout = Layout(tp=2, pp=3, dp=4, zero_stage=1)
    plain, slow = step_of(layout), step_of(layout, pace=pace)
    measured = step_of(layout, pace=pace, shapes=((390, 2, 170, 1.7), (390, 2, 171, 1.9)))

    assert slow[:12] == pytest.approx([pace * part for part in plain[:12]], rel=1e-12)
    assert measured[:12] == pytest.approx([pace * 1.7 * part for part in plain[:12]], rel=1e-12)
    assert slow[12:] == plain[12:] and measured.same_shapes == (1, 0)
    stack = kernels(steps=((3 * plain.step_s, 1.1),)).shares.stack
    own = corrected(plain.times(3), ProductShape(390, 2, 170), stack)
    assert (own.step_s, own.same_step) == pytest.approx((3.3 * plain.step_s, 1), rel=1e-12)


@pytest.mark.parametrize(("ep_s", "left"), [(0.17, 0.0), (0.57, 0.57 - 0.35)])
def test_dualpipe_hides_all_to_alls_behind_computation(ep_s, left):
    """As far as it is as long: 0.35 s. Other schedules hide nothing."""
    sums = SUMS._replace(layers=LAYERS._replace(ep_s=ep_s))

    assert overlapped(sums, "dualpipe").layers.ep_s == pytest.approx(left)
    assert overlapped(sums, "zbv") is sums


def test_a_stage_is_split_as_its_layers_are():
    """Forward pass and gradients of weights by their share, gradients of inputs the rest."""
    passes = stage_pass(7.0, SUMS)

    assert passes[:3] == pytest.approx((7 * 0.11 / L, 7 * (L - 0.11 - 0.067) / L, 7 * 0.067 / L), rel=1e-12)


# ----------------------------------------------------------------------------------------------------------------- optimizer


@pytest.mark.parametrize(("zero_stage", "dense", "experts"), [(0, 1, 1), (1, 16, 8)])
def test_the_update_moves_30_bytes_a_parameter_of_the_shard(zero_stage, dense, experts):
    """On the device at its memory rate; on the host at the host's, gradients out behind computation and 2 bytes a parameter back."""
    layout = Layout(tp=2, cp=2, dp=8, ep=2, zero_stage=zero_stage)
    params = (0.41 * 3.1e9 + 1.3e9) / dense + 0.41 * 7.3e9 / experts
    on = kernels(device=HOST)
    out = 3.7 * params / 6.1e10 - 0.0013

    assert update_s(SUMS, layout, 0.41, on, "none", 0.0013) == pytest.approx(30 * params / MEMORY, rel=1e-12)
    assert update_s(SUMS, layout, 0.41, on, "optimizer", 0.0013) == pytest.approx(
        30 * params / 7.9e10 + out + 2 * params / 6.1e10, rel=1e-12
    )


@pytest.mark.parametrize(("zero_stage", "offload", "stays"), [(3, "all", True), (2, "all", False), (3, "optimizer", False)])
def test_weights_that_the_host_keeps_are_not_sent_back(zero_stage, offload, stays):
    """Only those that ZeRO 3 divides stay there; they come with each micro-batch, 3 x 2 bytes a parameter, behind computation."""
    layout, on = Layout(tp=2, cp=2, dp=8, ep=2, zero_stage=zero_stage), kernels(device=HOST)
    params = (0.41 * 3.1e9 + 1.3e9) / 16 + 0.41 * 7.3e9 / 8
    sent = 0 if stays else 3.7 * params / 6.1e10 - 0.0013 + 2 * params / 6.1e10
    streamed = 6 * (3.1e10 / 16 + 7.3e10 / 8) / 6.1e10 - 0.35

    assert update_s(SUMS, layout, 0.41, on, offload, 0.0013) == pytest.approx(30 * params / 7.9e10 + sent, rel=1e-12)
    tenfold = SUMS._replace(dense=3.1e10, routed=7.3e10)
    assert from_host_s(tenfold, layout, on, offload) == pytest.approx(streamed if stays else 0, rel=1e-12)


# --------------------------------------------------------------------------------------------------------------- utilisation


@pytest.mark.parametrize("recompute", ["none", "full"])
def test_utilisation_is_flops_over_the_peak(recompute):
    """35 sequences on each of four replicas: 6 FLOP a weight and token, 3 x 1,680 a pair; recomputed layers count in HFU alone.

    The peak is that of the sheet, before what the power limit takes.
    """
    per_layer = 2 * 390 * (840 + 420 + 3003) * 34 + 1680 * 34 * 34
    forward = 5 * per_layer + 2 * 390 * 32003 * 34
    again = 5 * per_layer if recompute == "full" else 0
    possible = 0.31 * 2 * 3 * 4 * PEAK / 0.87
    on = kernels(device=DEVICE._replace(sustained_share=0.87))
    found = utilisation(bill(DENSE), Step(5, 34, 7, Passes(recompute)), Layout(tp=2, pp=3, dp=4), on, 0.31)

    assert found == pytest.approx((4 * 35 * 3 * forward / possible, 4 * 35 * (3 * forward + again) / possible), rel=1e-12)
