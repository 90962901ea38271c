"""`exact_flops`: a token costs what an architecture computes for it, not 6 N."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from scaleplan.answer import Answer, Column, Line, Table, line
from scaleplan.chain.exact_flops import positions, relative_to_six_n, six_nd_run
from scaleplan.chain.optimum import Advice
from scaleplan.model.synthesis import shapes_near
from scaleplan.model_files import Model, model_document, model_of_words, write_model
from scaleplan.questions.params.near_target import rebuilt
from scaleplan.units import show_count
from scaleplan.wording import fields

if TYPE_CHECKING:
    from scaleplan.questions.optimal.dense import Solved


def with_exact(like: str, seq_len: int, solved: Solved, answer: Answer) -> Answer:
    """The answer, and beside each row what a token costs and what C = 6 N D would have said; the best size as a shape."""
    rows = answer.result["laws"]
    for row, advice in zip(rows, solved.advices, strict=True):
        row.update(comparison(advice, solved.question.compute_flops))
    best = best_shape(like, seq_len, solved, rows)
    notes = [
        f"C counts every product of `{like}` shapes on {seq_len:,} tokens, full attention and logits too ({fields('like', 'seq_len')}).",
        f"Ranges and other rules of the laws keep their C = 6 N D. Nearest shape to build: {rebuilt(best.words)}",
    ]
    return answer._replace(
        inputs={**answer.inputs, "exact_flops": True, "like": like, "seq_len": seq_len, "model_shape": model_document(best)},
        tables=[answer.tables[0], table_of(rows), *answer.tables[1:]],
        lines=[*answer.lines, *(one for row, advice in zip(rows, solved.advices, strict=True) for one in lines_of(row, advice))],
        notes=[*notes, *answer.notes],
        files={".toml": {".toml": write_model(best)}},
    )


def best_shape(like: str, seq_len: int, solved: Solved, rows: Sequence[Mapping[str, Any]]) -> Model:
    """The shape nearest to the size of the recommended law, or of the first where that was not asked."""
    row = next((row for row in rows if row["law"] == solved.recommended), rows[0])
    found = shapes_near(round(row["n_total_params"]), like, fixed=positions(like, seq_len))[0]
    return model_of_words(found.words)._replace(label=f"{like}-{show_count(found.params.n_params)}")


def comparison(advice: Advice, flops: Any) -> dict[str, Any]:
    """What a token costs, and the run against that of the same law along C = 6 N D."""
    run, plain = advice.run, six_nd_run(advice, flops)
    return {
        "flops_per_token": advice.flops_per_token,
        "relative_to_six_n": relative_to_six_n(advice),
        "n_params_factor": run.n_params / plain.n_params,
        "n_tokens_factor": run.n_tokens / plain.n_tokens,
        "loss_difference_nats": run.loss_nats - plain.loss_nats if advice.law.in_nats else None,
    }


def table_of(rows: Sequence[Mapping[str, Any]]) -> Table:
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


def lines_of(row: Mapping[str, Any], advice: Advice) -> Iterator[Line]:
    """A token's cost, counted between shapes, and its ratio to 6 N."""
    law, key = advice.law, f"laws.{advice.law.name}"
    label = f"{law.name} FLOP of a token, counted"
    yield line(f"{key}.flops_per_token", label, row["flops_per_token"], "FLOP/token", standing="estimate")
    inputs = {"flops_per_token": row["flops_per_token"], "n_params": advice.run.n_params}
    label, formula = f"{law.name} over 6 N", "flops_per_token / (6 * n_params)"
    yield line(f"{key}.relative_to_six_n", label, row["relative_to_six_n"], "", formula, standing="estimate", **inputs)
