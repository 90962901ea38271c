"""A budget for a dense model: what each law makes of it, and what that is worth to the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from scaleplan.answer import Answer, Chart
from scaleplan.chain import catalogue
from scaleplan.chain.along_run import AlongRun, along_run
from scaleplan.chain.optimum import Advice, Adviser, Growth, ask_laws, at_the_optimum, growth
from scaleplan.errors import NotSupported, ScaleplanError
from scaleplan.laws.allocation import Question
from scaleplan.laws.convention import NON_EMBEDDING, TOTAL
from scaleplan.laws.forms import Additive
from scaleplan.questions.optimal.budget import inputs_of, question_of
from scaleplan.questions.optimal.lines import lines_of
from scaleplan.questions.optimal.rows import rows_of, tables_of
from scaleplan.questions.optimal.warnings import remarks_of, warnings_of
from scaleplan.wording import field

if TYPE_CHECKING:
    from scaleplan.laws.change import Change
    from scaleplan.questions.optimal import OfDense
    from scaleplan.questions.optimal.paid import Paid

KINDS_OF_N = {"total": TOTAL, "non-embedding": NON_EMBEDDING}
USUAL_LIKE = "llama"
USUAL_SEQ_LEN = 2048  # tokens in a sequence of hoffmann2022


class Solved(NamedTuple):
    """The answers of the laws.

    question    what they were asked
    unanswered  law -> why it has no answer
    growths     by law, where the runs lie on the frontiers; else empty
    training    of laws that know the loss against steps, where N and D are given; else empty
    paid        how a budget in dollars or device-days became FLOP
    changes     law -> what it takes to change its loss, where that is asked
    """

    question: Question
    advices: Sequence[Advice]
    unanswered: Mapping[str, ScaleplanError]
    growths: Sequence[Growth]
    training: Sequence[AlongRun]
    changes: Mapping[str, Change]
    paid: Paid | None = None

    @property
    def recommended(self) -> str:
        """The law by which answers are compared; of repeated data the first that knows them."""
        return self.advices[0].law.name if self.question.unique_tokens is not None else catalogue.recommended()


def solve(asked: OfDense) -> Solved:
    """What each law says; numbers may be arrays."""
    paid = None
    if asked.usd is not None or asked.device_days is not None:
        from scaleplan.questions.optimal.paid import paid_for

        paid = paid_for(asked)
    question = question_of(asked, paid and paid.compute_flops)
    advices, unanswered = ask_laws(asked.law, question, KINDS_OF_N.get(asked.n_kind or ""), asked.precision, adviser_of(asked))
    growths = [growth(advice, catalogue.critical_batch()) for advice in advices] if at_the_optimum(question) else []
    runs = [along_run(advice.law, advice.run) for advice in advices] if question.fixed() == ["n_params", "n_tokens"] else []
    changes = {} if asked.loss_change is None else changes_of(advices, asked.loss_change)
    return Solved(question, advices, unanswered, growths, [run for run in runs if run is not None], changes, paid)


def adviser_of(asked: OfDense) -> Adviser | None:
    """How laws answer where the FLOP of shapes are counted; None: along 6 N D."""
    if not asked.exact_flops:
        return None
    from scaleplan.chain.exact_flops import advise_exactly, size_rules

    return partial(advise_exactly, size_rules(asked.like or USUAL_LIKE, asked.seq_len or USUAL_SEQ_LEN))


def changes_of(advices: Sequence[Advice], relative: float) -> dict[str, Change]:
    """What it takes to change the loss, by each law of the additive form."""
    from scaleplan.laws.change import change_of

    laws = [advice for advice in advices if isinstance(advice.law.loss, Additive) and advice.law.in_nats]
    if not laws:
        names = ", ".join(f"`{advice.law.name}`" for advice in advices)
        raise NotSupported(
            f"{field('loss_change')} needs a loss in nats per token of the form E + A / N^alpha + B / D^beta, which {names} has not"
        )
    return {one.law.name: change_of(one.law.additive, one.run.n_params, one.run.n_tokens, relative) for one in laws}


def explain(asked: OfDense, solved: Solved) -> Answer:
    """The laws side by side."""
    rows = rows_of(asked, solved)
    answer = Answer(
        "optimal",
        inputs_for(asked, solved),
        {"laws": rows, "recommended": solved.recommended, "training": [], "loss_changes": []},
        list(tables_of(asked, solved, rows)),
        [line for advice, row in zip(solved.advices, rows, strict=True) for line in lines_of(advice, solved, row)],
        charts=lambda: pictures(asked, solved),
        warnings=list(warnings_of(asked, solved)),
        notes=remarks_of(asked, solved),
        more_sources=few_bits_sources(asked),
    )
    for part in parts_of(asked, solved):
        answer = part(answer)
    return answer


def inputs_for(asked: OfDense, solved: Solved) -> dict[str, Any]:
    """What was asked, and of which laws."""
    more = {
        "law": [advice.law.name for advice in solved.advices],
        "n_kind": asked.n_kind or "own",
        "precision": asked.precision,
        "bytes_per_token": asked.bytes_per_token,
        "loss_change_fraction": asked.loss_change,
    }
    return inputs_of(solved.question) | {name: value for name, value in more.items() if value is not None}


def parts_of(asked: OfDense, solved: Solved) -> list[Callable[[Answer], Answer]]:
    """What some questions add to the answer: exact FLOP, the training run, a change of loss."""
    parts: list[Callable[[Answer], Answer]] = []
    if solved.paid is not None:
        from scaleplan.questions.optimal.paid import with_budget

        parts.append(partial(with_budget, solved.paid))
    if asked.exact_flops:
        from scaleplan.questions.optimal.exact import with_exact

        parts.append(partial(with_exact, asked.like or USUAL_LIKE, asked.seq_len or USUAL_SEQ_LEN, solved))
    if solved.training:
        from scaleplan.questions.optimal.training import with_training

        parts.append(partial(with_training, solved.training))
    if asked.loss_change is not None:
        from scaleplan.questions.optimal.change import with_change

        parts.append(partial(with_change, asked.loss_change, solved))
    return parts


def few_bits_sources(asked: OfDense) -> Sequence[str]:
    """The source of effective parameters, where a precision is given."""
    if not asked.precision:
        return ()
    from scaleplan.chain.few_bits import few_bits_law

    return few_bits_law().sources("precision")


def pictures(asked: OfDense, solved: Solved) -> Sequence[Chart]:
    """The charts, and with them numpy: only for who wants to see them. Along exact FLOP repetition is in the frontiers already."""
    from scaleplan.questions.optimal.charts import charts_of

    question = solved.question._replace(unique_tokens=None) if asked.exact_flops else solved.question
    charts = charts_of(question, solved.advices, solved.recommended)
    if solved.training:
        from scaleplan.questions.optimal.training import training_chart

        charts += [training_chart(run) for run in solved.training]
    return charts
