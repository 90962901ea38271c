"""`scaleplan batch`: how large a batch before it wastes tokens, and how steps trade against them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import log
from typing import Annotated, Any

import typer

from scaleplan import units
from scaleplan.answer import Answer, Caution, Column, Line, Table, quantities
from scaleplan.chain import catalogue
from scaleplan.cli.batch_charts import pareto_chart, schedule_chart
from scaleplan.cli.batch_more import noise_answer, schedule_for, schedule_result, schedule_table, time_lines, timed
from scaleplan.cli.options import BatchSizeTokens, Law, Loss, NParams, Tokens, command_in, quantity
from scaleplan.errors import InputError, NotSupported, UsageError
from scaleplan.laws.allocation import Question, allocate
from scaleplan.laws.batch import Tradeoff, step_loss_of
from scaleplan.laws.convention import training_flops
from scaleplan.laws.law import Law as ScalingLaw
from scaleplan.laws.law import value_of
from scaleplan.laws.power import Power, power_of

MULTIPLES = (1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8)  # of the critical batch


StepTime = Annotated[
    float | None, quantity("--step-s", units.seconds, "Time of a step, with devices in proportion to the batch: 1.2s.", metavar="TIME")
]
GrowingBatch = Annotated[bool, typer.Option("--schedule", help="Grow the batch with the training, as B_crit grows.")]
Norms = Annotated[
    list[str] | None,
    typer.Option(
        "--gradient-norm2",
        metavar="BATCH=NORM2",
        help="Mean squared gradient norm at a batch size; twice, for the noise scale.",
        show_default=False,
    ),
]


GUESSING_NATS = log(50257)  # of a model that knows nothing, on the tokens of GPT-2


@command_in(charts=True)
def batch(
    loss: Loss = None,
    n_params: NParams = None,
    tokens: Tokens = None,
    batch_size_tokens: BatchSizeTokens = None,
    law: Law = None,
    schedule: GrowingBatch = False,
    step_s: StepTime = None,
    gradient_norm2: Norms = None,
) -> Answer:
    """How large may a batch be before it wastes tokens?

    From a loss; or from the size of a model and its tokens, whose loss a law tells (--law; besiroglu2024 by default).

    \b
    Examples:
      scaleplan batch --loss 2.5
      scaleplan batch --n-params 1B --tokens 20B
      scaleplan batch --n-params 7B --tokens 2T --batch-size-tokens 4M
      scaleplan batch --loss 2.5 --plot
      scaleplan batch --loss 2.6 --n-params 1B --schedule
      scaleplan batch --gradient-norm2 32=0.041 --gradient-norm2 512=0.0028
    """
    if gradient_norm2:
        return noise_answer(gradient_norm2)
    if loss is None and (n_params is None or tokens is None):
        raise UsageError("at which loss?", hint="give --loss, or --n-params and --tokens to have a law tell it")
    if law and len(law) > 1:
        raise UsageError("one --law tells the loss", hint="give one")
    teller = catalogue.load_law(law[0] if law else catalogue.recommended())
    lines = list(critical_lines(loss, n_params, tokens, teller))
    found = {line.key: line.value for line in lines}
    curve = Tradeoff(found["min_tokens"], found["min_steps"])
    if batch_size_tokens is not None:
        lines += chosen_lines(curve, batch_size_tokens)
    rows = tradeoff_rows(curve, found["n_params"], batch_size_tokens)
    if step_s is not None:
        rows = timed(rows, step_s)
        lines += time_lines(curve, found["n_params"], step_s)
    result: dict[str, Any] = {line.key: line.value for line in lines} | {"tradeoff": rows}
    tables = [quantities("", lines), tradeoff_table(rows)]
    advice = suggestions(n_params, tokens) if n_params is not None and tokens is not None else []
    if advice:
        result["suggestions"] = [{key: value for key, value in row.items() if key != "sources"} for row in advice]
        tables.append(suggestion_table(result["suggestions"]))
    growing = None
    if schedule:
        if found["n_params"] is None:
            raise UsageError("--schedule needs the size of the model", hint="add --n-params")
        growing = schedule_for(found["n_params"], found["loss_nats"])
        result["schedule"] = schedule_result(growing)
        tables.append(schedule_table(result["schedule"]))
    asked = {"loss_nats": loss, "n_params": n_params, "n_tokens": tokens, "batch_size_tokens": batch_size_tokens, "step_s": step_s}
    return Answer(
        "batch",
        inputs={key: value for key, value in asked.items() if value is not None},
        result=result,
        tables=tables,
        lines=lines,
        charts=lambda: [pareto_chart(curve, batch_size_tokens), *([schedule_chart(growing)] if growing else [])],
        warnings=list(cautions(loss, teller, advice)),
        notes=["At B_crit a run takes twice the fewest steps and twice the fewest tokens; it follows from the loss alone (kaplan2020)."],
        more_sources=[source for row in advice for source in row["sources"]],
    )


def critical_lines(loss: float | None, n_params: int | None, tokens: float | None, teller: ScalingLaw) -> Iterator[Line]:
    """Loss, critical batch, N, fewest steps and fewest tokens, in the order in which they follow from each other."""
    if loss is None:
        run = allocate(teller, Question(n_params=n_params, n_tokens=tokens))
        if run.loss_nats is None:
            raise NotSupported(f"`{teller.name}` says nothing of the loss", hint="ask another --law, or give --loss")
        law = teller.additive if hasattr(teller.loss, "fresh") else teller.loss
        assert law is not None, "a law that tells a loss has one"
        inputs = {**law._asdict(), "n_params": n_params, "n_tokens": tokens}
        loss = run.loss_nats
        yield Line("loss_nats", f"loss by {teller.name}", loss, "nats", law.FORMULAS["loss_nats"], inputs, teller.sources("loss"), "fitted")
    else:
        yield Line("loss_nats", "loss", loss, "nats", standing="given")
    if loss > GUESSING_NATS:
        raise InputError(f"a loss of `{loss:g}` nats is worse than guessing a token, {GUESSING_NATS:.2f} nats", hint="losses are per token")
    kaplan = catalogue.critical_batch_law()
    cited = kaplan.sources("critical_batch")
    rule = catalogue.critical_batch()
    critical = rule.at(loss_nats=loss)
    inputs = {**rule.constants(), "loss_nats": loss}
    yield Line("critical_batch_tokens", "critical batch B_crit", critical, "tokens", rule.formula(), inputs, cited, "fitted")
    yield from extremes(kaplan, loss, critical, n_params, tokens)


def extremes(kaplan: ScalingLaw, loss: float, critical: float, n_params: int | None, tokens: float | None) -> Iterator[Line]:
    """N, S_min and E_min: of a run of known tokens at the critical batch, of a model of known size, or on Kaplan's frontier."""
    if tokens is not None:
        yield from extremes_of_tokens(critical, n_params, tokens)
        return
    lines = list(frontier_steps(kaplan, loss) if n_params is None else steps_of_size(kaplan, loss, n_params))
    yield from lines
    fewest = lines[-1].value
    inputs = {"critical_batch_tokens": critical, "min_steps": fewest}
    formula = "critical_batch_tokens * min_steps"
    yield Line("min_tokens", "fewest tokens E_min", critical * fewest, "tokens", formula, inputs, lines[-1].sources, "fitted")


def extremes_of_tokens(critical: float, n_params: int | None, tokens: float) -> Iterator[Line]:
    """At the critical batch a run takes twice the fewest tokens."""
    yield Line("n_params", "parameters", n_params, "params", standing="unknown" if n_params is None else "given")
    least, cited = tokens / 2, ["mccandlish2018"]
    yield Line("min_tokens", "fewest tokens E_min", least, "tokens", "n_tokens / 2", {"n_tokens": tokens}, cited, "fitted")
    inputs = {"min_tokens": least, "critical_batch_tokens": critical}
    formula = "min_tokens / critical_batch_tokens"
    yield Line("min_steps", "fewest steps S_min", least / critical, "steps", formula, inputs, cited, "fitted")


def steps_of_size(kaplan: ScalingLaw, loss: float, n_params: int) -> Iterator[Line]:
    """The fewest steps in which a model of this size reaches the loss, by L(N, S_min)."""
    steps = step_loss_of(kaplan.data["loss_of_steps"])
    floor = steps.converged(n_params)
    if not loss > floor:
        raise InputError(
            f"`{n_params}` parameters never reach a loss of {loss} nats by kaplan2020: it stays above {floor:.4f}",
            hint="a larger --n-params, or a higher --loss",
        )
    yield Line("n_params", "parameters", n_params, "params", standing="given")
    inputs = {**steps._asdict(), "n_params": n_params, "loss_nats": loss}
    formula = "s_c / (loss_nats - (n_c / n_params) ** alpha_n) ** (1 / alpha_s)"
    cited = kaplan.sources("critical_batch")
    yield Line("min_steps", "fewest steps S_min", steps.min_steps(n_params, loss), "steps", formula, inputs, cited, "fitted")


def frontier_steps(kaplan: ScalingLaw, loss: float) -> Iterator[Line]:
    """Least compute, best size and fewest steps of a run that reaches the loss, along Kaplan's frontier."""
    cited = kaplan.sources("critical_batch")
    along, steps = kaplan.rules["loss_of_compute"], kaplan.rules["steps_of_compute"]
    assert isinstance(along, Power) and isinstance(steps, Power), "both are powers of compute"
    least = along.solve(loss)
    inputs = {"unit": along.units["compute_flops"], "loss_nats": loss, "exponent": along.exponents["compute_flops"]}
    formula = "unit * loss_nats ** (1 / exponent)"
    yield Line("min_compute_flops", "least compute C_min", least, "FLOP", formula, inputs, cited, "fitted")
    size = power_of(kaplan.data["allocation"])
    for key, label, unit, rule in (
        ("n_params", "parameters, best size", "params", size),
        ("min_steps", "fewest steps S_min", "steps", steps),
    ):
        inputs = rule.constants() | {"compute_flops": least}
        yield Line(key, label, rule.at(compute_flops=least), unit, rule.formula(), inputs, cited, "fitted")


def chosen_lines(curve: Tradeoff, batch_tokens: int) -> list[Line]:
    """What a batch costs in tokens beyond the fewest, and in steps beyond the fewest."""
    ratio = {"batch_size_tokens": batch_tokens, "critical_batch_tokens": curve.critical_batch}
    extra = curve.tokens(batch_tokens) / curve.min_tokens - 1
    more = curve.steps(batch_tokens) / curve.min_steps - 1
    cited = ["mccandlish2018"]
    return [
        Line(
            "extra_tokens_fraction",
            "tokens beyond the fewest",
            extra,
            "fraction",
            "batch_size_tokens / critical_batch_tokens",
            ratio,
            cited,
            "fitted",
        ),
        Line(
            "extra_steps_fraction",
            "steps beyond the fewest",
            more,
            "fraction",
            "critical_batch_tokens / batch_size_tokens",
            ratio,
            cited,
            "fitted",
        ),
    ]


def tradeoff_rows(curve: Tradeoff, n_params: float | None, chosen: int | None) -> list[dict[str, Any]]:
    """Batches around the critical one, and the one that was asked about."""
    batches = sorted({multiple * curve.critical_batch for multiple in MULTIPLES} | ({float(chosen)} if chosen else set()))
    return [
        {
            "batch_tokens": size,
            "steps": curve.steps(size),
            "tokens": curve.tokens(size),
            "flops": curve.flops(size, n_params) if n_params else None,
            "critical_batches": size / curve.critical_batch,
        }
        for size in batches
    ]


def tradeoff_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Steps against tokens."""
    columns = [
        Column("batch_tokens", "batch", "tokens"),
        Column("critical_batches", "of B_crit", "x"),
        Column("steps", "steps", "steps"),
        Column("tokens", "tokens", "tokens"),
        Column("flops", "compute", "FLOP"),
    ]
    if "wall_s" not in rows[0]:
        return Table("Steps against tokens, to the same loss", columns, rows)
    columns += [Column("wall_s", "time", "s"), Column("doubling_speedup", "doubling", "x")]
    note = "doubling: what twice the devices on twice the batch divide the time by; above B_crit it is less than 1.33x."
    return Table("Steps against tokens, to the same loss", columns, rows, [note])


def suggestions(n_params: float, tokens: float) -> list[dict[str, Any]]:
    """Batch and learning rate of every law that names one for this N, D and C = 6 N D."""
    known = {"n_params": n_params, "n_tokens": tokens, "compute_flops": training_flops(n_params, tokens)}
    rows = []
    for law in map(catalogue.load_law, catalogue.knowing("batch")):
        batch_size, rate = (value_of(law, name, known)[0] for name in ("batch_tokens", "learning_rate"))
        rows.append(
            {
                "law": law.name,
                "batch_tokens": batch_size,
                "learning_rate": rate,
                "standing": law.standing,
                "sources": law.sources("batch_tokens" if "batch_tokens" in law.rules else "learning_rate"),
            }
        )
    return rows


def suggestion_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """The laws side by side."""
    columns = [
        Column("law", "law"),
        Column("batch_tokens", "batch", "tokens"),
        Column("learning_rate", "learning rate", ""),
        Column("standing", "standing"),
    ]
    sizes = [row["batch_tokens"] for row in rows if row["batch_tokens"]]
    note = f"The laws disagree about the batch by {max(sizes) / min(sizes):.1f}x: take the range, not one of them."
    return Table("Batch and learning rate by law", columns, rows, [note])


def cautions(loss: float | None, teller: ScalingLaw, advice: Sequence[Mapping[str, Any]]) -> Iterator[Caution]:
    """A loss beyond what was measured or of another tokenizer, and what presets warn of themselves."""
    kaplan = catalogue.critical_batch_law()
    own = kaplan.tokenizer
    lowest = kaplan.rules["loss_of_params"].at(n_params=kaplan.data["range"]["n_params_max"])
    if loss is not None and loss < lowest:
        factor = catalogue.critical_batch().at(loss_nats=loss) / catalogue.critical_batch().at(loss_nats=lowest)
        message = f"{loss:g} nats is below {lowest:.2f}, the best model that B_crit was measured on: B_crit is {factor:.3g}x beyond"
        yield Caution("extrapolation", message, {"factor": factor, "law": kaplan.name})
    if loss is None and teller.tokenizer != own:
        message = f"B_crit was measured with {own} tokens; {teller.name} tells the loss of {teller.tokenizer} tokens: a guide to size only"
        yield Caution("tokenizer", message, {"law": teller.name})
    for row in advice:
        law = catalogue.load_law(row["law"])
        if "caution" in law.data:
            yield Caution("law", f"{law.name}: {law.data['caution']}", {"law": law.name})
