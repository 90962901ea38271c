"""What the laws that know experts answer to one budget and one mixture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from scaleplan.chain import catalogue
from scaleplan.chain.optimum import Beyond, beyond
from scaleplan.errors import ScaleplanError
from scaleplan.laws.allocation import Question, Run, allocate
from scaleplan.laws.convention import TOTAL
from scaleplan.laws.law import Law
from scaleplan.laws.mixture import Mixture, share_of, with_experts


class ExpertAdvice(NamedTuple):
    """One law's answer for one mixture.

    law             the law of active N and D with these experts
    run             active N, D, loss
    n_total_params  all experts included
    expert_share    share of the active parameters that lies in experts
    beyond          where the run lies outside the range in which the law was fitted
    """

    law: Law
    run: Run
    n_total_params: float
    expert_share: float
    beyond: Sequence[Beyond]


class Fitted(NamedTuple):
    """A run in the quantities that a law was fitted in."""

    n_params: float
    n_tokens: float
    n_experts: float


def advise_experts(law: Law, question: Question, mixture: Mixture) -> ExpertAdvice:
    """The answer of one law; N of the question is the active size."""
    known = with_experts(law, mixture)
    run, share = allocate(known, question), share_of(law)
    total = mixture.total_params(run.n_params, share)
    fitted = Fitted(total if law.n_kind == TOTAL else run.n_params, run.n_tokens, mixture.expansion)
    return ExpertAdvice(known, run, total, share, beyond(law.limits, fitted))


def ask_experts(names: Sequence[str], question: Question, mixture: Mixture) -> tuple[list[ExpertAdvice], dict[str, ScaleplanError]]:
    """The answers, and by name why others have none; without names, the laws that know experts."""
    laws = names or catalogue.knowing("experts")
    return catalogue.ask_each(laws, catalogue.asked_by_name(names), lambda law: advise_experts(law, question, mixture))
