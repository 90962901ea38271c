"""Seconds of collectives over groups of devices: inside a node or rack, and between them."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

from scaleplan.machine.device import Device
from scaleplan.machine.efficiency import HardwareShares
from scaleplan.model.arch import Size
from scaleplan.numeric import ceil_div, exp, floor_div, is_number, log, log2, maximum, minimum, where

Seconds: TypeAlias = Any  # a float, or a numpy array of floats
Bytes: TypeAlias = Any  # a number of bytes that need not be whole


class Network(NamedTuple):
    """The links of a device and what programs get of them."""

    device: Device
    shares: HardwareShares

    @property
    def link_bytes_per_s(self) -> float:
        """Inside a node."""
        return self.device.link_bytes_per_s * self.shares.link

    @property
    def own_bytes_per_s(self) -> float:
        """Between nodes, of one device's share of the network."""
        return self.device.network_bytes_per_s * self.shares.network


class Group(NamedTuple):
    """Ranks of one collective.

    size     how many
    members  of them in one node
    nodes    that they lie on
    """

    size: Size
    members: Size
    nodes: Size


def group(size: Size, stride: Size, device: Device) -> Group:
    """A group whose ranks are `stride` devices apart (tensor parallel ranks 1, context tp, data tp cp, pipeline tp cp dp)."""
    members = minimum(size, maximum(1, floor_div(device.n_linked, stride)))
    return Group(size, members, ceil_div(size, members))


def rate(ranks: Group, network: Network) -> Any:
    """Bytes a second of a ring through a group: links inside a node; between nodes the network rates of all members of a node together."""
    inside = network.link_bytes_per_s
    across = minimum(network.own_bytes_per_s * ranks.members * fabric(ranks, network), inside)
    return where(ranks.nodes > 1, across, inside)


def fabric(ranks: Group, network: Network) -> Any:
    """Rate between nodes over that of the sheet: it falls slowly with their number, or as measured on the cluster.

    All-reduces are measured over whole nodes; their rate falls with the length of the ring, so a group is looked up by its ranks.
    """
    device = network.device
    if not device.fabric_nodes:
        return exp(-network.shares.fabric_decay * log(ranks.nodes))
    import numpy as np

    sheet, full_nodes = device.network_bytes_per_s * device.n_linked, maximum(1.0, ranks.size / device.n_linked)
    logs = np.log(np.array(device.fabric_bytes_per_s) / sheet)
    found = np.exp(np.interp(np.log(full_nodes), np.log(np.array(device.fabric_nodes)), logs))
    return float(found) if is_number(full_nodes) else found


def latency(ranks: Group, network: Network) -> Seconds:
    """Of an all-reduce: it grows with the logarithm of the nodes."""
    far = network.shares.latency_outside_s if network.device.latency_s is None else network.device.latency_s
    return where(ranks.nodes > 1, far * (1 + log2(ranks.nodes) / 2), network.shares.latency_inside_s)


def gather(size_bytes: Bytes, ranks: Group, network: Network) -> Seconds:
    """All-gather or reduce-scatter of a tensor of so many bytes.

        (g - 1) / g bytes / rate + latency / 2

    Source: the ring algorithm; narayanan2021 section 3.
    """
    g = ranks.size
    return where(g > 1, (g - 1) / g * size_bytes / rate(ranks, network) + latency(ranks, network) / 2, 0.0)


def all_reduce(size_bytes: Bytes, ranks: Group, network: Network) -> Seconds:
    """A reduce-scatter and an all-gather."""
    return 2 * gather(size_bytes, ranks, network)


def dispatch(token_bytes: Bytes, copies: Size, ranks: Group, network: Network) -> Seconds:
    """Every rank sends its tokens to `copies` experts each, spread evenly over a group: once to each node that holds any, then by link.

        token_bytes copies (g - 1) / g / link + token_bytes (N - 1) (1 - (1 - 1 / N) ** copies) / network + latency / 2

    N nodes; (N - 1)(1 - (1 - 1 / N) ** copies) of the others hold at least one of the experts. Source: deepseek2024-v3 section 3.2.2.
    """
    g, nodes = ranks.size, ranks.nodes
    near = token_bytes * copies * (g - 1) / g / network.link_bytes_per_s
    others = (nodes - 1) * (1 - (1 - 1 / nodes) ** copies)
    far = token_bytes * others / network.own_bytes_per_s
    return where(g > 1, near + far + latency(ranks, network) / 2, 0.0)


def hop(size_bytes: Bytes, stride: Size, size: Size, network: Network) -> Seconds:
    """One transfer to the next pipeline stage, between nodes as soon as any two neighbours are."""
    across = stride * size > network.device.n_linked
    return size_bytes / where(across, minimum(network.own_bytes_per_s, network.link_bytes_per_s), network.link_bytes_per_s)
