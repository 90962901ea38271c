"""A law for training in another precision."""

from __future__ import annotations

from scaleplan.chain import catalogue
from scaleplan.errors import NotSupported
from scaleplan.laws.forms import Additive
from scaleplan.laws.law import Law
from scaleplan.laws.precision import in_bits, precision_of
from scaleplan.machine.recipe import precision_named
from scaleplan.wording import field


def few_bits_law() -> Law:
    """The law that knows the effective parameters of a precision."""
    return catalogue.load_law(catalogue.first_knowing("precision"))


def in_precision(law: Law, name: str) -> Law:
    """A law whose N counts as the effective parameters of a precision; one whose loss is not additive refuses."""
    if not isinstance(law.loss, Additive):
        raise NotSupported(
            f"`{law.name}` has no loss in which {field('precision')} could be counted", hint=f"{field('law')} {catalogue.recommended()} has"
        )
    return in_bits(law, precision_of(few_bits_law().data["precision"]), precision_named(name).product_bits)
