"""The loss by position in the context, and by its length."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from scaleplan.answer import Answer, Column, Line, Table, line
from scaleplan.chain.law_answers import ContextLoss, context_losses
from scaleplan.laws.power import Power
from scaleplan.questions.about_laws import cautions_of, fitted

if TYPE_CHECKING:
    from scaleplan.questions.optimal.beside import OfContext

MEAN = (
    "offset + scale * ((position ** (1 + position_exponent) - 1) / (1 + position_exponent) + (1 + position ** position_exponent) / 2"
    " + position_exponent * (position ** (position_exponent - 1) - 1) / 12) / position"
)
"""The mean over 1..T: the integral with its ends halved."""


def solve(asked: OfContext) -> list[ContextLoss]:
    """Each model that was fitted."""
    return context_losses(asked.position)


def explain(asked: OfContext, solved: Sequence[ContextLoss]) -> Answer:
    """One model a row."""
    rows = [row_of(one) for one in solved]
    columns = [
        Column("law", "model"),
        Column("loss_nats", "there", "nats"),
        Column("mean_nats", "mean up to there", "nats"),
        Column("endless_nats", "endless context", "nats"),
    ]
    notes = ["there: the token at this position (kaplan2020), or the mean of contexts of this length (xiong2023)."]
    lines = [made for one in solved for made in lines_of(one, asked.position)]
    warnings = list(cautions_of(one.law for one in solved))
    return Answer("optimal", {"position": asked.position}, {"context": rows}, [Table("", columns, rows, notes)], lines, warnings=warnings)


def row_of(one: ContextLoss) -> dict[str, Any]:
    """One model in `result.context`."""
    kind = "length" if one.mean is None else "position"
    return {
        "law": one.law.name,
        "by": kind,
        "loss_nats": one.at_position,
        "mean_nats": one.mean,
        "endless_nats": one.floor,
        "standing": one.law.standing,
    }


def lines_of(one: ContextLoss, position: int) -> Iterator[Line]:
    """The power of the position, its mean and its limit."""
    law = one.law
    block = "loss_of_position" if one.mean is not None else "loss_of_context"
    rule, cited, standing = law.rules[block], law.sources(block), fitted(law)
    assert isinstance(rule, Power), "losses of the context are powers of it"
    constants = rule.constants()
    key = f"context.{law.name}"
    yield line(
        f"{key}.loss_nats",
        f"{law.name} loss",
        one.at_position,
        "nats",
        rule.formula(),
        sources=cited,
        standing=standing,
        position=position,
        **constants,
    )
    if one.mean is not None:
        yield line(
            f"{key}.mean_nats", f"{law.name} mean", one.mean, "nats", MEAN, sources=cited, standing=standing, position=position, **constants
        )
    yield line(f"{key}.endless_nats", f"{law.name} endless context", one.floor, "nats", sources=cited, standing="published")
