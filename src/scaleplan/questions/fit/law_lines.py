"""The lines of a fitted law: its constants, its optimum at a budget, and the table of both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from scaleplan.answer import Column, Interval, Line, Row, Table
from scaleplan.arithmetic import names_in
from scaleplan.chain.law_file import SOURCE
from scaleplan.laws.fitting.fit import Fit
from scaleplan.laws.fitting.frontier import additive_law

LABELS = {
    "e_nats": ("E, irreducible loss", "nats"),
    "n_opt_exponent": ("exponent of N_opt ~ C^a", ""),
    "n_params_at_target": ("N_opt at {}", "params"),
    "n_tokens_at_target": ("D_opt at {}", "tokens"),
    "tokens_per_param_at_target": ("D/N at {}", "tokens/param"),
    "loss_nats_at_target": ("loss at {}", "nats"),
}


def constant_lines(fitted: Fit, found: Mapping[str, Any] | None) -> Iterator[Line]:
    for name, value in fitted.constants.items():
        label, unit = LABELS.get(name, (name, ""))
        yield Line(f"law.{name}", label, value, unit, sources=[SOURCE], standing="fitted", interval=interval(found, name))


def optimum_lines(fitted: Fit, optimum: Mapping[str, float], found: Mapping[str, Any] | None, target: float) -> Iterator[Line]:
    """The optimum at the target, each with the arithmetic that gives it."""
    law = additive_law(fitted.shape, fitted.theta)
    if law is None:
        return
    formulas = {
        "n_opt_exponent": "beta / (alpha + beta)",
        "n_params_at_target": law.FORMULAS["params_at_compute"],
        "n_tokens_at_target": "compute_flops / 6 / n_params",
        "tokens_per_param_at_target": "n_tokens / n_params",
        "loss_nats_at_target": law.FORMULAS["loss_nats"],
    }
    known = {name: float(value) for name, value in law._asdict().items()} | {"compute_flops": target}
    known |= {"n_params": optimum["n_params_at_target"], "n_tokens": optimum["n_tokens_at_target"]}
    for name, formula in formulas.items():
        label, unit = LABELS[name]
        inputs = {key: value for key, value in known.items() if key in names_in(formula)}
        yield Line(
            f"optimum.{name}",
            label.format(f"{target:.3g} FLOP"),
            optimum[name],
            unit,
            formula,
            inputs,
            [SOURCE, "hoffmann2022"],
            "fitted",
            interval(found, name),
        )


def interval(found: Mapping[str, Any] | None, name: str) -> Interval | None:
    points = found.get(name) if found else None
    return Interval(points["p10"], points["p50"], points["p90"]) if points else None


def constants_table(fitted: Fit, lines: Sequence[Line], found: Mapping[str, Any] | None) -> Table:
    """Constants and optimum, each with 80 % and 95 % interval; standard errors where there are no resamples."""
    errors = fitted.standard_errors or {}
    rows: list[Row] = []
    for line in lines:
        name = line.key.rpartition(".")[2]
        points = found.get(name) if found else None
        rows.append(
            {
                "quantity": line.label,
                "key": line.key,
                "value": line.value,
                "unit": line.unit,
                "interval": line.interval,
                "wide": Interval(points["p2_5"], points["p50"], points["p97_5"]) if points else None,
                "standard_error": points["sd"] if points else error_of(name, line.value, errors),
            }
        )
    columns = [Column("key", "", "hidden"), Column("quantity", ""), Column("value", "value", "own"), Column("standard_error", "±", "own")]
    if found:
        columns += [Column("interval", "80 % interval", "own"), Column("wide", "95 % interval", "own")]
    return Table(f"L = {fitted.shape.formula}", columns, rows)


def error_of(name: str, value: float, errors: Mapping[str, float]) -> float | None:
    """The standard error of a constant; of a coefficient from that of its logarithm."""
    if name in errors:
        return errors[name]
    return value * errors[f"log_{name}"] if f"log_{name}" in errors else None
