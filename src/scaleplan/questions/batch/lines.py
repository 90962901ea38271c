"""Where each number of `batch` comes from: formula, inputs, source."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from scaleplan.answer import Line, line
from scaleplan.chain import catalogue
from scaleplan.chain.batch import FORMULAS, BatchAnswer, steps_law
from scaleplan.laws.batch import StepLoss
from scaleplan.laws.convention import training_flops
from scaleplan.questions.about_laws import fitted, loss_formula

if TYPE_CHECKING:
    from scaleplan.questions.batch import OfLoss

CURVE = ("mccandlish2018",)
BATCH_LABELS = {
    "given": "batch size",
    "stated": "batch size of the law's runs",
    "assumed": "batch size (assumed: B_crit)",
    "solved": "batch size from D, N and the loss",
}


def lines_of(asked: OfLoss, found: BatchAnswer) -> Iterator[Line]:
    """Loss, critical batch, N, D, the batch, the least of tokens, steps and compute, and what the batch wastes."""
    critical = found.curve.critical_batch
    yield from critical_lines(found)
    yield size_line(found)
    yield from least_lines(asked, found)
    yield from run_lines(asked, found)
    yield from compute_lines(found)
    if found.batch_tokens is not None:
        yield from waste_lines(found.batch_tokens, critical)
    if asked.loss is None or asked.step_s is not None:
        yield cheapest_line(found)
    if asked.step_s is not None:
        yield from time_lines(found, asked.step_s)


def critical_lines(found: BatchAnswer) -> Iterator[Line]:
    """The loss, and the critical batch that follows from it."""
    yield loss_line(found)
    rule = catalogue.critical_batch()
    inputs = {**rule.constants(), "loss_nats": found.loss_nats}
    value = rule.at(loss_nats=found.loss_nats)
    yield curve_line(found, "critical_batch_tokens", "critical batch B_crit", value, "tokens", rule.formula(), law_sources(), **inputs)


def law_sources() -> tuple[str, ...]:
    """The source of B_crit and of the loss against steps."""
    return tuple(catalogue.critical_batch_law().sources("critical_batch"))


def curve_line(
    found: BatchAnswer, key: str, label: str, value: Any, unit: str, formula: str, sources: Sequence[str] = CURVE, **inputs: Any
) -> Line:
    """A number that follows from fitted laws, with its interval where the loss has draws."""
    interval = (found.intervals or {}).get(key)
    return line(key, label, value, unit, formula, sources=sources, standing="fitted", interval=interval, **inputs)


def loss_line(found: BatchAnswer) -> Line:
    """The loss: given, or by the law. That of steps and B_crit of that loss agree: it is a root."""
    law = found.loss_law
    if law is None:
        return line("loss_nats", "loss", found.loss_nats, "nats", standing="given")
    formula, constants = loss_formula(law, found.curve.min_steps)
    known = {"n_params": found.n_params, "n_tokens": found.n_tokens}
    inputs = constants | {name: value for name, value in known.items() if name in formula}
    told = line("loss_nats", f"loss by {law.name}", found.loss_nats, "nats", formula, sources=law.sources("loss"), **inputs)
    return told._replace(standing=fitted(law), interval=(found.intervals or {}).get("loss_nats"))


def size_line(found: BatchAnswer) -> Line:
    """N: given, or the size that reaches the loss with the least compute."""
    if found.size_basis == "given":
        return line("n_params", "parameters", found.n_params, "params", standing="given")
    along = steps_law()
    formula, inputs = StepLoss.FORMULAS["params_at_loss"], {"n_c": along.n_c, "alpha_n": along.alpha_n, "alpha_s": along.alpha_s}
    label = "parameters, best size"
    return curve_line(found, "n_params", label, found.n_params, "params", formula, law_sources(), loss_nats=found.loss_nats, **inputs)


def least_lines(asked: OfLoss, found: BatchAnswer) -> Iterator[Line]:
    """E_min and S_min: through the run that was given, or from L(N, S_min)."""
    curve, labels = found.curve, {"min_tokens": "minimum tokens E_min", "min_steps": "minimum steps S_min"}
    critical = {"critical_batch_tokens": curve.critical_batch}
    if asked.loss is None or found.batch_basis == "assumed":
        of_run = {"n_tokens": found.n_tokens, "batch_size_tokens": found.batch_tokens, **critical}
        yield curve_line(found, "min_tokens", labels["min_tokens"], curve.min_tokens, "tokens", FORMULAS["min_tokens"], **of_run)
        formula, inputs = FORMULAS["min_steps_of_tokens"], {"min_tokens": curve.min_tokens, **critical}
        yield curve_line(found, "min_steps", labels["min_steps"], curve.min_steps, "steps", formula, **inputs)
        return
    inputs = {**steps_law()._asdict(), "n_params": found.n_params, "loss_nats": found.loss_nats}
    formula = StepLoss.FORMULAS["min_steps"]
    yield curve_line(found, "min_steps", labels["min_steps"], curve.min_steps, "steps", formula, law_sources(), **inputs)
    formula, inputs = FORMULAS["min_tokens_of_steps"], {**critical, "min_steps": curve.min_steps}
    yield curve_line(found, "min_tokens", labels["min_tokens"], curve.min_tokens, "tokens", formula, **inputs)


def run_lines(asked: OfLoss, found: BatchAnswer) -> Iterator[Line]:
    """Batch, D and C of the run, where one is known."""
    if found.batch_tokens is None:
        return
    curve, batch = found.curve, found.batch_tokens
    least = {"critical_batch_tokens": curve.critical_batch, "min_tokens": curve.min_tokens}
    label = BATCH_LABELS[str(found.batch_basis)]
    if found.batch_basis == "assumed":
        yield curve_line(
            found, "batch_size_tokens", label, batch, "tokens", "critical_batch_tokens", critical_batch_tokens=curve.critical_batch
        )
    elif found.batch_basis == "solved":
        formula = FORMULAS["batch_size_tokens"]
        yield curve_line(found, "batch_size_tokens", label, batch, "tokens", formula, n_tokens=found.n_tokens, **least)
    else:
        stated = found.loss_law.sources("convention") if found.loss_law and found.batch_basis == "stated" else ()
        yield line("batch_size_tokens", label, batch, "tokens", sources=stated, standing="published" if stated else "given")
    if asked.n_steps is not None:
        inputs = {"n_steps": asked.n_steps, "batch_size_tokens": batch}
        yield line("n_tokens", "tokens of the run", found.n_tokens, "tokens", "n_steps * batch_size_tokens", standing="given", **inputs)
    elif asked.tokens is not None:
        yield line("n_tokens", "tokens of the run", found.n_tokens, "tokens", standing="given")
    else:
        formula = "min_tokens * (1 + batch_size_tokens / critical_batch_tokens)"
        yield curve_line(found, "n_tokens", "tokens of the run", found.n_tokens, "tokens", formula, batch_size_tokens=batch, **least)
    spent, inputs = training_flops(found.n_params, found.n_tokens), {"n_params": found.n_params, "n_tokens": found.n_tokens}
    yield curve_line(found, "compute_flops", "compute of the run", spent, "FLOP", "6 * n_params * n_tokens", law_sources(), **inputs)


def compute_lines(found: BatchAnswer) -> Iterator[Line]:
    """The least compute to the loss over all sizes and batches, and the size that needs it."""
    if found.min_compute_flops is None:
        return
    along, loss = steps_law(), found.loss_nats
    best = along.params_at_loss(loss)
    steps, cited = along.min_steps(best, loss), law_sources()
    constants = along._asdict()
    of_size = {"n_c": along.n_c, "alpha_n": along.alpha_n, "alpha_s": along.alpha_s, "loss_nats": loss}
    formula = StepLoss.FORMULAS["params_at_loss"]
    if found.size_basis == "given":
        yield curve_line(found, "best_n_params", "best size for this loss", best, "params", formula, cited, **of_size)
        formula = StepLoss.FORMULAS["min_steps"].replace("n_params", "best_n_params")
        inputs = {**constants, "best_n_params": best, "loss_nats": loss}
        yield curve_line(found, "best_min_steps", "minimum steps of that size", steps, "steps", formula, cited, **inputs)
    names = ("best_n_params", "best_min_steps") if found.size_basis == "given" else ("n_params", "min_steps")
    least = {names[0]: best, names[1]: steps, "critical_batch_tokens": found.curve.critical_batch}
    formula = f"6 * {names[0]} * critical_batch_tokens * {names[1]}"
    yield curve_line(found, "min_compute_flops", "minimum compute C_min", found.min_compute_flops, "FLOP", formula, cited, **least)


def waste_lines(batch_tokens: Any, critical: Any) -> Iterator[Line]:
    """Tokens and steps beyond the least, at the batch of the run."""
    ratio = {"batch_size_tokens": batch_tokens, "critical_batch_tokens": critical}
    for what, value, formula in (
        ("tokens", batch_tokens / critical, "batch_size_tokens / critical_batch_tokens"),
        ("steps", critical / batch_tokens, "critical_batch_tokens / batch_size_tokens"),
    ):
        key, label = f"extra_{what}_fraction", f"{what} beyond the minimum"
        yield line(key, label, value, "fraction", formula, sources=CURVE, standing="fitted", **ratio)


def cheapest_line(found: BatchAnswer) -> Line:
    """C_min of this size: 6 N E_min = C / (1 + B / B_crit)."""
    tokens = found.curve.min_tokens
    cheapest, inputs = training_flops(found.n_params, tokens), {"n_params": found.n_params, "min_tokens": tokens}
    return curve_line(found, "cheapest_flops", "compute of the smallest batches", cheapest, "FLOP", FORMULAS["min_compute_flops"], **inputs)


def time_lines(found: BatchAnswer, step_s: float) -> Iterator[Line]:
    """The ends of the trade-off where devices grow with the batch, and where doubling them stops paying.

    Doubling from B divides the time by (1 + b) / (1 / 2 + b) and multiplies the compute by (1 + 2 b) / (1 + b), b = B / B_crit;
    the first is the larger until b = 1 / sqrt(2).
    """
    curve = found.curve
    yield curve_line(
        found,
        "fastest_wall_s",
        "shortest time",
        step_s * curve.min_steps,
        "s",
        "step_s * min_steps",
        step_s=step_s,
        min_steps=curve.min_steps,
    )
    turn, label = curve.critical_batch / 2**0.5, "doubling pays below a batch of"
    formula, middle = "critical_batch_tokens / sqrt(2)", {"critical_batch_tokens": curve.critical_batch}
    yield curve_line(found, "last_doubling_batch_tokens", label, turn, "tokens", formula, **middle)


def row_lines(asked: OfLoss, found: BatchAnswer, rows: Sequence[Mapping[str, Any]]) -> Iterator[Line]:
    """Each cell of the trade-off."""
    curve = found.curve
    least = {"critical_batch_tokens": curve.critical_batch}
    for place, row in enumerate(rows):
        key, name = f"tradeoff.{place}", f"batch {place + 1}"
        batch, tokens = row["batch_tokens"], row["tokens"]
        if batch == found.batch_tokens:
            yield row_line(f"{key}.batch_tokens", name, batch, "tokens", "batch_size_tokens", batch_size_tokens=batch)
        else:
            yield row_line(
                f"{key}.batch_tokens", name, batch, "tokens", "multiple * critical_batch_tokens", multiple=row["critical_batches"], **least
            )
        of_batch = {"batch_tokens": batch, **least}
        ratio, formula = row["critical_batches"], "batch_tokens / critical_batch_tokens"
        yield row_line(f"{key}.critical_batches", f"{name} over B_crit", ratio, "x", formula, **of_batch)
        formula = "min_steps * (1 + critical_batch_tokens / batch_tokens)"
        yield row_line(f"{key}.steps", f"steps, {name}", row["steps"], "steps", formula, min_steps=curve.min_steps, **of_batch)
        formula = "min_tokens * (1 + batch_tokens / critical_batch_tokens)"
        yield row_line(f"{key}.tokens", f"tokens, {name}", tokens, "tokens", formula, min_tokens=curve.min_tokens, **of_batch)
        formula = "6 * n_params * tokens"
        yield row_line(f"{key}.flops", f"compute, {name}", row["flops"], "FLOP", formula, n_params=found.n_params, tokens=tokens)
        if asked.step_s is not None:
            yield row_line(f"{key}.wall_s", f"time, {name}", row["wall_s"], "s", "steps * step_s", steps=row["steps"], step_s=asked.step_s)
            formula = "(1 + 1 / critical_batches) / (1 + 0.5 / critical_batches)"
            value = row["doubling_speedup"]
            yield row_line(f"{key}.doubling_speedup", f"speedup of doubling, {name}", value, "x", formula, critical_batches=ratio)


def row_line(key: str, label: str, value: Any, unit: str, formula: str, **inputs: Any) -> Line:
    """A cell of the trade-off."""
    return line(key, label, value, unit, formula, sources=CURVE, standing="fitted", **inputs)


def ramp_lines(ramp: Mapping[str, Any]) -> Iterator[Line]:
    """What a ramp takes, summed over its stretches, and what it saves."""
    for name, unit in (("steps", "steps"), ("tokens", "tokens"), ("constant_batch_tokens", "tokens")):
        label = f"ramp: {name.replace('_', ' ')}"
        yield line(f"schedule.{name}", label, ramp[name], unit, sources=CURVE, standing="estimate")
    constant = {"constant_batch_tokens": ramp["constant_batch_tokens"], "steps": ramp["steps"]}
    saved = {"tokens": ramp["tokens"], "constant_tokens": ramp["constant_tokens"]}
    for name, unit, formula, inputs in (
        ("constant_tokens", "tokens", "constant_batch_tokens * steps", constant),
        ("saved_tokens_fraction", "fraction", "1 - tokens / constant_tokens", saved),
    ):
        label = f"ramp: {name.replace('_', ' ')}"
        yield line(f"schedule.{name}", label, ramp[name], unit, formula, sources=CURVE, standing="estimate", **inputs)
