"""A calibration as people see it: measured against planned, what was off, the run before and after, the loss along it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from scaleplan.answer import Axis, Chart, Column, Interval, Line, Series, Table, line
from scaleplan.chain.calibration import Measurement
from scaleplan.chain.layout_step import LayoutStep
from scaleplan.chain.loss_curve import LossPoint
from scaleplan.questions.plan.links import number

FORECAST = {
    "wall_s": ("run", "wall_s"),
    "device_hours": ("run", "device_hours"),
    "usd": ("money", "usd"),
    "wh": ("energy", "wh"),
    "kgco2e": ("carbon", "kgco2e"),
}
SHOWN = {
    "wall_s": ("wall time", "s"),
    "device_hours": ("device-hours", "h"),
    "usd": ("cost", "usd"),
    "wh": ("energy", "Wh"),
    "kgco2e": ("CO2e", "kgCO2e"),
}
"""Quantity -> label and unit for people."""
TERMS = {
    "product": "products and attention",
    "memory": "memory traffic",
    "communication": "communication",
    "host": "kernel launches",
    "fixed": "fixed time",
    "pace": "all of the stack alike",
    "shape": "layouts with these product sizes",
    "scatter": "this layout alone",
}
EFFICIENCIES = {
    "product": "matrix products, share of peak",
    "scores": "attention with stored scores, share of peak",
    "flash1": "FlashAttention 1, share of peak",
    "flash2": "FlashAttention 2, share of peak",
    "flash3": "FlashAttention 3, share of peak",
    "memory": "memory bandwidth, share",
    "link": "links in a node, share",
    "network": "network, share",
    "launch_s": "host time of a kernel launch",
    "hop_s": "latency between pipeline stages",
    "fixed_s": "fixed time of a step",
    "pace": "factor on the whole step",
}


# --------------------------------------------------------------------------------------------------------------------- tables


def tables_of(result: Mapping[str, Any], before: Mapping[str, Any]) -> list[Table]:
    """From the measured step to the run."""
    forecast = result["forecast"]
    tables = [step_table(result), *layout_table(result["rows"]), residual_table(result), run_table(before, forecast)]
    tables += [curve_table(forecast["loss_curve"])] if forecast["loss_curve"] else []
    return [*tables, efficiency_table(result["efficiencies"]), Table("Parts of the step", PART_COLUMNS, result["parts"], detail=True)]


PART_COLUMNS = [Column("term", "part"), Column("planned_s", "planned", "s"), Column("corrected_s", "corrected", "s")]


def step_table(result: Mapping[str, Any]) -> Table:
    """The step as measured and as planned."""
    kinds = (("step_s", "step time", "s"), ("peak_bytes", "peak memory", "bytes"))
    rows = [
        {"quantity": label, "unit": unit, **{column: result[column][key] for column in ("measured", "planned", "ratio")}}
        for key, label, unit in kinds
        if result["measured"][key] is not None
    ]
    columns = [
        Column("quantity", ""),
        Column("measured", "measured", "own"),
        Column("planned", "planned", "own"),
        Column("ratio", "ratio", ""),
    ]
    return Table("", columns, rows)


def layout_table(rows: Sequence[Mapping[str, Any]]) -> list[Table]:
    """Every measured layout, where there are several."""
    if len(rows) == 1:
        return []
    shown = [
        {
            "layout": " ".join(map(settled, row["settings"])) or row["layout"],
            "n_rows": row["n_rows"],
            **{f"{column}_s": row[column]["step_s"] for column in ("measured", "planned")},
            "ratio": row["ratio"]["step_s"],
        }
        for row in rows
    ]
    columns = [
        Column("layout", "layout"),
        Column("n_rows", "steps", "int"),
        Column("measured_s", "measured", "s"),
        Column("planned_s", "planned", "s"),
        Column("ratio", "ratio", ""),
    ]
    return [Table("Measured layouts", columns, shown)]


def settled(text: str) -> str:
    """A setting as people read it: a layout by itself, other keys without their table."""
    key, _, value = text.partition("=")
    name = key.rpartition(".")[2]
    return value if name == "layout" else f"{name}={value}"


def residual_table(result: Mapping[str, Any]) -> Table:
    """What the measured step has more or less than the planned one, by term."""
    rows = [{"what": TERMS[row["term"]], **row} for row in result["residual"]]
    columns = [Column("what", "term"), Column("residual_s", "measured - planned", "s"), Column("told_fraction", "told", "fraction")]
    notes = ["`told`: share of a term's variance that the measured steps removed. A term that they do not tell stays near its plan."]
    return Table("What was off", columns, rows, notes=notes)


def efficiency_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Efficiencies before and after."""
    shown = [{"what": EFFICIENCIES[row["efficiency"]], **row} for row in rows]
    columns = [Column("what", "efficiency"), Column("planned", "planned", "own"), Column("corrected", "corrected", "own")]
    return Table("Efficiencies", columns, shown, detail=True)


def run_table(before: Mapping[str, Any], forecast: Mapping[str, Any]) -> Table:
    """The run as it was planned, and with the corrected stack."""
    rows = []
    for (key, (group, name)), (label, unit) in zip(FORECAST.items(), SHOWN.values(), strict=True):
        then, now = before[group][name], forecast[key]
        if now["value"] is not None:
            rows.append(
                {
                    "quantity": label, "planned": then["value"], "planned_interval": interval_of(then), "value": now["value"],
                    "interval": interval_of(now), "unit": unit,
                }
            )  # fmt: skip
    finish = forecast["finish"]
    notes = [] if finish is None else [f"The run ends on {finish['value']}{dates_between(finish)}."]
    columns = [
        Column("quantity", ""),
        Column("planned", "planned", "own"),
        Column("planned_interval", "80 % interval", "own"),
        Column("value", "forecast", "own"),
        Column("interval", "80 % interval", "own"),
    ]
    return Table("The run with the corrected stack", columns, rows, notes=notes)


def dates_between(finish: Mapping[str, str | None]) -> str:
    """The interval of the end, in words."""
    return "" if finish["p10"] is None else f" (80 %: {finish['p10']} to {finish['p90']})"


def interval_of(found: Mapping[str, Any]) -> Interval | None:
    """The interval of a number that has one."""
    return None if found["p10"] is None else Interval(found["p10"], found["p50"], found["p90"])


def curve_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """The loss along the run."""
    shown = [
        {
            "n_tokens": row["n_tokens"],
            "wall_s": row["wall_s"],
            "loss_nats": row["loss_nats"]["value"],
            "interval": interval_of(row["loss_nats"]),
        }
        for row in rows
    ]
    columns = [
        Column("n_tokens", "tokens", "tokens"),
        Column("wall_s", "after", "s"),
        Column("loss_nats", "loss", "nats"),
        Column("interval", "80 % interval", "nats"),
    ]
    notes = ["Loss of runs of this model that end, learning rate decayed, after so many tokens; within a run it is higher until the decay."]
    return Table("Loss along the run", columns, shown, notes=notes)


def number_of_curve(point: LossPoint) -> dict[str, Any]:
    """A loss with its interval."""
    return dict(number(point.loss_nats, point.interval, "fitted"))


def chart(result: Mapping[str, Any], law: str) -> list[Chart]:
    """The loss falls along the run."""
    rows = result["forecast"]["loss_curve"]
    if not rows:
        return []
    known = all(row["loss_nats"]["p10"] is not None for row in rows)
    low, high = ([row["loss_nats"][end] for row in rows] if known else None for end in ("p10", "p90"))
    series = Series(law, [float(row["n_tokens"]) for row in rows], [row["loss_nats"]["value"] for row in rows], low, high)
    return [Chart("Loss along the run", Axis("D", "tokens"), Axis("loss", "nats", log=False), [series])]


# -------------------------------------------------------------------------------------------------------------- lines and notes


def lines_of(result: Mapping[str, Any]) -> list[Line]:
    """Each ratio with its formula, and the terms that add up to the difference."""
    labels = {"step_s": "step time", "peak_bytes": "peak memory"}
    ratios = [
        line(
            f"ratio.{key}", f"{labels[key]}, measured over planned", ratio, "", "measured / planned",
            measured=result["measured"][key], planned=result["planned"][key], standing="estimate",
        )
        for key, ratio in result["ratio"].items() if ratio is not None
    ]  # fmt: skip
    terms = [row["residual_s"] for row in result["residual"]]
    apart = line("residual_s", "step time, measured less planned", sum(terms), "s", "sum(terms)", terms=terms, standing="estimate")
    return [*ratios, apart]


def notes_of(measured: Sequence[Measurement], step: LayoutStep) -> list[str]:
    """What the forecast rests on."""
    own = any(one.planned.step_s == step.step_s and one.planned.layout == step.layout for one in measured)
    carried = [] if own else [f"The plan's layout `{step.layout_text}` was not measured: its step follows from the corrected efficiencies."]
    return [*carried, NARROWED, "-o stack.toml writes the corrected stack, for `[hardware] stack`."]


NARROWED = (
    "A measured layout takes its measured seconds. Others of its stack: mean error 4.8 % after one row, over 13 published tables; "
    "their 80 % intervals narrow by what the rows told."
)
