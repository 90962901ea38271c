"""What each law says of a size, data or a budget, rule by rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from scaleplan.answer import Answer, Column, Line, Table
from scaleplan.chain.law_rules import Known, RuleAnswer, ask_rules
from scaleplan.errors import ScaleplanError
from scaleplan.questions.about_laws import cautions_of, extrapolation, fitted
from scaleplan.questions.optimal.warnings import silences

if TYPE_CHECKING:
    from scaleplan.questions.optimal.beside import OfRules


class Solved(NamedTuple):
    """The rules that answer, and why laws that were asked for by name among others do not."""

    answers: Sequence[RuleAnswer]
    silent: Mapping[str, ScaleplanError]


def solve(asked: OfRules) -> Solved:
    """Every rule that what is known leads to."""
    known = Known(
        asked.n_params,
        asked.tokens,
        asked.compute,
        asked.tokens_per_param,
        asked.loss,
        asked.n_steps,
        asked.position,
        asked.batch_size_tokens,
        asked.d_model,
    )
    return Solved(*ask_rules(asked.law, known))


def explain(asked: OfRules, solved: Solved) -> Answer:
    """One rule a row."""
    rows = [row_of(one) for one in solved.answers]
    laws = {one.law.name: one for one in solved.answers}
    columns = [
        Column("law", "law"),
        Column("rule", "rule"),
        Column("value", "value", "own"),
        Column("n_params_kind", "N counts"),
        Column("beyond_factor", "beyond its range", "x"),
    ]
    note = (
        "C and N are what each law means by them; steps are the least, at large batches. A dash: within the fit, or its range is unknown."
    )
    inputs = {name: value for name, value in asked._asdict().items() if value not in (None, ())}
    return Answer(
        "optimal",
        inputs,
        {"rules": rows, "unanswered": {name: str(error.message) for name, error in solved.silent.items()} if asked.law else {}},
        [Table("", columns, rows, [note])],
        [line_of(one) for one in solved.answers],
        warnings=[
            *(caution for name, one in laws.items() for caution in extrapolation(name, one.beyond)),
            *cautions_of(one.law for one in laws.values()),
        ],
        notes=silences(solved.silent) if asked.law else [],
    )


def row_of(one: RuleAnswer) -> dict[str, Any]:
    """One rule in `result.rules`."""
    return {
        "law": one.law.name,
        "rule": one.rule,
        "value": one.value,
        "unit": one.unit,
        "n_params_kind": one.law.n_kind,
        "standing": one.law.standing,
        "beyond_factor": one.beyond[0].factor if one.beyond else None,
    }


def line_of(one: RuleAnswer) -> Line:
    """The rule with its constants."""
    key, label = f"rules.{one.law.name}.{one.rule}", f"{one.law.name} {one.rule.replace('_', ' ')}"
    return Line(key, label, one.value, one.unit, one.formula, one.inputs, one.sources, fitted(one.law))
