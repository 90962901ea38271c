"""The answer of a plan: one object a link, each number with its interval and standing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from scaleplan.answer import Answer, Caution, Interval
from scaleplan.chain.cost_given import calendar_of, total_of
from scaleplan.chain.other_costs import usd_of
from scaleplan.chain.run_cost import CostInputs, RunCost, intervals_of, run_cost, standing_of
from scaleplan.chain.stages import Stage
from scaleplan.chain.walk import Walk, walk, walk_stages
from scaleplan.errors import UsageError
from scaleplan.limits import judge
from scaleplan.questions.cost.answers import calendar_notes, calendar_result
from scaleplan.questions.optimal.task import cautions as task_cautions
from scaleplan.questions.optimal.warnings import silences
from scaleplan.questions.plan.case import Case, case_of
from scaleplan.questions.plan.links import (
    COST_PATHS,
    cost_numbers,
    count_standing,
    failure_links,
    law_links,
    layout_links,
    number,
    serving_links,
    wall_rows,
)
from scaleplan.questions.plan.views import SWUNG, lines_of, plain_line, tables_of
from scaleplan.questions.plan_file import key_named
from scaleplan.wording import field

if TYPE_CHECKING:
    from scaleplan.questions.plan import OfPlan


class Solved(NamedTuple):
    """A plan, walked: the case, its walk, the stages' costs, and every point of a search."""

    case: Case
    walk: Walk
    stages: tuple[tuple[Stage, CostInputs, RunCost], ...]
    search: tuple[tuple[dict[str, Any], Walk], ...]


def solve(asked: OfPlan) -> Solved:
    """Every link of the plan; of a plan that chooses among values, every point and the best."""
    return solved_case(case_of(asked))


def solved_case(case: Case) -> Solved:
    """The same for a case that has been read."""
    if not case.searched:
        return solved(case, case.given)
    points = [(point, solved(case, case.given | point)) for point in case.points()]
    best = chosen(case, [one for _, one in points])
    return best._replace(search=tuple((point, one.walk) for point, one in points))


def solved(case: Case, given: Mapping[str, Any]) -> Solved:
    """One case without anything left to choose."""

    def other_usd(device_hours: Any, wall_s: Any) -> dict[str, Any]:
        return usd_of(case.costs, device_hours, wall_s)

    if not case.stages:
        return Solved(case, walk(given, other_usd), (), ())
    flops = [stage.flops for stage in case.stages]
    whole = walk_stages(given, flops, other_usd)
    each = [whole.inputs._replace(training_flops=whole.training_flops._replace(value=one)) for one in flops]
    return Solved(case, whole, tuple((stage, inputs, run_cost(inputs)) for stage, inputs in zip(case.stages, each, strict=True)), ())


def chosen(case: Case, found: Sequence[Solved]) -> Solved:
    """The best point by the goal, among those that keep the limits of level error at the median; all, where none does."""
    results = [links(one) for one in found]
    path = str(case.minimize)
    keeping = [place for place, result in enumerate(results) if keeps(case, result)] or list(range(len(results)))
    values = {place: value_at(results[place], path) for place in keeping}
    if any(value is None for value in values.values()):
        raise UsageError(f"[goal] `{path}` is unknown in this plan", hint="for example run.wall_s or money.usd")
    return found[min(keeping, key=lambda place: (values[place], place))]


def keeps(case: Case, result: Mapping[str, Any]) -> bool:
    """Whether a point keeps every limit of level error at the median."""
    judged = [judge(one.limit, result, one.at or "p50") for one in case.limits if one.limit is not None and one.limit.level == "error"]
    return all(row.verdict != "fail" for row in judged)


def value_at(result: Mapping[str, Any], path: str) -> Any:
    """The value of a number at a dotted path; None where nothing is there."""
    found: Any = result
    for step in path.split("."):
        found = found.get(step) if isinstance(found, Mapping) else None
    return found.get("value") if isinstance(found, Mapping) else found


# ---------------------------------------------------------------------------------------------------------------- result


def explain(asked: OfPlan, solved: Solved) -> Answer:
    """The plan as an answer."""
    result = links(solved)
    if solved.stages:
        result["stages"] = stage_rows(solved)
    if solved.search:
        result["search"] = [search_row(solved, point, one) for point, one in solved.search]
    result["tornado"] = tornado(solved.walk)
    case, whole = solved.case, solved.walk
    given = given_of(solved)
    when = calendar_of(given, whole.inputs, whole.cost)
    result["calendar"] = calendar_result(when)
    result["total"], of_total = total_of_plan(case, given, whole)
    inputs = {"plan": case.file.name if asked.plan_file else None, "title": case.title, "set": list(asked.set) or None}
    return Answer(
        "plan",
        {key: value for key, value in inputs.items() if value is not None} | given_inputs(case, whole),
        result,
        tables_of(solved.case.title, result),
        lines=lines_of(whole),
        warnings=[*(whole.size.model.cautions if whole.size.model else ()), *cautions(given, whole)],
        notes=[
            *([plain_line(whole)] if whole.walls else []),
            *whole.assumed,
            *calendar_notes(given, when, whole.cost),
            *of_total,
            *task_notes(whole),
        ],
        more_sources=[*(whole.size.model.sources if whole.size.model else ())],
        files={".toml": {".toml": plan_text(asked, case)}},
        presets=digests(whole),
        folder=front_files(asked, solved),
    )


def given_of(solved: Solved) -> dict[str, Any]:
    """Every field of the plan; of a search those of the point that was chosen."""
    return solved.case.given | next((point for point, one in solved.search if one is solved.walk), {})


def total_of_plan(case: Case, given: Mapping[str, Any], whole: Walk) -> tuple[dict[str, Any] | None, list[str]]:
    """The run with its trials, idle nodes and the making of its devices, and a sentence; neither where none of them was put in."""
    total = total_of(given, whole.inputs, whole.cost)
    if total is None:
        return None, []
    from scaleplan.chain.beside_run import plus_usd
    from scaleplan.questions.cost.total import result_of, sentence

    total = plus_usd(total, sum(usd_of(case.costs, total.device_hours, whole.cost.wall_s).values()))
    return result_of(total), [sentence(total, whole.inputs.carbon_scope)]


def links(solved: Solved) -> dict[str, Any]:
    """One object a link, each number as {value, p10, p50, p90, standing}."""
    return linked(solved, solved.walk.intervals(), intervals_of(solved.walk.inputs, solved.walk.cost).get("usd"))


def linked(solved: Solved, spread: Mapping[str, Interval], devices_usd: Interval | None = None) -> dict[str, Any]:
    """The links with the intervals that are handed in: none, where the numbers are arrays."""
    whole = solved.walk
    size = whole.size
    found: dict[str, Any] = {
        "title": solved.case.title,
        "compute": {
            "training_flops": number(whole.training_flops.value, None, whole.training_flops.standing),
            "flops_convention": whole.convention,
        },
        **law_links(whole),
        "model": {
            "model": size.model.label if size.model else None,
            "n_params": number(size.n_params, None, count_standing(size.n_standing)),
            "n_active_params": number(size.n_active_params, None, count_standing(size.n_standing)),
        },
        **layout_links(whole),
        "failures": failure_links(whole),
    }
    cost = {group: cost_numbers(whole.inputs, whole.cost, keys, spread) for group, keys in COST_PATHS.items()}
    cost["run"] |= {
        "n_devices": number(whole.n_devices, None, "given" if "n_devices" in solved.case.given else "estimate"),
        "n_steps": number(whole.n_steps, None, count_standing(size.standing)),
        "n_tokens": number(size.tokens, None, size.standing),
        "batch_size_tokens": number(whole.batch_tokens, None, "given"),
    }
    cost["money"] = {
        "usd": number(whole.usd, spread.get("usd"), standing_of("usd", whole.inputs) if whole.usd is not None else "estimate"),
        "devices_usd": number(whole.cost.usd, devices_usd, "estimate"),
        "other_usd": dict(whole.other_usd),
    }
    cost["carbon"]["carbon_scope"] = whole.inputs.carbon_scope
    return found | cost | serving_links(whole, with_spread=bool(spread)) | {"walls": wall_rows(whole)}


def numbers(solved: Solved) -> dict[str, Any]:
    """The links as the rows of a sweep have them: without intervals, and without what is no number of the plan."""
    found = linked(solved, {})
    del found["title"]
    for link, keys in NO_NUMBERS.items():
        found[link] = found[link] and {key: value for key, value in found[link].items() if key not in keys}
    return {link: value for link, value in found.items() if value is not None or link not in OPTIONAL}


NO_NUMBERS = {
    "compute": ("flops_convention",),
    "law": ("law",),
    "model": ("model",),
    "money": ("other_usd",),
    "carbon": ("carbon_scope",),
    "serving": ("hardware", "layout", "stack", "precision", "bound"),
    "task": ("task", "forecasts"),
}
"""Link -> its keys that a row of a sweep leaves out."""
OPTIONAL = ("serving", "lifetime", "task", "walls")
"""Links that a row of a sweep leaves out where a plan has none."""


def stage_rows(solved: Solved) -> list[dict[str, Any]]:
    """The stages, whose values add up to those of the whole; costs beside the devices are shared by compute."""
    rows = []
    for stage, inputs, cost in solved.stages:
        beside = sum(solved.walk.other_usd.values()) * stage.flops / solved.walk.training_flops.value
        paid = cost if cost.usd is None else cost._replace(usd=cost.usd + beside)
        spread = dict(intervals_of(inputs, cost))
        if "usd" in spread:
            spread["usd"] = spread["usd"].plus(beside)
        links_of = {group: cost_numbers(inputs, paid, keys, spread) for group, keys in COST_PATHS.items()}
        rows.append({"name": stage.name, "compute": {"training_flops": number(stage.flops, None, "exact")}, **links_of})
    return rows


def search_row(solved: Solved, point: Mapping[str, Any], one: Walk) -> dict[str, Any]:
    """One point of a search: the searched keys, and the numbers that a goal is made of."""
    keys = {key_named(name): spelled_value(value) for name, value in point.items()}
    shown = {"run.wall_s": one.cost.wall_s, "run.device_hours": one.cost.device_hours, "money.usd": one.usd}
    shown |= {"energy.wh": one.cost.energy_wh, "carbon.kgco2e": one.cost.kgco2e, "law.loss_nats": one.loss_nats}
    return keys | shown | {"chosen": one is solved.walk}


def spelled_value(value: Any) -> Any:
    """A searched value as a row shows it."""
    return value.spelled() if hasattr(value, "spelled") else value


def tornado(whole: Walk) -> list[dict[str, Any]]:
    """Which input moves dollars and hours most: each at its 10 and 90 % points, the others at their values."""
    rows = []
    for name in ("mfu", "goodput", "usd_per_device_hour", "device_power_w", "pue", "kgco2e_per_kwh"):
        given = getattr(whole.inputs, name)
        if given is None or given.spread is None:
            continue
        low, _, high = given.spread.ends()
        ends = [run_cost(whole.inputs._replace(**{name: given._replace(value=given.value * factor)})) for factor in (low, high)]
        for quantity in ("usd", "kgco2e"):
            values = [getattr(end, quantity) for end in ends]
            if None not in values and values[0] != values[1]:
                path = next(path for path in SWUNG if path.endswith(quantity))
                rows.append({"quantity": path, "input": name, "low": min(values), "high": max(values), "swing": abs(values[1] - values[0])})
    return sorted(rows, key=lambda row: (row["quantity"], -row["swing"]))


def task_notes(whole: Walk) -> Iterator[str]:
    """Whose models the forecasts of a task are of, and who is silent."""
    if whole.tasks is None:
        return
    for one in whole.tasks.forecasts:
        yield (
            f"Accuracy on {one.law.task} by {one.law.name}: data and prompts of {one.law.family} models; "
            f"{100 * one.p10:.1f} to {100 * one.p90:.1f} % holds misses on held-out runs and the noise of checkpoints."
        )
    yield from silences(whole.tasks.silent)


def given_inputs(case: Case, whole: Walk) -> dict[str, Any]:
    """What the plan says, in base units."""
    plain = {
        name: spelled_value(value)
        for name, value in case.given.items()
        if isinstance(value, str | int | float | tuple) and not hasattr(value, "values")
    }
    if whole.size.model is None:
        return plain
    from scaleplan.model_files import model_document

    return plain | {"model": whole.size.model.label, "model_shape": model_document(whole.size.model)}


def cautions(given: Mapping[str, Any], whole: Walk) -> list[Caution]:
    """What is to be doubted: as of any run whose cost is asked, and the loss."""
    from scaleplan.chain.cost_given import Costing, price_of
    from scaleplan.chain.cost_given import cautions as of_cost
    from scaleplan.library import defaults

    _, quote = price_of(given, whole.device)
    found = of_cost(given, Costing(whole.inputs, quote, None), defaults())
    found += [caution for one in (whole.tasks.forecasts if whole.tasks else ()) for caution in task_cautions(one)]
    if whole.step is not None:
        from scaleplan.chain.memory import format_cautions

        found += format_cautions(whole.device.data, given.get("stack"), given.get("precision"))
    found += [Caution("idle", sentence) for sentence in whole.idle]
    if whole.loss_nats is None:
        found = [*found, Caution("law", f"{whole.law.name} tells no loss for this run; {field('law')} names another")]
    return found


FRONT = ("run.wall_s", "money.usd", "carbon.kgco2e")
"""What a point of the front is not beaten in."""


def front_files(asked: OfPlan, solved: Solved) -> dict[str, str]:
    """The points of a search that no other beats in time, dollars and CO2e, as plan files that run again."""
    from scaleplan.questions.plan.writing import written_point

    if asked.write_front is None:
        return {}
    if not solved.search:
        raise UsageError(
            f"{field('write_front')} writes the front of a search, and no key has several values", hint="n_devices = {choices = [64, 128]}"
        )
    rows = [search_row(solved, point, one) for point, one in solved.search]
    kept = [place for place, row in enumerate(rows) if not any(beats(other, row) for other in rows)]
    return {
        f"{asked.write_front}/plan-{number}.toml": written_point(solved.case, solved.search[place][0])
        for number, place in enumerate(kept, 1)
    }


def beats(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether a point is nowhere worse than another, and better somewhere."""
    pairs = [(one[path], other[path]) for path in FRONT if one[path] is not None and other[path] is not None]
    return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)


def digests(whole: Walk) -> dict[str, str]:
    """The preset files behind the plan, each with a digest, so that a difference of presets can be told."""
    from scaleplan import library

    files = {f"hardware/{whole.device.name}": whole.device.path, f"laws/{whole.law.name}": library.load("laws", whole.law.name).path}
    files |= {name: library.table_path(name) for name in ("defaults.toml", "prices.csv", "grid.csv", "draws.csv")}
    return {name: library.digest(path) for name, path in files.items()}


def plan_text(asked: OfPlan, case: Case) -> str:
    """The plan as a file that runs again."""
    from scaleplan.questions.plan.writing import written

    return written(asked, case)
