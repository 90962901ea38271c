"""Steps against tokens to one loss: the critical batch, the least of both, batches around it, and what laws suggest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from scaleplan.answer import Answer, Caution, Column, Line, Table, quantities
from scaleplan.chain import catalogue
from scaleplan.chain.batch import BatchAnswer, BatchQuestion, batch_answer, check_size, steps_law
from scaleplan.chain.hyperparameters import RunPoint, run_point
from scaleplan.laws.batch import doubling_speedup
from scaleplan.laws.schedule import Schedule, growing_batch
from scaleplan.questions.about_laws import cautions_of, extrapolation, foreign_tokenizers, percentiles
from scaleplan.questions.batch.advice import Advice, advice_lines, advice_of, advice_result, advice_table
from scaleplan.questions.batch.charts import charts_of
from scaleplan.questions.batch.lines import lines_of, ramp_lines, row_lines

if TYPE_CHECKING:
    from scaleplan.questions.batch import OfLoss

MULTIPLES = (1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8)  # of the critical batch
SAME_BATCH = 1e-9  # relative: nearer to each other than this, two batches are one
SHOWN = (0.02, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0)  # of the stretches of a ramp
KEYS = (
    "loss_nats", "n_params", "n_tokens", "compute_flops", "batch_size_tokens", "critical_batch_tokens", "min_tokens", "min_steps",
    "best_n_params", "best_min_steps", "min_compute_flops", "extra_tokens_fraction", "extra_steps_fraction", "fastest_wall_s",
    "cheapest_flops", "last_doubling_batch_tokens",
)  # fmt: skip
"""Keys of the result that are the value of the line of that key, or null."""


class Solved(NamedTuple):
    """The curve, the ramp where one is asked for, and what laws advise where N and D are given."""

    found: BatchAnswer
    ramp: Schedule | None
    advice: Advice | None


def solve(asked: OfLoss) -> Solved:
    """The curve through what is known; numbers may be arrays."""
    law = catalogue.load_law(asked.law[0]) if asked.law else None
    tokens = tokens_of(asked)
    if asked.n_steps is not None and law is None:  # steps and their batch are known: the law of both tells the loss
        law = catalogue.critical_batch_law()
    found = batch_answer(BatchQuestion(asked.loss, asked.n_params, tokens, asked.batch_size_tokens), law)
    known = asked.n_params is not None and tokens is not None
    return Solved(
        found,
        ramp_to(found.n_params, found.loss_nats) if asked.schedule else None,
        advice_of(point_of(asked), asked.optimizer) if known else None,
    )


def ramp_to(n_params: Any, loss_nats: Any) -> Schedule:
    """The batch that grows until a model has this loss, which it must be able to reach, whatever else is known of the run."""
    check_size(steps_law(), n_params, loss_nats)
    return growing_batch(steps_law(), catalogue.critical_batch(), n_params, loss_nats)


def tokens_of(asked: OfLoss) -> Any:
    """D of the run: given, or steps times batch."""
    return asked.tokens if asked.n_steps is None or asked.batch_size_tokens is None else asked.n_steps * asked.batch_size_tokens


def point_of(asked: OfLoss) -> RunPoint:
    """The run as rules of batch and rate see it."""
    return run_point(asked.n_params, tokens_of(asked), asked.batch_size_tokens, asked.d_model)


def explain(asked: OfLoss, solved: Solved) -> Answer:
    """The answer for one run or one loss."""
    found, advice = solved.found, solved.advice
    lines = list(lines_of(asked, found))
    rows = rows_of(asked, found)
    ramp = ramp_of(solved.ramp) if solved.ramp else None
    inputs = {
        "loss_nats": asked.loss,
        "n_params": asked.n_params,
        "n_tokens": asked.tokens,
        "batch_size_tokens": asked.batch_size_tokens,
        "n_steps": asked.n_steps,
        "law": asked.law,
        "optimizer": asked.optimizer,
        "d_model": asked.d_model,
        "schedule": asked.schedule or None,
        "step_s": asked.step_s,
    }
    return Answer(
        "batch",
        {key: value for key, value in inputs.items() if value is not None},
        result_of(found, lines, rows, advice, ramp),
        [quantities("", lines), tradeoff_table(rows), *([advice_table(advice)] if advice else []), *([ramp_table(ramp)] if ramp else [])],
        [*lines, *detail_lines(asked, solved, rows, ramp)],
        charts=lambda: charts_of(found, solved.ramp),
        warnings=list(warnings_of(found, advice)),
        notes=["At B_crit, training needs 2x the minimum steps and 2x the minimum tokens. B_crit depends only on the loss (kaplan2020)."],
    )


def detail_lines(asked: OfLoss, solved: Solved, rows: Sequence[Mapping[str, Any]], ramp: Mapping[str, Any] | None) -> Iterator[Line]:
    """Where the cells of the trade-off, the suggestions and the ramp come from."""
    yield from row_lines(asked, solved.found, rows)
    if solved.advice:
        yield from advice_lines(solved.advice)
    if ramp:
        yield from ramp_lines(ramp)


def result_of(
    found: BatchAnswer,
    lines: Sequence[Line],
    rows: Sequence[Mapping[str, Any]],
    advice: Advice | None,
    ramp: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """The keys that other programs read."""
    values = {line.key: line.value for line in lines}
    return {
        "loss_basis": found.loss_basis,
        "loss_law": found.loss_law.name if found.loss_law else None,
        "size_basis": found.size_basis,
        "batch_basis": found.batch_basis,
        **{key: values.get(key) for key in KEYS},
        "tradeoff": rows,
        **advice_result(advice),
        "schedule": ramp,
        "intervals": percentiles(found.intervals),
    }


def rows_of(asked: OfLoss, found: BatchAnswer) -> list[dict[str, Any]]:
    """Batches around the critical one, and that of the run."""
    curve, chosen = found.curve, found.batch_tokens
    critical = curve.critical_batch
    batches = [times * critical for times in MULTIPLES]
    if chosen is not None:
        batches = [size for size in batches if abs(size / chosen - 1) > SAME_BATCH] + [chosen]
    return [row_of(size, found, asked.step_s) for size in sorted(batches)]


def row_of(batch_tokens: Any, found: BatchAnswer, step_s: float | None) -> dict[str, Any]:
    """One batch; with a step time also the run time, where devices grow with the batch so that a step stays as long."""
    curve = found.curve
    ratio = batch_tokens / curve.critical_batch
    row = {
        "batch_tokens": batch_tokens,
        "critical_batches": ratio,
        "steps": curve.steps(batch_tokens),
        "tokens": curve.tokens(batch_tokens),
        "flops": curve.flops(batch_tokens, found.n_params),
    }
    if step_s is None:
        return row
    return row | {"wall_s": row["steps"] * step_s, "doubling_speedup": doubling_speedup(ratio)}


def tradeoff_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Steps against tokens."""
    columns = [
        Column("batch_tokens", "batch", "tokens"),
        Column("critical_batches", "of B_crit", "x"),
        Column("steps", "steps", "steps"),
        Column("tokens", "tokens", "tokens"),
        Column("flops", "compute", "FLOP"),
    ]
    title = "Steps against tokens, to the same loss"
    if "wall_s" not in rows[0]:
        return Table(title, columns, rows)
    columns += [Column("wall_s", "time", "s"), Column("doubling_speedup", "doubling", "x")]
    note = "doubling: speedup from twice the devices on twice the batch at the same step time; above B_crit it is below 1.33x."
    return Table(title, columns, rows, [note])


def ramp_of(found: Schedule) -> dict[str, Any]:
    """Points along the ramp, and what it saves."""
    last = len(found.stretches)
    rows = [
        {
            "loss_nats": at.loss_nats,
            "critical_batch_tokens": at.critical_batch,
            "batch_tokens": at.batch_tokens,
            "steps": at.steps,
            "tokens": at.tokens,
        }
        for at in (found.stretches[max(round(share * last) - 1, 0)] for share in SHOWN)
    ]
    return {
        "stretches": rows,
        "steps": found.steps,
        "tokens": found.tokens,
        "constant_batch_tokens": found.constant_batch,
        "constant_tokens": found.constant_tokens,
        "saved_tokens_fraction": found.saved_fraction,
        "saved_steps_fraction": found.saved_steps_fraction,
    }


def ramp_table(ramp: Mapping[str, Any]) -> Table:
    """The ramp, for people."""
    columns = [
        Column("loss_nats", "at loss", "nats"),
        Column("critical_batch_tokens", "B_crit", "tokens"),
        Column("batch_tokens", "batch", "tokens"),
        Column("steps", "steps so far", "steps"),
        Column("tokens", "tokens so far", "tokens"),
    ]
    note = (
        f"Ramping saves {100 * ramp['saved_tokens_fraction']:.3g} % of tokens at equal steps "
        f"(or {100 * ramp['saved_steps_fraction']:.3g} % of steps at equal tokens)."
    )
    return Table("Batch-size ramp", columns, ramp["stretches"], [note])


def warnings_of(found: BatchAnswer, advice: Advice | None) -> Iterator[Caution]:
    """A loss beyond what B_crit was measured on or of another tokenizer, a run beyond its law, and what presets warn of themselves."""
    if found.loss_law is None:
        yield from beyond_measured(found.loss_nats)
        if found.batch_basis == "assumed":
            name = catalogue.critical_batch_law().name
            message = f"by {name} no batch reaches this loss with so few parameters and tokens; the curve goes through the run at B_crit"
            yield Caution("estimate", message, {"law": name})
    else:
        yield from extrapolation(found.loss_law.name, found.beyond)
        yield from foreign_tokenizers([found.loss_law])
    rules = [one.law for one in advice.rules if one.batch_tokens is not None or one.learning_rate is not None] if advice else []
    yield from cautions_of([*([found.loss_law] if found.loss_law else []), *rules])


def beyond_measured(loss_nats: float) -> Iterator[Caution]:
    """A loss below that of the best model that B_crit was measured on."""
    law, rule = catalogue.critical_batch_law(), catalogue.critical_batch()
    lowest = law.rules["loss_of_params"].at(n_params=law.data["range"]["n_params_max"])
    if loss_nats < lowest:
        factor = rule.at(loss_nats=loss_nats) / rule.at(loss_nats=lowest)
        message = f"loss {loss_nats:.2f} is below the range B_crit was measured on ({lowest:.2f}); extrapolated by {factor:.3g}x"
        yield Caution("extrapolation", message, {"factor": factor, "law": law.name})
