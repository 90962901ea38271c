"""Seconds of collectives, against an eight-device node and a ring written out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from scaleplan.machine.communication import Network, all_reduce, dispatch, gather, group, rate
from scaleplan.machine.device import Device
from scaleplan.machine.efficiency import HardwareShares

NODE = Device("node", "Hopper", {"bf16": 1e15}, 3e12, 400e9, 50e9, n_linked=8)
SHARES = HardwareShares(
    product=0.7, operands=0.6, memory=0.8, scores=0.5, score_bytes=11, flash1=0.2, flash2=0.3, flash3=0.5, link=1.0, network=1.0,
    latency_inside_s=0.0, latency_outside_s=0.0, fabric_decay=0.0, ring_imbalance=0.3, tile_hidden=0.4, grouped=0.8,
)  # fmt: skip
NETWORK = Network(NODE, SHARES)


def test_tensor_parallel_ranks_are_neighbours_and_data_parallel_ranks_lie_apart():
    """Eight neighbours are one node; 16 ranks that are 4 apart have two members in each of eight nodes."""
    assert group(8, 1, NODE) == (8, 8, 1)
    assert group(16, 4, NODE) == (16, 2, 8)
    assert group(16, 8, NODE) == (16, 1, 16)


def test_a_ring_moves_each_byte_once_but_its_own_share():
    """All-gather: (g - 1) / g of the tensor through one link, step by step."""
    size, g = 80e9, 8
    steps = [size / g / 400e9 for _ in range(g - 1)]  # each step every rank passes on one shard

    assert gather(size, group(g, 1, NODE), NETWORK) == pytest.approx(sum(steps))
    assert all_reduce(size, group(g, 1, NODE), NETWORK) == pytest.approx(2 * sum(steps))


def test_one_rank_talks_to_nobody():
    """No time at all, whatever the size."""
    alone = group(1, 1, NODE)

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
