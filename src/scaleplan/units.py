"""Quantities as people write them -> base units, and back for people.

In: `70B`, `1e21`, `10 PF-days`, `80GiB`, `30d`, `$50k`, `385g/kWh`. k, M, B (or G), T are powers of 1000; Ki, Mi, Gi, Ti of 1024.
Whole numbers stay exact ints at any size; everything else is a float. GB, GiB, TFLOP, days and percent exist in this file and nowhere else.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

from scaleplan.errors import InputError, clipped

SECONDS_PER_HOUR = 3600
SECONDS_PER_DAY = 86_400
PF_DAY_FLOPS = SECONDS_PER_DAY * 10**15
SECONDS_PER_YEAR = 365.25 * SECONDS_PER_DAY
MOST_UNITS = 10  # that a hint lists
LARGEST_EXPONENT = 60  # nothing that is planned on Earth has more digits

COUNT = {"": 1, "k": 10**3, "K": 10**3, "M": 10**6, "B": 10**9, "G": 10**9, "T": 10**12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
FLOPS = {**COUNT, "P": 10**15, "E": 10**18, "Z": 10**21, "Y": 10**24}
FLOPS |= {
    f"{prefix}{word}": FLOPS[prefix] for prefix in ("", "k", "M", "G", "T", "P", "E", "Z", "Y") for word in ("FLOP", "FLOPs", "FLOPS")
}
FLOPS |= dict.fromkeys(("PF-day", "PF-days", "PFday", "PFdays", "petaflop/s-day", "petaflop/s-days"), PF_DAY_FLOPS)
FLOPS_PER_S = {**COUNT, "P": 10**15, "E": 10**18}
FLOPS_PER_S |= {f"{prefix}{word}": FLOPS_PER_S[prefix] for prefix in ("", "G", "T", "P", "E") for word in ("FLOP/s", "FLOPs/s", "FLOPS")}
BYTES = {"B": 1, "bytes": 1, "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "PB": 10**15}
BYTES |= {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40, "PiB": 2**50}
SECONDS = {
    "s": 1,
    "sec": 1,
    "min": 60,
    "h": SECONDS_PER_HOUR,
    "hours": SECONDS_PER_HOUR,
    "d": SECONDS_PER_DAY,
    "days": SECONDS_PER_DAY,
    "w": 604_800,
    "weeks": 604_800,
    "y": 31_557_600,
    "years": 31_557_600,
    "ms": 1e-3,
    "us": 1e-6,
}
HOURS = {"": 1, "h": 1, "k": 10**3, "kh": 10**3, "M": 10**6, "Mh": 10**6, "hours": 1, "d": 24, "days": 24}
DAYS = {"": 1, "k": 10**3, "M": 10**6, "d": 1, "days": 1}
USD = {"": 1, "k": 10**3, "K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}
WATTS = {"W": 1, "kW": 10**3, "MW": 10**6}
WATT_HOURS = {"Wh": 1, "kWh": 10**3, "MWh": 10**6, "GWh": 10**9, "TWh": 10**12}
KGCO2E_PER_KWH = {"g/kWh": 1e-3, "gCO2/kWh": 1e-3, "gCO2e/kWh": 1e-3, "kg/kWh": 1, "kgCO2e/kWh": 1, "t/MWh": 1}
KGCO2E = {"kg": 1, "t": 1000, "kt": 10**6}
FRACTION = {"": 1, "%": 1e-2}

NUMBER = r"([+-]?)(\d[\d_]*)?(?:\.(\d*))?(?:[eE]([+-]?\d{1,6}))?"


def quantity(text: str, units: Mapping[str, float], what: str, *, ambiguous: Mapping[str, str] | None = None) -> int | float:
    """A number and its unit, in base units; an int where the value is whole.

    units      what a unit stands for in base units; "" when a bare number has a meaning
    what       what is being read, for the message: "a number of tokens"
    ambiguous  a unit that could be read in two ways -> both ways, for the message
    """
    shown = clipped(text.strip())
    match = re.fullmatch(NUMBER + r"\s*([A-Za-z%][A-Za-z0-9%/-]*)?", text.strip(), re.ASCII) if len(text) <= 80 else None
    if not match or not (match[2] or match[3]):
        if len(text) > 80:
            raise InputError(f"`{shown}` is too long to be {what}")
        raise InputError(
            f"`{shown}` is not {what}", hint=_comma_hint(shown) or _power_hint(shown) or f"{_example(units, what)} would be one"
        )
    sign, whole, decimals, exponent, unit = match[1], match[2] or "", match[3] or "", int(match[4] or 0), match[5] or ""
    if ambiguous and unit in ambiguous:
        raise InputError(f"`{shown}` is ambiguous", hint=ambiguous[unit])
    if unit not in units:
        raise InputError(f"`{shown}` is not {what}", hint=_unit_hint(shown, unit, units))
    value = _exact(whole.replace("_", "") + decimals, exponent - len(decimals), units[unit], shown, what)
    return -value if sign == "-" else value


def _exact(digits: str, exponent: int, unit: float, shown: str, what: str) -> int | float:
    """digits * 10^exponent * unit, as an int where that is whole."""
    if len(digits) + abs(exponent) > LARGEST_EXPONENT + 20 or len(digits) + exponent > LARGEST_EXPONENT:
        raise InputError(f"`{shown}` is too large or too small to be {what}")
    mantissa = int(digits)
    if isinstance(unit, float):
        return float(f"{digits}e{exponent}") * unit
    if exponent >= 0:
        return mantissa * 10**exponent * unit
    whole, rest = divmod(mantissa * unit, 10**-exponent)
    return whole if rest == 0 else mantissa * unit / 10**-exponent


def _number_hint(shown: str) -> str | None:
    """How a number that people write in another way is read."""
    return _comma_hint(shown) or _power_hint(shown)


def _comma_hint(shown: str) -> str | None:
    """What a comma in a number should be: nothing between thousands, else a decimal point."""
    if "," not in shown:
        return None
    if re.fullmatch(r"[+-]?\d{1,3}(,\d{3})+(\.\d*)?[A-Za-z%]*", shown, re.ASCII):
        return f"write it without commas: `{shown.replace(',', '')}`"
    return f"write it with a decimal point: `{shown.replace(',', '.')}`" if shown.count(",") == 1 else "write one number, without commas"


def _power_hint(shown: str) -> str | None:
    """A power of ten as it is read: `10^21` is `1e21`."""
    found = re.fullmatch(r"(?:(\d+(?:\.\d+)?)\s*[x*\N{MULTIPLICATION SIGN}]\s*)?10(?:\^|\*\*)(\d{1,3})", shown)
    return f"write `{found[1] or 1}e{found[2]}`" if found else None


EXAMPLES = {"a number": "2.5", "an amount of dollars": "$50k", "a relative change": "-10%", "a whole number": "8"}
"""What is read -> a value of usual size, where a unit alone does not say it."""


def _example(units: Mapping[str, float], what: str) -> str:
    """A value that can be read: the unit in the list below that comes first says which quantity is meant."""
    if what in EXAMPLES:
        return f"`{EXAMPLES[what]}`"
    wanted = ("ZFLOP", "TFLOP/s", "GiB", "%", "kWh", "g/kWh", "W", "t", "h", "B", "k")
    unit = next((u for u in wanted if u in units), next(iter(units)))
    return f"`40{unit}`"


WORDS = {"thousand": "k", "million": "M", "mn": "M", "mio": "M", "billion": "B", "bn": "B", "trillion": "T", "tn": "T"}
"""Words of numbers -> the unit that is read."""
USUAL_UNITS = ("d", "GiB", "g/kWh", "W", "MWh", "t")
"""The unit of a quantity that people mean most often, for a number without one."""


def _unit_hint(shown: str, unit: str, units: Mapping[str, float]) -> str:
    """The value with the unit that was meant, where one differs by case alone; else the units there are."""
    known = [u for u in units if u]
    if not unit:
        usual = next((u for u in USUAL_UNITS if u in units), known[0])
        return f"say the unit, as in `{shown}{usual}`: {', '.join(known)}"
    same = next((u for u in known if u.lower() == unit.lower()), None) or next((u for u in known if u == WORDS.get(unit.lower())), None)
    meant = f"did you mean `{shown.removesuffix(unit).rstrip()}{same}`?" if same else ""
    return meant or f"units: {', '.join(known[:MOST_UNITS])}{', ...' if len(known) > MOST_UNITS else ''}"


def positive(value: int | float, shown: str, what: str) -> int | float:
    """The value, refused when it is zero, negative or not finite."""
    if not value > 0 or not math.isfinite(value):
        raise InputError(f"`{clipped(shown)}` is not {what}", hint="it must be greater than zero")
    return value


# What a flag accepts. Each reads one text and returns base units.


def count(text: str) -> int:
    """A whole number above zero: layers, tokens, parameters, devices."""
    value = positive(quantity(text, COUNT, "a whole number"), text, "a whole number above zero")
    if not isinstance(value, int):
        raise InputError(f"`{clipped(text)}` is not a whole number")
    return value


def counts(text: str) -> tuple[int, ...]:
    """Whole numbers above zero with commas between them: `10,12,12,10`."""
    return tuple(count(part) for part in text.split(","))


def count_or_zero(text: str) -> int:
    """A whole number, zero included."""
    return 0 if quantity(text, COUNT, "a whole number") == 0 else count(text)


def amount(text: str) -> int | float:
    """A number above zero, whole or not: parameters and tokens of a plan, a loss."""
    return positive(quantity(text, COUNT, "a number"), text, "a number above zero")


def flops(text: str) -> int | float:
    """A number of floating-point operations: `1e21`, `315 ZFLOP`, `10 PF-days`."""
    return positive(quantity(text, FLOPS, "a number of FLOP"), text, "a number of FLOP above zero")


def flops_per_s(text: str) -> int | float:
    """A rate in FLOP per second: `147T`, `147 TFLOP/s`."""
    return positive(quantity(text, FLOPS_PER_S, "a rate in FLOP/s"), text, "a rate in FLOP/s above zero")


def n_bytes(text: str) -> int | float:
    """Bytes with their unit: `80GiB`, `96GB`; a bare `80G` is refused, because 80 GB and 80 GiB differ by 7 %."""
    both = {u: f"write {u}B (powers of 1000) or {u}iB (powers of 1024)" for u in ("k", "K", "M", "G", "T", "P")}
    return positive(quantity(text, BYTES, "a number of bytes", ambiguous=_named(both, text)), text, "a number of bytes above zero")


def _named(hints: Mapping[str, str], text: str) -> dict[str, str]:
    """The hint for `80G` written out for the number that was typed: 80GB or 80GiB."""
    number = clipped(text.strip().rstrip("kKMGTP "), 24)
    return {u: f"write `{number}{u}B` (powers of 1000) or `{number}{u}iB` (powers of 1024)" for u in hints}


def seconds(text: str) -> int | float:
    """A duration with its unit: `30d`, `12h`, `90s`, `5min`, `120ms`."""
    return positive(
        quantity(text, SECONDS, "a duration", ambiguous={"": "say the unit: `30d`, `12h` or `90s`"}), text, "a duration above zero"
    )


def seconds_or_bare(text: str) -> int | float:
    """A duration whose name says that it is in seconds: `1.2s`, `120ms`, `1.2`."""
    return positive(quantity(text, {"": 1, **SECONDS}, "a duration"), text, "a duration above zero")


def bytes_or_bare(text: str) -> int | float:
    """Bytes whose name says so: `61GiB`, `65498251264`."""
    return positive(quantity(text, {"": 1, **BYTES}, "a number of bytes"), text, "a number of bytes above zero")


def device_hours(text: str) -> int | float:
    """Device-hours: `809472`, `1.2M`."""
    return positive(quantity(text, HOURS, "a number of device-hours"), text, "a number of device-hours above zero")


def device_days(text: str) -> int | float:
    """Device-days: `1000`, `33k`."""
    return positive(quantity(text, DAYS, "a number of device-days"), text, "a number of device-days above zero")


def usd(text: str) -> int | float:
    """US dollars: `$50k`, `50000`."""
    return positive(quantity(text.strip().removeprefix("$"), USD, "an amount of dollars"), text, "an amount of dollars above zero")


def watts(text: str) -> int | float:
    """Power with its unit: `400W`, `0.4kW`."""
    return positive(quantity(text, WATTS, "a power"), text, "a power above zero")


def watts_or_tdp(text: str) -> int | float | str:
    """Power with its unit, or the word `tdp` for the rated power of a device."""
    return "tdp" if text.strip().lower() == "tdp" else watts(text)


def watt_hours(text: str) -> int | float:
    """Energy with its unit: `433MWh`."""
    return positive(quantity(text, WATT_HOURS, "an energy"), text, "an energy above zero")


def grid_intensity(text: str) -> float:
    """kgCO2e per kWh, with the unit said: `385g/kWh` or `0.385kg/kWh`."""
    value = float(quantity(text, KGCO2E_PER_KWH, "a grid intensity"))
    if value < 0:
        raise InputError(f"`{clipped(text)}` is not a grid intensity", hint="it cannot be negative")
    return value


def kgco2e(text: str) -> int | float:
    """Emissions with their unit: `75t`, `24700kg`."""
    return positive(quantity(text, KGCO2E, "an amount of CO2e"), text, "an amount of CO2e above zero")


def share_or_none(text: str) -> float:
    """A fraction, zero included: `0`, `0.1`, `10%`."""
    return 0.0 if text.strip() in ("0", "0.0", "0%") else fraction(text)


def share(text: str) -> float:
    """A share above 0 that may be more than the whole: `0.5`, `50%`, `460%`."""
    return float(positive(quantity(text, FRACTION, "a share"), text, "a share above zero"))


def fraction(text: str) -> float:
    """A share above 0 and at most 1: `0.4`, `40%`."""
    value = float(quantity(text, FRACTION, "a fraction"))
    if not 0 < value <= 1:
        raise InputError(f"`{clipped(text)}` is not a share above 0 and at most 1", hint="write 0.4 or 40%")
    return value


def signed_change(text: str) -> float:
    """A relative change: `-10%`, `-0.1`; a bare 5 is refused, because 500 % is hardly meant."""
    value = float(quantity(text, FRACTION, "a relative change"))
    if "%" not in text and abs(value) >= 1:
        raise InputError(f"`{clipped(text)}` is not a relative change", hint=f"write it in percent: `{clipped(text.strip())}%`")
    return value


# For people.

SI_STEPS: Sequence[tuple[float, str]] = (
    (1e24, "Y"),
    (1e21, "Z"),
    (1e18, "E"),
    (1e15, "P"),
    (1e12, "T"),
    (1e9, "G"),
    (1e6, "M"),
    (1e3, "k"),
    (1.0, ""),
)
COUNT_STEPS: Sequence[tuple[float, str]] = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k"), (1.0, ""))
BYTE_STEPS: Sequence[tuple[float, str]] = (
    (2.0**50, "PiB"),
    (2.0**40, "TiB"),
    (2.0**30, "GiB"),
    (2.0**20, "MiB"),
    (2.0**10, "KiB"),
    (1.0, "B"),
)


def three_digits(value: float) -> str:
    """A number of ordinary size with three significant digits: 2.78, 30.9, 1,590, 0.0123."""
    return digits(value, 3)


def digits(value: float, significant: int) -> str:
    """A number of ordinary size with so many significant digits; very large and very small ones in powers of ten."""
    value = float(f"{value:.{significant}g}")
    magnitude = abs(value)
    if magnitude == 0:
        return "0"
    if magnitude >= 1e6 or magnitude < 1e-4:
        return f"{value:.{significant - 1}e}"
    decimals = significant - 1 - math.floor(math.log10(magnitude) + 1e-12)
    return f"{value:,.{max(0, decimals)}f}"


def stepped(value: float, steps: Sequence[tuple[float, str]], significant: int = 3) -> tuple[str, str]:
    """A few significant digits and the step's name: (`2.78`, `B`)."""
    for size, name in steps:
        if abs(value) >= 0.9995 * size:
            return digits(value / size, significant), name
    return digits(value, significant), steps[-1][1]


def show_count(value: float) -> str:
    """124M, 2.78B, 512; beyond the trillions as 9.40e16."""
    if abs(value) < 1000 and value == int(value):
        return str(int(value))
    return "".join(stepped(value, COUNT_STEPS)) if abs(value) < 9.995e14 else three_digits(value)  # 1,000T is no number


def counted(n: int, noun: str) -> str:
    """1 device, 8 devices, 1,024 devices."""
    return f"{n:,} {noun}" + ("" if n == 1 else "s")


def show_bytes(value: float) -> str:
    """474.7 MiB, 1.361 TiB: four digits, because what fits is decided by the last GiB; bytes and KiB as they are."""
    return f"{value:.0f} B" if abs(value) < 1024 else " ".join(stepped(value, BYTE_STEPS, 4))


def show_si(value: float, unit: str) -> str:
    """292 GFLOP, 1.00 ZFLOP, 312 TFLOP/s, 433 MWh."""
    number, step = stepped(value, SI_STEPS)
    return f"{number} {step}{unit}"


def show_duration(value_s: float) -> str:
    """The unit that reads best: 32.3 days, 4.20 h, 12.0 min, 310 ms."""
    if value_s < 0:
        return f"-{show_duration(-value_s)}"
    for size, name in ((SECONDS_PER_DAY, "days"), (SECONDS_PER_HOUR, "h"), (60, "min"), (1, "s"), (1e-3, "ms")):
        if value_s >= (2 if name == "days" else 1) * size:
            return f"{three_digits(value_s / size)} {name}"
    return f"{three_digits(value_s * 1e6)} us"


def show_usd(value: float) -> str:
    """$1.59M, $2,670, $0.43."""
    if abs(value) >= 999_500:
        number, step = stepped(value, COUNT_STEPS)
        return f"${number}{step}"
    return f"${value:.2f}" if abs(value) < 10 else f"${three_digits(value)}"


def show_mass(value_kg: float) -> str:
    """75.0 t, 24.7 kg."""
    return f"{three_digits(value_kg / 1000)} t" if value_kg >= 1000 else f"{three_digits(value_kg)} kg"
