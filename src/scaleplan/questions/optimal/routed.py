"""Routed experts at the fixed data of their law, beside the laws that divide a budget: one expert a token."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from scaleplan.answer import Answer, Column, Line, Table, line
from scaleplan.chain.law_answers import RoutedAnswer
from scaleplan.laws.experts import RoutedExperts, effective_experts, expert_law_of
from scaleplan.questions.about_laws import extrapolation, fitted
from scaleplan.units import show_count

SATURATED = "1 / (1 / (n_experts - 1 + 1 / (1 / e_start - 1 / e_max)) + 1 / e_max)"
LOG_N, LOG_E = "log(n_active_params) / log(10)", "log(effective_experts) / log(10)"
LOSS = f"10 ** (a * {LOG_N} + b * {LOG_E} + c * {LOG_N} * {LOG_E} + d)"
ONE = "(log(e_start) / log(10))"
DENSE = f"10 ** ((log(loss_nats) / log(10) - d - b * {ONE}) / (a + c * {ONE}))"


def with_routed(n_params: float, n_experts: int, found: Sequence[RoutedAnswer], answer: Answer) -> Answer:
    """The answer with what routing is worth by each router that was fitted."""
    rows = [row_of(one) for one in found]
    columns = [
        Column("law", "law"),
        Column("loss_nats", "loss", "nats"),
        Column("dense_loss_nats", "without routing", "nats"),
        Column("dense_n_params", "dense N of this loss", "params"),
        Column("useless_from_n_params", "no help from N", "params"),
    ]
    tokens = ", ".join(dict.fromkeys(show_count(one.law.data["convention"]["fixed_n_tokens"]) for one in found))
    table = Table(f"Routed experts at {tokens} tokens", columns, rows, ["no help: N above which more experts no longer lower the loss."])
    return answer._replace(
        result={**answer.result, "routed": rows},
        tables=[*answer.tables, table],
        lines=[*answer.lines, *(made for one in found for made in lines_of(one, n_params, n_experts))],
        warnings=[*answer.warnings, *(caution for one in found for caution in extrapolation(one.law.name, one.beyond))],
    )


def row_of(one: RoutedAnswer) -> dict[str, Any]:
    """One router in `result.routed`."""
    return {
        "law": one.law.name,
        "loss_nats": one.loss,
        "dense_loss_nats": one.dense_loss,
        "dense_n_params": one.dense_params,
        "useless_from_n_params": one.useless_from,
        "standing": one.law.standing,
    }


def lines_of(one: RoutedAnswer, n_params: float, n_experts: int) -> Iterator[Line]:
    """Each number by its formula."""
    law, form = one.law, expert_law_of(one.law.data["loss"])
    assert isinstance(form, RoutedExperts), "the role is of that form"
    constants, saturation = form._asdict(), {"e_start": form.e_start, "e_max": form.e_max}
    powers = {name: constants[name] for name in ("a", "b", "c", "d")}
    many, alone = (effective_experts(count, form.e_start, form.e_max) for count in (n_experts, 1))
    of_loss = {**powers, "n_active_params": n_params, "effective_experts": many}
    made: tuple[tuple[str, str, Any, str, str, Mapping[str, Any]], ...] = (
        ("effective_experts", "experts that count", many, "", SATURATED, {"n_experts": n_experts, **saturation}),
        ("loss_nats", "loss", one.loss, "nats", LOSS, of_loss),
        ("dense_loss_nats", "loss without routing", one.dense_loss, "nats", LOSS, {**of_loss, "effective_experts": alone}),
        (
            "dense_n_params",
            "dense N of this loss",
            one.dense_params,
            "params",
            DENSE,
            {**powers, "e_start": form.e_start, "loss_nats": one.loss},
        ),
        (
            "useless_from_n_params",
            "N above which more experts do not help",
            one.useless_from,
            "params",
            "10 ** (-b / c)",
            {"b": form.b, "c": form.c},
        ),
    )
    for quantity, label, value, unit, formula, inputs in made:
        key, cited = f"routed.{law.name}.{quantity}", law.sources("loss")
        yield line(key, f"{law.name} {label}", value, unit, formula, sources=cited, standing=fitted(law), **inputs)
