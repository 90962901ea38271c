"""`scaleplan optimal --exact-flops`: a token costs what an architecture computes for it, not 6 N."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

from scaleplan.answer import Answer, Chart, Column, Line, Table
from scaleplan.chain.optimum import Advice, Adviser
from scaleplan.errors import NotSupported, UsageError
from scaleplan.laws.allocation import Question

USUAL_LIKE = "llama"
USUAL_SEQ_LEN = 2048  # tokens in a sequence of hoffmann2022


class Shapes(NamedTuple):
    """What is counted: shapes of a kind on sequences of a length."""

    like: str
    seq_len: int

    def adviser(self) -> Adviser:
        """How laws answer when these shapes are counted."""
        from scaleplan.chain.exact_flops import advise_exactly, size_rules

        return partial(advise_exactly, size_rules(self.like, self.seq_len))

    def explained(self, answer: Answer, advices: Sequence[Advice], question: Question) -> Answer:
        """The answer, and beside each row what a token costs and what C = 6 N D would have said."""
        return with_exact(answer, advices, question, self)

    def note(self) -> str:
        """What is counted."""
        return (
            f"C counts every product of `{self.like}` shapes on {self.seq_len:,} tokens, full attention and logits too (--like, --seq-len)."
        )


def shapes_asked(question: Question, like: str | None, seq_len: int | None) -> Shapes:
    """The shapes to count; refused beside what only 6 N D can answer."""
    if question.fixed() != ["compute_flops"] or question.inference_tokens or question.bounds is not None:
        raise UsageError("--exact-flops divides a --compute alone, or with --unique-tokens", hint="leave out the rest, or --exact-flops")
    if like == "moe":
        raise NotSupported("--exact-flops counts dense shapes", hint="--like llama or gpt; or --n-experts without --exact-flops")
    return Shapes(like or USUAL_LIKE, seq_len or USUAL_SEQ_LEN)


def with_exact(answer: Answer, advices: Sequence[Advice], question: Question, shapes: Shapes) -> Answer:
    """The answer, and beside each row what a token costs and what C = 6 N D would have said."""
    rows = answer.result["laws"]
    for row, advice in zip(rows, advices, strict=True):
        row.update(comparison(advice, question))
    return answer._replace(
        inputs={**answer.inputs, "exact_flops": True, **shapes._asdict()},
        tables=[answer.tables[0], table_of(rows), *answer.tables[1:]],
        lines=[*answer.lines, *(line for row, advice in zip(rows, advices, strict=True) for line in lines_of(row, advice))],
        charts=lambda: pictures(question, advices, answer.result["recommended"]),
        notes=[shapes.note(), "Ranges and other rules of the laws keep their C = 6 N D.", *answer.notes],
    )


def comparison(advice: Advice, question: Question) -> dict[str, Any]:
    """What a token costs, and the run against that of the same law along C = 6 N D."""
    from scaleplan.chain.exact_flops import relative_to_six_n, six_nd_run

    run, plain = advice.run, six_nd_run(advice, question.compute_flops)
    return {
        "flops_per_token": advice.flops_per_token,
        "relative_to_six_n": relative_to_six_n(advice),
        "n_params_factor": run.n_params / plain.n_params,
        "n_tokens_factor": run.n_tokens / plain.n_tokens,
        "loss_difference_nats": run.loss_nats - plain.loss_nats,
    }


def table_of(rows: Sequence[dict[str, Any]]) -> Table:
    """Cost of a token, and the differences."""
    columns = [
        Column("law", "law"),
        Column("flops_per_token", "a token", "FLOP/token"),
        Column("relative_to_six_n", "over 6 N", "x"),
        Column("n_params_factor", "N", "x"),
        Column("n_tokens_factor", "D", "x"),
        Column("loss_difference_nats", "loss", "nats"),
    ]
    return Table("Against C = 6 N D", columns, rows)


def lines_of(row: dict[str, Any], advice: Advice) -> Iterator[Line]:
    """A token's cost and what it is made from."""
    law, key = advice.law, f"laws.{advice.law.name}"
    yield Line(f"{key}.flops_per_token", f"{law.name} FLOP of a token", row["flops_per_token"], "FLOP/token", standing="estimate")
    inputs = {"flops_per_token": row["flops_per_token"], "n_params": advice.run.n_params}
    label, formula = f"{law.name} over 6 N", "flops_per_token / (6 * n_params)"
    yield Line(f"{key}.relative_to_six_n", label, row["relative_to_six_n"], "", formula, inputs, standing="estimate")


def pictures(question: Question, advices: Sequence[Advice], recommended: str) -> Sequence[Chart]:
    """The charts along exact FLOP; repetition is in the frontiers of the advices."""
    from scaleplan.cli.optimal_charts import charts_of

    return charts_of(question._replace(unique_tokens=None), advices, recommended)
