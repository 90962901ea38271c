"""Batch, learning rate and weight decay by every law that names one, by optimizer, and how far the laws disagree."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from scaleplan.answer import Column, Line, Table, line
from scaleplan.chain.hyperparameters import (
    Gain,
    Rule,
    RunPoint,
    Spread,
    compared_optimizers,
    decay_law,
    decay_time,
    disagreement,
    gain_over_adamw,
    hyperparameters,
)
from scaleplan.errors import UsageError
from scaleplan.laws.optimizer_rules import ADAM_LIKE
from scaleplan.numeric import is_number
from scaleplan.questions.about_laws import fitted
from scaleplan.wording import field

QUANTITIES = ("batch_tokens", "learning_rate")


class Advice(NamedTuple):
    """The rules at one run.

    gain   what another optimizer is worth against AdamW; None where it is AdamW, or was not compared
    """

    point: RunPoint
    rules: Sequence[Rule]
    gain: Gain | None

    def spread(self, quantity: str) -> Spread | None:
        """Of the rules of one optimizer: that of the question, else AdamW."""
        same = [one for one in self.rules if one.optimizer in ADAM_LIKE] or self.rules
        return disagreement(same, quantity)


def advice_of(point: RunPoint, optimizer: str | None) -> Advice:
    """Every rule, or those of one optimizer; numbers of the run may be arrays."""
    known = optimizer in compared_optimizers() and is_number(point.n_params, point.n_tokens) if optimizer else False
    gain = gain_over_adamw(str(optimizer), point.n_params, point.n_tokens) if known else None
    rules = hyperparameters(point, optimizer)
    if point.d_model is not None and not any("d_model" in rule.needs() for one in rules for rule in one.law.rules.values()):
        raise UsageError(
            f"{field('d_model')}: no rule for {field('optimizer')} {optimizer} depends on it", hint=f"leave out {field('d_model')}"
        )
    return Advice(point, rules, gain)


def advice_result(advice: Advice | None) -> dict[str, Any]:
    """The keys of the result; null and empty where no run is known."""
    if advice is None:
        return {"suggestions": [], "disagreement": None, "weight_decay_time": None, "optimizer_gain": None}
    spreads = {name: advice.spread(name) for name in QUANTITIES}
    gain = advice.gain
    return {
        "suggestions": [row_of(one) for one in advice.rules],
        "disagreement": {name: found and found._asdict() for name, found in spreads.items()},
        "weight_decay_time": decay_time(advice.point),
        "optimizer_gain": gain and {name: value for name, value in gain._asdict().items() if name != "sources"},
    }


def row_of(one: Rule) -> dict[str, Any]:
    """One law in `result.suggestions`."""
    return {
        "law": one.law.name,
        "optimizer": one.optimizer,
        "schedule": one.schedule,
        "n_params_kind": one.n_kind,
        "batch_tokens": one.batch_tokens,
        "learning_rate": one.learning_rate,
        "learning_rate_at_batch": one.rate_at_given,
        "weight_decay": one.weight_decay,
        "standing": one.law.standing,
        "beyond_factor": one.beyond[0].factor if one.beyond else None,
        "unanswered": dict(one.reasons),
    }


def advice_table(advice: Advice) -> Table:
    """The laws side by side."""
    rows = [row_of(one) for one in advice.rules]
    columns = [
        Column("law", "law"),
        Column("optimizer", "optimizer"),
        Column("batch_tokens", "batch", "tokens"),
        Column("learning_rate", "learning rate", ""),
        *([Column("learning_rate_at_batch", "at this batch", "")] if advice.point.batch_tokens is not None else []),
        Column("weight_decay", "weight decay", ""),
        Column("beyond_factor", "beyond range", "x"),
    ]
    return Table("Batch, learning rate and weight decay by law", columns, rows, list(notes_of(advice)))


def notes_of(advice: Advice) -> Iterator[str]:
    """How far the rules disagree, what the decay follows from, what the optimizer is worth, and why some say nothing."""
    for name in QUANTITIES:
        found = advice.spread(name)
        if found:
            what = name.removesuffix("_tokens").replace("_", " ").capitalize()
            yield f"{what}: published rules differ by {found.factor:.1f}x; treat it as a range."
    yield f"Weight decay: B / (rate x D x tau) with tau = {decay_time(advice.point):.3g} of the run ({decay_law()[0].name}), for AdamW."
    if advice.gain:
        gain = advice.gain
        untested = "; no tuned comparison at this size" if gain.untested else ""
        yield f"{gain.optimizer} reaches the loss of AdamW with {gain.low:.2f} to {gain.high:.2f} times fewer tokens{untested}."
    for one in advice.rules:
        yield from (f"{one.law.name}: no {name.replace('_', ' ')}: {reason}." for name, reason in one.reasons.items())


def advice_lines(advice: Advice) -> Iterator[Line]:
    """D / N and the memory of weight decay; then each rule."""
    point = advice.point
    run = {"n_tokens": point.n_tokens, "n_params": point.n_params}
    yield line("tokens_per_param", "D / N", point.tokens_per_param, "tokens/param", "n_tokens / n_params", standing="given", **run)
    law, rule = decay_law()
    label, inputs = "memory of weight decay, as a share of the run", {**rule.constants(), "tokens_per_param": point.tokens_per_param}
    value, cited = decay_time(point), law.sources("weight_decay_time")
    yield line("weight_decay_time", label, value, "fraction", rule.formula(), sources=cited, standing=fitted(law), **inputs)
    for one in advice.rules:
        yield from rule_lines(one, point)


def rule_lines(one: Rule, point: RunPoint) -> Iterator[Line]:
    """Batch and rate by their rule; the rate at the batch given; the decay that goes with both."""
    law, known, standing = one.law, point.known(), fitted(one.law)
    key = f"suggestions.{law.name}"
    for name in QUANTITIES:
        rule, value = law.rules.get(name), getattr(one, name)
        if rule is not None and value is not None:
            inputs = rule.constants() | {needed: known[needed] for needed in sorted(rule.needs())}
            unit, label = "tokens" if name == "batch_tokens" else "", f"{law.name} {name.replace('_', ' ')}"
            yield line(f"{key}.{name}", label, value, unit, rule.formula(), sources=law.sources(name), standing=standing, **inputs)
    own = law.data["convention"].get("batch_size_tokens") if one.batch_tokens is None else one.batch_tokens
    if one.rate_at_given is not None:
        moved = {"learning_rate": one.learning_rate, "batch_size_tokens": point.batch_tokens, "batch_tokens": own}
        formula, label = "learning_rate * (batch_size_tokens / batch_tokens) ** 0.5", f"{law.name} learning rate at this batch"
        yield line(
            f"{key}.learning_rate_at_batch", label, one.rate_at_given, "", formula, sources=["malladi2022"], standing=standing, **moved
        )
    if one.weight_decay is not None:
        rate = one.learning_rate if one.rate_at_given is None else one.rate_at_given
        batch = own if point.batch_tokens is None else point.batch_tokens
        decay = {"batch_tokens": batch, "learning_rate": rate, "n_tokens": point.n_tokens, "weight_decay_time": decay_time(point)}
        formula, cited = "batch_tokens / (learning_rate * n_tokens * weight_decay_time)", decay_law()[0].sources("weight_decay_time")
        yield line(
            f"{key}.weight_decay", f"{law.name} weight decay", one.weight_decay, "", formula, sources=cited, standing=standing, **decay
        )
