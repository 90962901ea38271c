"""A plan against what was measured: the corrected stack, what the measured steps say was off, and the plan redone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from scaleplan import library
from scaleplan.answer import Answer
from scaleplan.chain.calibration import Corrected, Measurement, as_stack, corrected_stack, stack_text
from scaleplan.chain.grid_profile import finish_of
from scaleplan.chain.layout_step import LayoutStep
from scaleplan.chain.loss_curve import LossPoint, loss_curve
from scaleplan.errors import ScaleplanError, UsageError
from scaleplan.questions.calibrate.logs import Measured, measured_of
from scaleplan.questions.calibrate.settings import MODEL, settings_at, shape_words, with_devices
from scaleplan.questions.calibrate.views import FORECAST, chart, lines_of, notes_of, number_of_curve, tables_of
from scaleplan.questions.plan import OfPlan
from scaleplan.questions.plan.case import Case, case_of
from scaleplan.questions.plan.whole import Solved as SolvedPlan
from scaleplan.questions.plan.whole import links, solved
from scaleplan.wording import field

if TYPE_CHECKING:
    from scaleplan.questions.calibrate import OfMeasurement


class Solved(NamedTuple):
    """The plan before and after, what was measured of which layout, and the corrected stack."""

    rows: list[Measured]
    measurements: list[Measurement]
    before: SolvedPlan
    after: SolvedPlan
    corrected: Corrected
    curve: list[LossPoint]


def solve(asked: OfMeasurement) -> Solved:
    """The plan, corrected by what was measured."""
    plan = library.Text.named(library.read_text(str(asked.plan_file)), str(asked.plan_file))
    case = case_with(asked, plan, ())
    before = solved(case, case.given)
    step_of(before)
    at = settings_at(asked.measured_at)
    rows = measured_rows(asked, step_of(planned(asked, plan, at)))
    measurements = [Measurement(step_of(planned(asked, plan, (*at, *row.settings))), row.step_s, row.peak_bytes) for row in rows]
    corrected = corrected_stack(measurements)
    after = solved(case, {**case.given, "stack": as_stack(corrected.tables)})
    return Solved(rows, measurements, before, after, corrected, loss_curve(after.walk))


def case_with(asked: OfMeasurement, plan: library.Text, settings: Sequence[str]) -> Case:
    """The plan with what the measured steps ran with."""
    words = shape_words(settings)
    plain = [text for text in settings if not text.startswith(MODEL)]
    case = case_of(OfPlan(plan_file=plan, set=(*asked.set, *with_devices(plain))))
    if case.searched:
        raise UsageError(
            "a plan that chooses among values has no one step to compare", hint=f"fix them: {field('set')} hardware.n_devices=64"
        )
    given = case.given if asked.start is None else {**case.given, "start": asked.start}
    return case._replace(given={**given, "model": given["model"].but(**words)} if words else given)


def planned(asked: OfMeasurement, plan: library.Text, settings: Sequence[str]) -> SolvedPlan:
    """The plan of a measured step; a fault says of which."""
    try:
        case = case_with(asked, plan, settings)
        return solved(case, case.given)
    except ScaleplanError as error:
        for one in getattr(error, "errors", (error,)) if settings else ():
            one.message = f"{', '.join(settings)}: {one.message}"
        raise


def step_of(plan: SolvedPlan) -> LayoutStep:
    """The step of a plan's layout."""
    if plan.walk.step is None:
        raise UsageError("the plan has no layout, so no step time", hint='add [hardware] layout = "tp8,pp8,dp16"')
    return plan.walk.step


def measured_rows(asked: OfMeasurement, step: LayoutStep) -> list[Measured]:
    """What was measured: given, or the medians of a log."""
    if asked.measured is None:
        assert asked.step_s is not None, "checked by the request"
        return [Measured(asked.step_s, asked.peak_bytes, 1)]
    name = "standard input" if asked.measured == "-" else str(asked.measured)
    return measured_of(library.read_lines(asked.measured), name, step.batch_tokens / step.layout.n_devices)


# ------------------------------------------------------------------------------------------------------------------ the answer


def explain(asked: OfMeasurement, solved: Solved) -> Answer:
    """Measured, planned and their ratio; what was off; the run before and after."""
    step = step_of(solved.before)
    before, after = links(solved.before), links(solved.after)
    rows = [row_of(*each) for each in zip(solved.rows, solved.measurements, solved.corrected.residuals, strict=True)]
    first = next((row for row, one in zip(rows, solved.measurements, strict=True) if one.planned.layout == step.layout), rows[0])
    forecast: dict[str, Any] = {key: after[group][name] for key, (group, name) in FORECAST.items()}
    forecast |= {"finish_tokens": after["run"]["n_tokens"], "loss_nats": after["law"]["loss_nats"]}
    forecast["loss_curve"] = curve_rows(solved.curve, forecast["wall_s"]["value"])
    forecast["finish"] = finish_dates(solved.after.case.given.get("start"), forecast["wall_s"])
    result = {
        **{key: first[key] for key in ("n_rows", "measured", "planned", "ratio", "residual")},
        "rows": rows,
        "efficiencies": efficiency_rows(solved.corrected, solved.measurements[0].planned.pricing.device.launch_share),
        "parts": part_rows(step, step_of(solved.after)),
        "stack": solved.corrected.tables,
        "forecast": forecast,
    }
    return Answer(
        "calibrate",
        inputs_of(asked, step, solved.before),
        result,
        tables_of(result, before),
        charts=lambda: chart(result, solved.after.walk.law.name),
        lines=lines_of(result),
        notes=notes_of(solved.measurements, step),
        more_sources=["layout-runs"],
        files={".toml": {".toml": stack_text(solved.corrected.tables)}},
    )


def inputs_of(asked: OfMeasurement, step: LayoutStep, plan: SolvedPlan) -> dict[str, Any]:
    """What was asked."""
    given = {
        "plan": plan.case.file.name, "set": list(asked.set) or None, "measured": asked.measured,
        "measured_at": list(asked.measured_at) or None, "start": asked.start,
    }  # fmt: skip
    return {name: value for name, value in given.items() if value is not None} | {"layout": step.layout_text, "stack": step.stack}


def row_of(row: Measured, one: Measurement, residual: Sequence[Any]) -> dict[str, Any]:
    """A measured layout beside its plan, and the difference by term."""
    step = one.planned
    peak = None if one.peak_bytes is None else one.peak_bytes / step.peak_bytes.p50
    return {
        "layout": step.layout_text,
        "settings": list(row.settings),
        "n_rows": row.n_rows,
        "measured": {"step_s": one.step_s, "peak_bytes": one.peak_bytes},
        "planned": {"step_s": step.step_s.p50, "peak_bytes": int(step.peak_bytes.p50)},
        "ratio": {"step_s": one.step_s / step.step_s.p50, "peak_bytes": peak},
        "residual": [{"term": part.term, "residual_s": part.seconds, "told_fraction": part.told} for part in residual],
    }


RATES = ("product", "scores", "flash1", "flash2", "flash3", "memory", "link", "network")
"""Shares of a peak: at most 1."""


def efficiency_rows(found: Corrected, launch_share: float) -> list[dict[str, Any]]:
    """Efficiencies before and after, those of a whole step included."""
    before, after = found.hardware
    rows = [
        {"efficiency": name, "unit": "fraction", "planned": getattr(before, name), "corrected": getattr(after, name), "most": 1.0}
        for name in RATES
    ]
    times = (("launch_s", launch_share), ("hop_s", 1.0), ("fixed_s", 1.0))
    rows += [
        {
            "efficiency": name, "unit": "s", "planned": scale * getattr(found.planned, name),
            "corrected": scale * getattr(found.shares, name), "most": None,
        }
        for name, scale in times
    ]  # fmt: skip
    rows.append({"efficiency": "pace", "unit": "", "planned": found.planned.pace, "corrected": found.shares.pace, "most": None})
    return rows


def part_rows(before: LayoutStep, after: LayoutStep) -> list[dict[str, Any]]:
    """The parts of the plan's step."""
    return [{"term": name, "planned_s": seconds, "corrected_s": after.parts[name]} for name, seconds in before.parts.items()]


def curve_rows(curve: Sequence[LossPoint], wall_s: float | None) -> list[dict[str, Any]]:
    """The loss along the run."""
    return [
        {
            "n_tokens": point.n_tokens,
            "wall_s": None if wall_s is None else point.share * wall_s,
            "loss_nats": number_of_curve(point),
        }
        for point in curve
    ]


def finish_dates(start: str | None, wall_s: Mapping[str, Any]) -> dict[str, str | None] | None:
    """When the run ends, with its interval; None where nothing says when it starts."""
    if start is None or wall_s["value"] is None:
        return None
    return {key: None if wall_s[key] is None else finish_of(start, wall_s[key]) for key in ("value", "p10", "p50", "p90")}
