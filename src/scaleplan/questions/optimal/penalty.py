"""What N and D cost against the best run of the same law: where each number comes from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from scaleplan.answer import Line, line
from scaleplan.chain import catalogue
from scaleplan.chain.optimum import Advice, Penalty
from scaleplan.laws.batch import StepLoss
from scaleplan.laws.forms import Additive
from scaleplan.questions.about_laws import fitted

Formulas = Mapping[str, tuple[str | None, Mapping[str, Any]]]
"""Quantity -> formula and the inputs among which its own are."""

QUANTITIES = {
    "best_n_params": ("cheapest N of this loss", "params"),
    "best_n_tokens": ("its D", "tokens"),
    "compute_factor": ("compute over that of the cheapest run", "x"),
    "best_loss_nats": ("best loss of this compute", "nats"),
    "above_best_nats": ("loss above it", "nats"),
}


def penalty_lines(advice: Advice, found: Penalty) -> Iterator[Line]:
    """One line a number of `penalty`; none for losses that are not in nats per token."""
    from scaleplan.arithmetic import names_in

    law, run = advice.law, advice.run
    formulas = additive_formulas(law.additive) if law.along_steps is None else formulas_along_steps(law.along_steps)
    known = {**run._asdict(), "compute_flops": run.compute_flops, **found._asdict()}
    for name, (label, unit) in QUANTITIES.items():
        if name.endswith("_nats") and not law.in_nats:
            continue
        formula, constants = formulas[name]
        inputs = {one: {**known, **constants}[one] for one in names_in(formula)} if formula else {}
        key, cited = f"laws.{law.name}.penalty.{name}", law.sources("loss")
        yield line(key, f"{law.name} {label}", getattr(found, name), unit, formula, sources=cited, standing=fitted(law), **inputs)


def additive_formulas(law: Additive) -> Formulas:
    """Along C = 6 N D of the additive law."""
    constants, size = law._asdict(), Additive.FORMULAS["params_at_compute"]
    best = f"e_nats + a / ({size}) ** alpha + b / (compute_flops / (6 * {size})) ** beta"
    return {
        "best_n_params": (Additive.FORMULAS["params_at_loss"], constants),
        "best_n_tokens": (Additive.FORMULAS["tokens_at_params"].replace("n_params", "best_n_params"), constants),
        "compute_factor": ("compute_flops / (6 * best_n_params * best_n_tokens)", {}),
        "best_loss_nats": (best, constants),
        "above_best_nats": ("max(loss_nats - best_loss_nats, 0)", {}),
    }


def formulas_along_steps(along: StepLoss) -> Formulas:
    """Of one pass at the critical batch; the best loss of a budget is a root."""
    rule, constants, ratio = catalogue.critical_batch(), along._asdict(), "n_params / best_n_params"
    steps = StepLoss.FORMULAS["min_steps"].replace("n_params", "best_n_params")
    factor = f"{ratio} * (1 + alpha_s / alpha_n * (1 - ({ratio}) ** -alpha_n)) ** (-1 / alpha_s)"
    return {
        "best_n_params": (StepLoss.FORMULAS["params_at_loss"], constants),
        "best_n_tokens": (f"2 * ({rule.formula()}) * ({steps})", {**constants, **rule.constants()}),
        "compute_factor": (factor, constants),
        "best_loss_nats": (None, {}),
        "above_best_nats": ("max(loss_nats - best_loss_nats, 0)", {}),
    }
