"""`scaleplan optimal`: a budget -> how large a model on how many tokens, by each law."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scaleplan import units
from scaleplan.answer import Answer, Caution, Column
from scaleplan.chain import catalogue
from scaleplan.chain.optimum import Advice, Adviser, advise
from scaleplan.cli.optimal_answer import answer_of
from scaleplan.cli.options import (
    BytesPerToken,
    Compute,
    InferenceTokens,
    Law,
    Like,
    Loss,
    NKind,
    NParams,
    Precision,
    SeqLen,
    Tokens,
    UniqueTokens,
    command_in,
    quantity,
)
from scaleplan.errors import InputError, NotSupported, ScaleplanError, UsageError
from scaleplan.laws.allocation import Question, check_question
from scaleplan.laws.convention import NON_EMBEDDING, TOTAL
from scaleplan.laws.law import Law as ScalingLaw

if TYPE_CHECKING:
    from scaleplan.cli.optimal_exact import Shapes

KINDS_OF_N = {"both": None, "total": TOTAL, "non-embedding": NON_EMBEDDING}

NExperts = Annotated[int | None, quantity("--n-experts", units.count, "Routed experts.", metavar="N")]
NExpertsPerToken = Annotated[int | None, quantity("--n-experts-per-token", units.count, "Routed experts that a token passes.", metavar="N")]

Where = Annotated[
    list[str] | None,
    typer.Option(
        "--where", metavar="BOUND", help="`n_params<=13B`, `n_tokens<=2T`, `tokens_per_param>=100`; may be repeated.", show_default=False
    ),
]
TokensPerParam = Annotated[
    float | None, quantity("--tokens-per-param", units.amount, "Train on this many tokens per parameter: 400.", metavar="R")
]


LossChange = Annotated[
    float | None,
    quantity("--loss-change", units.signed_change, "What it takes to change the loss: -10%.", metavar="CHANGE"),
]

ExactFlops = Annotated[bool, typer.Option("--exact-flops", help="Divide a --compute that counts attention and logits too, not 6 N D.")]


@command_in(charts=True)
def optimal(
    compute: Compute = None,
    n_params: NParams = None,
    tokens: Tokens = None,
    loss: Loss = None,
    law: Law = None,
    n_kind: NKind = None,
    n_experts: NExperts = None,
    n_experts_per_token: NExpertsPerToken = None,
    unique_tokens: UniqueTokens = None,
    inference_tokens: InferenceTokens = None,
    tokens_per_param: TokensPerParam = None,
    where: Where = None,
    loss_change: LossChange = None,
    precision: Precision = None,
    bytes_per_token: BytesPerToken = None,
    exact_flops: ExactFlops = False,
    like: Like = None,
    seq_len: SeqLen = None,
) -> Answer:
    """How large a model on how many tokens, and what loss, by each scaling law?

    Fix one of --compute, --n-params, --tokens, --loss for the best of the rest, or two of the first three for the third.
    With --n-experts and --n-experts-per-token, N is what a token passes, and the laws that know experts answer.

    \b
    Examples:
      scaleplan optimal --compute 1e21
      scaleplan optimal --n-params 70B --tokens 1.4T --law besiroglu2024
      scaleplan optimal --compute 1e22 --unique-tokens 25B
      scaleplan optimal --loss 2.1 --inference-tokens 2T
      scaleplan optimal --compute 1e23 --where 'n_params<=13B'
      scaleplan optimal --n-params 7B --tokens 2T --loss-change -5%
      scaleplan optimal --compute 1e21 --exact-flops --like gpt --seq-len 8192
      scaleplan optimal --compute 1e21 --n-experts 8 --n-experts-per-token 1
      scaleplan optimal --compute 1e21 --plot
    """
    question = question_of(Question(compute, n_params, tokens, loss, unique_tokens, inference_tokens), where or [], tokens_per_param)
    check_question(question)
    if n_experts is not None or n_experts_per_token is not None:
        dense_only = {"--n-kind": n_kind, "--precision": precision, "--loss-change": loss_change, "--bytes-per-token": bytes_per_token}
        dense_only |= {"--exact-flops": exact_flops or None, "--like": like, "--seq-len": seq_len}
        return for_experts(question, n_experts, n_experts_per_token, law or [], dense_only)
    if not exact_flops and (like is not None or seq_len is not None):
        raise UsageError("--like and --seq-len describe what is counted exactly", hint="add --exact-flops")
    if exact_flops and loss_change is not None:
        raise UsageError("--loss-change counts C = 6 N D", hint="leave out --exact-flops")
    shapes = shapes_of(question, like, seq_len) if exact_flops else None
    names = law or (catalogue.knowing("repetition") if unique_tokens else catalogue.default_laws())
    advices, silent = ask(names, question, KINDS_OF_N.get(n_kind or ""), precision, shapes.adviser() if shapes else advise)
    answer = answer_of(question, advices, silent, n_kind or "own")
    if shapes:
        answer = shapes.explained(answer, advices, question)
    if question.fixed() == ["n_params", "n_tokens"]:
        answer = with_training(answer, advices)
    if precision:
        answer = with_precision(answer, precision)
    if bytes_per_token is not None:
        answer = with_bits(answer, advices, bytes_per_token)
    return answer if loss_change is None else with_change(answer, advices, loss_change)


def for_experts(
    question: Question, n_experts: int | None, n_experts_per_token: int | None, laws: Sequence[str], dense_only: Mapping[str, Any]
) -> Answer:
    """The answer for a mixture of experts."""
    from scaleplan.cli import optimal_experts

    return optimal_experts.experts_answer(question, n_experts, n_experts_per_token, laws, dense_only)


def shapes_of(question: Question, like: str | None, seq_len: int | None) -> Shapes:
    """The shapes whose FLOP are counted."""
    from scaleplan.cli.optimal_exact import shapes_asked

    return shapes_asked(question, like, seq_len)


def with_training(answer: Answer, advices: Sequence[Advice]) -> Answer:
    """The answer and the loss along the run, by the laws that know it."""
    from scaleplan.cli import optimal_training

    return optimal_training.with_training(answer, advices)


def in_precision(law: ScalingLaw, name: str) -> ScalingLaw:
    """A law for training in another precision; one whose loss is not additive refuses."""
    from scaleplan.laws.forms import Additive
    from scaleplan.laws.precision import in_bits, precision_of
    from scaleplan.machine.recipe import precision_named

    recipe = precision_named(name)
    if not isinstance(law.loss, Additive):
        raise NotSupported(f"`{law.name}` has no loss in which --precision could be counted", hint="`--law besiroglu2024` has")
    return in_bits(law, precision_of(catalogue.load_law(catalogue.first_knowing("precision")).data["precision"]), recipe.product_bits)


def with_precision(answer: Answer, name: str) -> Answer:
    """The answer, marked as an estimate."""
    few_bits = catalogue.load_law(catalogue.first_knowing("precision"))
    caution = few_bits.data["caution"]
    warning = Caution(
        "estimate", f"--precision {name}: N counts as the effective parameters of {few_bits.name}; {caution}", {"law": few_bits.name}
    )
    sources = [*answer.more_sources, *few_bits.sources("precision")]
    return answer._replace(inputs={**answer.inputs, "precision": name}, warnings=[*answer.warnings, warning], more_sources=sources)


def with_bits(answer: Answer, advices: Sequence[Advice], bytes_per_token: float) -> Answer:
    """The answer with each loss also in bits per byte of text."""
    from scaleplan.laws.convention import bits_per_byte

    for row, advice in zip(answer.result["laws"], advices, strict=True):
        known = advice.law.in_nats and row["loss_nats"] is not None
        row["bits_per_byte"] = bits_per_byte(row["loss_nats"], bytes_per_token) if known else None
    first = answer.tables[0]
    tables = [first._replace(columns=[*first.columns, Column("bits_per_byte", "bits/byte", "")]), *answer.tables[1:]]
    return answer._replace(inputs={**answer.inputs, "bytes_per_token": bytes_per_token}, tables=tables)


def with_change(answer: Answer, advices: Sequence[Advice], relative: float) -> Answer:
    """The answer and what it takes to change its losses."""
    from scaleplan.cli.optimal_change import change_rows, change_table

    rows = change_rows(advices, relative)
    return answer._replace(
        inputs={**answer.inputs, "loss_change_fraction": relative},
        result={**answer.result, "loss_changes": rows},
        tables=[*answer.tables, change_table(rows, relative)],
    )


def question_of(question: Question, where: Sequence[str], tokens_per_param: float | None) -> Question:
    """The question with its bounds; a ratio beside N or D fixes the other."""
    if tokens_per_param is not None and question.fixed() == ["n_params"]:
        question, tokens_per_param = question._replace(n_tokens=tokens_per_param * question.n_params), None
    if tokens_per_param is not None and question.fixed() == ["n_tokens"]:
        question, tokens_per_param = question._replace(n_params=question.n_tokens / tokens_per_param), None
    if not where and tokens_per_param is None:
        return question
    from scaleplan.laws.constraints import bounds_of
    from scaleplan.limits import parse_limit

    return question._replace(bounds=bounds_of([parse_limit(text)[:3] for text in where], tokens_per_param))


def ask(
    names: Sequence[str], question: Question, kind: str | None, precision: str | None, adviser: Adviser = advise
) -> tuple[list[Advice], dict[str, ScaleplanError]]:
    """The answers, and by name why some laws of the default list (or of `all`) have none; a law asked for by name must answer."""
    wanted = set() if names == catalogue.default_laws() else catalogue.asked_by_name(names)
    yardstick, critical_batch = catalogue.load_law(catalogue.recommended()), catalogue.critical_batch()
    advices: list[Advice] = []
    silent: dict[str, ScaleplanError] = {}
    for law in catalogue.load_laws(names):
        if catalogue.EVERY in names and law.frontier is None:
            continue
        try:
            advices.append(adviser(in_precision(law, precision) if precision else law, question, yardstick, critical_batch, kind))
        except (NotSupported, InputError) as error:
            if law.name in wanted:
                raise catalogue.with_hint(error) from None
            silent[law.name] = error
    if not advices:
        raise next((error for error in silent.values() if isinstance(error, InputError)), next(iter(silent.values())))
    return advices, silent
