"""The loss along a run of known N and D, when to stop on limited data, and how far such laws carry: tables, lines and a chart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from scaleplan.answer import Answer, Axis, Chart, Column, Line, Mark, Series, Table, quantities
from scaleplan.chain.optimum import Advice
from scaleplan.laws.allocation import Run
from scaleplan.laws.batch import StepLoss, step_loss_of
from scaleplan.laws.forms import KaplanLoss
from scaleplan.laws.law import Law
from scaleplan.laws.power import Power, power_of
from scaleplan.laws.training import ENDLESS, Moment, contradiction_flops, moment, stopping_steps

SHARES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0)  # of the tokens
POINTS = 41  # of the curve that is drawn, from the first share to the end


def with_training(answer: Answer, advices: Sequence[Advice]) -> Answer:
    """The answer with the training run of each law that knows the loss against steps."""
    for advice in advices:
        if "loss_of_steps" in advice.law.data:
            answer = with_run(answer, advice.law, advice.run)
    return answer


def with_run(answer: Answer, law: Law, run: Run) -> Answer:
    """The answer with the training run of one law."""
    along, critical_batch = step_loss_of(law.data["loss_of_steps"]), rule(law, "critical_batch")
    rows = [moment(along, critical_batch, run.n_params, share * run.n_tokens)._asdict() | {"loss_kind": "one-pass"} for share in SHARES]
    lines = [*stopping_lines(law, along, run), *contradiction_lines(law)]
    found = {"law": law.name, "moments": rows} | {line.key.rpartition(".")[2]: line.value for line in lines}
    before = answer.drawn_charts  # made only where somebody wants to see them
    return answer._replace(
        result={**answer.result, "training": [*answer.result.get("training", []), found]},
        tables=[*answer.tables, moments_table(law, along, run, rows), quantities(f"Limits of {law.name}", lines)._replace(detail=True)],
        lines=[*answer.lines, *lines],
        charts=lambda: [*before(), training_chart(law, along, critical_batch, run)],
    )


def rule(law: Law, name: str) -> Power:
    """A power of the law that goes with its loss against steps."""
    found = law.rules[name]
    assert isinstance(found, Power), f"`{name}` of a law with `loss_of_steps` is a power"
    return found


def moments_table(law: Law, along: StepLoss, run: Run, rows: Sequence[Mapping[str, Any]]) -> Table:
    """The loss against tokens and steps."""
    columns = [
        Column("n_tokens", "after D", "tokens"),
        Column("steps", "steps", "steps"),
        Column("min_steps", "S_min", "steps"),
        Column("loss_nats", "loss", "nats"),
    ]
    floor = along.converged(run.n_params)
    note = f"At the critical batch, on fresh data, after the warm-up; endless training ends at {floor:.4f} nats."
    return Table(f"Along the run ({law.name})", columns, rows, [note], detail=True)


def stopping_lines(law: Law, along: StepLoss, run: Run) -> Iterator[Line]:
    """The steps before which training on these tokens alone, again and again, need not stop."""
    if not isinstance(law.loss, KaplanLoss):
        return
    endless = law.loss.loss(run.n_params, ENDLESS)
    inputs = {"s_c": along.s_c, "alpha_s": along.alpha_s, "loss_nats": law.loss.loss(run.n_params, run.n_tokens), "endless_nats": endless}
    yield Line(
        f"training.{law.name}.stopping_steps",
        "S_stop, if these tokens repeat",
        stopping_steps(along, law.loss, run.n_params, run.n_tokens),
        "steps",
        "s_c / (loss_nats - endless_nats) ** (1 / alpha_s)",
        inputs,
        law.sources("loss_of_steps"),
        "fitted",
    )


CONTRADICTING = ("loss_of_compute", "loss_of_tokens", "tokens_of_compute")


def contradiction_lines(law: Law) -> Iterator[Line]:
    """The budget at which two laws of one article meet and must fail, and the loss there."""
    if not all(name in law.rules for name in CONTRADICTING):
        return
    loss_of_compute, loss_of_tokens, tokens_of_compute = (rule(law, name) for name in CONTRADICTING)
    flops = contradiction_flops(loss_of_compute, loss_of_tokens, tokens_of_compute)
    cited, key = law.sources("loss_of_compute"), f"training.{law.name}.contradiction"
    yield Line(f"{key}_compute_flops", "C*, where data end the trend of C_min", flops, "FLOP", None, None, cited, "estimate")
    for name, label, unit, power in (
        ("n_params", "N*", "params", power_of(law.data["allocation"])),
        ("n_tokens", "D*", "tokens", tokens_of_compute),
        ("loss_nats", "L*", "nats", loss_of_compute),
    ):
        inputs = power.constants() | {"compute_flops": flops}
        yield Line(f"{key}_{name}", label, power.at(compute_flops=flops), unit, power.formula(), inputs, cited, "estimate")


def training_chart(law: Law, along: StepLoss, critical_batch: Power, run: Run) -> Chart:
    """The loss falls along the training towards that of endless training."""
    first = SHARES[0]
    shares = [first ** (1 - i / (POINTS - 1)) for i in range(POINTS)]
    moments: list[Moment] = [moment(along, critical_batch, run.n_params, share * run.n_tokens) for share in shares]
    tokens = [float(found.n_tokens) for found in moments]
    floor = along.converged(run.n_params)
    series = [
        Series("L(N, S)", tokens, [float(found.loss_nats) for found in moments]),
        Series("endless training", [tokens[0], tokens[-1]], [floor, floor]),
    ]
    end = Mark("the end", tokens[-1], float(moments[-1].loss_nats))
    return Chart(f"Loss along the run ({law.name})", Axis("D", "tokens"), Axis("loss", "nats", log=False), series, [end])
