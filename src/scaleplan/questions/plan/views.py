"""A plan as people see it: one table of its numbers, the stages, the points of a search, what moves it most, and its lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from scaleplan.answer import Column, Interval, Line, Table
from scaleplan.chain.run_cost import formula_of, inputs_of, intervals_of, sources_of, standing_of
from scaleplan.chain.walk import Walk
from scaleplan.questions.plan.links import COST_PATHS, SHORT

LABELS = (
    ("model.n_params", "parameters", "params"),
    ("run.n_tokens", "tokens", "tokens"),
    ("compute.training_flops", "training compute", "FLOP"),
    ("law.loss_nats", "loss", "nats"),
    ("memory.peak_bytes", "peak memory", "bytes"),
    ("step.step_s", "step time", "s"),
    ("step.mfu", "MFU of a step", "fraction"),
    ("failures.goodput", "goodput", "fraction"),
    ("failures.job_mtbf_s", "time between failures", "s"),
    ("failures.checkpoint_interval_s", "time between checkpoints", "s"),
    ("failures.break_even_devices", "break-even devices", "devices"),
    ("run.n_steps", "optimizer steps", "int"),
    ("run.n_devices", "devices", "int"),
    ("run.wall_s", "wall time", "s"),
    ("run.device_hours", "device-hours", "h"),
    ("money.usd", "cost", "usd"),
    ("energy.wh", "energy", "Wh"),
    ("carbon.kgco2e", "CO2e", "kgCO2e"),
    ("carbon.embodied_kgco2e", "embodied CO2e", "kgCO2e"),
    ("water.water_l", "water", "l"),
)
"""Dotted path, label and unit of the numbers that people see."""


def tables_of(title: str | None, result: Mapping[str, Any]) -> list[Table]:
    """The plan as one table; stages, the search and what moves it below."""
    rows = []
    for path, label, unit in LABELS:
        group, _, key = path.partition(".")
        found = result[group][key]
        if found["value"] is not None:
            interval = None if found["p10"] is None else Interval(found["p10"], found["p50"], found["p90"])
            rows.append(
                {"key": path, "quantity": label, "value": found["value"], "unit": unit, "interval": interval, "standing": found["standing"]}
            )
    columns = [
        Column("key", "", "hidden"),
        Column("quantity", ""),
        Column("value", "value", "own"),
        Column("interval", "80 % interval", "own"),
    ]
    tables = [Table(title or "", [*columns, Column("standing", "standing")], rows)]
    if "stages" in result:
        tables.append(stage_table(result["stages"]))
    if "search" in result:
        tables.append(search_table(result["search"]))
    if result["tornado"]:
        columns = [Column("quantity", "quantity"), Column("input", "input"), Column("low", "low", "own"), Column("high", "high", "own")]
        swings = [{**row, "unit": SWUNG[row["quantity"]]} for row in result["tornado"]]
        tables.append(Table("What moves it most", columns, swings, detail=True))
    return tables


SWUNG = {"money.usd": "usd", "carbon.kgco2e": "kgCO2e"}


def stage_table(stages: Sequence[Mapping[str, Any]]) -> Table:
    """The stages beside each other."""
    rows = [
        {
            "name": row["name"],
            "training_flops": row["compute"]["training_flops"]["value"],
            "device_hours": row["run"]["device_hours"]["value"],
            "usd": row["money"]["usd"]["value"],
            "kgco2e": row["carbon"]["kgco2e"]["value"],
        }
        for row in stages
    ]
    columns = [Column("training_flops", "compute", "FLOP"), Column("device_hours", "device-hours", "h"), Column("usd", "cost", "usd")]
    return Table("Stages", [Column("name", "stage"), *columns, Column("kgco2e", "CO2e", "kgCO2e")], rows)


def search_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """The points of a search beside each other."""
    units = {
        "run.wall_s": "s",
        "run.device_hours": "h",
        "money.usd": "usd",
        "energy.wh": "Wh",
        "carbon.kgco2e": "kgCO2e",
        "law.loss_nats": "nats",
    }
    columns = [Column(key, key.rpartition(".")[2].replace("_", " "), units.get(key, "text")) for key in rows[0] if key != "chosen"]
    return Table("Points of the search", [*columns, Column("chosen", "chosen")], rows)


def lines_of(whole: Walk) -> list[Line]:
    """The numbers of the cost with their formulas."""
    lines = []
    spread = intervals_of(whole.inputs, whole.cost)
    for group, keys in COST_PATHS.items():
        for key in keys:
            value = getattr(whole.cost, key)
            if value is None:
                continue
            name = "money.devices_usd" if key == "usd" else f"{group}.{SHORT.get(key, key)}"
            standing, cited = standing_of(key, whole.inputs), sources_of(key, whole.inputs)
            given = inputs_of(key, whole.inputs, whole.cost)
            label = key.replace("_", " ")
            lines.append(Line(name, label, value, UNITS[key], formula_of(key, whole.inputs), given, cited, standing, spread.get(key)))
    if whole.other_usd:
        inputs = {"devices_usd": whole.cost.usd, "other_usd": list(whole.other_usd.values())}
        lines.append(Line("money.usd", "cost", whole.usd, "usd", "devices_usd + sum(other_usd)", inputs, (), "estimate"))
    return lines


UNITS = {
    "wall_s": "s",
    "device_hours": "h",
    "device_days": "d",
    "usd": "usd",
    "energy_wh": "Wh",
    "energy_it_wh": "Wh",
    "energy_devices_wh": "Wh",
    "kgco2e": "kgCO2e",
    "embodied_kgco2e": "kgCO2e",
    "water_l": "l",
}
