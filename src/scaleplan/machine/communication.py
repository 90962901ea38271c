"""Seconds of collectives over groups of devices: inside a node or rack, and between them."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

from scaleplan.machine.device import Device, Torus
from scaleplan.machine.efficiency import HardwareShares
from scaleplan.model.arch import Size
from scaleplan.numeric import ceil_div, exp, floor_div, is_number, log, maximum, minimum, where

Seconds: TypeAlias = Any  # a float, or a numpy array of floats
Bytes: TypeAlias = Any  # a number of bytes that need not be whole
ROUNDING = 1e-9  # of logarithms
NODES_POWER = 0.75  # of the nodes in the latency of a collective


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
    crosses  neighbours on different nodes have different places in them: what they send leaves its rail
    """

    size: Size
    members: Size
    nodes: Size
    crosses: Any = False


def group(size: Size, stride: Size, device: Device) -> Group:
    """A group whose ranks are `stride` devices apart (tensor parallel ranks 1, context tp, data tp cp, pipeline tp cp dp)."""
    members = minimum(size, maximum(1, floor_div(device.n_linked, stride)))
    nodes = ceil_div(size, members)
    if device.spine_share is None:
        return Group(size, members, nodes)
    return Group(size, members, nodes, (nodes > 1) & (stride % device.n_linked > 0) & (device.n_linked % stride > 0))


def over_rails(rate: Any, crosses: Any, network: Network) -> Any:
    """A network rate where rails join devices of one place: what crosses them has the spine, or the links inside a node and then a rail.

        max(spine share x rate, rate x link / (rate + link))

    Source: wang2023-rails (rail-only networks: traffic between rails is forwarded inside a node).
    """
    share, link = network.device.spine_share, network.link_bytes_per_s
    if share is None:
        return rate
    return where(crosses, maximum(share * rate, rate * link / (rate + link)), rate)


def rate(ranks: Group, network: Network) -> Any:
    """Bytes a second of a ring through a group: links inside a node; between nodes the network rates of all members of a node together."""
    inside = network.link_bytes_per_s * axes_share(ranks.members, network.device.torus)
    own = network.own_bytes_per_s * ranks.members * fabric(ranks, network)
    across = minimum(over_rails(own, ranks.crosses, network), inside)
    return where(ranks.nodes > 1, across, inside)


# --------------------------------------------------------------------------------------------------------------------- torus


class Span(NamedTuple):
    """How a group lies on a torus: closed rings, whether a line is left, axes and devices along each of them."""

    rings: Any
    line: Any
    axes: Any
    side: Any


def span(size: Size, torus: Torus) -> Span:
    """Whole rings first, one axis each; what is left is a line along one more."""
    logs = log(maximum(size, 1)) / log(torus.ring)
    rings = minimum(torus.axes, floor_div(logs + ROUNDING, 1))
    line = (logs - rings > ROUNDING) & (rings < torus.axes)
    axes = maximum(1, rings + where(line, 1, 0))
    return Span(rings, line, axes, size ** (1 / axes))


def axes_share(size: Size, torus: Torus | None) -> Any:
    """Share of a device's links that a ring through a group uses: an axis of a torus for each closed ring, half of one along a line.

    Source: scaling-book (ICI of TPUs: an all-gather over k axes of a torus has k times the rate of one; without a closed ring half).

    >>> axes_share(4, Torus(2, 4, 0.0)), axes_share(2, Torus(2, 4, 0.0)), axes_share(16, Torus(2, 4, 0.0))
    (0.5, 0.25, 1.0)
    """
    if torus is None:
        return 1.0
    lies = span(size, torus)
    return (lies.rings + where(lies.line, 0.5, 0.0)) / torus.axes + where(size > 1, 0.0, 1.0)


def crossings(ranks: Group, torus: Torus | None) -> Any:
    """What an all-to-all sends over the links, in the bytes of a device: those of others once; on a torus what its middle lets through.

        axes side / 4      closed rings: half of the bytes cross to the other half of the ring, over two links of a device's axis
        axes side / 2      lines: over one

    Source: scaling-book (on a ring an all-to-all takes a quarter of the time of an all-gather of the same array).
    """
    g = ranks.size
    if torus is None:
        return (g - 1) / g
    lies = span(ranks.members, torus)
    return maximum((g - 1) / g, torus.axes * lies.side / where(lies.line, 2, 4))


def hops_s(ranks: Group, torus: Torus) -> Seconds:
    """Of an all-reduce that goes round half of the ring of each axis, twice."""
    lies = span(ranks.members, torus)
    return torus.hop_s * lies.axes * lies.side


# ----------------------------------------------------------------------------------------------------------------- collectives


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
    """Of an all-reduce: it grows with the nodes, faster than the logarithm of a tree and slower than the count of a ring."""
    far = network.shares.latency_outside_s if network.device.latency_s is None else network.device.latency_s
    torus, near = network.device.torus, network.shares.latency_inside_s
    near = near if torus is None else maximum(near, hops_s(ranks, torus))
    return where(ranks.nodes > 1, far * ranks.nodes**NODES_POWER, near)


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

        token_bytes copies crossings / link + token_bytes (N - 1) (1 - (1 - 1 / N) ** copies) / network + latency / 2

    N nodes; (N - 1)(1 - (1 - 1 / N) ** copies) of the others hold at least one of the experts. Source: deepseek2024-v3 section 3.2.2.
    """
    g, nodes = ranks.size, ranks.nodes
    near = token_bytes * copies * crossings(ranks, network.device.torus) / network.link_bytes_per_s
    others = (nodes - 1) * (1 - (1 - 1 / nodes) ** copies)
    far = token_bytes * others / network.own_bytes_per_s
    return where(g > 1, near + far + latency(ranks, network) / 2, 0.0)


def hop(size_bytes: Bytes, stride: Size, size: Size, network: Network) -> Seconds:
    """One transfer to the next pipeline stage, between nodes as soon as any two neighbours are."""
    across, link = stride * size > network.device.n_linked, network.link_bytes_per_s * axes_share(2, network.device.torus)
    own = over_rails(network.own_bytes_per_s, stride % network.device.n_linked != 0, network)
    return size_bytes / where(across, minimum(own, link), link)
