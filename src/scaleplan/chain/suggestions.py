"""Batch and learning rate for a run, by every law of the catalogue that names one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from scaleplan.chain import catalogue
from scaleplan.laws.convention import training_flops
from scaleplan.laws.law import Law, value_of

RULES = ("batch_tokens", "learning_rate")


class Suggestion(NamedTuple):
    """What one law advises.

    values      rule -> its value; None where the law has no such rule, or it says nothing of this run
    unanswered  rule that the law has -> why it says nothing of this run
    inputs      N, D and C = 6 N D of the run
    """

    law: Law
    values: Mapping[str, Any]
    unanswered: Mapping[str, str]
    inputs: Mapping[str, Any]


def suggestions(n_params: Any, n_tokens: Any) -> list[Suggestion]:
    """The advice of each law, in alphabetical order."""
    known = {"n_params": n_params, "n_tokens": n_tokens, "compute_flops": training_flops(n_params, n_tokens)}
    return [suggestion_of(law, known) for law in catalogue.laws_with(*RULES)]


def suggestion_of(law: Law, known: Mapping[str, Any]) -> Suggestion:
    """The advice of one law; null outside the range in which a rule holds."""
    said = {name: value_of(law, name, known) for name in RULES}
    unanswered = {name: reason for name, (_, reason) in said.items() if reason is not None and name in law.rules}
    return Suggestion(law, {name: value for name, (value, _) in said.items()}, unanswered, known)
