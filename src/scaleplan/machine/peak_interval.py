"""How sure a predicted peak is: its 80 % interval from errors on measured peaks, and whether a device holds it.

The factors are data (presets/peak_errors.toml): measured over predicted peak at 10 and 90 %, by software stack and kind of layout.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, TypeAlias

from scaleplan.answer import Interval
from scaleplan.machine.layout import Layout
from scaleplan.machine.memory import USABLE_SHARE
from scaleplan.numeric import floor, where

Kind: TypeAlias = Literal["data", "tensor", "pipeline", "both"]
Verdict: TypeAlias = Literal["fits", "unsure", "does not fit"]
KINDS: tuple[Kind, ...] = ("data", "tensor", "pipeline", "both")
"""Without tensor and pipeline parallelism (one device too), with one of them, with both."""

Factors: TypeAlias = tuple[float, float]  # of the predicted peak: the 10 and the 90 % point


class PeakErrors(NamedTuple):
    """Factors of one stack: those of each kind of layout that was measured often enough, and those of the rest.

    n_runs    measured peaks that they come from
    measured  predicted bytes of layouts whose own peak was measured
    """

    by_kind: Mapping[str, Factors]
    rest: Factors
    n_runs: int
    sources: tuple[str, ...] = ()
    measured: tuple[float, ...] = ()


def cited(table: Mapping[str, Any]) -> tuple[str, ...]:
    """The citation keys of a table: none, one or several."""
    source = table.get("source", ())
    return (source,) if isinstance(source, str) else tuple(source)


def peak_errors(table: Mapping[str, Any], stack: str) -> PeakErrors:
    """The factors of a stack from the parsed preset; a stack that was never measured has those of all measured ones together."""
    kinds = table.get(stack, table["others"])
    factors = {kind: (float(row["p10"]), float(row["p90"])) for kind, row in kinds.items()}
    rest = factors.pop("all")
    return PeakErrors(factors, rest, int(kinds["all"]["n_runs"]), cited(kinds["all"]))


def without_bias(errors: PeakErrors) -> PeakErrors:
    """What is left when one peak was measured: the same width about the predicted peak, sqrt(high / low) either way."""

    def centred(factors: Factors) -> Factors:
        half = (factors[1] / factors[0]) ** 0.5
        return 1 / half, half

    return errors._replace(by_kind={kind: centred(each) for kind, each in errors.by_kind.items()}, rest=centred(errors.rest))


def kind_number(layout: Layout) -> Any:
    """Place in KINDS of a layout, or of each of arrays of them."""
    return (layout.tp > 1) + 2 * (layout.pp > 1)


def peak_interval(peak_bytes: Any, layout: Layout, errors: PeakErrors) -> Interval:
    """The 80 % interval of a peak, for one layout or for arrays of them.

    p10 = peak low(kind),    p90 = peak high(kind)
    """
    number = kind_number(layout)
    low, high = errors.rest
    for index, kind in enumerate(KINDS):
        if kind in errors.by_kind:
            low = where(number == index, errors.by_kind[kind][0], low)
            high = where(number == index, errors.by_kind[kind][1], high)
    for own in errors.measured:
        same = abs(peak_bytes - own) <= ROUNDED_BYTES
        low, high = where(same, 1 / REPEATS, low), where(same, REPEATS, high)
    return Interval(floor(peak_bytes * low), peak_bytes, floor(peak_bytes * high))


REPEATS = 1.03  # of two runs of one layout: what the allocator holds differs by a few percent
ROUNDED_BYTES = 4


def verdict(interval: Interval, capacity_bytes: Any, usable_share: Any = USABLE_SHARE) -> Any:
    """Whether a device holds a step of training: one word, or an array of them.

    fits           the 90 % point is at most the usable share of the capacity, 90 % unless given
    does not fit   the 10 % point is above it
    unsure         else
    """
    usable = usable_share * capacity_bytes
    return where(interval.p90 <= usable, "fits", where(interval.p10 > usable, "does not fit", "unsure"))
