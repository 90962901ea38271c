"""What presets/defaults.toml assumes, derived again from the tables beside it.

    python benchmarks/derive_defaults.py

Prints each derived value beside the one in the file, and exits 1 where they differ by more than rounding to two digits.

    whole_run_mfu.over_six_n  FLOP by each convention over 6 N D: median over the dense models that have a published whole run,
                              each at the sequence length of its training, as far as the convention describes it. Hours of an
                              ordinary run then do not depend on the convention
    goodput                   whole-run MFU over step MFU of the runs in `goodput.runs`: log-normal, its 10 and 90 % points
                              those of a next run (Student's t with the error of the mean)
    power                     a device counts once: the median of its observations of pre-training in power.csv; then the 10, 50
                              and 90 % points of the devices
    power.per_peak            rated watts for each dense FLOP/s: accelerators with HBM of 2022 and later, of high confidence
    pue, grid, water          10, 50 and 90 % points of the zones in grid.csv that publish one
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping
from statistics import fmean, median, stdev
from typing import Any

from scaleplan import library
from scaleplan.model.bill import bill_of
from scaleplan.model.conventions import training_flops
from scaleplan.model.flops import Lengths
from scaleplan.model.params import count_params
from scaleplan.model_files import arch_of_preset
from scaleplan.numeric import quantile

WHOLE_RUNS = (
    "bloom-176b", "chinchilla-70b", "falcon-40b", "gopher-280b", "gpt-neox-20b", "gpt2", "gpt3-175b", "llama-13b", "llama-2-13b",
    "llama-2-70b", "llama-2-7b", "llama-3-70b", "llama-3-8b", "llama-3.1-405b", "llama-33b", "llama-65b", "llama-7b", "mt-nlg-530b",
    "olmo-2-7b", "opt-175b", "palm-540b", "phi-4", "pythia-1.4b", "pythia-12b", "pythia-6.9b",
)  # fmt: skip
LEVELS = {"p10": 0.1, "p50": 0.5, "p90": 0.9}


def over_six_n() -> dict[str, float]:
    """Median ratio of each convention's count to 6 N."""
    ratios: dict[str, list[float]] = {}
    for name in WHOLE_RUNS:
        data = library.load("models", name).data
        bill, length = bill_of(arch_of_preset(data)), data["training"]["seq_len"]
        counts = training_flops(bill, count_params(bill), Lengths(length, length))
        windows_hide_nothing = {"exact_causal_windowed": counts["exact_causal"]} if counts["exact_causal_windowed"] is None else {}
        for convention, flops in (counts | windows_hide_nothing).items():
            if flops is not None:  # a convention that describes the shape
                ratios.setdefault(convention, []).append(float(flops) / float(counts["six_n"]))
    return {convention: median(found) for convention, found in ratios.items() if convention != "six_n"}


def goodput(runs: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """10, 50 and 90 % points of whole-run over step MFU of a next run."""
    from scipy.stats import t

    logs = [math.log(run["run_mfu"] / run["step_mfu"]) for run in runs]
    width = float(t.ppf(0.9, len(logs) - 1)) * stdev(logs) * math.sqrt(1 + 1 / len(logs))
    return {"p10": math.exp(fmean(logs) - width), "p50": math.exp(fmean(logs)), "p90": math.exp(fmean(logs) + width)}


def power(observations: Iterable[Mapping[str, str]]) -> dict[str, float]:
    """Share of the rated power that a device draws, and its host over it, by device and then over devices."""
    shares: dict[str, list[float]] = {}
    for row in observations:
        if row["scope"] == "device" and row["phase"].startswith(("pretraining", "all")):
            shares.setdefault(row["device"], []).append(float(row["device_w"]) / float(row["rated_w"]))
    load = {device: median(found) for device, found in shares.items()}
    usual = median(load.values())
    ratios: dict[str, list[float]] = {}
    for row in observations:
        if row["scope"].startswith("node") and row["statistic"] == "mean" and row["phase"] in ("pretraining", "training"):
            measured = float(row["system_over_device"] or 0)
            drawn = next((float(r["device_w"]) for r in observations if r["device"] == row["device"] and r["phase"] == "all"), 0)
            ratio = measured or float(row["system_w"]) / (drawn or usual * float(row["rated_w"]))
            ratios.setdefault(row["device"], []).append(ratio)
    host = [median(found) for found in ratios.values()]
    return named("load_fraction", load.values()) | named("system_over_device", host)


def per_peak() -> dict[str, float]:
    """Rated watts for each dense 16-bit FLOP/s."""
    found = []
    for device in library.all_of("hardware"):
        data = device.data
        is_sure, has_hbm = data.get("confidence") == "high", "HBM" in data["memory"].get("kind", "")
        if data.get("year", 0) >= 2022 and is_sure and has_hbm and "tdp_w" in data.get("power", {}):
            found.append(data["power"]["tdp_w"] / data["peak_flops_per_s"]["bf16"])
    return points(found)


def named(name: str, values: Iterable[float]) -> dict[str, float]:
    """The points of values under the name of the middle one."""
    low, middle, high = points(values).values()
    return {f"{name}_p10": low, name: middle, f"{name}_p90": high}


def points(values: Iterable[float]) -> dict[str, float]:
    """10, 50 and 90 % points."""
    listed = list(values)
    return {name: quantile(listed, level) for name, level in LEVELS.items()}


def column(name: str, kind: str | None = None) -> list[float]:
    """The numbers of a column of the grid table, of zones of a kind."""
    return [float(row[name]) for row in library.rows("grid") if row[name] and kind in (None, row["kind"])]


def derived() -> dict[str, dict[str, float]]:
    """Every derived table by its dotted name."""
    defaults = library.defaults()
    pue, grid = points(column("pue")), points(column("kgco2e_per_kwh", "cloud-region"))
    return {
        "whole_run_mfu.over_six_n": over_six_n(),
        "goodput": goodput(defaults["goodput"]["runs"]),
        "power": power(library.rows("power")),
        "power.per_peak": per_peak(),
        "pue": {"p10": pue["p10"], "p90": pue["p90"]},
        "grid": {"p10": grid["p10"], "p90": grid["p90"]},
        "water.site_water_l_per_kwh": points(column("site_water_l_per_kwh")),
        "water.plant_water_l_per_kwh": points(column("plant_water_l_per_kwh")),
    }


def stored(name: str) -> Mapping[str, Any]:
    """A table of the file by its dotted name."""
    found: Any = library.defaults()
    for part in name.split("."):
        found = found[part]
    return dict(found)


def agrees(value: float, kept: float) -> bool:
    """Whether a value in the file is the derived one, rounded to two digits or more."""
    return abs(value - kept) <= 0.5 * 10 ** (math.floor(math.log10(abs(value))) - 1)


def main() -> None:
    """Print and compare."""
    wrong = 0
    for name, values in derived().items():
        kept = stored(name)
        for key, value in values.items():
            good = agrees(value, kept[key])
            wrong += not good
            print(f"{name}.{key:24s} {value:.4g}  in the file {kept[key]:g}{'' if good else '  DIFFERS'}")
    sys.exit(f"{wrong} values differ" if wrong else 0)


if __name__ == "__main__":
    main()
