"""Published runs against what would have been said beforehand: device-hours, energy, CO2e.

    python benchmarks/run_costs.py [--facts FOLDER] [-v]

FOLDER holds `runs_dev.csv` (default: ../shared/facts beside the checkout, or $SCALEPLAN_FACTS). Prints each figure beside its
bar and exits 1 where one is missed.

    hours, blind    from model, tokens and device alone: median error 25 %, the 80 % interval covers within chance, quantile loss
                    not above that of constant quantiles refitted without the run's source
    hours, step     with the published MFU of a step, over the usual goodput: median error 15 %, mean below the blind one's
    energy          from published device-hours, rows that a meter stands behind: within a factor 1.25, and the 80 % interval of
                    energy, CO2e (and of hours, energy and CO2e blind) covers within chance
    CO2e            from published energy and its scope: within 10 %; cards that multiply rated power by hours: within 5 %
"""

from __future__ import annotations

import argparse
import csv
import math
import os
import statistics
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from scaleplan import library
from scaleplan.chain.cost_inputs import goodput_input, mfu_input, peak_input, power_inputs, site_inputs
from scaleplan.chain.run_cost import CostInputs, Input, RunCost, intervals_of, run_cost
from scaleplan.numeric import quantile

FACTS = Path(os.environ.get("SCALEPLAN_FACTS", Path(__file__).parents[2] / "shared" / "facts"))
DEVICES = {"a100 (variant not stated)": "a100-sxm-80gb", "a800": "a800-sxm-80gb", "v100": "v100-sxm-32gb", "v100-sxm": "v100-sxm-32gb"}
NO_PRESET = ("ascend-910", "ascend-910b")
FITTED_ON = ("gshard", "switch", "t5-11b", "meena", "gpt-3-175b", "palm-540b", "starcoder")  # a power preset was set from these
LEVELS = (0.1, 0.5, 0.9)
DEFAULTS = library.defaults()
Row = dict[str, str]


class Scored(NamedTuple):
    """A published figure, and the 10, 50 and 90 % points said beforehand."""

    name: str
    published: float
    points: tuple[float, float, float]

    @property
    def error(self) -> float:
        """Relative error of the middle point."""
        return abs(self.points[1] / self.published - 1)

    @property
    def is_inside(self) -> bool:
        """Whether the published figure is in the 80 % interval."""
        return self.points[0] <= self.published <= self.points[2]

    @property
    def loss(self) -> float:
        """Quantile loss of the three points on logarithms."""
        return pinball(self.published, self.points)


def real(text: str) -> float | None:
    """A number, or None for an empty cell."""
    return float(text) if text else None


def published_hours(row: Row) -> float | None:
    """Device-hours of a row, as published or from days and devices."""
    days, count = real(row["wall_days"]), real(row["n_accel"])
    return real(row["accel_hours"]) or (days * 24 * count if days and count else None)


def device_of(row: Row) -> library.Preset:
    """The preset of a row's hardware."""
    return library.load("hardware", DEVICES.get(row["hardware"], row["hardware"]))


def active(row: Row) -> float:
    """Parameters that a token uses."""
    return float(row["n_active_params"] or row["n_params"])


def blind(row: Row, **told: Input) -> CostInputs:
    """What a planner would know beforehand: model, tokens, device; everything else as it is by default."""
    device, site = device_of(row), site_inputs(None, None, None, DEFAULTS)
    inputs = CostInputs(
        training_flops=Input(6 * active(row) * float(row["tokens"] or "nan"), "exact"),
        peak_flops_per_s=peak_input(device),
        mfu=mfu_input(DEFAULTS, active(row)),
        pue=site.pue,
        kgco2e_per_kwh=site.kgco2e_per_kwh,
        **power_inputs(device, None, None, DEFAULTS)._asdict(),
    )
    return inputs._replace(**told)


def points(inputs: CostInputs, cost: RunCost, key: str) -> tuple[float, float, float]:
    """The 10, 50 and 90 % points of a quantity, the middle one its central value."""
    found, value = intervals_of(inputs, cost).get(key), getattr(cost, key)
    return (found.p10, value, found.p90) if found else (value, value, value)


def scored(row: Row, inputs: CostInputs, key: str, published: float) -> Scored:
    """A row's figure against a quantity."""
    return Scored(row["id"], published, points(inputs, run_cost(inputs), key))


def pinball(found: float, said: Sequence[float]) -> float:
    """Quantile loss of the 10, 50 and 90 % points for one positive figure, on logarithms."""
    misses = [(level, math.log(found / point)) for level, point in zip(LEVELS, said, strict=True)]
    return sum(max(level * miss, (level - 1) * miss) for level, miss in misses) / len(LEVELS)


def chance(n: int) -> tuple[int, int]:
    """How many of n runs an 80 % interval covers in 95 % of all cases."""
    from scipy.stats import binom

    low, high = binom.ppf([0.025, 0.975], n, 0.8)
    return int(low), int(high)


class Report:
    """Figures beside their bars; counts those missed."""

    def __init__(self, verbose: bool) -> None:
        self.verbose, self.missed = verbose, 0

    def bar(self, what: str, figure: str, holds: bool, bar: str, rows: Sequence[Scored] = ()) -> None:
        """One line, and under -v one for each run."""
        self.missed += not holds
        print(f"{what:46s} {figure:>20s}  {bar:24s} {'' if holds else 'MISSED'}")
        for row in rows if self.verbose else ():
            low, middle, high = row.points
            print(f"    {row.name:36s} published {row.published:.4g}, said {middle:.4g} ({low:.4g} to {high:.4g})")

    def median(self, what: str, rows: Sequence[Scored], most: float) -> None:
        """Median error against a bar."""
        found = statistics.median(row.error for row in rows)
        self.bar(what, f"{100 * found:.1f} % of {len(rows)}", found <= most, f"at most {100 * most:g} %", rows)

    def coverage(self, what: str, rows: Sequence[Scored]) -> None:
        """Runs inside the 80 % interval against what chance allows."""
        inside, (low, high) = sum(row.is_inside for row in rows), chance(len(rows))
        self.bar(what, f"{inside} of {len(rows)}", low <= inside <= high, f"{low} to {high}", rows)

    def within(self, what: str, rows: Sequence[Scored], factor: float) -> None:
        """The worst row against a factor."""
        worst = max(max(row.points[1] / row.published, row.published / row.points[1]) for row in rows)
        self.bar(what, f"x{worst:.3f} of {len(rows)}", worst <= factor, f"at most x{factor:g}", rows)


def hours(report: Report, rows: Sequence[Row]) -> None:
    """Device-hours from model, tokens and device alone."""
    known = [row for row in rows if row["n_params"] and row["tokens"] and published_hours(row)]
    found = [scored(row, blind(row), "device_hours", published_hours(row) or 0) for row in known]
    report.median("device-hours, blind: median error", found, 0.25)
    report.coverage("device-hours, blind: inside 80 %", found)
    spent = [(row["source"], (published_hours(row) or 0) * blind(row).peak_flops_per_s.value * 3600 / run_flops(row)) for row in known]
    constant = []
    for source, own in spent:
        others = [other for elsewhere, other in spent if elsewhere != source]
        constant.append(pinball(own, [quantile(others, level) for level in LEVELS]))
    ours, bar = statistics.fmean(row.loss for row in found), statistics.fmean(constant)
    report.bar("device-hours, blind: quantile loss", f"{ours:.4f}", ours <= bar, f"at most {bar:.4f}")
    stepped = [row for row in known if row["mfu"] and 0.5 <= share(row) <= 0.97]
    told = [blind(row, mfu=Input(float(row["mfu"])), goodput=goodput_input(DEFAULTS)) for row in stepped]
    by_step = [scored(row, inputs, "device_hours", published_hours(row) or 0) for row, inputs in zip(stepped, told, strict=True)]
    report.median("device-hours, step MFU told: median error", by_step, 0.15)
    names = {row["id"] for row in stepped}
    mean, blindly = (statistics.fmean(row.error for row in some) for some in (by_step, [row for row in found if row.name in names]))
    report.bar("device-hours, step MFU told: mean error", f"{100 * mean:.1f} %", mean < blindly, f"below {100 * blindly:.1f} %, blind")


def run_flops(row: Row) -> float:
    """6 N D."""
    return 6 * active(row) * float(row["tokens"])


def share(row: Row) -> float:
    """MFU of the whole run over the published one of a step."""
    return run_flops(row) / ((published_hours(row) or 0) * 3600 * blind(row).peak_flops_per_s.value) / float(row["mfu"])


def energy(report: Report, rows: Sequence[Row]) -> None:
    """Energy from published device-hours, and blind."""
    metered = [row for row in rows if real(row["energy_mwh"]) and is_metered(row)]
    from_hours = [row for row in metered if published_hours(row) and not row["id"].startswith(FITTED_ON)]
    told = [of_energy(row, from_hours=True) for row in from_hours]
    report.within("energy from published hours, metered runs", told, 1.25)
    whole = [row for row in rows if real(row["energy_mwh"]) and row["tokens"] and row["n_params"] and row["energy_scope"]]
    whole = [row for row in whole if "authors" not in row["energy_scope"]]
    report.coverage("energy, blind: inside 80 %", [of_energy(row, from_hours=False) for row in whole])


def is_metered(row: Row) -> bool:
    """Whether the energy is one that a meter stands behind."""
    return not any(word in row["energy_scope"].lower() for word in ("tdp", "authors", "peak", "first")) and bool(row["energy_scope"])


def of_energy(row: Row, from_hours: bool) -> Scored:
    """A row's energy in its own scope; of a publisher that multiplied rated power, at rated power."""
    scope, told = row["energy_scope"].lower(), {}
    if from_hours:
        told["device_hours"] = Input(published_hours(row))
    if row["pue"]:
        told["pue"] = Input(float(row["pue"]))
    key = "energy_wh" if "before pue" not in scope else "energy_it_wh" if scope.startswith("it") else "energy_devices_wh"
    if "tdp" in scope:
        key = "energy_devices_wh"
        told["device_power_w"] = power_inputs(device_of(row), "tdp", None, DEFAULTS).device_power_w
        if row["pue"]:
            return Scored(row["id"], float(row["energy_mwh"]) * 1e6 / float(row["pue"]), points(i := blind(row, **told), run_cost(i), key))
    inputs = blind(row, **told)
    return scored(row, inputs, key, float(row["energy_mwh"]) * 1e6)


def carbon(report: Report, rows: Sequence[Row]) -> None:
    """CO2e from published energy with the published scope."""
    known = [row for row in rows if real(row["tco2e"]) and real(row["carbon_g_per_kwh"]) and real(row["energy_mwh"])]
    found = []
    for row in known:
        outside = row["pue"] and "before pue" in row["energy_scope"].lower() and "dynamic only" not in row["tco2e_scope"]
        inputs = CostInputs(
            energy_it_wh=Input(float(row["energy_mwh"]) * 1e6),
            pue=Input(float(row["pue"]) if outside else 1.0),
            kgco2e_per_kwh=Input(float(row["carbon_g_per_kwh"]) / 1000),
        )
        found.append(scored(row, inputs, "kgco2e", float(row["tco2e"]) * 1e3))
    report.within("CO2e from published energy and scope", found, 1.1)
    named = [row for row in rows if row["id"].startswith(("llama-2", "llama-3", "llama-4"))]
    cards = [card(row) for row in named if real(row["tco2e"]) and real(row["accel_hours"])]
    report.within("CO2e of cards: rated power x hours", cards, 1.05)
    emitted = [row for row in rows if real(row["tco2e"]) and row["tokens"] and row["n_params"] and "net" not in row["tco2e_scope"]]
    report.coverage("CO2e, blind: inside 80 %", [scored(row, blind(row), "kgco2e", float(row["tco2e"]) * 1e3) for row in emitted])


def card(row: Row) -> Scored:
    """A model card's CO2e: devices at rated power, PUE 1.1 and 385 g/kWh, those of the articles."""
    rated = power_inputs(device_of(row), "tdp", "tdp", DEFAULTS)
    scope = {} if row["id"].startswith("llama-4") else {"pue": Input(1.1)}
    inputs = blind(row, device_hours=Input(float(row["accel_hours"])), kgco2e_per_kwh=Input(0.385), **rated._asdict(), **scope)
    return scored(row, inputs._replace(carbon_scope="facility" if scope else "devices"), "kgco2e", float(row["tco2e"]) * 1e3)


PARTS: tuple[Callable[[Report, Sequence[Row]], None], ...] = (hours, energy, carbon)


def main() -> None:
    """Score and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--facts", type=Path, default=FACTS, help="folder of runs_dev.csv")
    parser.add_argument("-v", action="store_true", help="every run")
    asked = parser.parse_args()
    with (asked.facts / "runs_dev.csv").open(newline="", encoding="utf-8") as lines:
        rows = [row for row in csv.DictReader(lines) if row["kind"] == "full_run" and row["hardware"] not in NO_PRESET]
    report = Report(asked.v)
    for part in PARTS:
        part(report, rows)
    sys.exit(f"{report.missed} bars missed" if report.missed else 0)


if __name__ == "__main__":
    main()
