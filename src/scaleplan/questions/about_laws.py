"""What several questions say of a law: labels and units of its quantities, its formula of the loss, and what to be careful of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from scaleplan.answer import Answer, Caution, Line, quantities
from scaleplan.chain import catalogue
from scaleplan.laws.forms import Additive, KaplanLoss
from scaleplan.units import show_count, show_si, three_digits

if TYPE_CHECKING:
    from scaleplan.chain.optimum import Beyond
    from scaleplan.laws.law import Law

UNITS = {
    "n_params": "params",
    "n_tokens": "tokens",
    "tokens_per_param": "tokens/param",
    "loss_nats": "nats",
    "compute_flops": "FLOP",
    "critical_batch_tokens": "tokens",
    "n_steps": "steps",
}
LABELS = {
    "n_params": "N",
    "n_tokens": "D",
    "tokens_per_param": "D/N",
    "loss_nats": "loss",
    "compute_flops": "C",
    "critical_batch_tokens": "B_crit",
    "n_steps": "steps",
}
OWN_STANDING = ("confirmed", "recomputed", "fitted")
"""Standings of a preset that say no more than that the law was fitted."""


def fitted(law: Law) -> str:
    """The standing of what follows from a law: fitted, or that of its preset where it says more."""
    return "fitted" if law.standing in OWN_STANDING else law.standing


def loss_formula(law: Law, min_steps: Any = None) -> tuple[str, dict[str, Any]]:
    """L(N, S_min) of a law that knows the loss against steps, else L(N, D): the formula and its constants."""
    along = law.along_steps
    if along is not None and min_steps is not None:
        return along.FORMULAS["loss_nats"], {**along._asdict(), "min_steps": min_steps}
    if isinstance(law.loss, KaplanLoss):
        return KaplanLoss.FORMULAS["loss_nats"], law.loss._asdict()
    return Additive.FORMULAS["loss_nats"], law.additive._asdict()


def shown(quantity: str, value: float) -> str:
    """A quantity of a run in a sentence."""
    if quantity == "loss_nats":
        return f"{value:.4g}"
    return show_si(value, "FLOP") if quantity == "compute_flops" else show_count(value)


def extrapolation(law: str, beyond: Sequence[Beyond]) -> Iterator[Caution]:
    """A run outside the range that its law was fitted on, by its farthest quantity; none inside."""
    for far in beyond[:1]:
        side = "above the largest" if far.value > far.bound else "below the smallest"
        name = LABELS.get(far.quantity, far.quantity)
        message = (
            f"{law}: {name} = {shown(far.quantity, far.value)} extrapolates {three_digits(far.factor)}x {side} value fitted "
            f"({shown(far.quantity, far.bound)})"
        )
        yield Caution("extrapolation", message, {"law": law, "quantity": far.quantity, "factor": far.factor})


def foreign_tokenizers(laws: Iterable[Law]) -> Iterator[Caution]:
    """B_crit was measured with one tokenizer; losses of another mean something else."""
    own = catalogue.critical_batch_law().tokenizer
    foreign = [law.name for law in laws if law.tokenizer != own]
    if foreign:
        plural = "use others" if len(foreign) > 1 else "uses another"
        message = f"B_crit was measured with tokenizer {own}; {', '.join(foreign)} {plural}, so treat it as an order of magnitude"
        yield Caution("tokenizer", message, {"laws": foreign})


def cautions_of(laws: Iterable[Law]) -> Iterator[Caution]:
    """What presets warn of themselves."""
    for law in laws:
        if "caution" in law.data:
            yield Caution("law", f"{law.name}: {law.data['caution']}", {"law": law.name})


def answer_of_lines(
    command: str, inputs: Mapping[str, Any], lines: Sequence[Line], *, notes: Sequence[str] = (), warnings: Iterable[Caution] = ()
) -> Answer:
    """An answer whose result is its lines, a key each; of dotted keys an object each."""
    result: dict[str, Any] = {}
    for one in lines:
        group, _, key = one.key.rpartition(".")
        (result.setdefault(group, {}) if group else result)[key] = one.value
    known = {name: value for name, value in inputs.items() if value is not None}
    return Answer(command, known, result, [quantities("", lines)], lines, warnings=list(warnings), notes=notes)


def percentiles(intervals: Mapping[str, Any] | None) -> dict[str, dict[str, float]] | None:
    """The `intervals` of a result; None without draws."""
    return {name: points._asdict() for name, points in intervals.items()} if intervals else None
