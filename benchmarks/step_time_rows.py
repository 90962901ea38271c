"""Measured layouts in groups that are priced in one pass, and the constants of step time that are fitted on them."""

from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from scaleplan.chain.layout_pricing import Group, group_of
from scaleplan.chain.memory import stack_named
from scaleplan.chain.step_time import device_named, efficiencies, time_table
from scaleplan.machine.device import Device
from scaleplan.machine.efficiency import HardwareShares, StackShares
from scaleplan.machine.step_time import StepTime, step_time

COLUMNS = {
    "d_model": "h", "n_layers": "L", "n_heads": "a", "n_kv_heads": "kv", "d_head": "dh", "d_ff": "ff", "gated": "gated", "n_vocab": "V",
    "tied": "tied", "seq_len": "s", "n_devices": "n", "tp": "tp", "pp": "pp", "cp": "cp", "dp": "dp", "ep": "ep", "n_virtual_stages": "vpp",
    "micro_batch_size_seqs": "mbs", "global_batch_size_seqs": "gbs", "sequence_parallel": "sp",
    "zero_stage": "zero", "tp_overlap": "tp_overlap",
}  # fmt: skip
FLAGS = ("gated", "tied", "sequence_parallel", "tp_overlap")
HARDWARE = {
    "a100": "a100-sxm-80gb", "a100-40": "a100-sxm-40gb", "h100": "h100-sxm", "h200": "h200-sxm", "h100-96": "h100-sxm-96gb",
    "h100-efa": "h100-sxm-efa",
}  # fmt: skip
FAMILIES = {
    "megatron21": "megatron21", "megatron22": "megatron21", "deepspeed21": "deepspeed21", "megatron23": "megatron23", "mcore24": "mcore24",
    "meta24": "mcore24", "nemo24": "mcore24", "mbridge": "mcore24", "foundry-amp": "foundry-amp", "foundry-pure": "foundry-amp",
    "titan-compile": "titan-compile", "titan-eager": "titan-compile", "nanotron": "nanotron",
}  # fmt: skip
EAGER_TRAFFIC = 1.7  # element-wise traffic without torch.compile over that with it

HARDWARE_PRIOR = {  # value, standard deviation of its logarithm
    "memory": (0.8, 0.1), "scores": (0.5, 0.25), "score_bytes": (11, 0.2), "link": (0.75, 0.15), "network": (0.8, 0.1),
    "latency_inside_s": (10e-6, 0.7), "ring_imbalance": (0.3, 0.3), "tile_hidden": (0.4, 0.2),
}  # fmt: skip
GENERATION_PRIOR = {
    "Ampere": {"product": (0.82, 0.08), "operands": (0.6, 0.5), "flash1": (0.32, 0.1)},
    "Hopper": {"product": (0.70, 0.08), "operands": (0.6, 0.5), "flash1": (0.2, 0.2), "flash2": (0.3, 0.2), "flash3": (0.54, 0.1)},
}
DEVICE_PRIOR = {"latency_s": (0.5e-3, 1.0), "peak_share": (0.9, 0.05)}  # the EFA cluster; the part with a limit of 500 W
STACK_SD = {
    "fusion": 0.25, "launch_s": 0.4, "accumulation_bytes": 0.4, "logit_bytes": 0.3, "fixed_s": 2.0, "dp_hidden": 0.4, "sharded_hidden": 0.4,
    "gather_hidden": 0.25, "tp_hidden": 0.3, "hop_s": 1.0, "gather_network": 0.5,
}  # fmt: skip
STACK_PRIOR = {  # what the rows of a family can tell; its other shares are assumed, from its kind and year
    "megatron21": {"fusion": 0.6, "launch_s": 50e-6, "logit_bytes": 40, "accumulation_bytes": 6, "fixed_s": 20e-3},
    "deepspeed21": {"gather_hidden": 0.45, "gather_network": 0.14},
    "megatron23": {"fusion": 0.6, "accumulation_bytes": 6, "fixed_s": 20e-3},
    "mcore24": {"fusion": 0.6, "tp_hidden": 0.5, "fixed_s": 20e-3},
    "foundry-amp": {"fusion": 0.9, "gather_hidden": 0.7, "fixed_s": 20e-3},
    "titan-compile": {"fusion": 0.6, "gather_hidden": 0.85, "tp_hidden": 0.4, "fixed_s": 20e-3},
    "nanotron": {
        "fusion": 1.0, "launch_s": 60e-6, "logit_bytes": 40, "fixed_s": 20e-3, "dp_hidden": 0.5, "sharded_hidden": 0.1, "tp_hidden": 0.2,
        "hop_s": 100e-6,
    },
}  # fmt: skip
SHARES = ("product", "memory", "link", "network", "dp_hidden", "sharded_hidden", "gather_hidden", "tp_hidden", "tile_hidden", "peak_share")


class Measured(NamedTuple):
    """Rows of one kind: their places among all rows, and what prices them."""

    rows: list[int]
    group: Group
    recompute: str
    family: str
    eager: bool


class Table(NamedTuple):
    """Measured rows of a file."""

    rows: list[dict[str, str]]
    step_s: Any
    sources: Any
    groups: list[Measured]


def read(path: Path, *, healthy: bool = True) -> Table:
    """The healthy rows, or all that ran, in groups that are priced in one pass."""
    with path.open(newline="", encoding="utf-8") as lines:
        rows = [row for row in csv.DictReader(lines) if float(row["step_s"] or 0) > 0 and (row["healthy"] == "1" or not healthy)]
    groups = [measured_of(places, values) for places, values in kinds_of(rows)]
    return Table(rows, np.array([float(row["step_s"]) for row in rows]), np.array([row["source"] for row in rows]), groups)


KIND = ("stack", "hardware", "attention", "precision", "recompute", "gated", "tied")


def kinds_of(rows: list[dict[str, str]]) -> list[tuple[list[int], list[dict[str, Any]]]]:
    """Places and values of the rows of each kind, which are priced in one pass."""
    kinds: dict[tuple[Any, ...], list[tuple[int, dict[str, Any]]]] = defaultdict(list)
    for place, row in enumerate(rows):
        values = values_of(row)
        kinds[tuple(values[name] for name in KIND)].append((place, values))
    return [([place for place, _ in some], [values for _, values in some]) for some in kinds.values()]


def measured_of(places: list[int], values: list[dict[str, Any]]) -> Measured:
    """Rows of one kind, priced together."""
    one = values[0]
    return Measured(
        places, group_of(values, stack_named(one["stack"])), one["recompute"], FAMILIES[one["stack"]], one["stack"] == "titan-eager"
    )


def values_of(row: dict[str, str]) -> dict[str, Any]:
    """A row in the columns of `layout --table`."""
    values: dict[str, Any] = {ours: int(row[theirs]) for ours, theirs in COLUMNS.items()}
    values |= {name: bool(values[name]) for name in FLAGS}
    words = {
        "attention": {"unfused": "eager"}.get(row["attn"], row["attn"]),
        "recompute": {"sac": "per-op"}.get(row["recompute"], row["recompute"]),
    }
    precision = {"bf16": "bf16-mixed"}.get(row["dtype"], row["dtype"])
    return values | words | {"hardware": HARDWARE[row["gpu"]], "precision": precision, "stack": row["stack"], "etp": 0}


# ---------------------------------------------------------------------------------------------------------------- constants


class Constant(NamedTuple):
    """One number to fit: where it belongs, its prior, and the standard deviation of its logarithm."""

    kind: str
    owner: str
    name: str
    prior: float
    sd: float


def constants() -> list[Constant]:
    """Every constant that may move."""
    found = [Constant("all", "", name, *prior) for name, prior in HARDWARE_PRIOR.items()]
    found += [Constant("generation", owner, name, *prior) for owner, some in GENERATION_PRIOR.items() for name, prior in some.items()]
    found += [Constant("device", "", name, *prior) for name, prior in DEVICE_PRIOR.items()]
    for family, start in STACK_PRIOR.items():
        found += [Constant("stack", family, name, value, STACK_SD[name]) for name, value in start.items()]
    return found


def preset_values(every: list[Constant]) -> Any:
    """Logarithms of the constants as the presets have them."""
    table = efficiencies()
    devices = {"latency_s": device_named("h100-sxm-efa").latency_s, "peak_share": device_named("h100-sxm-96gb").sustained_share}
    found = []
    for c in every:
        home = table[c.kind] if c.kind == "all" else table["generation"][c.owner] if c.kind == "generation" else devices
        found.append((time_table(c.owner) if c.kind == "stack" else home)[c.name])
    return np.log(found)


def touches(constant: Constant, one: Measured) -> bool:
    """Whether a constant can change the price of a group."""
    if constant.kind == "stack":
        return constant.owner == one.family
    device = one.group.kernels.device
    if constant.kind == "generation":
        return constant.owner == device.generation
    return constant.kind == "all" or device.name == {"latency_s": "h100-sxm-efa", "peak_share": "h100-sxm-96gb"}[constant.name]


class Shares(NamedTuple):
    """What prices a group with other constants than those of the presets.

    rate  of the device's products over that of the presets
    """

    hardware: HardwareShares
    stack: StackShares
    device: Device
    rate: float


def shares_of(one: Measured, every: list[Constant], x: Any) -> Shares:
    """The shares of a group with other constants."""
    kernels = one.group.kernels
    value = {(c.kind, c.owner, c.name): float(np.exp(v)) for c, v in zip(every, x, strict=True)}
    own = {
        name: v
        for (kind, owner, name), v in value.items()
        if kind == "all" or (kind == "generation" and owner == kernels.device.generation)
    }
    stack = {name: v for (kind, owner, name), v in value.items() if kind == "stack" and owner == one.family}
    shares = {name: min(v, 1.0) if name in SHARES else v for name, v in (own | stack).items()}
    if one.eager:
        shares["fusion"] *= EAGER_TRAFFIC
    hardware = kernels.shares.hardware._replace(**{k: v for k, v in shares.items() if k in kernels.shares.hardware._fields})
    stack_of = kernels.shares.stack._replace(**{k: v for k, v in shares.items() if k in kernels.shares.stack._fields})
    device, rate = kernels.device, 1.0
    if device.latency_s is not None:
        device = device._replace(latency_s=value["device", "", "latency_s"])
    if device.name == "h100-sxm-96gb":
        rate = min(1.0, value["device", "", "peak_share"]) / device.sustained_share
    return Shares(hardware, stack_of, device, rate)


def priced_with(one: Measured, shares: Shares) -> StepTime:
    """A group's steps with given shares."""
    kernels = one.group.kernels
    on = kernels._replace(
        device=shares.device,
        shares=kernels.shares._replace(hardware=shares.hardware, stack=shares.stack),
        product_flops_per_s=kernels.product_flops_per_s * shares.rate,
        attention_flops_per_s=kernels.attention_flops_per_s * shares.rate,
    )
    return step_time(one.group.bill, one.group.layout, one.group.step(one.recompute), on)


def priced(one: Measured, every: list[Constant], x: Any) -> StepTime:
    """A group's steps with other constants."""
    return priced_with(one, shares_of(one, every, x))


def logs(table: Table, every: list[Constant], x: Any, out: Any = None, only: Constant | None = None) -> Any:
    """log(predicted / measured) of all rows; with `only`, of those that it touches."""
    found = np.empty(len(table.rows)) if out is None else out.copy()
    for one in table.groups:
        if only is None or touches(only, one):
            found[one.rows] = np.log(np.broadcast_to(priced(one, every, x).step_s, len(one.rows)) / table.step_s[one.rows])
    return found


def jacobian(table: Table, every: list[Constant], x: Any, at: Any, step: float = 0.02) -> Any:
    """Derivatives of the logarithms by those of the constants."""
    columns = []
    for index, constant in enumerate(every):
        moved = x.copy()
        moved[index] += step if constant.name not in SHARES or np.exp(x[index] + step) < 1 else -step
        columns.append((logs(table, every, moved, at, constant) - at) / (moved[index] - x[index]))
    return np.stack(columns, axis=1)


EVEN = 0.5
SCALE = 0.03  # residual at which a prior of one standard deviation weighs as much as one row
LEAST = 0.015  # residuals below it count as squares


def solve(table: Table, every: list[Constant], used: Any, x: Any, n_outer: int = 12, fixed: Any = None) -> Any:
    """Constants of least weighted mean residual: reweighted least squares, with derivatives at each of a few points (or given ones)."""
    prior, sd = np.log([c.prior for c in every]), np.array([c.sd for c in every])
    sizes = {source: np.sum(used & (table.sources == source)) for source in set(table.sources)}
    by_source = np.array([max(1, sizes[source]) ** -EVEN for source in table.sources]) * used
    top = np.array([0.0 if c.name in SHARES else 99.0 for c in every])
    for _ in range(n_outer):
        at = logs(table, every, x)
        slope = jacobian(table, every, x, at) if fixed is None else fixed
        weights = by_source / np.maximum(np.abs(at), LEAST) * SCALE
        left = slope.T @ (weights[:, None] * slope) / SCALE**2 + np.diag(1 / sd**2)
        right = -(slope.T @ (weights * at)) / SCALE**2 + (prior - x) / sd**2
        x = np.minimum(x + 0.8 * np.clip(np.linalg.solve(left, right), -0.7, 0.7), top)
    return x


def without_each(table: Table, every: list[Constant], used: Any, x: Any) -> dict[str, Any]:
    """For each source the constants fitted on the others, from the derivatives at the common fit."""
    slope = jacobian(table, every, x, logs(table, every, x))
    return {
        source: solve(table, every, used & (table.sources != source), x, n_outer=8, fixed=slope) for source in dict.fromkeys(table.sources)
    }


def left_out(table: Table, every: list[Constant], used: Any, x: Any) -> Any:
    """log(predicted / measured) of each source with constants fitted on the others."""
    found = np.empty(len(table.rows))
    for source, mine in without_each(table, every, used, x).items():
        found[table.sources == source] = logs(table, every, mine)[table.sources == source]
    return found


def tuning_rows(table: Table) -> Any:
    """The 1st, 3rd, 5th, ... row of each source."""
    seen: dict[str, int] = defaultdict(int)
    used = []
    for source in table.sources:
        used.append(seen[source] % 2 == 0)
        seen[source] += 1
    return np.array(used)
