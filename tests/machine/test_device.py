"""What step time reads of a device's preset."""

from __future__ import annotations

import pytest

from scaleplan.errors import InputError
from scaleplan.machine.device import HostLink, Torus, device_of, linked

BARE = {
    "arch": "Own",
    "peak_flops_per_s": {"fp16": 3.1e14, "fp32": 7e13, "source": "sheet"},
    "memory": {"capacity_bytes": 81_000_000_007, "bandwidth_bytes_per_s": 1.7e12},
    "internode": {"bytes_per_s_per_device": 2.3e10},
}
FULL = {
    "arch": "Own",
    "peak_flops_per_s": {"bf16": 4.1e14, "tf32": 2.9e14, "fp8": 8.3e14},
    "memory": {"capacity_bytes": 97, "bandwidth_bytes_per_s": 1.7e12},
    "intranode": {
        "bytes_per_s_per_device": 3.7e11, "n_devices_per_node": 4, "n_devices_scaleup": 72, "torus_axes": 3, "torus_ring": 5,
        "hop_s": 1.1e-6,
    },
    "internode": {"bytes_per_s_per_device": 2.3e10, "spine_share": 0.3},
    "measured_flops_per_s": {"bf16": 3.3e14},
    "sustained": {"peak_share": 0.87},
    "host": {"launch_share": 1.9},
    "processors": {"n_per_device": 131},
    "fabric": {"n_nodes": [1, 7], "all_reduce_bytes_per_s": [5e11, 9e10], "latency_s": 1.3e-5},
    "host_link": {"bytes_per_s_per_device": 6.1e10, "memory_bytes_per_s_per_device": 7.9e10},
}  # fmt: skip


def test_every_figure_of_a_preset_is_read():
    """Each in its place; the links join 64 of 72 devices, a power of two."""
    device = device_of("own", FULL)

    assert device._asdict() == {
        "name": "own", "generation": "Own", "peaks": FULL["peak_flops_per_s"], "memory_bytes_per_s": 1.7e12, "link_bytes_per_s": 3.7e11,
        "network_bytes_per_s": 2.3e10, "n_linked": 64, "capacity_bytes": 97, "n_per_node": 4, "measured_share": pytest.approx(3.3 / 4.1),
        "sustained_share": 0.87, "launch_share": 1.9, "n_units": 131, "fabric_nodes": (1, 7), "fabric_bytes_per_s": (5e11, 9e10),
        "latency_s": 1.3e-5, "spine_share": 0.3, "torus": Torus(3, 5, 1.1e-6), "host_link": HostLink(6.1e10, 7.9e10),
    }  # fmt: skip


def test_what_a_preset_leaves_out():
    """Without links the network joins single devices; nothing was measured, nothing slows it down."""
    device = device_of("bare", BARE)

    assert device._asdict() == {
        "name": "bare", "generation": "Own", "peaks": {"fp16": 3.1e14, "fp32": 7e13}, "memory_bytes_per_s": 1.7e12,
        "link_bytes_per_s": 2.3e10, "network_bytes_per_s": 2.3e10, "n_linked": 1, "capacity_bytes": 81_000_000_007, "n_per_node": 1,
        "measured_share": None, "sustained_share": 1, "launch_share": 1, "n_units": 0, "fabric_nodes": (), "fabric_bytes_per_s": (),
        "latency_s": None, "spine_share": None, "torus": None, "host_link": None,
    }  # fmt: skip
    alone = device_of("node", BARE | {"internode": {}, "intranode": {"bytes_per_s_per_device": 3.7e11, "n_devices_per_node": 6}})
    assert (alone.link_bytes_per_s, alone.network_bytes_per_s, alone.n_linked, alone.n_per_node) == (3.7e11, 3.7e11, 4, 6)
    assert device_of("t", BARE | {"intranode": {"torus_axes": 2}}).torus == Torus(2, 2, 0)


def test_a_device_without_any_link_is_refused():
    """The error names the keys that say its rate."""
    with pytest.raises(InputError) as refused:
        device_of("alone", BARE | {"internode": {}})
    assert "alone" in str(refused.value) and "internode" in str(refused.value.hint)


@pytest.mark.parametrize(("n", "joined"), [(1, 1), (2, 2), (3, 2), (6, 4), (8, 8), (72, 64), (127, 64), (128, 128)])
def test_parallel_degrees_use_a_power_of_two_of_a_node(n, joined):
    """The largest that it holds."""
    assert linked({"n_devices_per_node": n}) == joined == max(2**k for k in range(8) if 2**k <= n)
    assert linked({"n_devices_per_node": 3, "n_devices_scaleup": n}) == joined


def test_a_format_of_the_same_width_stands_in():
    """fp16 for bf16 and fp32 for tf32; a width that the device lacks is refused by name."""
    device = device_of("bare", BARE)

    assert [device.peak_flops_per_s(number) for number in ("bf16", "fp16", "tf32", "fp32")] == [3.1e14, 3.1e14, 7e13, 7e13]
    with pytest.raises(InputError, match="fp8"):
        device.peak_flops_per_s("fp8")
