"""A plan against what was measured: the ratio, the corrected stack, and the plan redone with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from scaleplan import library
from scaleplan.answer import Answer, Column, Interval, Line, Table, line
from scaleplan.chain.calibration import as_stack, corrected_stack, stack_text
from scaleplan.chain.layout_step import LayoutStep
from scaleplan.errors import UsageError
from scaleplan.questions.calibrate.logs import Measured, measured_of
from scaleplan.questions.plan import OfPlan
from scaleplan.questions.plan.case import case_of
from scaleplan.questions.plan.whole import Solved as SolvedPlan
from scaleplan.questions.plan.whole import links, solved
from scaleplan.wording import field

if TYPE_CHECKING:
    from scaleplan.questions.calibrate import OfMeasurement


class Solved(NamedTuple):
    """The plan before and after, and the tables of the corrected stack."""

    measured: Measured
    before: SolvedPlan
    after: SolvedPlan
    stack: dict[str, Any]


def solve(asked: OfMeasurement) -> Solved:
    """The plan, corrected by what was measured."""
    case = case_of(OfPlan(plan_file=asked.plan_file, set=asked.set))
    if case.searched:
        raise UsageError(
            "a plan that chooses among values has no one step to compare", hint=f"fix them: {field('set')} hardware.n_devices=64"
        )
    before = solved(case, case.given)
    step = before.walk.step
    if step is None:
        raise UsageError("the plan has no layout, so no step time", hint='add [hardware] layout = "tp8,pp8,dp16"')
    measured = measurement(asked, step)
    stack = corrected_stack(step, measured.step_s, measured.peak_bytes)
    return Solved(measured, before, solved(case, {**case.given, "stack": as_stack(stack)}), stack)


def measurement(asked: OfMeasurement, step: LayoutStep) -> Measured:
    """What was measured: given, or the medians of a log."""
    if asked.measured is None:
        assert asked.step_s is not None, "checked by the request"
        return Measured(asked.step_s, asked.peak_bytes, 1)
    text = library.read_text(asked.measured)
    return measured_of(text, "standard input" if asked.measured == "-" else str(asked.measured), step.batch_tokens / step.layout.n_devices)


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


def explain(asked: OfMeasurement, solved: Solved) -> Answer:
    """Measured, planned and their ratio; the run before and after."""
    step, found = solved.before.walk.step, solved.measured
    assert step is not None, "found when it was solved"
    planned = {"step_s": step.step_s.p50, "peak_bytes": int(step.peak_bytes.p50)}
    slower = found.step_s / step.step_s.p50
    ratio = {
        "step_s": slower,
        "peak_bytes": None if found.peak_bytes is None else found.peak_bytes / step.peak_bytes.p50,
    }
    before, after = links(solved.before), links(solved.after)
    forecast = {key: after[group][name] for key, (group, name) in FORECAST.items()}
    parts = [{"term": name, "planned_s": seconds, "corrected_s": slower * seconds} for name, seconds in step.parts.items()]
    result = {
        "n_rows": found.n_rows,
        "measured": {"step_s": found.step_s, "peak_bytes": found.peak_bytes},
        "planned": planned,
        "ratio": ratio,
        "parts": parts,
        "stack": solved.stack,
        "forecast": forecast,
    }
    return Answer(
        "calibrate",
        inputs_of(asked, step, solved.before),
        result,
        [step_table(result), run_table(before, forecast), Table("Parts of the step", PART_COLUMNS, parts, detail=True)],
        lines=lines_of(result),
        notes=[NARROWED, "-o stack.toml writes the corrected stack, for `[hardware] stack`."],
        more_sources=["layout-runs"],
        files={".toml": {".toml": stack_text(solved.stack)}},
    )


def inputs_of(asked: OfMeasurement, step: LayoutStep, plan: SolvedPlan) -> dict[str, Any]:
    """What was asked."""
    given = {"plan": plan.case.file.name, "set": list(asked.set) or None, "measured": asked.measured}
    return {name: value for name, value in given.items() if value is not None} | {"layout": step.layout_text, "stack": step.stack}


NARROWED = "Step times of other layouts with the corrected stack: 80 % within 9 %, over pairs of measured layouts of ten stacks."
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


def run_table(before: Mapping[str, Any], forecast: Mapping[str, Any]) -> Table:
    """The run as it was planned, and with the corrected stack."""
    rows = [
        {"quantity": label, "planned": before[group][name]["value"], "value": now["value"], "interval": interval_of(now), "unit": unit}
        for (key, (group, name)), (label, unit) in zip(FORECAST.items(), SHOWN.values(), strict=True)
        if (now := forecast[key])["value"] is not None
    ]
    columns = [
        Column("quantity", ""),
        Column("planned", "planned", "own"),
        Column("value", "forecast", "own"),
        Column("interval", "80 % interval", "own"),
    ]
    return Table("The run with the corrected stack", columns, rows)


def interval_of(number: Mapping[str, Any]) -> Interval | None:
    """The interval of a number that has one."""
    return None if number["p10"] is None else Interval(number["p10"], number["p50"], number["p90"])


def lines_of(result: Mapping[str, Any]) -> list[Line]:
    """Each ratio with its formula."""
    labels = {"step_s": "step time", "peak_bytes": "peak memory"}
    return [
        line(
            f"ratio.{key}", f"{labels[key]}, measured over planned", ratio, "", "measured / planned",
            measured=result["measured"][key], planned=result["planned"][key], standing="estimate",
        )
        for key, ratio in result["ratio"].items() if ratio is not None
    ]  # fmt: skip
