"""The loss along a run of known N and D, when to stop on limited data, and how far such laws carry: tables, lines and a chart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from scaleplan.answer import Answer, Axis, Chart, Column, Line, Mark, Series, Table, line, quantities
from scaleplan.chain.along_run import SHARES, AlongRun, power

POINTS = 41  # of the curve that is drawn, from the first share to the end


def with_training(runs: Sequence[AlongRun], answer: Answer) -> Answer:
    """The answer with the training run of each law that knows the loss against steps."""
    result, tables, lines = dict(answer.result), list(answer.tables), list(answer.lines)
    for run in runs:
        rows = [moment._asdict() | {"loss_kind": "one-pass"} for moment in run.moments]
        own = list(limit_lines(run))
        found = {"law": run.law.name, "moments": rows} | {one.key.rpartition(".")[2]: one.value for one in own}
        result["training"] = [*result["training"], found]
        tables += [moments_table(run, rows), quantities(f"Limits of {run.law.name}", own)._replace(detail=True)]
        lines += [*own, *moment_lines(run, rows)]
    return answer._replace(result=result, tables=tables, lines=lines)


def moments_table(run: AlongRun, rows: Sequence[Mapping[str, Any]]) -> Table:
    """The loss against tokens and steps."""
    columns = [
        Column("n_tokens", "after D", "tokens"),
        Column("steps", "steps", "steps"),
        Column("min_steps", "S_min", "steps"),
        Column("loss_nats", "loss", "nats"),
    ]
    note = f"At the critical batch, on fresh data, after the warm-up; endless training ends at {run.converged_nats:.4f} nats."
    return Table(f"Along the run ({run.law.name})", columns, rows, [note], detail=True)


def moment_lines(run: AlongRun, rows: Sequence[Mapping[str, Any]]) -> Iterator[Line]:
    """Each moment; its steps are the root at which L(N, S_min) and B_crit of that loss agree."""
    name, cited = run.law.name, run.law.sources("loss_of_steps")
    for place, (share, row) in enumerate(zip(SHARES, rows, strict=True)):
        key, label = f"training.{name}.moments.{place}", f"{name} after {100 * share:g} % of D"
        of_loss = {**run.along._asdict(), "n_params": run.run.n_params, "min_steps": row["min_steps"]}
        of_steps = {**run.critical_batch.constants(), "loss_nats": row["loss_nats"], "n_tokens": row["n_tokens"]}
        made: tuple[tuple[str, str, str, Mapping[str, Any]], ...] = (
            ("n_tokens", "tokens", "share * n_tokens", {"share": share, "n_tokens": run.run.n_tokens}),
            ("steps", "steps", f"n_tokens / ({run.critical_batch.formula()})", of_steps),
            ("min_steps", "steps", "steps / 2", {"steps": row["steps"]}),
            ("loss_nats", "nats", run.along.FORMULAS["loss_nats"], of_loss),
        )
        for quantity, unit, formula, inputs in made:
            one = f"{label}: {quantity.replace('_', ' ')}"
            yield line(f"{key}.{quantity}", one, row[quantity], unit, formula, sources=cited, standing="fitted", **inputs)


def limit_lines(run: AlongRun) -> Iterator[Line]:
    """Steps before which training on these tokens alone need not stop, and where the laws contradict each other."""
    if run.stopping_steps is not None:
        yield from stopping_lines(run)
    if run.limit is not None:
        yield from contradiction_lines(run)


def stopping_lines(run: AlongRun) -> Iterator[Line]:
    """S_stop, from the loss of this data set and that of endless data."""
    law, joint, cited = run.law, run.law.loss, run.law.sources("loss_of_steps")
    constants: dict[str, Any] = joint._asdict()  # type: ignore[union-attr]  # it has a loss where it has stopping steps
    endless = {name: constants[name] for name in ("n_c", "alpha_n")} | {"n_params": run.run.n_params}
    key, label = f"training.{law.name}", "loss of this size on endless data"
    formula = "(n_c / n_params) ** alpha_n"
    yield line(f"{key}.endless_nats", label, run.endless_nats, "nats", formula, sources=law.sources("loss"), standing="fitted", **endless)
    reached = joint.loss(run.run.n_params, run.run.n_tokens)  # type: ignore[union-attr]  # likewise
    inputs = {"s_c": run.along.s_c, "alpha_s": run.along.alpha_s, "dataset_loss_nats": reached, "endless_nats": run.endless_nats}
    formula, label = "s_c / (dataset_loss_nats - endless_nats) ** (1 / alpha_s)", "S_stop, if these tokens repeat"
    yield line(f"{key}.stopping_steps", label, run.stopping_steps, "steps", formula, sources=cited, standing="fitted", **inputs)


def contradiction_lines(run: AlongRun) -> Iterator[Line]:
    """The budget at which two laws of one article meet and must fail (a root), and the loss there."""
    limit, law, key = run.limit, run.law, f"training.{run.law.name}.contradiction"
    assert limit is not None, "asked for where there is one"
    cited = law.sources("loss_of_compute")
    label = "C*, where data end the trend of C_min (root)"
    yield line(f"{key}_compute_flops", label, limit.compute_flops, "FLOP", sources=cited, standing="estimate")
    for name, label, unit, rule in (
        ("n_params", "N*", "params", "allocation"),
        ("n_tokens", "D*", "tokens", "tokens_of_compute"),
        ("loss_nats", "L*", "nats", "loss_of_compute"),
    ):
        found = power(law, rule)
        inputs = found.constants() | {"compute_flops": limit.compute_flops}
        yield line(f"{key}_{name}", label, getattr(limit, name), unit, found.formula(), sources=cited, standing="estimate", **inputs)


def training_chart(run: AlongRun) -> Chart:
    """The loss falls along the training towards that of endless training."""
    first = SHARES[0]
    moments = [run.at(first ** (1 - i / (POINTS - 1))) for i in range(POINTS)]
    tokens = [float(found.n_tokens) for found in moments]
    series = [
        Series("L(N, S)", tokens, [float(found.loss_nats) for found in moments]),
        Series("endless training", [tokens[0], tokens[-1]], [run.converged_nats, run.converged_nats]),
    ]
    end = Mark("the end", tokens[-1], float(moments[-1].loss_nats))
    title = f"Loss along the run ({run.law.name})"
    return Chart(title, Axis("D", "tokens"), Axis("loss", "nats", log=False), series, [end])
