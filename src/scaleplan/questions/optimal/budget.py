"""A request of `optimal` as the question that laws answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from scaleplan.laws.allocation import Question, check_question

if TYPE_CHECKING:
    from scaleplan.questions.optimal import OfDense, OfMixture


def question_of(asked: OfDense | OfMixture, compute: Any = None) -> Question:
    """What is fixed, within its bounds; tokens per parameter beside N or D alone fix the other.

    compute  the FLOP of a budget that was given in something else
    """
    unique, served = getattr(asked, "unique_tokens", None), getattr(asked, "inference_tokens", None)
    question = Question(asked.compute if compute is None else compute, asked.n_params, asked.tokens, asked.loss, unique, served)
    ratio = asked.tokens_per_param
    if ratio is not None and question.fixed() == ["n_params"]:
        question, ratio = question._replace(n_tokens=ratio * question.n_params), None
    if ratio is not None and question.fixed() == ["n_tokens"]:
        question, ratio = question._replace(n_params=question.n_tokens / ratio), None
    question = bounded(question, asked.where, ratio)
    check_question(question)
    return question


def bounded(question: Question, where: Sequence[str], ratio: Any) -> Question:
    """The question with its bounds."""
    if not where and ratio is None:
        return question
    from scaleplan.laws.constraints import bounds_of
    from scaleplan.limits import parse_limit

    return question._replace(bounds=bounds_of([parse_limit(text)[:3] for text in where], ratio))


def inputs_of(question: Question) -> dict[str, Any]:
    """What was asked; of bounds, those that bind anything."""
    asked = {name: value for name, value in question._asdict().items() if value is not None}
    if question.bounds is not None:
        free = type(question.bounds)()
        asked["bounds"] = {name: list(pair) for name, pair in question.bounds._asdict().items() if pair != getattr(free, name)}
    return asked
