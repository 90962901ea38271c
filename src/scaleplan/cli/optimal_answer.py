"""The answer of `scaleplan optimal`: rows, tables, the lines that explain them, and warnings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from scaleplan.answer import Answer, Caution, Chart, Column, Table
from scaleplan.chain import catalogue
from scaleplan.chain.optimum import Advice, Growth, constrained, growth
from scaleplan.cli.optimal_lines import LABELS, UNITS, lines_of
from scaleplan.errors import ScaleplanError
from scaleplan.laws.allocation import Question
from scaleplan.laws.convention import NON_EMBEDDING, TOTAL, converted_params
from scaleplan.render.cells import show_value
from scaleplan.units import show_count, show_si, three_digits

if TYPE_CHECKING:
    from scaleplan.chain.expert_optimum import ExpertAdvice

Silent = Mapping[str, ScaleplanError]
Rows = Sequence[Mapping[str, Any]]


def answer_of(question: Question, advices: Sequence[Advice], silent: Silent, n_kind: str) -> Answer:
    """Everything about one question."""
    growths = [growth(advice, catalogue.critical_batch()) for advice in advices] if at_the_optimum(question) else []
    rows = [row_of(advice, question) | {"per_decade": None} for advice in advices]
    for row, multipliers in zip(rows, growths, strict=False):  # all rows, or none
        row["per_decade"] = growth_row(multipliers)
    names = [advice.law.name for advice in advices]
    recommended = names[0] if question.unique_tokens else catalogue.recommended()
    return Answer(
        "optimal",
        inputs=inputs_of(question) | {"law": names, "n_kind": n_kind},
        result={"laws": rows, "recommended": recommended},
        tables=list(tables(question, advices, rows, growths, n_kind)),
        lines=[line for advice in advices for line in lines_of(advice, question)],
        charts=lambda: pictures(question, advices, recommended),
        warnings=[*extrapolations(advices), *shortfalls(advices), *stock(advices), *tokenizers(advices), *cautions(advices)],
        notes=remarks(advices, recommended, silent, n_kind),
    )


def pictures(question: Question, advices: Sequence[Advice], recommended: str) -> Sequence[Chart]:
    """The charts, and with them numpy: only for who wants to see them."""
    from scaleplan.cli.optimal_charts import charts_of

    return charts_of(question, advices, recommended)


def inputs_of(question: Question) -> dict[str, Any]:
    """What was asked; of bounds, those that bind anything."""
    asked = {name: value for name, value in question._asdict().items() if value is not None}
    if question.bounds is not None:
        free = type(question.bounds)()
        asked["bounds"] = {name: list(pair) for name, pair in question.bounds._asdict().items() if pair != getattr(free, name)}
    return asked


def at_the_optimum(question: Question) -> bool:
    """Whether the runs lie on the frontiers of their laws, so that one can follow them to more compute."""
    return len(question.fixed()) == 1 and not constrained(question)


def row_of(advice: Advice, question: Question) -> dict[str, Any]:
    """One law in `result.laws`."""
    run, law = advice.run, advice.law
    total = converted_params(run.n_params, law.n_kind, TOTAL)
    row = {
        "law": law.name,
        "n_params": advice.n_params,
        "n_params_kind": advice.n_params_kind,
        "n_tokens": run.n_tokens,
        "tokens_per_param": run.n_tokens / advice.n_params,
        "loss_nats": run.loss_nats,
        "compute_flops": question.compute_flops if question.compute_flops and not question.inference_tokens else run.compute_flops,
        "critical_batch_tokens": advice.critical_batch,
        "n_steps": advice.n_steps,
        "n_total_params": total,
        "n_non_embedding_params": converted_params(run.n_params, law.n_kind, NON_EMBEDDING),
        "recommended_loss_nats": advice.excess.loss_nats,
        "excess_nats": advice.excess.above_best_nats,
        "wasted_compute_fraction": advice.excess.wasted_fraction,
        "rules": {name: found.value for name, found in advice.rules.items()},
        "tokenizer": law.tokenizer,
        "standing": law.standing,
        "loss_kind": advice.loss_kind,
    }
    if advice.dataset_loss is not None:
        row["dataset_loss_nats"] = advice.dataset_loss
    if advice.penalty is not None:
        row["penalty"] = advice.penalty._asdict()
    if advice.epochs is not None:
        row["epochs"] = advice.epochs
    if question.inference_tokens:
        row["inference_flops"] = 2 * run.n_params * question.inference_tokens
    row["intervals"] = {name: points._asdict() for name, points in advice.intervals.items()} if advice.intervals else None
    return row


def growth_row(multipliers: Growth) -> dict[str, Any]:
    """The multipliers under the names of the quantities."""
    return {
        "n_params": multipliers.n_params,
        "n_tokens": multipliers.n_tokens,
        "critical_batch_tokens": multipliers.critical_batch,
        "n_steps": multipliers.n_steps,
    }


def tables(question: Question, advices: Sequence[Advice], rows: Rows, growths: Sequence[Growth], n_kind: str) -> Iterator[Table]:
    """The answers; their intervals; what ten times the compute changes."""
    sizes = [Column("n_params", "N", "params"), Column("n_params_kind", "counts")]
    if n_kind == "both":
        sizes = [Column("n_total_params", "N total", "params"), Column("n_non_embedding_params", "non-emb.", "params")]
    rest = ["n_tokens", "tokens_per_param", "loss_nats", "critical_batch_tokens", "n_steps"]
    if question.compute_flops is None:  # compute instead of what follows from the loss: 80 columns hold no more
        rest = ["compute_flops", *rest[:3]]
    columns = [Column("law", "law"), *sizes, *(Column(name, LABELS[name], UNITS[name]) for name in rest)]
    if question.unique_tokens is not None:
        columns.append(Column("epochs", "epochs", ""))
    yield Table("", columns, rows)
    spread = [interval_row(advice) for advice in advices if advice.intervals]
    if spread:
        headings = [Column(name, LABELS[name]) for name in LABELS if any(name in row for row in spread)]
        yield Table("80 % intervals", [Column("law", "law"), *headings], spread)
    if growths:
        yield growth_table(rows, growths)


def interval_row(advice: Advice) -> dict[str, Any]:
    """The 80 % interval of each open quantity, as words."""
    found = {name: points for name, points in (advice.intervals or {}).items() if name != "critical_batch_tokens"}
    return {"law": advice.law.name} | {
        name: f"{show_value(points.p10, UNITS[name])} to {show_value(points.p90, UNITS[name])}" for name, points in found.items()
    }


def growth_table(rows: Rows, growths: Sequence[Growth]) -> Table:
    """What ten times the compute multiplies; and beside other laws, what following each would waste if the recommended one is right."""
    shown: list[dict[str, Any]] = [{"law": found.law.name, **growth_row(found)} for found in growths]
    headings = [Column(name, LABELS[name], "x") for name in growth_row(growths[0])]
    if len(rows) == 1:
        return Table("Ten times the compute multiplies", [Column("law", "law"), *headings], shown)
    wasted = [line | {"wasted_compute_fraction": row["wasted_compute_fraction"]} for line, row in zip(shown, rows, strict=True)]
    columns = [Column("law", "law"), *headings, Column("wasted_compute_fraction", "wasted", "fraction")]
    note = f"wasted: compute that the best run by {catalogue.recommended()} would not need for the same loss."
    return Table("Ten times the compute multiplies", columns, wasted, [note])


# What to be careful of.


def extrapolations(advices: Sequence[Advice | ExpertAdvice]) -> Iterator[Caution]:
    """A law asked outside the range it was fitted on, by its farthest quantity."""
    for advice in advices:
        if advice.beyond:
            far = advice.beyond[0]
            side = "beyond the largest" if far.value > far.bound else "below the smallest"
            name = LABELS.get(far.quantity, far.quantity)
            value, bound = (show_si(x, "FLOP") if far.quantity == "compute_flops" else show_count(x) for x in (far.value, far.bound))
            message = f"{advice.law.name}: {name} = {value} is {three_digits(far.factor)}x {side} of its fit ({bound})"
            yield Caution("extrapolation", message, {"law": advice.law.name, "quantity": far.quantity, "factor": far.factor})


def shortfalls(advices: Sequence[Advice]) -> Iterator[Caution]:
    """Fewer tokens than a law's own bound against overfitting."""
    for advice in advices:
        short = advice.shortfall
        if short is not None:
            message = (
                f"{advice.law.name}: D = {show_count(advice.run.n_tokens)} is below the {show_count(short.needed_tokens)} tokens that keep "
                f"N = {show_count(advice.run.n_params)} from overfitting; trained on these tokens until it stops improving, its loss is "
                f"{short.above_nats:.3f} nats ({100 * short.overfit_fraction:.3g} %) above that of endless data"
            )
            factor = float(short.needed_tokens / advice.run.n_tokens)
            yield Caution("overfitting", message, {"law": advice.law.name, "factor": factor, "above_nats": short.above_nats})


def stock(advices: Sequence[Advice | ExpertAdvice]) -> Iterator[Caution]:
    """More tokens than there is public text."""
    most = max(advices, key=lambda advice: advice.run.n_tokens)
    stock_law = catalogue.token_stock()
    stock_tokens = stock_law.data["stock"]["n_tokens"]
    if most.run.n_tokens > stock_tokens:
        factor = float(most.run.n_tokens / stock_tokens)
        message = (
            f"{most.law.name}: {show_count(most.run.n_tokens)} tokens is {three_digits(factor)}x the stock of public human text "
            f"({show_count(stock_tokens)}, {stock_law.name})"
        )
        yield Caution("token-stock", message, {"law": most.law.name, "factor": factor})


def tokenizers(advices: Sequence[Advice]) -> Iterator[Caution]:
    """B_crit was measured under one tokenizer; the losses of others mean something else."""
    own = catalogue.critical_batch_law().tokenizer
    foreign = [advice.law.name for advice in advices if advice.critical_batch is not None and advice.law.tokenizer != own]
    if foreign:
        message = f"B_crit was measured with {own} tokens; for {', '.join(foreign)}, whose tokens differ, it is a guide to size only"
        yield Caution("tokenizer", message, {"laws": foreign})


def cautions(advices: Sequence[Advice | ExpertAdvice]) -> Iterator[Caution]:
    """What a preset warns of itself."""
    for advice in advices:
        if "caution" in advice.law.data:
            yield Caution("law", f"{advice.law.name}: {advice.law.data['caution']}", {"law": advice.law.name})


def remarks(advices: Sequence[Advice], recommended: str, silent: Silent, n_kind: str) -> list[str]:
    """Which law to follow, why they differ, and who had no answer."""
    names = [advice.law.name for advice in advices]
    said = [f"Recommended: {recommended}."] if recommended in names and len(names) > 1 else []
    said += catalogue.remarks_on(names) if len(names) > 1 else []
    if n_kind in ("total", "non-embedding", "both"):
        said.append("N is converted by N_total = N + 47491 N^(1/3) (pearce2024), an estimate.")
    return said + silences(silent)


def silences(silent: Silent) -> list[str]:
    """Who had no answer, by reason."""
    reasons: dict[str, list[str]] = {}
    for law, error in silent.items():
        reasons.setdefault(error.message.replace(f"`{law}` ", "").replace(f" under `{law}`", ""), []).append(law)
    return [f"No answer from {', '.join(laws)}: {reason}." for reason, laws in reasons.items()]
