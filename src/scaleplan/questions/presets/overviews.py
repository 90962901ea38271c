"""The figures of a preset that people compare, by kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from scaleplan.answer import Column, Row


def of_device(data: Mapping[str, Any]) -> Row:
    """16-bit peak, memory and power of a device."""
    peak = data.get("peak_flops_per_s", {})
    memory = data.get("memory", {})
    return {
        "year": data.get("year"),
        "flops_per_s": peak.get("bf16", peak.get("fp16")),
        "capacity_bytes": memory.get("capacity_bytes"),
        "bandwidth_bytes_per_s": memory.get("bandwidth_bytes_per_s"),
        "tdp_w": data.get("power", {}).get("tdp_w"),
    }


def of_model(data: Mapping[str, Any]) -> Row:
    """When, how large, on how many tokens, at what compute."""
    from scaleplan.model.bill import bill_of
    from scaleplan.model_files import arch_of_preset

    n_params = bill_of(arch_of_preset(data)).n_params()
    training = data.get("training", {})
    tokens = training.get("n_tokens")
    return {
        "year": training.get("year"),
        "n_params": n_params,
        "n_tokens": tokens,
        "compute_flops": training.get("compute_flops"),
        "tokens_per_param": tokens / n_params if tokens else None,
    }


def of_law(data: Mapping[str, Any]) -> Row:
    """Which N it means, how well confirmed it is, and what it is."""
    convention = data.get("convention", {})
    return {"title": data.get("title"), "n_params_kind": convention.get("n_params"), "standing": data.get("standing")}


def of_price(data: Mapping[str, Any]) -> Row:
    """Dollars for an hour of one device, and the day."""
    rate = data.get("usd_per_device_hour")
    return {"usd_per_device_hour": float(rate) if rate else None, "date": data.get("date")}


def of_zone(data: Mapping[str, Any]) -> Row:
    """Grams and year."""
    return {
        "title": data.get("name"),
        "kgco2e_per_kwh": float(data["kgco2e_per_kwh"]) if data["kgco2e_per_kwh"] else None,
        "year": data.get("year"),
    }


def of_source(data: Mapping[str, Any]) -> Row:
    """What it is."""
    return {"title": data.get("title")}


OVERVIEWS: dict[str, tuple[list[Column], Callable[[Mapping[str, Any]], Row]]] = {
    "hardware": (
        [
            Column("year", "year"),
            Column("flops_per_s", "16-bit peak", "FLOP/s"),
            Column("capacity_bytes", "memory", "bytes"),
            Column("bandwidth_bytes_per_s", "bandwidth", "bytes/s"),
            Column("tdp_w", "power", "W"),
        ],
        of_device,
    ),
    "models": (
        [
            Column("year", "year"),
            Column("n_params", "N", "params"),
            Column("n_tokens", "D", "tokens"),
            Column("compute_flops", "C", "FLOP"),
            Column("tokens_per_param", "D/N", "tokens/param"),
        ],
        of_model,
    ),
    "laws": ([Column("n_params_kind", "N"), Column("standing", "standing"), Column("title", "title")], of_law),
    "prices": ([Column("usd_per_device_hour", "$/device-hour", "usd"), Column("date", "date")], of_price),
    "grid": ([Column("title", "zone"), Column("kgco2e_per_kwh", "kgCO2e/kWh", ""), Column("year", "year")], of_zone),
    "sources": ([Column("title", "title")], of_source),
}
