"""A plan as people see it: one table of its numbers, the stages, the points of a search, what moves it most, and its lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from scaleplan.answer import Column, Interval, Line, Table
from scaleplan.chain.lifetime import Lifetime
from scaleplan.chain.run_cost import intervals_of
from scaleplan.chain.walk import Walk
from scaleplan.questions.cost.lines import cost_line
from scaleplan.questions.plan.links import COST_PATHS, SERVED, SHORT
from scaleplan.units import show_count
from scaleplan.wording import field

LABELS = (
    ("model.n_params", "parameters", "params"),
    ("run.n_tokens", "tokens", "tokens"),
    ("compute.training_flops", "training compute", "FLOP"),
    ("law.loss_nats", "loss", "nats"),
    ("task.accuracy", "accuracy", "fraction"),
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
SERVING = (
    ("serving.tokens_per_s_per_device", "output tokens a second and device", "tokens/s"),
    ("serving.usd_per_million_tokens", "a million output tokens", "usd"),
    ("serving.n_devices", "devices that serve", "int"),
    ("serving.utilisation", "of their capacity in use", "fraction"),
    ("serving.device_hours", "device-hours", "h"),
    ("serving.usd", "cost", "usd"),
    ("serving.wh", "energy", "Wh"),
    ("serving.kgco2e", "CO2e", "kgCO2e"),
    ("lifetime.device_hours", "with training: device-hours", "h"),
    ("lifetime.usd", "with training: cost", "usd"),
    ("lifetime.wh", "with training: energy", "Wh"),
    ("lifetime.kgco2e", "with training: CO2e", "kgCO2e"),
)
"""The same of serving, and of training and serving together."""


def tables_of(title: str | None, result: Mapping[str, Any]) -> list[Table]:
    """The plan as one table; serving, walls, stages, the search and what moves it below."""
    tables = [Table(title or "", NUMBER_COLUMNS, number_rows(result, LABELS))]
    if result["serving"] is not None:
        tokens = show_count(result["serving"]["n_tokens"]["value"])
        tables.append(Table(f"Serving {tokens} tokens", NUMBER_COLUMNS, number_rows(result, SERVING)))
    if result["walls"] is not None:
        tables.append(wall_table(result["walls"]))
    if "stages" in result:
        tables.append(stage_table(result["stages"]))
    if "search" in result:
        tables.append(search_table(result["search"]))
    if result["tornado"]:
        columns = [Column("quantity", "quantity"), Column("input", "input"), Column("low", "low", "own"), Column("high", "high", "own")]
        swings = [{**row, "unit": SWUNG[row["quantity"]]} for row in result["tornado"]]
        tables.append(Table("What moves it most", columns, swings, detail=True))
    return tables


NUMBER_COLUMNS = [
    Column("key", "", "hidden"),
    Column("quantity", ""),
    Column("value", "value", "own"),
    Column("interval", "80 % interval", "own"),
    Column("standing", "standing"),
]


def number_rows(result: Mapping[str, Any], labels: Sequence[tuple[str, str, str]]) -> list[dict[str, Any]]:
    """A row for each number that is known."""
    rows = []
    for path, label, unit in labels:
        group, _, key = path.partition(".")
        found = (result[group] or {}).get(key)
        if found is not None and found["value"] is not None:
            interval = None if found["p10"] is None else Interval(found["p10"], found["p50"], found["p90"])
            rows.append(
                {"key": path, "quantity": label, "value": found["value"], "unit": unit, "interval": interval, "standing": found["standing"]}
            )
    return rows


def wall_table(walls: Sequence[Mapping[str, Any]]) -> Table:
    """What stops the run from being larger."""
    columns = [Column("wall", "wall"), Column("used_fraction", "used", "fraction"), Column("value", "of the run", "own")]
    rows = [{**wall, "wall": wall["name"].replace("_", "-")} for wall in walls]
    return Table("Walls of the cluster", [*columns, Column("limit", "limit", "own")], rows)


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
    """The numbers of the cost with their formulas, and those of serving."""
    spread = intervals_of(whole.inputs, whole.cost)
    lines = [
        cost_line(key, whole.inputs, whole.cost, spread)._replace(key=path_of(group, key))
        for group, keys in COST_PATHS.items()
        for key in keys
        if getattr(whole.cost, key) is not None
    ]
    if whole.other_usd:
        inputs = {"devices_usd": whole.cost.usd, "other_usd": list(whole.other_usd.values())}
        lines.append(Line("money.usd", "cost", whole.usd, "usd", "devices_usd + sum(other_usd)", inputs, (), "estimate"))
    return lines if whole.serving is None else [*lines, *serving_lines(whole.serving)]


def path_of(group: str, key: str) -> str:
    """Where a quantity of the cost stands in the result."""
    return "money.devices_usd" if key == "usd" else f"{group}.{SHORT.get(key, key)}"


def serving_lines(serving: Lifetime) -> list[Line]:
    """What serving takes, with its formulas."""
    inputs, spread = serving.inputs, intervals_of(serving.inputs, serving.cost)
    hours = inputs.device_hours
    assert hours is not None, "serving has hours"
    found = [
        cost_line(key, inputs, serving.cost, spread)._replace(key=f"serving.{SHORT.get(key, key)}")
        for key in SERVED
        if getattr(serving.cost, key) is not None
    ]
    return [found[0]._replace(formula=hours.formula, inputs=hours.inputs if hours.formula else None), *found[1:]]


def plain_line(whole: Walk) -> str:
    """The wall that binds, how much of each other one is used, and what would tell of the rest."""
    walls = whole.walls
    first, *others = (wall for wall in walls if wall.used_fraction is not None)
    known = ", ".join(f"{wall.name.replace('_', '-')} {share(wall.used_fraction)}" for wall in others)
    needs = [f"{wall.name} needs {field(wall.lacking)}" for wall in walls if wall.used_fraction is None and wall.lacking]
    unknown = "".join(f"; {one}" for one in needs)
    return f"Wall: {first.name.replace('_', '-')}, {share(first.used_fraction)} used{bound_words(whole)}. Others: {known}{unknown}."


def bound_words(whole: Walk) -> str:
    """What the law wanted, where memory cannot hold it."""
    if whole.wanted_params is None:
        return ""
    return f" ({whole.law.name} wants {show_count(whole.wanted_params)} parameters, {show_count(whole.size.n_params)} fit)"


def share(used_fraction: float) -> str:
    """A share of a wall."""
    return f"{100 * used_fraction:.3g} %"
