"""The answer of a plan: one object a link, each number with its interval and standing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from scaleplan.answer import Answer, Caution, Column, Interval, Line, Table
from scaleplan.chain.run_cost import CostInputs, RunCost, formula_of, inputs_of, intervals_of, run_cost, sources_of, standing_of
from scaleplan.chain.walk import Walk, walk, walk_stages
from scaleplan.errors import ScaleplanError, UsageError
from scaleplan.limits import judge
from scaleplan.questions.plan.case import Case, Stage, case_of, usd_of
from scaleplan.questions.plan_file import key_named
from scaleplan.wording import field

if TYPE_CHECKING:
    from scaleplan.questions.plan import OfPlan

Number = dict[str, Any]
COST_PATHS = {
    "run": ("wall_s", "device_hours", "device_days"),
    "money": ("usd",),
    "energy": ("energy_wh", "energy_it_wh", "energy_devices_wh"),
    "carbon": ("kgco2e", "embodied_kgco2e"),
    "water": ("water_l",),
}
"""Link -> quantities of the cost that are its numbers."""
SHORT = {"energy_wh": "wh", "energy_it_wh": "it_wh", "energy_devices_wh": "devices_wh"}
"""Quantities whose key in a link is shorter."""


class Solved(NamedTuple):
    """A plan, walked: the case, its walk, the stages' costs, and every point of a search."""

    case: Case
    walk: Walk
    stages: tuple[tuple[Stage, CostInputs, RunCost], ...]
    search: tuple[tuple[dict[str, Any], Walk], ...]


def solve(asked: OfPlan) -> Solved:
    """Every link of the plan; of a plan that chooses among values, every point and the best."""
    case = case_of(asked)
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
    inputs = {"plan": case.file.name if asked.plan_file else None, "title": case.title, "set": list(asked.set) or None}
    return Answer(
        "plan",
        {key: value for key, value in inputs.items() if value is not None} | given_inputs(case, whole),
        result,
        tables_of(solved, result),
        lines=lines_of(whole),
        warnings=[*(whole.size.model.cautions if whole.size.model else ()), *cautions(whole)],
        notes=list(whole.assumed),
        more_sources=[*(whole.size.model.sources if whole.size.model else ())],
        files={".toml": {".toml": plan_text(asked, case)}},
        presets=digests(whole),
        folder=front_files(asked, solved),
    )


def links(solved: Solved) -> dict[str, Any]:
    """One object a link, each number as {value, p10, p50, p90, standing}."""
    whole = solved.walk
    size = whole.size
    spread = whole.intervals()
    found: dict[str, Any] = {
        "title": solved.case.title,
        "compute": {
            "training_flops": number(whole.training_flops.value, None, whole.training_flops.standing),
            "flops_convention": whole.convention,
        },
        "law": {"law": whole.law.name, "loss_nats": number(whole.loss_nats, whole.loss_interval, "fitted")},
        "model": {
            "model": size.model.label if size.model else None,
            "n_params": number(size.n_params, None, count_standing(size.standing)),
            "n_active_params": number(size.n_active_params, None, count_standing(size.standing)),
        },
        **layout_links(whole),
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
        "devices_usd": number(whole.cost.usd, intervals_of(whole.inputs, whole.cost).get("usd"), "estimate"),
        "other_usd": dict(whole.other_usd),
    }
    cost["carbon"]["carbon_scope"] = whole.inputs.carbon_scope
    return found | cost | {"serving": None}


def layout_links(whole: Walk) -> dict[str, Any]:
    """Layout, memory and step; their numbers are unknown without a layout."""
    step = whole.step
    keys = {"memory": ("peak_bytes", "capacity_bytes"), "step": ("step_s", "mfu", "hfu", "tokens_per_s_per_device")}
    if step is None:
        return {"layout": None} | {link: {key: number(None, None, "estimate") for key in names} for link, names in keys.items()}
    found = step.numbers()
    return {"layout": step.layout_text} | {
        link: {key: number(*found[key]) for key in names} | ({"verdict": step.verdict} if link == "memory" else {})
        for link, names in keys.items()
    }


def count_standing(standing: str) -> str:
    """A count of what was given is exact."""
    return "exact" if standing == "given" else standing


def number(value: Any, interval: Interval | None, standing: str) -> Number:
    """A number of a plan; percentiles are null where it has no spread."""
    p10, p50, p90 = interval or (None, None, None)
    return {"value": value, "p10": p10, "p50": p50, "p90": p90, "standing": standing}


def cost_numbers(inputs: CostInputs, cost: RunCost, keys: Sequence[str], spread: Mapping[str, Interval]) -> dict[str, Any]:
    """The numbers of one link of the cost."""
    return {
        SHORT.get(key, key): number(value, spread.get(key), standing_of(key, inputs) if value is not None else "estimate")
        for key in keys
        for value in (getattr(cost, key),)
    }


def stage_rows(solved: Solved) -> list[dict[str, Any]]:
    """The stages, whose values add up to those of the whole; costs beside the devices are shared by device-hours."""
    rows = []
    for stage, inputs, cost in solved.stages:
        spread = intervals_of(inputs, cost)
        links_of = {group: cost_numbers(inputs, cost, keys, spread) for group, keys in COST_PATHS.items()}
        share = stage.flops / solved.walk.training_flops.value
        beside = sum(solved.walk.other_usd.values()) * share
        links_of["money"]["usd"]["value"] = None if cost.usd is None else cost.usd + beside
        rows.append({"name": stage.name, "compute": {"training_flops": number(stage.flops, None, "exact")}, **links_of})
    return rows


def search_row(solved: Solved, point: Mapping[str, Any], one: Walk) -> dict[str, Any]:
    """One point of a search: the searched keys, and the numbers that a goal is made of."""
    keys = {key_named(name): spelled_value(value) for name, value in point.items()}
    shown = {"run.wall_s": one.cost.wall_s, "run.device_hours": one.cost.device_hours, "money.usd": one.usd}
    shown |= {"energy.wh": one.cost.energy_wh, "carbon.kgco2e": one.cost.kgco2e, "law.loss_nats": one.loss_nats}
    return keys | shown | {"chosen": one is solved.walk or one == solved.walk}


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
        low, high = given.spread.p10, given.spread.p90
        if given.spread.votes:
            low, high = given.spread.votes[0], given.spread.votes[-1]
        ends = [run_cost(whole.inputs._replace(**{name: given._replace(value=given.value * factor)})) for factor in (low, high)]
        for quantity in ("usd", "kgco2e"):
            values = [getattr(end, quantity) for end in ends]
            if None not in values and values[0] != values[1]:
                path = next(path for path in SWUNG if path.endswith(quantity))
                rows.append({"quantity": path, "input": name, "low": min(values), "high": max(values), "swing": abs(values[1] - values[0])})
    return sorted(rows, key=lambda row: (row["quantity"], -row["swing"]))


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


# ----------------------------------------------------------------------------------------------------------------- views

LABELS = (
    ("model.n_params", "parameters", "params"),
    ("run.n_tokens", "tokens", "tokens"),
    ("compute.training_flops", "training compute", "FLOP"),
    ("law.loss_nats", "loss", "nats"),
    ("memory.peak_bytes", "peak memory", "bytes"),
    ("step.step_s", "step time", "s"),
    ("step.mfu", "MFU of a step", "fraction"),
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


def tables_of(solved: Solved, result: Mapping[str, Any]) -> list[Table]:
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
    title = solved.case.title or ""
    tables = [Table(title, [*columns, Column("standing", "standing")], rows)]
    if solved.stages:
        tables.append(stage_table(result["stages"]))
    if solved.search:
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


def cautions(whole: Walk) -> list[Caution]:
    """What is to be doubted."""
    if whole.loss_nats is None:
        return [Caution("law", f"{whole.law.name} tells no loss for this run; {field('law')} names another")]
    return []


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


__all__ = ["ScaleplanError", "explain", "solve"]
