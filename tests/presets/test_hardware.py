"""Device presets: complete, sourced, plausible, and dense where vendors print sparse."""

from __future__ import annotations

import tomllib
from collections import Counter

import pytest

from scaleplan import library
from scaleplan.errors import InputError

FOLDER = library.built_in() / "hardware"
DEVICES = {path.stem: tomllib.loads(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.toml"))}
SOURCES = tomllib.loads((library.built_in() / "sources.toml").read_text(encoding="utf-8"))

HEADING = {"name", "title", "vendor", "arch", "year", "aliases", "confidence", "note"}
TABLES = {
    "peak_flops_per_s": {"fp64", "fp32", "tf32", "bf16", "fp16", "fp8", "int8", "fp4"},
    "measured_flops_per_s": {"bf16", "fp8"},
    "memory": {"capacity_bytes", "bandwidth_bytes_per_s", "kind"},
    "intranode": {"link", "bytes_per_s_per_device", "n_devices_per_node", "n_devices_scaleup", "torus_axes", "torus_ring", "hop_s"},
    "internode": {"bytes_per_s_per_device", "spine_share", "example"},
    "sparse": {"factor", "pattern"},
    "processors": {"n_per_device"},
    "sustained": {"peak_share"},
    "host": {"launch_share"},
    "host_link": {"link", "bytes_per_s_per_device", "memory_bytes_per_s_per_device", "example"},
    "fabric": {"n_nodes", "all_reduce_bytes_per_s", "latency_s"},
    "power": {"tdp_w", "term", "node_w", "node_example"},
    "measured_power": {"device_w", "system_w", "note"},
    "embodied": {"kgco2e", "note"},
}
RANGES = {  # what any accelerator of 2017 to 2026 lies in
    "memory.capacity_bytes": (15 * 2**30, 288 * 2**30),
    "memory.bandwidth_bytes_per_s": (0.3e12, 8e12),
    "intranode.bytes_per_s_per_device": (15e9, 1.3e12),
    "internode.bytes_per_s_per_device": (3e9, 100e9),
    "host_link.bytes_per_s_per_device": (15e9, 500e9),
    "host_link.memory_bytes_per_s_per_device": (10e9, 600e9),
    "power.tdp_w": (70, 1400),
    "power.node_w": (3000, 15000),
    "measured_power.device_w": (100, 700),
    "measured_power.system_w": (200, 1200),
    "embodied.kgco2e": (100, 300),
}
SPARSE_HEADLINES = {  # bf16 FLOP/s as datasheets print it, with 2:1 sparsity (4:1 for trainium2)
    "a100-sxm-80gb": (624e12, 2),
    "h100-sxm": (1979e12, 2),
    "h100-pcie": (1513e12, 2),
    "h100-nvl": (1671e12, 2),
    "h200-sxm": (1979e12, 2),
    "b200-sxm": (4500e12, 2),
    "gb200": (5000e12, 2),
    "l4": (242e12, 2),
    "l40s": (733e12, 2),
    "a10": (250e12, 2),
    "a40": (299.4e12, 2),
    "rtx-a6000": (309.7e12, 2),
    "mi300x": (2614.9e12, 2),
    "mi355x": (5033e12, 2),
}
DENSE = {  # 16-bit FLOP/s as vendors print it, dense
    "v100-sxm-32gb": 125e12,
    "v100-pcie-16gb": 112e12,
    "mi250x": 191.5e12,  # one of a module's two devices
    "tpu-v3": 123e12,
    "tpu-v4": 275e12,
    "tpu-v5e": 197e12,
    "tpu-v5p": 459e12,
    "tpu-v6e": 918e12,
    "tpu-v7": 2307e12,
    "trainium1": 190e12,
    "trainium2": 667e12,
    "trainium3": 671e12,
}
DRIVER_MIB = {  # what nvidia-smi or a cloud's API reports
    "a100-sxm-40gb": 40960,
    "a100-sxm-80gb": 81920,
    "h100-sxm": 81920,
    "h200-sxm": 144384,
    "b200-sxm": 183359,
    "b300-sxm": 275040,
    "gb200": 189471,
    "h20": 97871,
    "h100-nvl": 95830,
    "t4": 15360,
    "l4": 23034,
    "a10": 23028,
    "a10g": 23028,
    "a40": 46068,
    "l40": 46068,
    "l40s": 46068,
    "rtx-5090": 32607,
}


def sixteen_bit(device: dict) -> float:
    peak = device["peak_flops_per_s"]
    return peak.get("bf16") or peak["fp16"]


@pytest.fixture(params=DEVICES, name="device")
def one_device(request: pytest.FixtureRequest) -> dict:
    return DEVICES[request.param] | {"file": request.param}


def test_a_file_is_named_after_its_device(device):
    """The name in a file is the name of the file."""
    assert device["name"] == device["file"]


def test_a_heading_says_what_the_device_is_and_how_sure_we_are(device):
    """Every device has title, vendor, architecture, year and a confidence; what is not surely known has a note."""
    assert set(device) - {"file", "priced_as"} - set(TABLES) == HEADING
    assert 2017 <= device["year"] <= 2026
    assert device["confidence"] in ("high", "medium", "low")
    assert device["note"]


def test_every_table_has_a_known_source_and_a_date(device):
    """A block without a source that sources.toml knows, or without the day it was read, is refused."""
    for name in TABLES.keys() & device:
        table = device[name]
        cited = table["source"] if isinstance(table["source"], list) else [table["source"]]
        assert cited and set(cited) <= set(SOURCES), name
        assert len(table["date"]) == 10


def test_every_table_holds_known_keys(device):
    """A misspelt key would be read as unknown."""
    for name in TABLES.keys() & device:
        assert set(device[name]) - {"source", "date"} <= TABLES[name], name


def test_a_device_has_compute_and_memory(device):
    """What every question needs: a 16-bit peak, a capacity in whole bytes and a bandwidth."""
    assert sixteen_bit(device) > 0
    assert isinstance(device["memory"]["capacity_bytes"], int)
    assert device["memory"]["bandwidth_bytes_per_s"] > 0


def test_figures_lie_where_accelerators_lie(device):
    """A slip of a thousand, or bits for bytes, falls out of these ranges."""
    for path, (low, high) in RANGES.items():
        table, key = path.split(".")
        value = device.get(table, {}).get(key)
        assert value is None or low <= value <= high, path


def test_lower_precision_is_never_slower(device):
    """fp32 <= tf32 <= 16-bit <= fp8 <= fp4, where the device has them."""
    peak = device["peak_flops_per_s"]
    order = [peak[p] for p in ("fp32", "tf32", "bf16", "fp8", "fp4") if p in peak]
    assert order == sorted(order)


def test_peak_over_bandwidth_is_that_of_an_accelerator(device):
    """A 16-bit peak of 35 to 700 FLOP for each byte of memory bandwidth: a sparse peak or a wrong bandwidth breaks it."""
    assert 35 <= sixteen_bit(device) / device["memory"]["bandwidth_bytes_per_s"] <= 700


def test_measured_rates_are_below_the_peak(device):
    """The best matrix product reaches 45 to 99 % of the dense peak."""
    for precision, rate in device.get("measured_flops_per_s", {}).items():
        if precision in TABLES["measured_flops_per_s"]:
            assert 0.45 < rate / device["peak_flops_per_s"][precision] < 0.99


def test_the_network_is_slower_than_the_links_of_a_node(device):
    """Memory over links inside a node over network: each slower than the one before."""
    rates = [
        device["memory"]["bandwidth_bytes_per_s"],
        device.get("intranode", {}).get("bytes_per_s_per_device"),
        device.get("internode", {}).get("bytes_per_s_per_device"),
    ]
    known = [rate for rate in rates if rate]
    assert known == sorted(known, reverse=True)


def test_a_node_draws_more_than_its_devices(device):
    """A node's largest power is 1.2 to 2.1 times that of its devices."""
    power = device.get("power", {})
    if "node_w" in power and device["file"] != "v100":
        ratio = power["node_w"] / device["intranode"]["n_devices_per_node"] / power["tdp_w"]
        assert 1.2 < ratio < 2.1


def test_measured_power_is_that_of_a_device_under_load(device):
    """A device draws at most its rated power; its share of the node at most 2.3 times that."""
    measured, tdp = device.get("measured_power", {}), device.get("power", {}).get("tdp_w")
    assert measured.get("device_w", 0) <= (tdp or 0)
    assert measured.get("system_w", 0) <= 2.3 * (tdp or 0)


@pytest.mark.parametrize("name", SPARSE_HEADLINES)
def test_peaks_are_dense(name):
    """The peak is the vendor's sparse headline over its factor."""
    headline, factor = SPARSE_HEADLINES[name]
    assert DEVICES[name]["peak_flops_per_s"]["bf16"] == pytest.approx(headline / factor, rel=0.013)
    assert DEVICES[name]["sparse"]["factor"] == factor


def test_no_older_device_skips_zeros():
    """Sparse products came with Ampere, CDNA3 and Trainium2."""
    for name, device in DEVICES.items():
        if device["arch"] in ("Volta", "Turing", "CDNA2", "TPU", "Gaudi2", "Gaudi3"):
            assert "sparse" not in device, name


@pytest.mark.parametrize("name", DENSE)
def test_peaks_are_the_vendors(name):
    """The peak is what the vendor prints where no sparsity is counted."""
    assert sixteen_bit(DEVICES[name]) == pytest.approx(DENSE[name], rel=1e-9)


@pytest.mark.parametrize("name", DRIVER_MIB)
def test_capacity_is_what_the_driver_reports(name):
    """80 GB of an A100 are GiB, 192 GB of a B200 are not: the MiB that software sees settle it."""
    assert DEVICES[name]["memory"]["capacity_bytes"] == DRIVER_MIB[name] * 2**20


def test_volta_trains_in_fp16():
    """A V100 has no bf16, tf32 or fp8."""
    for name in ("v100-sxm-16gb", "v100-sxm-32gb", "v100-pcie-16gb", "v100-pcie-32gb"):
        assert not {"bf16", "tf32", "fp8"} & set(DEVICES[name]["peak_flops_per_s"])


def test_ampere_has_no_fp8():
    """624e12 of an A100 is int8."""
    for name, device in DEVICES.items():
        if device["arch"] == "Ampere":
            assert "fp8" not in device["peak_flops_per_s"], name


def test_power_of_tpu_v3_is_the_mean_that_was_measured():
    """220 W is the vendor's measured mean, 262 W its maximum: no load factor is put on the mean again."""
    assert DEVICES["tpu-v3"]["measured_power"]["device_w"] == 220
    assert DEVICES["tpu-v3"]["power"]["tdp_w"] == 262


def test_a_module_of_two_devices_is_listed_as_one_of_them():
    """MI250X and MI250 modules show as two devices of 64 GiB, eight to a node."""
    for name in ("mi250x", "mi250"):
        assert DEVICES[name]["memory"]["capacity_bytes"] == 64 * 2**30
        assert DEVICES[name]["intranode"]["n_devices_per_node"] == 8


def test_the_three_h100_differ():
    """PCIe, NVL and SXM are three devices with three peaks."""
    assert len({DEVICES[name]["peak_flops_per_s"]["bf16"] for name in ("h100-pcie", "h100-nvl", "h100-sxm")}) == 3


def test_an_alias_means_one_device():
    """Aliases are lower case, unique, and never the name of another device."""
    aliases = Counter(alias for device in DEVICES.values() for alias in device["aliases"])
    assert all(count == 1 and alias == alias.lower() and alias not in DEVICES for alias, count in aliases.items())


def test_a_variant_is_priced_as_a_device_that_exists():
    """`priced_as` names the device whose offers a variant of a cluster stands for."""
    variants = {name: device["priced_as"] for name, device in DEVICES.items() if "priced_as" in device}
    assert variants == {"h100-sxm-96gb": "h100-sxm", "h100-sxm-efa": "h100-sxm"}


def test_the_96_gb_h100_of_torchtitan():
    """96 GB of HBM2e at 2.4e12 bytes/s, limited to 500 W; compute and links of the H100 SXM."""
    part, base = DEVICES["h100-sxm-96gb"], DEVICES["h100-sxm"]

    assert part["memory"]["capacity_bytes"] == 96 * 2**30
    assert part["memory"]["bandwidth_bytes_per_s"] == 2.4e12
    assert part["power"]["tdp_w"] == 500
    assert part["peak_flops_per_s"] == base["peak_flops_per_s"] and part["intranode"] == base["intranode"]


def test_the_fabric_of_a_cluster_slows_down_with_its_size():
    """All-reduce of the EFA cluster: 436e9 bytes/s on one node, 33e9 on 64, and never faster on more nodes."""
    fabric = DEVICES["h100-sxm-efa"]["fabric"]
    table = dict(zip(fabric["n_nodes"], fabric["all_reduce_bytes_per_s"], strict=True))

    assert table[1] == 436e9 and table[64] == 33e9
    assert list(table.values()) == sorted(table.values(), reverse=True)


def test_a_ring_of_one_device_is_refused(tmp_path):
    """It has no neighbours; the answer names the key."""
    path = tmp_path / "own.toml"
    text = (FOLDER / "tpu-v5e.toml").read_text(encoding="utf-8")
    path.write_text(text.replace("torus_ring = 16", "torus_ring = 1"), encoding="utf-8")
    with pytest.raises(InputError, match="torus_ring"):
        library.load("hardware", str(path))
