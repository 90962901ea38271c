"""What a plan says, read: the file, the changes to it, and the keys that were given as flags."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

from scaleplan import units
from scaleplan.chain.other_costs import PER, OtherCost
from scaleplan.chain.stages import Stage, StageWork
from scaleplan.errors import ScaleplanError, UsageError, clipped, raise_all
from scaleplan.limits import LEVELS, Limit, known_units
from scaleplan.questions.asking import ModelGiven, spelled_word
from scaleplan.questions.fields import SHAPE_WORDS, field_named, read
from scaleplan.questions.plan_file import LISTS, WORK, PlanFile, Searched, key_named, read_plan, read_values, with_settings
from scaleplan.wording import field, keyword, spelled

if TYPE_CHECKING:
    from scaleplan.questions.plan import OfPlan

NOT_KEYS = ("plan_file", "set", "write_front")
NO_FILE = PlanFile("the plan", {}, {}, {})
PERCENTILES = ("p10", "p50", "p90")


class PlanLimit(NamedTuple):
    """A limit of the plan, the percentile it is judged at, and how much more than a base it may be."""

    limit: Limit | None
    at: str | None
    max_increase: float | None
    quantity: str
    level: str = "error"


class Case(NamedTuple):
    """A plan that has been read.

    given     field -> value, or a Searched one
    keys      field -> how its value stands in the file, for the rows of a search
    """

    title: str | None
    given: dict[str, Any]
    stages: tuple[Stage, ...]
    costs: tuple[OtherCost, ...]
    limits: tuple[PlanLimit, ...]
    minimize: str | None
    file: PlanFile

    @property
    def searched(self) -> dict[str, Searched]:
        """The fields whose values are chosen by the plan."""
        return {name: value for name, value in self.given.items() if isinstance(value, Searched)}

    def points(self) -> list[dict[str, Any]]:
        """Every combination of the searched values."""
        return [dict(zip(self.searched, values, strict=True)) for values in product(*(one.values for one in self.searched.values()))]


def case_of(asked: OfPlan) -> Case:
    """The plan of a request. Raises every fault of a file at once."""
    plan = NO_FILE if asked.plan_file is None else read_plan(asked.plan_file)
    plan = with_settings(plan, asked.set)
    case = case_of_file(plan)
    refuse_twice(asked)
    flags = {name: value for name, value in asked._asdict().items() if name not in NOT_KEYS and value is not None}
    case = case._replace(given=case.given | flags)
    if case.searched and case.minimize is None:
        names = ", ".join(map(field, case.searched))
        raise UsageError(f"{names}: several values, and no goal to choose by", hint='add [goal] minimize = "run.wall_s"')
    return case


def refuse_twice(asked: OfPlan) -> None:
    """Raises UsageError for a key that is changed and given as a field of its own."""
    changed = {key_named(text.partition("=")[0].strip()) for text in asked.set}
    for name, value in asked._asdict().items():
        if name not in NOT_KEYS and value is not None and key_named(name) in changed:
            raise UsageError(f"{field('set')} {key_named(name)} and {field(name)} are the same key", hint="give one of them")


def case_of_file(plan: PlanFile) -> Case:
    """The case of a plan file alone. Raises every fault at once."""
    given, of_values = read_values(plan)
    faults = [*plan.faults, *of_values]
    stages = gathered(faults, lambda: stages_of(plan)) or ()
    costs = gathered(faults, lambda: costs_of(plan)) or ()
    limits = gathered(faults, lambda: limits_of(plan)) or ()
    title = plan.values.get("title")
    if title is not None and not isinstance(title, str):
        faults.append(plan.fault("title", "is not a text"))
    checked(plan, given, faults)
    raise_all(faults)
    return Case(title, with_model(plan, given), stages, costs, limits, plan.values.get("goal.minimize"), plan)


def gathered(faults: list[ScaleplanError], read_part: Any) -> Any:
    """What a part of the file says; its faults join the others."""
    try:
        return read_part()
    except ScaleplanError as error:
        faults += getattr(error, "errors", (error,))
        return None


def checked(plan: PlanFile, given: Mapping[str, Any], faults: list[ScaleplanError]) -> None:
    """Values that no reader refuses and no plan can have."""
    from scaleplan.chain.tokens import whole_sequences

    pue = given.get("pue")
    if isinstance(pue, int | float) and pue < 1:
        faults.append(
            plan.fault("site.pue", f"`{pue:g}` is not a PUE", hint="a facility cannot use less than its computers: 1.0 is the least")
        )
    tokens, length = given.get("batch_size_tokens"), given.get("seq_len")
    if isinstance(tokens, int) and isinstance(length, int):
        try:
            whole_sequences(tokens, length)
        except ScaleplanError as error:
            hint = spelled(error.way_out or "", lambda name: field_named(name).key)
            faults.append(plan.fault("training.batch_size_tokens", spelled(error.message, keyword), hint))


def with_model(plan: PlanFile, given: dict[str, Any]) -> dict[str, Any]:
    """The values with the model read: a preset, a config or a shape."""
    given = dict(given)
    words = {word: given.pop(word) for word in SHAPE_WORDS if word in given}
    config = plan.values.get("model.config")
    text = given.pop("model", None)
    if text is not None and config is not None:
        raise plan.fault("model.config", "and model.preset both name a model", hint="give one of them")
    named = config if text is None else text
    if named is None and not words:
        return given
    if "target" in given:
        return given | {"shape": words}
    if named is None:
        from scaleplan.model_files import model_of_words

        return given | {"model": model_of_words(words, spelled_word)}
    key = "model.config" if text is None else "model.preset"
    if not isinstance(named, str):
        raise plan.fault(key, f"`{clipped(named)}` is not the name of a model")
    try:
        return given | {"model": ModelGiven(named, words).model()}
    except ScaleplanError as error:
        raise plan.fault(key, error.message, error.way_out) from None


# ------------------------------------------------------------------------------------------------------ repeated tables


def stages_of(plan: PlanFile) -> tuple[Stage, ...]:
    """The stages of the plan."""
    faults: list[ScaleplanError] = []
    found = []
    for place, row in enumerate(plan.lists.get("stage", [])):
        where = f"stage.{place}"
        work = row.get("work")
        if not isinstance(work, list) or not work or not all(isinstance(one, dict) for one in work):
            faults.append(plan.fault(where, "has no work", hint='work = [{ n_params = "7B", trained_tokens = "1T" }]'))
            continue
        parts = [part for one in work if (part := gathered(faults, lambda one=one, where=where: work_of(plan, f"{where}.work", one)))]
        found.append(Stage(str(row.get("name", f"stage {place + 1}")), tuple(parts)))
    raise_all(faults)
    return tuple(found)


def work_of(plan: PlanFile, key: str, row: Mapping[str, Any]) -> StageWork:
    """One entry of a stage's work."""
    for name in row:
        if name not in WORK:
            raise plan.fault(key, f"no such key `{clipped(name)}`", hint=f"keys: {', '.join(WORK)}")
    sizes = {name: number_of(plan, key, name, row[name]) for name in WORK[1:] if name in row}
    if "model" in row:
        from scaleplan.model.bill import bill_of
        from scaleplan.model.params import count_params
        from scaleplan.model_files import read_model

        sizes["n_params"] = count_params(bill_of(read_model(str(row["model"])).arch)).n_active_params
    if "n_params" not in sizes:
        raise plan.fault(key, "an entry has no n_params", hint="for adapters: n_params of the adapters beside frozen_n_params")
    if not any(name.endswith("_tokens") for name in sizes):
        raise plan.fault(key, "an entry has no tokens", hint="give trained_tokens, scored_tokens or generated_tokens")
    if "frozen_n_params" in sizes and "trained_tokens" not in sizes:
        raise plan.fault(key, "frozen_n_params without trained_tokens", hint="weights are frozen in training")
    zero = {name: sizes.get(name, 0) for name in WORK[1:]}
    return StageWork(zero["n_params"], zero["frozen_n_params"], zero["trained_tokens"], zero["scored_tokens"], zero["generated_tokens"])


def number_of(plan: PlanFile, key: str, name: str, value: Any) -> Any:
    """A number above zero, as text or as it is."""
    try:
        return read(field_named("tokens")._replace(name=name), value)
    except ScaleplanError as error:
        raise plan.fault(key, spelled(error.message, keyword), error.way_out) from None


def costs_of(plan: PlanFile) -> tuple[OtherCost, ...]:
    """Dollars beside the devices."""
    faults: list[ScaleplanError] = []
    found = []
    for place, row in enumerate(plan.lists.get("cost", [])):
        if (cost := gathered(faults, lambda row=row, place=place: cost_of(plan, place, row))) is not None:
            found.append(cost)
    raise_all(faults)
    return tuple(found)


def cost_of(plan: PlanFile, place: int, row: Mapping[str, Any]) -> OtherCost:
    """One cost beside the devices."""
    key, per = f"cost.{place}", row.get("per", "run")
    if per not in PER:
        raise plan.fault(f"{key}.per", f"`{clipped(per)}` is none of {', '.join(PER)}")
    if "usd" not in row:
        raise plan.fault(key, "has no usd", hint="usd = 1000")
    if (per == "terabyte_month") != ("terabytes" in row):
        raise plan.fault(key, "terabytes and per terabyte_month go together", hint='terabytes = 500, per = "terabyte_month"')
    terabytes = number_of(plan, f"{key}.terabytes", "terabytes", row["terabytes"]) if "terabytes" in row else None
    return OtherCost(str(row.get("name", f"cost {place + 1}")), read_usd(plan, f"{key}.usd", row["usd"]), per, terabytes)


def read_usd(plan: PlanFile, key: str, value: Any) -> float:
    """Dollars, as text or as a number."""
    try:
        return float(units.usd(value if isinstance(value, str) else repr(value)))
    except ScaleplanError as error:
        raise plan.fault(key, error.message, error.way_out) from None


def limits_of(plan: PlanFile) -> tuple[PlanLimit, ...]:
    """The limits of the plan, each with one bound."""
    faults: list[ScaleplanError] = []
    found = []
    for place, row in enumerate(plan.lists.get("limit", [])):
        if (limit := gathered(faults, lambda row=row, place=place: limit_of(plan, f"limit.{place}", row))) is not None:
            found.append(limit)
    raise_all(faults)
    return tuple(found)


def limit_of(plan: PlanFile, key: str, row: Mapping[str, Any]) -> PlanLimit:
    """One limit."""
    quantity = row.get("quantity")
    if not isinstance(quantity, str):
        raise plan.fault(key, "has no quantity", hint='quantity = "money.usd"')
    bounds = [name for name in ("max", "min", "max_increase") if name in row]
    if len(bounds) != 1:
        raise plan.fault(key, f"`{clipped(quantity)}` has {' and '.join(bounds) or 'no bound'}", hint="give one of max, min, max_increase")
    level, at = row.get("level", "error"), row.get("at")
    if level not in LEVELS:
        raise plan.fault(f"{key}.level", f"`{clipped(level)}` is none of {', '.join(LEVELS)}")
    if at not in (None, *PERCENTILES):
        raise plan.fault(f"{key}.at", f"`{clipped(at)}` is none of {', '.join(PERCENTILES)}")
    text = str(row[bounds[0]])
    try:
        if bounds[0] == "max_increase":
            return PlanLimit(None, at, units.signed_change(text), quantity, level)
        bound = float(units.quantity(text.removeprefix("$"), known_units(quantity), f"a bound for {quantity}"))
    except ScaleplanError as error:
        raise plan.fault(f"{key}.{bounds[0]}", error.message, error.way_out) from None
    return PlanLimit(Limit(quantity, bounds[0] == "max", bound, level), at, None, quantity, level)


assert set(LISTS) == {"stage", "cost", "limit"}, "each repeated table is read here"
