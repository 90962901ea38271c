"""Seconds of collectives, against an eight-device node and a ring written out by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from tests.machine import plain_device

from scaleplan.machine.communication import Group, Network, all_reduce, axes_share, crossings, dispatch, gather, group, hop, rate
from scaleplan.machine.device import Device, Torus
from scaleplan.machine.efficiency import HardwareShares

NODE = Device("node", "Hopper", {"bf16": 1e15}, 3e12, 400e9, 50e9, n_linked=8)
SHARES = HardwareShares(
    product=0.7, operands=0.6, memory=0.8, scores=0.5, score_bytes=11, flash1=0.2, flash2=0.3, flash3=0.5, link=1.0, network=1.0,
    latency_inside_s=0.0, latency_outside_s=0.0, fabric_decay=0.0, ring_imbalance=0.3, tile_hidden=0.4, grouped=0.8,
)  # fmt: skip
NETWORK = Network(NODE, SHARES)


def test_tensor_parallel_ranks_are_neighbours_and_data_parallel_ranks_lie_apart():
    """Eight neighbours are one node; 16 ranks that are 4 apart have two members in each of eight nodes."""
    assert group(8, 1, NODE)[:3] == (8, 8, 1)
    assert group(16, 4, NODE)[:3] == (16, 2, 8)
    assert group(16, 8, NODE)[:3] == (16, 1, 16)


def test_a_ring_moves_each_byte_once_but_its_own_share():
    """All-gather: (g - 1) / g of the tensor through one link, step by step."""
    size, g = 80e9, 8
    steps = [size / g / 400e9 for _ in range(g - 1)]  # each step every rank passes on one shard

    assert gather(size, group(g, 1, NODE), NETWORK) == pytest.approx(sum(steps))
    assert all_reduce(size, group(g, 1, NODE), NETWORK) == pytest.approx(2 * sum(steps))


def test_one_rank_talks_to_nobody():
    """No time at all, whatever the size and the latency."""
    alone = group(1, 1, NODE)

    assert gather(1e12, alone, PLAIN) == all_reduce(1e12, alone, PLAIN) == dispatch(1e12, 8, alone, PLAIN) == 0
    assert gather(1e12, alone, NETWORK) == all_reduce(1e12, alone, NETWORK) == dispatch(1e12, 8, alone, NETWORK) == 0


def test_a_ring_between_nodes_uses_the_network_of_all_its_members():
    """Eight members of a node bring eight shares of its network, at most the rate of the links."""
    assert rate(group(64, 1, NODE), NETWORK) == 400e9
    assert rate(group(16, 4, NODE), NETWORK) == 100e9
    assert rate(group(16, 8, NODE), NETWORK) == 50e9


def test_a_token_crosses_to_a_node_once_however_many_of_its_experts_are_there():
    """Two experts on two nodes: the other node holds none of them in one case of four; drawn at random, 0.75 crossings a token."""
    rng = np.random.default_rng(7)
    crossings = (rng.integers(0, 2, (200_000, 2)) == 1).any(axis=1).mean()
    found = dispatch(16e9, 2, group(16, 1, NODE), NETWORK)

    assert found == pytest.approx(2 * 15e9 / 400e9 + 0.75 * 16e9 / 50e9)
    assert crossings == pytest.approx(0.75, abs=0.01)


def test_arrays_give_what_numbers_give():
    """One formula for both."""
    sizes, strides = np.array([1, 2, 8, 16, 64]), np.array([1, 8, 4, 4, 1])
    together = all_reduce(1e9, group(sizes, strides, NODE), NETWORK)

    alone = [all_reduce(1e9, group(int(g), int(stride), NODE), NETWORK) for g, stride in zip(sizes, strides, strict=True)]
    assert together == pytest.approx(alone, rel=1e-12)


def test_a_measured_fabric_gives_the_rate_that_was_measured():
    """On 8 nodes of the EFA cluster an all-reduce over all devices ran at 100 GB/s (Ultra-Scale Playbook)."""
    cluster = NODE._replace(fabric_nodes=(1, 8, 64), fabric_bytes_per_s=(436e9, 100e9, 33e9))

    assert rate(group(64, 1, cluster), Network(cluster, SHARES)) == pytest.approx(100e9)


CUBE = Network(NODE._replace(n_linked=4096, torus=Torus(3, 4, 0.0)), SHARES)
LINK = 400e9 / 6  # one way, of one of the six links


def passed_round(size: float, m: int, *, closed: bool) -> float:
    """All-gather on a ring or line, step by step: in each, a device sends what is new to it over each of its links; until all have all."""
    held = [{place} for place in range(m)]
    new = [{+1: {place}, -1: {place}} for place in range(m)]
    steps = 0
    while any(len(some) < m for some in held):
        arriving: list[dict[int, set[int]]] = [{+1: set(), -1: set()} for _ in range(m)]
        for place in range(m):
            for way in (+1, -1):
                to = (place + way) % m if closed else place + way
                shard = next((s for s in sorted(new[place][way], key=lambda s: abs(s - place), reverse=True)), None)
                if shard is not None and 0 <= to < m:
                    new[place][way].discard(shard)
                    if shard not in held[to]:
                        arriving[to][way].add(shard)
        for place in range(m):
            for way in (+1, -1):
                held[place] |= arriving[place][way]
                new[place][way] |= arriving[place][way]
        steps += 1
    return steps * size / m / LINK


@pytest.mark.parametrize(("m", "closed"), [(4, True), (2, False), (3, False)])
def test_a_ring_on_a_torus_has_the_links_of_its_axes(m, closed):
    """A closed ring passes shards both ways, a line leaves its ends one link; a whole cube has all three axes.

    The rings count half a step where the number of the others is odd: a shard can go half each way.
    """
    by_steps = passed_round(80e9, m, closed=closed)
    found = gather(80e9, group(m, 1, CUBE.device), CUBE)

    assert found == pytest.approx(by_steps - (0.5 * 80e9 / m / LINK if closed and m % 2 == 0 else 0.0))
    assert gather(80e9, group(64, 1, CUBE.device), CUBE) == pytest.approx(63 / 64 * 80e9 / 400e9)


@pytest.mark.parametrize(("g", "axes", "closed"), [(4, 1, True), (16, 2, True), (64, 3, True), (2, 1, False)])
def test_an_all_to_all_on_a_torus_waits_for_its_middle(g, axes, closed):
    """Bytes that must cross from one half of an axis to the other, counted pair by pair, over the links between the halves."""
    side = round(g ** (1 / axes))
    halves = [place < side // 2 for place in range(side)]
    crossing = sum(1 for a in halves for b in halves if a and not b) * (g // side) ** 2 * 16e9 / g
    links = (2 if closed and side > 2 else 1) * g // side

    assert dispatch(16e9, 1, group(g, 1, CUBE.device), CUBE) == pytest.approx(crossing / links / LINK)


def test_a_torus_of_arrays_is_that_of_numbers():
    """Groups of every size at once."""
    sizes = np.array([1, 2, 3, 4, 8, 16, 32, 64, 512, 8192])
    together = all_reduce(1e9, group(sizes, 1, CUBE.device), CUBE), dispatch(1e9, 2, group(sizes, 1, CUBE.device), CUBE)
    for place, size in enumerate(sizes.tolist()):
        alone = group(size, 1, CUBE.device)
        assert (together[0][place], together[1][place]) == pytest.approx((all_reduce(1e9, alone, CUBE), dispatch(1e9, 2, alone, CUBE)))


def test_latency_grows_faster_than_a_tree_and_slower_than_a_ring():
    """Over 64 nodes: more than the log2(64) = 6 steps of a tree over one for two nodes, fewer than the 63 of a ring."""
    network = Network(NODE, SHARES._replace(latency_outside_s=10e-6))
    two, many = (all_reduce(0, group(8 * nodes, 1, NODE), network) for nodes in (2, 64))

    assert 6 < many / two < 63


RAILS = Network(NODE._replace(spine_share=0.0), SHARES)


def test_a_rail_joins_devices_of_one_place():
    """Ranks 1, 2, 4, 8, 16 apart meet their likes on every node, place by place; ranks 3, 6 or 12 apart do not."""
    for stride in (1, 2, 3, 4, 6, 8, 12, 16):
        places = [(rank * stride) % 8 for rank in range(64)]
        nodes = [rank * stride // 8 for rank in range(64)]
        by_node = {node: sorted(p for p, n in zip(places, nodes, strict=True) if n == node) for node in nodes[:-8]}
        alike = len({tuple(found) for found in by_node.values()}) == 1
        assert group(64, stride, RAILS.device).crosses == (not alike), stride


def test_traffic_between_rails_goes_over_the_links_of_a_node_or_the_spine():
    """Without a spine each byte takes a link and then a rail: 1 / (1 / 50 + 1 / 400) GB/s; a spine with all the rate takes nothing away."""
    crossing = group(4, 12, RAILS.device)
    half, whole = (Network(NODE._replace(spine_share=share), SHARES) for share in (0.95, 1.0))

    assert rate(crossing, RAILS) == pytest.approx(1 / (1 / 50e9 + 1 / 400e9))
    assert rate(crossing, half) == pytest.approx(0.95 * 50e9)
    assert rate(crossing, whole) == rate(group(4, 12, NODE), NETWORK) == 50e9
    assert rate(group(16, 8, RAILS.device), RAILS) == 50e9
    assert hop(50e9, 8, 4, RAILS) == pytest.approx(1.0) and hop(50e9, 12, 4, RAILS) == pytest.approx(1.125)


# ----------------------------------------------------------------------------------------- with shares, latencies and fabrics

PLAIN = Network(plain_device.DEVICE, plain_device.SHARES)


@pytest.mark.parametrize(
    ("size", "stride", "members", "nodes"), [(3, 1, 3, 1), (8, 1, 8, 1), (9, 1, 8, 2), (20, 3, 2, 10), (5, 8, 1, 5), (5, 11, 1, 5)]
)
def test_a_collective_between_nodes_waits_for_the_network_of_its_members(size, stride, members, nodes):
    """0.89 of 47 GB/s for each member, less with the nodes to the power of 0.037, at most the links; half of 41 us nodes**0.75."""
    rate_ = 4.3e11 * 0.73 if nodes == 1 else min(4.7e10 * 0.89 * members / nodes**0.037, 4.3e11 * 0.73)
    late = 7e-6 if nodes == 1 else 41e-6 * nodes**0.75
    once = (size - 1) / size * 1e9 / rate_ + late / 2
    found = group(size, stride, PLAIN.device)

    assert found[:3] == (size, members, nodes)
    assert gather(1e9, found, PLAIN) == pytest.approx(once, rel=1e-12)
    assert all_reduce(1e9, found, PLAIN) == pytest.approx(2 * once, rel=1e-12)


@pytest.mark.parametrize(
    ("size", "stride", "members", "measured"),
    [
        (16, 1, 8, 436e9 * (100 / 436) ** (1 / 3)),  # two nodes: a third of the way from 1 to 8 in logarithms
        (16, 4, 2, 436e9 * (100 / 436) ** (1 / 3)),
        (256, 1, 8, 100e9 * 0.33 ** (2 / 3)),
        (7, 2, 4, 436e9),  # less than a node counts as one
        (4096, 1, 8, 33e9),  # beyond the largest measurement
    ],
)
def test_a_fabric_is_read_between_its_measurements(size, stride, members, measured):
    """Straight lines in logarithms of nodes and rates; a group that has few members in a node has their part of it."""
    cluster = PLAIN.device._replace(fabric_nodes=(1, 8, 64), fabric_bytes_per_s=(436e9, 100e9, 33e9), latency_s=53e-6)
    fast = PLAIN.shares._replace(link=10.0)
    nodes = -(-size // members)
    late = 53e-6 * nodes**0.75 / 2

    found = gather(1e9, group(size, stride, cluster), Network(cluster, fast))
    assert found == pytest.approx((size - 1) / size * 1e9 / (0.89 * measured * members / 8) + late, rel=1e-12)


def test_a_fabric_of_arrays_is_that_of_numbers():
    """Every size at once."""
    cluster = PLAIN.device._replace(fabric_nodes=(1, 8, 64), fabric_bytes_per_s=(436e9, 100e9, 33e9))
    sizes = np.array([3, 8, 24, 64, 4096])
    alone = [rate(group(int(size), 1, cluster), Network(cluster, SHARES)) for size in sizes]

    assert rate(group(sizes, 1, cluster), Network(cluster, SHARES)) == pytest.approx(alone, rel=1e-12)


@pytest.mark.parametrize(("size", "nodes", "copies"), [(24, 3, 5), (32, 4, 3), (5, 1, 2)])
def test_a_token_goes_once_to_each_node_that_holds_one_of_its_experts(size, nodes, copies):
    """Every way in which its experts can lie on nodes, counted; from the node on by links, the experts of the own device apart."""
    ways = list(itertools.product(range(nodes), repeat=copies))
    others = sum(len(set(way) - {0}) for way in ways) / len(ways)
    late = 7e-6 if nodes == 1 else 41e-6 * nodes**0.75
    by_hand = 1e9 * copies * (size - 1) / size / (4.3e11 * 0.73) + 1e9 * others / (4.7e10 * 0.89) + late / 2

    assert dispatch(1e9, copies, group(size, 1, PLAIN.device), PLAIN) == pytest.approx(by_hand, rel=1e-12)


@pytest.mark.parametrize(("stride", "size", "crosses"), [(2, 4, False), (8, 1, False), (3, 3, True), (1, 9, True)])
def test_a_transfer_between_stages_leaves_the_node_with_the_pipeline(stride, size, crosses):
    """Eight devices are still one node; a network faster than the links gives their rate."""
    fast = Network(PLAIN.device, PLAIN.shares._replace(network=31.0))
    link = 1e9 / (4.3e11 * 0.73)

    assert hop(1e9, stride, size, PLAIN) == pytest.approx(1e9 / (4.7e10 * 0.89) if crosses else link, rel=1e-12)
    assert hop(1e9, stride, size, fast) == pytest.approx(link, rel=1e-12)


def test_ranks_of_one_node_cross_no_rails():
    """Two ranks three places apart in a node; three of them reach the next."""
    assert [bool(group(size, 3, RAILS.device).crosses) for size in (2, 3)] == [False, True]


# A torus of three axes with rings of four: size -> share of a device's links, axes and devices along each, all-to-all over them.
LIES = {
    1: (1, 1, 1, None),
    2: (0.5 / 3, 1, 2, 3 * 2 / 2),  # a line
    4: (1 / 3, 1, 4, 3 * 4 / 4),  # a ring
    8: (1.5 / 3, 2, 8**0.5, 3 * 8**0.5 / 2),  # a ring and a line
    16: (2 / 3, 2, 4, 3 * 4 / 4),
    32: (2.5 / 3, 3, 32 ** (1 / 3), 3 * 32 ** (1 / 3) / 2),
    64: (1, 3, 4, 3 * 4 / 4),
    512: (1, 3, 8, 3 * 8 / 4),  # rings of eight
}


@pytest.mark.parametrize("size", LIES)
def test_how_a_group_lies_on_a_torus(size):
    """Closed rings first, one axis each; a line has half of one. An all-to-all: half of the bytes cross the middle of an axis.

    An all-reduce goes twice round half of each ring, 1.9 us a hop, where that is longer than the usual 7 us.
    """
    torus = Torus(3, 4, 1.9e-6)
    cube = Network(PLAIN.device._replace(n_linked=4096, torus=torus), PLAIN.shares)
    share, axes, side, middle = LIES[size]
    found, link = group(size, 1, cube.device), 4.3e11 * 0.73
    late = max(7e-6, 1.9e-6 * axes * side) / 2

    assert axes_share(size, torus) == pytest.approx(share, rel=1e-9)
    if size > 1:
        assert crossings(found, torus) == pytest.approx(middle, rel=1e-9)
        assert gather(1e9, found, cube) == pytest.approx((size - 1) / size * 1e9 / (link * share) + late, rel=1e-9)
        assert dispatch(1e9, 5, found, cube) == pytest.approx(1e9 * 5 * middle / link + late, rel=1e-9)
    assert hop(1e9, 1, 2, cube) == pytest.approx(1e9 / (link / 6), rel=1e-9)


def test_bytes_of_others_are_sent_once_at_least():
    """Five devices, each on a slice of its own: four fifths, more than the middle of one device would say."""
    assert crossings(Group(5, 1, 5), Torus(3, 4, 0.0)) == pytest.approx(0.8)
    assert crossings(Group(5, 1, 5), None) == pytest.approx(0.8)
