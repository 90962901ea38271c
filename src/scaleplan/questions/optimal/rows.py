"""The rows of `optimal` and the tables over them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from scaleplan.answer import Column, Table
from scaleplan.chain import catalogue
from scaleplan.chain.optimum import Advice, Growth
from scaleplan.laws.allocation import Question
from scaleplan.laws.convention import NON_EMBEDDING, TOTAL, bits_per_byte, converted_params, inference_flops
from scaleplan.questions.about_laws import LABELS, UNITS, percentiles

if TYPE_CHECKING:
    from scaleplan.questions.optimal import OfDense
    from scaleplan.questions.optimal.dense import Solved

Rows = Sequence[Mapping[str, Any]]
SHOWN_GROWTH = ("n_params", "n_tokens", "critical_batch_tokens", "n_steps")
TENFOLD = "Effect of 10x compute"


def rows_of(asked: OfDense, solved: Solved) -> list[dict[str, Any]]:
    """One law a row, with what ten times the compute multiplies where that is known."""
    rows = [row_of(advice, solved.question) | {"per_decade": None} for advice in solved.advices]
    for row, multipliers in zip(rows, solved.growths, strict=False):  # all rows, or none
        row["per_decade"] = growth_row(multipliers)
    if asked.bytes_per_token is not None:
        for row in rows:
            known = row["loss_nats"] is not None
            row["bits_per_byte"] = bits_per_byte(row["loss_nats"], asked.bytes_per_token) if known else None
    return rows


def compute_of(advice: Advice, question: Question) -> Any:
    """The compute of a row: the budget that was given, or what the run takes."""
    return question.compute_flops if question.compute_flops is not None and question.inference_tokens is None else advice.run.compute_flops


def row_of(advice: Advice, question: Question) -> dict[str, Any]:
    """One law in `result.laws`."""
    run, law, excess = advice.run, advice.law, advice.excess
    return {
        "law": law.name,
        "n_params": advice.n_params,
        "n_params_kind": advice.n_params_kind,
        "n_tokens": run.n_tokens,
        "tokens_per_param": run.n_tokens / advice.n_params,
        "loss_nats": advice.loss_nats,
        "loss": run.loss_nats,
        "loss_unit": advice.loss_unit,
        "compute_flops": compute_of(advice, question),
        "critical_batch_tokens": advice.critical_batch,
        "n_steps": advice.n_steps,
        "n_total_params": converted_params(run.n_params, law.n_kind, TOTAL),
        "n_non_embedding_params": converted_params(run.n_params, law.n_kind, NON_EMBEDDING),
        "recommended_loss_nats": excess.loss_nats,
        "excess_nats": excess.above_best_nats,
        "wasted_compute_fraction": excess.wasted_fraction,
        "recommended_spent_flops": excess.spent_flops,
        "recommended_needed_flops": excess.needed_flops,
        "rules": {name: found.value for name, found in advice.rules.items()},
        "unsaid": dict(advice.unsaid),
        "tokenizer": law.tokenizer,
        "standing": law.standing,
        "loss_kind": advice.loss_kind,
        **optional(advice, question),
        "intervals": percentiles(advice.intervals),
    }


def optional(advice: Advice, question: Question) -> dict[str, Any]:
    """What only some rows have."""
    spent, run = advice.law.data.get("allocation", {}).get("min_compute_fraction", 1), advice.run
    found = {
        "min_compute_flops": spent * run.compute_flops if spent != 1 else None,
        "dataset_loss_nats": advice.dataset_loss,
        "penalty": penalty_row(advice),
        "epochs": advice.epochs,
        "inference_flops": inference_flops(run.n_params, question.inference_tokens) if question.inference_tokens is not None else None,
    }
    return {name: value for name, value in found.items() if value is not None}


def penalty_row(advice: Advice) -> dict[str, Any] | None:
    """What N and D cost against the law's own best; its losses are null where they are not in nats per token."""
    if advice.penalty is None:
        return None
    known = advice.penalty._asdict()
    return known if advice.law.in_nats else {name: None if name.endswith("_nats") else value for name, value in known.items()}


def growth_row(multipliers: Growth) -> dict[str, Any]:
    """The multipliers under the names of the quantities, and the loss."""
    return {
        "n_params": multipliers.n_params,
        "n_tokens": multipliers.n_tokens,
        "critical_batch_tokens": multipliers.critical_batch,
        "n_steps": multipliers.n_steps,
        "loss_nats": multipliers.loss_nats if multipliers.law.in_nats else None,
    }


def tables_of(asked: OfDense, solved: Solved, rows: Rows) -> Iterator[Table]:
    """The answers; their intervals; what ten times the compute changes."""
    yield answers_table(asked, solved.question, rows)
    spread = [{"law": advice.law.name, **advice.intervals} for advice in solved.advices if advice.intervals]
    if spread:
        names = [name for name in LABELS if name != "critical_batch_tokens" and any(name in row for row in spread)]
        headings = [Column(name, LABELS[name], UNITS[name]) for name in names]
        yield Table("80 % intervals", [Column("law", "law"), *headings], spread)
    off = [{"law": row["law"], **row["penalty"]} for row in rows if "penalty" in row]
    if off:
        yield penalty_table(off)
    if solved.growths:
        yield growth_table(rows)


def answers_table(asked: OfDense, question: Question, rows: Rows) -> Table:
    """The laws side by side; 80 columns hold compute or what follows from the loss, not both."""
    sizes = [Column("n_params", "N", "params"), Column("n_params_kind", "counts")]
    if asked.n_kind == "both":
        sizes = [Column("n_total_params", "N total", "params"), Column("n_non_embedding_params", "non-emb.", "params")]
    rest = ["n_tokens", "tokens_per_param", "loss_nats", "critical_batch_tokens", "n_steps"]
    if question.compute_flops is None:
        rest = ["compute_flops", *rest[:3]]
    columns = [Column("law", "law"), *sizes, *(Column(name, LABELS[name], UNITS[name]) for name in rest)]
    if question.unique_tokens is not None:
        columns.append(Column("epochs", "epochs", ""))
    if asked.bytes_per_token is not None:
        columns.append(Column("bits_per_byte", "bits/byte", ""))
    return Table("", columns, rows)


def penalty_table(rows: Rows) -> Table:
    """What a run costs that is not the best of its own law."""
    columns = [
        Column("law", "law"),
        Column("above_best_nats", "above best loss", "nats"),
        Column("compute_factor", "compute", "x"),
        Column("best_n_params", "cheapest N", "params"),
        Column("best_n_tokens", "cheapest D", "tokens"),
    ]
    note = "above best loss: of this compute. compute: over that of the cheapest run with the same loss, by the same law."
    return Table("Penalty of this N and D", columns, rows, [note])


def growth_table(rows: Rows) -> Table:
    """What ten times the compute multiplies; and beside other laws, what following each would waste if the recommended one is right."""
    shown: list[dict[str, Any]] = [{"law": row["law"], **row["per_decade"]} for row in rows]
    headings = [Column(name, LABELS[name], "x") for name in SHOWN_GROWTH]
    if len(rows) == 1:
        return Table(TENFOLD, [Column("law", "law"), *headings], shown)
    wasted = [line | {"wasted_compute_fraction": row["wasted_compute_fraction"]} for line, row in zip(shown, rows, strict=True)]
    columns = [Column("law", "law"), *headings, Column("wasted_compute_fraction", "wasted", "fraction")]
    note = f"wasted: extra compute relative to the {catalogue.recommended()} optimum at equal loss."
    return Table(TENFOLD, columns, wasted, [note])
