"""A mixture of experts: active size, total size and tokens, by the laws that know experts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from scaleplan.answer import Answer, Caution, Column, Line, Table
from scaleplan.chain.expert_optimum import ExpertAdvice, ask_experts
from scaleplan.chain.law_answers import RoutedAnswer, routed_answers
from scaleplan.errors import ScaleplanError
from scaleplan.laws.allocation import Question
from scaleplan.laws.forms import Additive
from scaleplan.laws.mixture import Mixture, TwoTerms
from scaleplan.questions.about_laws import LABELS, UNITS, cautions_of, extrapolation
from scaleplan.questions.optimal.budget import inputs_of, question_of
from scaleplan.questions.optimal.warnings import silences, stock, unanswered_by_name

if TYPE_CHECKING:
    from scaleplan.questions.optimal import OfMixture


class Solved(NamedTuple):
    """The answers of the laws, why others have none, and routing at fixed data, where N is given and a token passes one expert."""

    question: Question
    mixture: Mixture
    advices: Sequence[ExpertAdvice]
    unanswered: Mapping[str, ScaleplanError]
    routed: Sequence[RoutedAnswer] = ()


def solve(asked: OfMixture) -> Solved:
    """What each law that knows experts says; the budget may be an array."""
    question, mixture = question_of(asked), Mixture(asked.n_experts, asked.n_experts_per_token)
    alone = asked.n_params is not None and asked.n_experts_per_token == 1 and not asked.law
    routed = routed_answers(asked.n_params, asked.n_experts) if alone and asked.n_params is not None else ()
    return Solved(question, mixture, *ask_experts(asked.law, question, mixture), routed)


def explain(asked: OfMixture, solved: Solved) -> Answer:
    """The laws side by side."""
    question, mixture, advices = solved.question, solved.mixture, solved.advices
    rows = [row_of(advice, mixture, question) for advice in advices]
    answer = Answer(
        "optimal",
        inputs_of(question) | mixture._asdict() | {"law": [advice.law.name for advice in advices]},
        {"laws": rows, "recommended": None, "routed": []},
        [table_of(rows, question)],
        [line for advice in advices for line in lines_of(advice, mixture, question)],
        warnings=[*warnings_of(advices), *unanswered_by_name(asked.law, solved.unanswered)],
        notes=[*remarks(advices, mixture), *silences(solved.unanswered)],
    )
    if not solved.routed or asked.n_params is None:
        return answer
    from scaleplan.questions.optimal.routed import with_routed

    return with_routed(asked.n_params, asked.n_experts, solved.routed, answer)


def warnings_of(advices: Sequence[ExpertAdvice]) -> Iterator[Caution]:
    """What to be careful of."""
    yield standing(advices)
    for advice in advices:
        yield from extrapolation(advice.law.name, advice.beyond)
    yield from stock([(advice.law.name, advice.run.n_tokens) for advice in advices])
    yield from cautions_of(advice.law for advice in advices)


def row_of(advice: ExpertAdvice, mixture: Mixture, question: Question) -> dict[str, Any]:
    """One law in `result.laws`; what is known of dense models alone is null."""
    run = advice.run
    return {
        "law": advice.law.name,
        "n_params": run.n_params,
        "n_params_kind": "active",
        "n_active_params": run.n_params,
        "n_total_params": advice.n_total_params,
        **mixture._asdict(),
        "expert_share_of_active": advice.expert_share,
        "n_tokens": run.n_tokens,
        "tokens_per_param": run.n_tokens / run.n_params,
        "loss_nats": run.loss_nats,
        "compute_flops": question.compute_flops or run.compute_flops,
        "critical_batch_tokens": None,
        "tokenizer": advice.law.tokenizer,
        "standing": advice.law.standing,
        "intervals": None,
    }


def table_of(rows: Sequence[Mapping[str, Any]], question: Question) -> Table:
    """The answers side by side."""
    names = ["n_tokens", "tokens_per_param", "loss_nats"] + ([] if question.compute_flops else ["compute_flops"])
    sizes = [Column("n_active_params", "N active", "params"), Column("n_total_params", "N total", "params")]
    return Table("", [Column("law", "law"), *sizes, *(Column(name, LABELS[name], UNITS[name]) for name in names)], rows)


def lines_of(advice: ExpertAdvice, mixture: Mixture, question: Question) -> Iterator[Line]:
    """One line a number of a row: 6 N D ties the first three together, each law has its own loss."""
    law, run, fixed = advice.law, advice.run, question.fixed()
    budget = question.compute_flops or run.compute_flops
    known = {"n_active_params": run.n_params, "n_tokens": run.n_tokens, "compute_flops": budget}
    ratio = {"n_experts": mixture.n_experts, "n_experts_per_token": mixture.n_experts_per_token, "expert_share": advice.expert_share}
    assert isinstance(law.frontier, Additive | TwoTerms), "the laws of a mixture"
    constants, loss = law.frontier._asdict(), law.frontier.FORMULAS["loss_nats"]
    of_tokens = "compute_flops / (6 * n_active_params)" if question.compute_flops else None
    total = "n_active_params * (1 + expert_share * (n_experts / n_experts_per_token - 1))"
    made: tuple[tuple[str, str, Any, str | None, Mapping[str, Any]], ...] = (
        ("n_active_params", "N active", run.n_params, None, {}),
        ("n_total_params", "N total", advice.n_total_params, total, {"n_active_params": run.n_params, **ratio}),
        ("n_tokens", LABELS["n_tokens"], run.n_tokens, None if "n_tokens" in fixed else of_tokens, known),
        ("compute_flops", LABELS["compute_flops"], budget, None if question.compute_flops else "6 * n_active_params * n_tokens", known),
        ("loss_nats", LABELS["loss_nats"], run.loss_nats, loss, {**constants, "n_params": run.n_params, "n_tokens": run.n_tokens}),
    )
    for name, label, value, formula, inputs in made:
        given = name in fixed or (name == "n_active_params" and "n_params" in fixed)
        used = {key: number for key, number in inputs.items() if key != name} if formula and not given else None
        yield Line(
            f"laws.{law.name}.{name}",
            f"{law.name} {label}",
            value,
            UNITS.get(name, "params"),
            None if given else formula,
            used,
            law.sources("loss"),
            "given" if given else "estimate",
        )


def standing(advices: Sequence[ExpertAdvice]) -> Caution:
    """Each law was fitted on losses of its own, some with constants that were not read in the article."""
    second_hand = [advice.law.name for advice in advices if advice.law.standing == "second-hand"]
    message = "laws of experts were fitted on other data, tokens and recipes: do not compare their losses"
    if second_hand:
        message += f"; the constants of {', '.join(second_hand)} are from a secondary source"
    return Caution("estimate", message, {"laws": [advice.law.name for advice in advices], "second_hand": second_hand})


def remarks(advices: Sequence[ExpertAdvice], mixture: Mixture) -> list[str]:
    """How sizes hang together, and what K means where experts are not cut finer."""
    shares = "; ".join(f"{advice.expert_share:.3g} for {advice.law.name}" for advice in advices)
    said = [
        "N is active, C = 6 N D without the router.",
        f"N total = N (1 + s (E / K - 1)), s the share of the active parameters in experts, in every layer: {shares}.",
    ]
    if mixture.n_experts_per_token > 1 and any(advice.law.data["loss"]["form"] == "joint-experts" for advice in advices):
        said.append("ludziejewski2025 knows one expert a token: E / K experts stand for its E.")
    return said
