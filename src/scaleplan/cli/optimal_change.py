"""`scaleplan optimal --loss-change`: more parameters, more tokens, or more of both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from scaleplan.answer import Column, Table
from scaleplan.chain.optimum import Advice
from scaleplan.errors import NotSupported
from scaleplan.laws.change import change_of
from scaleplan.laws.forms import Additive


def change_rows(advices: Sequence[Advice], relative: float) -> list[dict[str, Any]]:
    """One row a law of the additive form."""
    laws = [advice for advice in advices if isinstance(advice.law.loss, Additive)]
    if not laws:
        names = ", ".join(f"`{advice.law.name}`" for advice in advices)
        raise NotSupported(f"--loss-change needs a loss of the form E + A / N^alpha + B / D^beta, which {names} has not")
    return [
        {"law": advice.law.name, "loss_nats": advice.run.loss_nats}
        | change_of(advice.law.additive, advice.run.n_params, advice.run.n_tokens, relative)._asdict()
        for advice in laws
    ]


def change_table(rows: Sequence[Mapping[str, Any]], relative: float) -> Table:
    """The factors side by side; a dash where no amount is enough, and the limit that stands in the way."""
    columns = [
        Column("law", "law"),
        Column("loss_nats", "from", "nats"),
        Column("target_nats", "to", "nats"),
        Column("params_factor", "N alone", "x"),
        Column("tokens_factor", "D alone", "x"),
        Column("compute_factor", "C, best split", "x"),
    ]
    notes = [
        f"{row['law']}: not reachable with more {what} alone: endless {what} end at {row[limit]:.4f} nats."
        for row in rows
        for what, factor, limit in (("parameters", "params_factor", "params_limit_nats"), ("tokens", "tokens_factor", "tokens_limit_nats"))
        if row[factor] is None
    ]
    return Table(f"To change the loss by {100 * relative:+g} %", columns, rows, notes)
