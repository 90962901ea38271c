"""`scaleplan optimal`: a budget -> how large a model on how many tokens, by each law."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from scaleplan.answer import Answer
from scaleplan.cli.optimal_answer import answer_of
from scaleplan.cli.options import Compute, InferenceTokens, Law, Loss, NParams, Tokens, UniqueTokens, command
from scaleplan.errors import InputError, NotSupported, ScaleplanError, UnknownName
from scaleplan.laws.allocation import Question, check_question
from scaleplan.laws.convention import NON_EMBEDDING, TOTAL
from scaleplan.plan import catalogue
from scaleplan.plan.optimum import Advice, advise

KINDS_OF_N = {"own": None, "both": None, "total": TOTAL, "non-embedding": NON_EMBEDDING}
KNOWS_REPETITION = ("muennighoff2023",)


def kind_of_n(text: str) -> str:
    """One of the kinds."""
    if text not in KINDS_OF_N:
        raise UnknownName("kind of N", text, KINDS_OF_N)
    return text


NKind = Annotated[
    str,
    typer.Option(
        "--n-kind",
        parser=kind_of_n,
        metavar="|".join(KINDS_OF_N),
        help="Which N to read and show: each law's own, or all laws in one kind (converted).",
    ),
]


@command
def optimal(
    compute: Compute = None,
    n_params: NParams = None,
    tokens: Tokens = None,
    loss: Loss = None,
    law: Law = None,
    n_kind: NKind = "own",
    unique_tokens: UniqueTokens = None,
    inference_tokens: InferenceTokens = None,
) -> Answer:
    """How large a model on how many tokens, and what loss, by each scaling law?

    Fix one of --compute, --n-params, --tokens, --loss for the best of the rest, or two of the first three for the third.

    \b
    Examples:
      scaleplan optimal --compute 1e21
      scaleplan optimal --n-params 70B --tokens 1.4T --law besiroglu2024
      scaleplan optimal --compute 1e22 --unique-tokens 25B
      scaleplan optimal --loss 2.1 --inference-tokens 2T
    """
    question = Question(compute, n_params, tokens, loss, unique_tokens, inference_tokens)
    check_question(question)
    names = law or (KNOWS_REPETITION if unique_tokens else catalogue.DEFAULT)
    advices, silent = ask(names, question, KINDS_OF_N[n_kind])
    return answer_of(question, advices, silent, n_kind)


def ask(names: Sequence[str], question: Question, kind: str | None) -> tuple[list[Advice], dict[str, ScaleplanError]]:
    """The answers, and by name why some laws of the default list (or of `all`) have none; a law asked for by name must answer."""
    wanted = set() if names == catalogue.DEFAULT else set(names) - {catalogue.EVERY}
    yardstick, critical_batch = catalogue.load_law(catalogue.RECOMMENDED), catalogue.critical_batch()
    advices: list[Advice] = []
    silent: dict[str, ScaleplanError] = {}
    for law in catalogue.load_laws(names):
        if catalogue.EVERY in names and law.frontier is None:
            continue
        try:
            advices.append(advise(law, question, yardstick, critical_batch, kind))
        except (NotSupported, InputError) as error:
            if law.name in wanted:
                raise
            silent[law.name] = error
    if not advices:
        raise next((error for error in silent.values() if isinstance(error, InputError)), next(iter(silent.values())))
    return advices, silent
