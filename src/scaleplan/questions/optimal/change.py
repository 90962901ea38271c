"""`loss_change`: more parameters, more tokens, or more of both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from scaleplan.answer import Answer, Column, Line, Table, line

if TYPE_CHECKING:
    from scaleplan.questions.optimal.dense import Solved


def with_change(relative: float, solved: Solved, answer: Answer) -> Answer:
    """The answer with what it takes to change the losses."""
    runs = {advice.law.name: advice for advice in solved.advices}
    rows = [{"law": name, "loss_nats": runs[name].run.loss_nats} | found._asdict() for name, found in solved.changes.items()]
    lines = [one for row in rows for one in change_lines(runs[row["law"]], row, relative)]
    return answer._replace(
        result={**answer.result, "loss_changes": rows},
        tables=[*answer.tables, change_table(rows, relative)],
        lines=[*answer.lines, *lines],
    )


def change_lines(advice: Any, row: Mapping[str, Any], relative: float) -> Iterator[Line]:
    """Each factor: a term of the loss shrinks by what the loss must lose."""
    law, run = advice.law.additive, advice.run
    key, cited, constants = f"loss_changes.{advice.law.name}", advice.law.sources("loss"), law._asdict()
    here = {"loss_nats": row["loss_nats"], "loss_change_fraction": relative}
    drop, both = "loss_nats * loss_change_fraction", "(loss_nats - e_nats)"
    n_term, d_term = "(a / n_params ** alpha)", "(b / n_tokens ** beta)"
    run_of = {"n_params": run.n_params, "n_tokens": run.n_tokens}
    made = (
        ("target_nats", "nats", "loss_nats * (1 + loss_change_fraction)"),
        ("params_factor", "x", f"({n_term} / ({n_term} + {drop})) ** (1 / alpha)"),
        ("tokens_factor", "x", f"({d_term} / ({d_term} + {drop})) ** (1 / beta)"),
        ("compute_factor", "x", f"({both} / ({both} + {drop})) ** (1 / alpha + 1 / beta)"),
        ("params_limit_nats", "nats", f"e_nats + {d_term}"),
        ("tokens_limit_nats", "nats", f"e_nats + {n_term}"),
    )
    from scaleplan.arithmetic import names_in

    for name, unit, formula in made:
        if row[name] is not None:
            inputs = {one: value for one, value in {**constants, **here, **run_of}.items() if one in names_in(formula)}
            label = f"{advice.law.name} {name.replace('_', ' ')}"
            yield line(f"{key}.{name}", label, row[name], unit, formula, sources=cited, standing="fitted", **inputs)


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
