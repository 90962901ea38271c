"""Where each number of `scaleplan optimal` comes from: formula, inputs, source."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from scaleplan.answer import Line
from scaleplan.chain import catalogue
from scaleplan.chain.optimum import Advice, constrained
from scaleplan.laws.allocation import Question
from scaleplan.laws.convention import EMBEDDING_SCALE, TOTAL
from scaleplan.laws.forms import Additive, KaplanLoss
from scaleplan.laws.law import Law
from scaleplan.laws.power import PowerFrontier

UNITS = {
    "n_params": "params",
    "n_tokens": "tokens",
    "tokens_per_param": "tokens/param",
    "loss_nats": "nats",
    "compute_flops": "FLOP",
    "critical_batch_tokens": "tokens",
    "n_steps": "steps",
}
LABELS = {
    "n_params": "N",
    "n_tokens": "D",
    "tokens_per_param": "D/N",
    "loss_nats": "loss",
    "compute_flops": "C",
    "critical_batch_tokens": "B_crit",
    "n_steps": "steps",
}
UNITS_OF_RULES = {
    "loss": "nats",
    "batch": "tokens",
    "tokens": "tokens",
    "steps": "steps",
    "allocation_of_tokens": "tokens",
    "flops": "FLOP",
}
"""Unit of a rule, by how its name begins."""

Formulas = dict[str, tuple[str, Mapping[str, Any]]]


def lines_of(advice: Advice, question: Question) -> Iterator[Line]:
    """One line a number of a law's row, then what else the law says of the run."""
    yield from row_lines(advice, question)
    law = advice.law
    for name, found in advice.rules.items():
        yield Line(
            f"laws.{law.name}.rules.{name}",
            f"{law.name} {name.replace('_', ' ')}",
            found.value,
            next((unit for word, unit in UNITS_OF_RULES.items() if name.startswith(word)), ""),
            found.rule.formula(),
            {**found.rule.constants(), **found.inputs},
            law.sources(name),
            "fitted",
        )


def row_lines(advice: Advice, question: Question) -> Iterator[Line]:
    """One line a number of a law's row."""
    law, run, fixed = advice.law, advice.run, question.fixed()
    compute = question.compute_flops if question.compute_flops and not question.inference_tokens else run.compute_flops
    known = {"compute_flops": compute, "n_params": run.n_params, "n_tokens": run.n_tokens, "loss_nats": run.loss_nats}
    block = "allocation" if "allocation" in law.data else "loss"
    formulas = formulas_of(advice, question)

    def line(name: str, *, key: str = "") -> Line:
        formula, constants = formulas.get(name, (None, {}))
        inputs = {**constants, **{quantity: value for quantity, value in known.items() if quantity in formula}} if formula else None
        standing = "given" if name in fixed else fitted(law)
        cited = law.sources("loss" if name == "loss_nats" else block)
        path, interval = f"laws.{law.name}.{key or name}", (advice.intervals or {}).get(name)
        return Line(path, f"{law.name} {LABELS[name]}", known[name], UNITS[name], formula, inputs, cited, standing, interval)

    converted = advice.n_params_kind != law.n_kind
    yield line("n_params", key=f"n_{law.n_kind}_params" if converted else "")
    yield line("n_tokens")
    yield line("compute_flops")
    if converted:
        yield converted_line(advice)
    yield ratio_line(advice, law.sources(block))
    if run.loss_nats is not None:
        yield line("loss_nats")
    if advice.critical_batch is not None:
        yield from batch_lines(advice)


def fitted(law: Law) -> str:
    """The standing of what follows from a law: its own, where that says more than that it was fitted."""
    return "fitted" if law.standing in ("confirmed", "recomputed", "fitted") else law.standing


def ratio_line(advice: Advice, cited: list[str]) -> Line:
    """D / N, with the N that is shown."""
    law, tokens = advice.law, advice.run.n_tokens
    inputs = {"n_tokens": tokens, "n_params": advice.n_params}
    interval = (advice.intervals or {}).get("tokens_per_param")
    key, label = f"laws.{law.name}.tokens_per_param", f"{law.name} {LABELS['tokens_per_param']}"
    value, unit = tokens / advice.n_params, UNITS["tokens_per_param"]
    return Line(key, label, value, unit, "n_tokens / n_params", inputs, cited, fitted(law), interval)


def batch_lines(advice: Advice) -> Iterator[Line]:
    """B_crit at the loss of the run, and the steps at that batch."""
    law, rule = advice.law, catalogue.critical_batch()
    cited = catalogue.critical_batch_law().sources("critical_batch")
    made = (
        ("critical_batch_tokens", advice.critical_batch, rule.formula(), {**rule.constants(), "loss_nats": advice.run.loss_nats}),
        (
            "n_steps",
            advice.n_steps,
            "n_tokens / critical_batch_tokens",
            {"n_tokens": advice.run.n_tokens, "critical_batch_tokens": advice.critical_batch},
        ),
    )
    for name, value, formula, inputs in made:
        interval = (advice.intervals or {}).get(name)
        yield Line(
            f"laws.{law.name}.{name}", f"{law.name} {LABELS[name]}", value, UNITS[name], formula, inputs, cited, fitted(law), interval
        )


def converted_line(advice: Advice) -> Line:
    """N in the kind that was asked for."""
    law, run = advice.law, advice.run
    to_total = advice.n_params_kind == TOTAL
    return Line(
        f"laws.{law.name}.n_params",
        f"{law.name} N, {advice.n_params_kind}",
        advice.n_params,
        UNITS["n_params"],
        "n_params + embedding_scale * n_params ** (1 / 3)" if to_total else None,
        {"n_params": run.n_params, "embedding_scale": EMBEDDING_SCALE} if to_total else None,
        ["pearce2024"],
        "estimate",
    )


def formulas_of(advice: Advice, question: Question) -> Formulas:
    """Formula and constants of N, D, C and the loss, as far as they are closed and not given."""
    law, fixed = advice.law, question.fixed()
    frontier = law.frontier
    found: Formulas = {}
    if len(fixed) == 1 and isinstance(frontier, Additive | PowerFrontier) and not constrained(question):
        constants = constants_of(frontier)
        way = {"compute_flops": "compute", "n_tokens": "tokens", "loss_nats": "loss"}.get(fixed[0])
        if way:
            found["n_params"] = (frontier.FORMULAS[f"params_at_{way}"], constants)
        if fixed[0] in ("n_params", "loss_nats"):
            found["n_tokens"] = (frontier.FORMULAS["tokens_at_params"], constants)
    if advice.flops_per_token is not None:
        found["n_tokens"] = ("compute_flops / flops_per_token", {"flops_per_token": advice.flops_per_token})
    elif "compute_flops" in fixed and not question.inference_tokens:
        found.setdefault("n_params", ("compute_flops / (6 * n_tokens)", {}))
        found.setdefault("n_tokens", ("compute_flops / (6 * n_params)", {}))
    else:
        found["compute_flops"] = ("6 * n_params * n_tokens", {})
    for name in fixed:
        found.pop(name, None)
    if "loss_nats" not in fixed:
        found |= loss_formula(advice, question)
    return found


def loss_formula(advice: Advice, question: Question) -> Formulas:
    """How the loss of a run follows."""
    law = advice.law
    if question.unique_tokens is not None or advice.run.loss_nats is None:
        return {}
    if isinstance(law.frontier, PowerFrontier) and len(question.fixed()) == 1 and question.bounds is None:
        return {"loss_nats": (PowerFrontier.FORMULAS["loss_nats"], constants_of(law.frontier))} if law.frontier.loss_of_compute else {}
    along = law.along_steps
    if isinstance(law.loss, KaplanLoss) and along is not None:
        steps = advice.run.n_tokens / (2 * catalogue.critical_batch().at(loss_nats=advice.run.loss_nats))
        return {"loss_nats": (along.FORMULAS["loss_nats"], {**along._asdict(), "min_steps": steps})}
    if isinstance(law.loss, KaplanLoss):
        return {"loss_nats": (KaplanLoss.FORMULAS["loss_nats"], law.loss._asdict())}
    return {"loss_nats": (Additive.FORMULAS["loss_nats"], law.additive._asdict())}


def constants_of(frontier: Additive | PowerFrontier) -> dict[str, Any]:
    """The constants under the names that the formulas use."""
    if isinstance(frontier, Additive):
        return frontier._asdict()
    constants = {"scale": frontier.scale, "exponent": frontier.exponent}
    along = frontier.loss_of_compute
    if along:
        constants |= {"loss_unit": along.units["compute_flops"], "loss_exponent": along.exponents["compute_flops"]}
    return constants
