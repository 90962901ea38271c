"""What laws say of a model or run rule by rule, whether or not they divide a budget: losses of one quantity, batches, rates, steps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from scaleplan.chain import catalogue
from scaleplan.chain.optimum import Beyond, beyond
from scaleplan.errors import NotSupported, ScaleplanError, UsageError
from scaleplan.laws.batch import StepLoss
from scaleplan.laws.convention import training_flops
from scaleplan.laws.forms import Additive, KaplanLoss
from scaleplan.laws.law import Law, value_of
from scaleplan.wording import field, fields

UNITS = {
    "critical_batch": "tokens",
    "batch_seqs": "seqs",
    "batch": "tokens",
    "tokens": "tokens",
    "allocation_of_tokens": "tokens",
    "steps": "steps",
    "params": "params",
    "flops": "FLOP",
}
"""Unit of a rule, by how its name begins; that of a loss is the law's own."""
FIELDS = {"n_tokens": "tokens", "compute_flops": "compute", "loss_nats": "loss", "steps": "n_steps", "batch_tokens": "batch_size_tokens"}
"""Quantity -> the field that gives it, where it has another name."""


class Known(NamedTuple):
    """What is known of a model or run. N is of the law's own kind.

    steps      the least, S_min: at batches far above the critical one
    position   of a token in the context, counted from 1; also the length of a context
    """

    n_params: float | None = None
    n_tokens: float | None = None
    compute_flops: float | None = None
    tokens_per_param: float | None = None
    loss_nats: float | None = None
    steps: float | None = None
    position: float | None = None
    batch_tokens: float | None = None
    d_model: float | None = None

    def known(self) -> dict[str, float]:
        """What is known, with C = 6 N D and D / N where both are."""
        found = {name: value for name, value in self._asdict().items() if value is not None}
        if "n_params" in found and "n_tokens" in found:
            found.setdefault("compute_flops", training_flops(found["n_params"], found["n_tokens"]))
            found.setdefault("tokens_per_param", found["n_tokens"] / found["n_params"])
        return found


class RuleAnswer(NamedTuple):
    """One thing that a law tells.

    rule      block of its preset: `loss` (of N and D), `loss_of_params`, `batch_tokens`, ...
    unit      of a loss as the preset says: nats per token, nats per byte, ...
    formula   with the names of `inputs`
    """

    law: Law
    rule: str
    value: float
    unit: str
    formula: str
    inputs: Mapping[str, Any]
    beyond: Sequence[Beyond]

    @property
    def sources(self) -> list[str]:
        """Citation keys of the block."""
        return self.law.sources(self.rule)


def ask_rules(names: Sequence[str], asked: Known) -> tuple[list[RuleAnswer], dict[str, ScaleplanError]]:
    """What the laws say (the whole catalogue where none is named), and by name why others say nothing."""
    wanted = list(names) or [catalogue.EVERY]
    answers, silent = catalogue.ask_each(wanted, catalogue.asked_by_name(names), lambda law: rule_answers(law, asked))
    found = [one for answer in answers for one in answer]
    check_use(asked, found)
    return found, silent


def rule_answers(law: Law, asked: Known) -> list[RuleAnswer]:
    """Everything of a law that follows from what is known; raises where nothing does."""
    outside = beyond(law.limits, asked)
    found = [
        RuleAnswer(law, rule, value, unit_of(law, rule), formula, inputs, outside)
        for rule, value, formula, inputs in (*rules_of(law, asked.known()), *losses_of(law, asked.known()))
    ]
    if not found:
        needs = sorted({FIELDS.get(name, name) for rule in law.rules.values() for name in rule.needs()})
        hint = f"it needs one of {fields(*needs, joined=', ')}" if needs else "it has no rule of a size, data or budget"
        raise NotSupported(f"{field('law')} `{law.name}` says nothing of what is given", hint=hint)
    return found


def check_use(asked: Known, answers: Sequence[RuleAnswer]) -> None:
    """Refuse what no rule that answers depends on."""
    used = {name for one in answers for name in one.inputs}
    used |= {"n_params", "n_tokens"} if used & {"compute_flops", "tokens_per_param"} else set()
    used |= {"steps"} if "min_steps" in used else set()
    idle = [FIELDS.get(name, name) for name, value in asked._asdict().items() if value is not None and name not in used]
    if idle:
        raise UsageError(f"{fields(*idle)}: no rule here depends on it", hint=f"leave out {fields(*idle)}, or ask another {field('law')}")


def losses(law: Law, asked: Known) -> list[RuleAnswer]:
    """Of these the losses; raises where there is none."""
    found = [one for one in rule_answers(law, asked) if one.rule.startswith("loss")]
    if not found:
        raise NotSupported(f"`{law.name}` tells no loss of what is given")
    return found


Found = tuple[str, float, str, Mapping[str, Any]]
"""Rule, value, formula, inputs."""


def rules_of(law: Law, known: Mapping[str, float]) -> Iterator[Found]:
    """Powers and logarithms, within the range in which each holds; a power of compute is of what its block means by C."""
    for name, rule in law.rules.items():
        value, _ = value_of(law, name, known)
        if value is not None:
            yield name, value, rule.formula(), {**rule.constants(), **{needed: known[needed] for needed in sorted(rule.needs())}}


def losses_of(law: Law, known: Mapping[str, float]) -> Iterator[Found]:
    """L(N, D), and L(N, S_min) where a law has it."""
    form, along = law.loss, law.along_steps
    if isinstance(form, Additive | KaplanLoss) and {"n_params", "n_tokens"} <= set(known):
        run = {name: known[name] for name in ("n_params", "n_tokens")}
        yield "loss", form.loss(**run), type(form).FORMULAS["loss_nats"], {**form._asdict(), **run}
    if along is not None and {"n_params", "steps"} <= set(known):
        run = {"n_params": known["n_params"], "min_steps": known["steps"]}
        yield "loss_of_steps", along.loss(**run), StepLoss.FORMULAS["loss_nats"], {**along._asdict(), **run}


def unit_of(law: Law, rule: str) -> str:
    """The unit of what a rule tells; empty for a plain number."""
    unit = next((unit for word, unit in UNITS.items() if rule.startswith(word)), "")
    own = str(law.data.get("convention", {}).get("loss", "nats per token"))
    return ("nats" if law.in_nats else own) if rule.startswith("loss") else unit
