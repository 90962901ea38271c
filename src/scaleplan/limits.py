"""Limits on the numbers of an answer -> pass, fail, or unsure where the interval straddles the limit."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from scaleplan import units
from scaleplan.answer import Interval
from scaleplan.errors import InputError, UnknownName, clipped, near_names
from scaleplan.wording import field

LEVELS = ("error", "warn")
VERDICTS = ("fail", "unsure", "pass")  # worst first
LARGEST = 10**300  # a whole number beyond has no float


class Limit(NamedTuple):
    """`quantity <= bound` or `quantity >= bound`, and whether breaking it is an error or a warning."""

    quantity: str
    at_most: bool
    bound: float
    level: str = "error"


class Change(NamedTuple):
    """A limit on the change of a quantity against that of a base: at most, or at least, base * (1 + change)."""

    quantity: str
    at_most: bool
    change: float
    level: str = "error"

    def against(self, base: Mapping[str, Any]) -> Limit:
        """The limit that the base makes: of the 50 % point of its interval, where it has one."""
        before = found_of(base, self.quantity)
        return Limit(self.quantity, self.at_most, before * (1 + self.change), self.level)


class Verdict(NamedTuple):
    """A limit held against what was found. `found` is the p50 where there is one, else the value; `value` is the answer's own number."""

    quantity: str
    verdict: str
    found: float
    p10: float | None
    p50: float | None
    p90: float | None
    limit: float
    at_most: bool
    level: str
    used_fraction: float | None
    value: float


def parse_limit(text: str) -> Limit:
    """`usd<=50k`, `kgco2e<=20t:warn`, `step.mfu>=40%`: the bound in the unit that the quantity's name ends in, or bare."""
    quantity, at_most, bound, level = parts_of(text)
    value = float(units.quantity(bound.removeprefix("$"), known_units(quantity), f"a bound for {quantity}"))
    return Limit(quantity, at_most, value, level)


def parse_change(text: str) -> Change | None:
    """`usd<=+10%`, `step.mfu>=-5%`: a bound with a sign and in percent is a change against a base; None for any other."""
    quantity, at_most, bound, level = parts_of(text)
    return Change(quantity, at_most, units.signed_change(bound), level) if re.fullmatch(r"[+-].*%", bound) else None


def parts_of(text: str) -> tuple[str, bool, str, str]:
    """Quantity, whether the bound is the most, bound, and level of a limit."""
    match = re.fullmatch(r"\s*([A-Za-z_][\w.\-]*)\s*(<=|>=)\s*(.+?)\s*(?::\s*(\w+)\s*)?", text) if len(text) < 300 else None
    if not match:
        raise InputError(
            f"`{clipped(text)}` is not a limit",
            hint="write `quantity<=number` or `quantity>=number`, for example `usd<=50k` or `kgco2e<=20000:warn`",
        )
    level = match[4] or "error"
    if level not in LEVELS:
        raise UnknownName("level of a limit", level, LEVELS)
    return match[1], match[2] == "<=", match[3], level


ENDINGS: Sequence[tuple[str, str, Mapping[str, float]]] = (
    ("kgco2e_per_kwh", "kgCO2e/kWh", units.KGCO2E_PER_KWH),
    ("flops_per_s", "FLOP/s", units.FLOPS_PER_S),
    ("bytes", "bytes", units.BYTES),
    ("flops", "FLOP", units.FLOPS),
    ("usd", "usd", units.USD),
    ("kgco2e", "kgCO2e", units.KGCO2E),
    ("wh", "Wh", units.WATT_HOURS),
    ("_s", "s", units.SECONDS),
    ("fraction", "fraction", units.FRACTION),
    ("fu", "fraction", units.FRACTION),  # mfu, hfu
)
"""How a quantity's name ends -> its base unit, and the units in which a bound may be written."""


def known_units(quantity: str) -> Mapping[str, float]:
    """The units in which a bound may be written, or none: a bare number is in the base unit."""
    return {**units.COUNT, **units_of(quantity)}


def units_of(quantity: str) -> Mapping[str, float]:
    """The units in which a quantity's bound may be written."""
    return ending_of(quantity)[2]


def unit_of(quantity: str) -> str:
    """The base unit that a quantity's name ends in; empty for a plain number."""
    return ending_of(quantity)[1]


def ending_of(quantity: str) -> tuple[str, str, Mapping[str, float]]:
    """The ending of a quantity's name that tells its unit; a rate (`tokens_per_s`) has none of what it is per."""
    last = quantity.rpartition(".")[2]
    known = (one for one in ENDINGS if last.endswith(one[0]) and ("_per_" in one[0] or "_per_" not in last))
    return next(known, ("", "", {}))


def judge(limit: Limit, result: Mapping[str, Any], at: str | None = None) -> Verdict:
    """Hold a limit against a result.

    at  judge by this percentile alone; None: pass if even the unfavourable end of the interval keeps the limit, fail if even
        the favourable end breaks it
    """
    path = full_path(result, limit.quantity)
    value, interval = look_up(result, path)

    def keeps(number: float) -> bool:
        return number <= limit.bound if limit.at_most else number >= limit.bound

    if interval is None or at is not None:
        verdict = "pass" if keeps(value if interval is None or at is None else getattr(interval, at)) else "fail"
    else:
        ends = keeps(interval.p10), keeps(interval.p90)
        verdict = "pass" if all(ends) else "unsure" if any(ends) else "fail"
    found = interval.p50 if interval else value
    p10, p50, p90 = interval or (None, None, None)
    used = found / limit.bound if limit.bound else None
    return Verdict(path, verdict, found, p10, p50, p90, limit.bound, limit.at_most, limit.level, used, value)


def worst_first(judged: Sequence[Verdict]) -> list[Verdict]:
    """Failures before doubts before passes; errors before warnings; then by how far over."""
    return sorted(judged, key=rank)


def rank(row: Verdict) -> tuple[int, int, float]:
    """The place of a verdict among others, the worst first."""
    used = row.used_fraction or 0.0
    return VERDICTS.index(row.verdict), LEVELS.index(row.level), -used if row.at_most else used


def broken(judged: Sequence[Verdict]) -> bool:
    """Whether a limit of level error is broken."""
    return any(row.verdict == "fail" and row.level == "error" for row in judged)


def found_of(result: Mapping[str, Any], path: str) -> float:
    """What a limit is held against: the 50 % point of a quantity's interval, or the quantity itself where it has none."""
    value, interval = look_up(result, full_path(result, path))
    return interval.p50 if interval else value


def full_path(result: Mapping[str, Any], path: str) -> str:
    """The dotted path of a quantity that is named by its last part alone, where one quantity ends in it; else the path itself."""
    if "." in path or path in result:
        return path
    ending = [name for name in numeric_paths(result) if name.rpartition(".")[2] == path]
    return ending[0] if len(ending) == 1 else path


def look_up(result: Mapping[str, Any], path: str) -> tuple[float, Interval | None]:
    """The number at a dotted path and its percentiles, from `intervals` beside it or from a {value, p10, p50, p90}."""
    holder: Any = result
    value: Any = result
    for part in path.split("."):
        holder, value = value, step(value, part)
        if value is MISSING:
            raise unknown_quantity(path, result)
    if isinstance(value, Mapping) and "value" in value:
        return plain_number(value["value"], path), percentiles_in(value)
    beside = holder.get("intervals") if isinstance(holder, Mapping) else None
    return plain_number(value, path), percentiles_in(beside.get(path.rpartition(".")[2]) if isinstance(beside, Mapping) else None)


MISSING = object()
MEANT = {
    **dict.fromkeys(("co2", "carbon", "emissions"), "kgco2e"),
    **dict.fromkeys(("dollars", "cost", "price", "rent", "money"), "usd"),
    **dict.fromkeys(("days", "time", "duration"), "wall_s"),
    **dict.fromkeys(("energy", "power"), "energy_wh"),
    **dict.fromkeys(("params", "parameters"), "n_params"),
    **dict.fromkeys(("flops", "compute"), "training_flops"),
    **dict.fromkeys(("devices", "gpus"), "n_devices"),
    "hours": "device_hours",
    "memory": "peak_bytes",
    "tokens": "n_tokens",
    "loss": "loss_nats",
}
"""What people call a quantity -> how its key ends."""
MOST_NAMED = 12


def unknown_quantity(path: str, result: Mapping[str, Any]) -> UnknownName:
    """A refusal with the quantities that are near by meaning or by spelling, else with all of a short answer."""
    known = sorted(numeric_paths(result))
    last = path.rpartition(".")[2].lower()
    by_meaning = [name for name in known if name.rpartition(".")[2] == MEANT.get(last, last)]
    by_part = [name for name in known if last and last in name.rpartition(".")[2].split("_")]
    near = list(dict.fromkeys([*by_meaning, *near_names(path, known), *by_part]))[:MOST_NAMED]
    listed = near or known[:MOST_NAMED]
    more = ", ..." if not near and len(known) > MOST_NAMED else ""
    said = f"did you mean `{near[0]}`? " if near else ""
    found = UnknownName(
        "quantity", path, (), where=f"{said}quantities {'near it' if near else 'of this answer'}: {', '.join(listed)}{more}"
    )
    return found if listed else UnknownName("quantity", path, (), where="this answer holds no numbers under `result`")


def step(value: Any, part: str) -> Any:
    """One part of a path: a key of an object, or in a list the row that a word names or a number counts (from 0)."""
    if isinstance(value, Mapping):
        return value.get(part, MISSING)
    if isinstance(value, list):
        if part.isascii() and part.isdecimal() and len(part) <= 9 and int(part) < len(value):
            return value[int(part)]
        return next((row for row in value if isinstance(row, Mapping) and part in row.values()), MISSING)
    return MISSING


def plain_number(value: Any, path: str) -> float:
    """The value, refused where no limit can be held against it."""
    if value is None:
        raise InputError(
            f"`{path}` is unknown in this answer, so no limit can be held against it",
            hint=f"the question had too little to tell it: `wall_s` needs {field('n_devices')}, `usd` a price",
        )
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(f"`{path}` is not a number")
    if isinstance(value, int) and abs(value) > LARGEST:
        raise InputError(f"`{path}` is `{clipped(value)}`, beyond every number that a limit can be held against")
    if not math.isfinite(value):
        raise InputError(f"`{path}` is `{value}`, so no limit can be held against it")
    return value


def percentiles_in(value: Any) -> Interval | None:
    """The percentiles of an object that has all three."""
    if not isinstance(value, Mapping):
        return None
    found = [value.get(key) for key in Interval._fields]
    numbers = [item for item in found if isinstance(item, int | float) and not isinstance(item, bool)]
    if not all(abs(item) <= LARGEST for item in numbers):  # false of nan, too
        raise InputError(f"the percentiles {clipped(numbers)} are not all numbers, so no limit can be held against them")
    if numbers != sorted(numbers):
        raise InputError(f"the percentiles {clipped(numbers)} are not in order, so no limit can be held against them")
    return Interval(*numbers) if len(numbers) == len(found) else None


def numeric_paths(value: Any, prefix: str = "") -> Iterator[str]:
    """Dotted paths of all numbers in nested objects (lists left out); a {value, p10, ...} is one number."""
    for key, item in value.items() if isinstance(value, Mapping) else ():
        if (isinstance(item, int | float) and not isinstance(item, bool)) or (
            isinstance(item, Mapping) and "value" in item and "standing" in item
        ):
            yield prefix + key
        elif key != "intervals":
            yield from numeric_paths(item, f"{prefix}{key}.")
