"""What step time needs to know of a device, its links and the network between nodes, from presets/hardware."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from scaleplan.errors import InputError

NO_UNITS = 0  # of devices whose matrix products are not cut into tiles over many units


class Torus(NamedTuple):
    """Links that join each device to its two neighbours along every axis.

    axes    2 or 3
    ring    devices along an axis that close a ring; fewer are a line
    hop_s   of one hop
    """

    axes: int
    ring: int
    hop_s: float


class HostLink(NamedTuple):
    """A device's link to its host, one direction, and its share of the host's memory rate."""

    bytes_per_s: float
    memory_bytes_per_s: float


class Device(NamedTuple):
    """Rates of one device, one direction; dense peaks by number format.

    peaks           FLOP/s by format: bf16, fp8, fp4, tf32, fp32
    measured_share  the fastest 16-bit product that was measured over its peak; None: not measured
    sustained_share share of the peaks that the power limit lets it keep up
    n_units         processors that tiles of a product are dealt to in waves; 0: none
    launch_share    host time of a kernel launch over that of other hosts
    n_per_node      devices that share a host
    n_linked        devices that the fast links join: a node, or a rack
    fabric_nodes, fabric_bytes_per_s  all-reduce rates measured on a cluster, by number of nodes
    latency_s       of a collective on that cluster; None: as on others
    host_link       to the host, for what is kept in its memory; None: not known
    spine_share     of the network rate that is left between devices of different places in their nodes, where rails join those of the same
                    place; None: the network knows no places
    torus           how the fast links join devices; None: any two at the full rate
    """

    name: str
    generation: str
    peaks: Mapping[str, float]
    memory_bytes_per_s: float
    link_bytes_per_s: float
    network_bytes_per_s: float
    n_linked: int
    capacity_bytes: int = 0
    n_per_node: int = 1
    measured_share: float | None = None
    sustained_share: float = 1.0
    launch_share: float = 1.0
    n_units: int = NO_UNITS
    fabric_nodes: tuple[int, ...] = ()
    fabric_bytes_per_s: tuple[float, ...] = ()
    latency_s: float | None = None
    spine_share: float | None = None
    torus: Torus | None = None
    host_link: HostLink | None = None

    def peak_flops_per_s(self, number_format: str) -> float:
        """Dense peak of a number format, refused where the device has none."""
        peak = self.peaks.get(number_format) or self.peaks.get({"bf16": "fp16", "tf32": "fp32"}.get(number_format, ""))
        if peak is None:
            known = ", ".join(self.peaks)
            raise InputError(f"`{self.name}` has no {number_format} rate", hint=f"its number formats are {known}")
        return peak


def device_of(name: str, data: Mapping[str, Any]) -> Device:
    """A device from its parsed preset. Without a network it stands alone; without links its network joins single devices."""
    peaks = {key: float(rate) for key, rate in data["peak_flops_per_s"].items() if isinstance(rate, int | float)}
    measured = data.get("measured_flops_per_s", {}).get("bf16")
    links, network, fabric = data.get("intranode", {}), data.get("internode", {}), data.get("fabric", {})
    rate = links.get("bytes_per_s_per_device")
    outside = network.get("bytes_per_s_per_device") or rate
    if outside is None:
        raise InputError(
            f"the preset `{name}` has no rate of its links", hint="step times need [intranode] or [internode] bytes_per_s_per_device"
        )
    return Device(
        name=name,
        generation=str(data.get("arch", "")),
        peaks=peaks,
        memory_bytes_per_s=float(data["memory"]["bandwidth_bytes_per_s"]),
        link_bytes_per_s=float(rate or outside),
        network_bytes_per_s=float(outside),
        n_linked=linked(links) if rate else 1,
        capacity_bytes=int(data["memory"]["capacity_bytes"]),
        n_per_node=int(links.get("n_devices_per_node") or 1),
        measured_share=measured / peaks["bf16"] if measured and "bf16" in peaks else None,
        sustained_share=float(data.get("sustained", {}).get("peak_share", 1.0)),
        launch_share=float(data.get("host", {}).get("launch_share", 1.0)),
        n_units=int(data.get("processors", {}).get("n_per_device", NO_UNITS)),
        fabric_nodes=tuple(fabric.get("n_nodes", ())),
        fabric_bytes_per_s=tuple(map(float, fabric.get("all_reduce_bytes_per_s", ()))),
        latency_s=fabric.get("latency_s"),
        spine_share=network.get("spine_share"),
        torus=torus_of(links),
        host_link=host_link_of(data.get("host_link", {})),
    )


def host_link_of(link: Mapping[str, Any]) -> HostLink | None:
    """The link to the host, where both of its rates are known."""
    rates = [link.get(name) for name in ("bytes_per_s_per_device", "memory_bytes_per_s_per_device")]
    return None if None in rates else HostLink(*map(float, rates))  # type: ignore[arg-type]  # none of them is None here


def torus_of(links: Mapping[str, Any]) -> Torus | None:
    """The torus of the fast links; None where a switch joins the devices."""
    axes = links.get("torus_axes")
    return None if axes is None else Torus(int(axes), int(links.get("torus_ring", 2)), float(links.get("hop_s", 0.0)))


def linked(links: Mapping[str, Any]) -> int:
    """Devices of a node or rack that degrees of parallelism can use: the largest power of two in it (64 of NVL72)."""
    n = int(links.get("n_devices_scaleup") or links.get("n_devices_per_node") or 1)
    return 1 << (n.bit_length() - 1)
