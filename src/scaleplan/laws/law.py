"""A law: one published or fitted account of the loss, as read from a preset.

A preset has a heading (name, title, standing), `[convention]` (which N, D, C, loss and tokenizer), `[range]` (where it was
fitted) and one block for each thing it answers: `[loss]` L(N, D); `[allocation]` N or D against C; `[critical_batch]`,
`[batch_tokens]`, `[learning_rate]` and other named powers. A block names its form; a law of a known form needs no code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import log, nan
from typing import TYPE_CHECKING, Any, NamedTuple

from scaleplan.errors import InputError, NotSupported, UnknownName, clipped
from scaleplan.laws.batch import StepLoss, step_loss_of
from scaleplan.laws.convention import FLOPS_PER_PARAM_TOKEN
from scaleplan.laws.forms import Additive, Frontier, KaplanLoss
from scaleplan.laws.power import Logarithm, Power, PowerFrontier, frontier_of_params, frontier_of_tokens, power_of
from scaleplan.numeric import is_number, where

if TYPE_CHECKING:
    from scaleplan.laws.repetition import Repeating

Block = Mapping[str, Any]


class TopicUnknown(NotSupported):
    """A law asked about something that it does not know, and others do: `topic` is a role of theirs."""

    def __init__(self, message: str, topic: str) -> None:
        super().__init__(message)
        self.topic = topic


class Law(NamedTuple):
    """What one law says.

    n_kind    which N it means: `total` or `non_embedding`
    limits    where it was fitted: n_params_min, n_params_max, n_tokens_min, ..., in base units
    loss      L(N, D), where it has one
    frontier  the best N and D along a budget, where it has one
    rules     other quantities as powers, by the name of their block
    draws     the same law with other constants, as uncertain as its fit; empty where nothing is known of that
    data      the preset as it was read
    """

    name: str
    title: str
    standing: str
    n_kind: str
    tokenizer: str
    limits: Mapping[str, float]
    loss: Additive | Repeating | KaplanLoss | None
    frontier: Frontier | PowerFrontier | None
    rules: Mapping[str, Power | Logarithm]
    draws: Sequence[Additive]
    data: Mapping[str, Any]

    @property
    def additive(self) -> Additive:
        """Its loss as E + A / N^alpha + B / D^beta, or a refusal that names the law."""
        if isinstance(self.loss, Additive):
            return self.loss
        if isinstance(self.loss, KaplanLoss) or self.loss is None:
            raise NotSupported(f"`{self.name}` has no loss of the form E + A / N^alpha + B / D^beta")
        return self.loss.fresh

    @property
    def along_steps(self) -> StepLoss | None:
        """Its loss against steps, where it has one."""
        return step_loss_of(self.data["loss_of_steps"]) if "loss_of_steps" in self.data else None

    @property
    def guessing_nats(self) -> float | None:
        """The loss of guessing a token of its vocabulary; None where the preset does not say how large that is."""
        size = self.data.get("convention", {}).get("n_vocab")
        return log(size) if size and self.in_nats else None

    @property
    def in_nats(self) -> bool:
        """Whether its loss is in nats per token, not per byte."""
        return "nats per token" in str(self.data.get("convention", {}).get("loss", "nats per token"))

    def sources(self, block: str) -> list[str]:
        """Citation keys of one block, or of the whole preset where the block has none of its own."""
        cited = self.data.get(block, {}).get("source") or self.data.get("convention", {}).get("source", [])
        return [cited] if isinstance(cited, str) else list(cited)


def law_of(data: Mapping[str, Any], draws: Mapping[str, Sequence[float]] | None = None) -> Law:
    """A law from a parsed preset and its table of draws (column -> values)."""
    convention = data.get("convention", {})
    loss = loss_of(data["loss"]) if "loss" in data else None
    rules = {name: rule_of(block) for name, block in data.items() if name != "allocation" and is_rule(block)}
    return Law(
        name=data["name"],
        title=data.get("title", data["name"]),
        standing=data.get("standing", "fitted"),
        n_kind=convention.get("n_params", "total"),
        tokenizer=convention.get("tokenizer", "unknown"),
        limits={key: value for key, value in data.get("range", {}).items() if key.endswith(("_min", "_max"))},
        loss=loss,
        frontier=frontier_of(data, loss, rules),
        rules=rules,
        draws=draws_of(loss, draws) if draws else (),
        data=data,
    )


def loss_of(block: Block) -> Additive | Repeating | KaplanLoss | None:
    """L(N, D) from its block; None where the form needs more than N and D (experts, bits, sparsity)."""
    form = str(block.get("form"))
    if form in NEEDS_MORE:
        return None
    if form not in LOSSES:
        raise UnknownName("form of a loss", form, [*LOSSES, *NEEDS_MORE])
    try:
        return LOSSES[form](block)
    except KeyError as error:
        raise InputError(f"`[loss]` of form `{form}` lacks the constant `{error.args[0]}`") from None


def additive(block: Block) -> Additive:
    """E, A, B, alpha, beta; `n_params_unit` and `n_tokens_unit` where A and B are for N and D in other units (1e9)."""
    a, b, alpha, beta = (positive(block, name) for name in ("a", "b", "alpha", "beta"))
    a = a * block.get("n_params_unit", 1) ** alpha
    b = b * block.get("n_tokens_unit", 1) ** beta
    return Additive(number(block, "e_nats"), a, b, alpha, beta)


def number(block: Block, name: str) -> float:
    """A constant of a block that must be a number, as a float: a whole number to the power of a huge one would never end."""
    value = block[name]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(f"the constant `{name}` of a loss is `{clipped(value)}`, not a number")
    return float(value)


def positive(block: Block, name: str) -> float:
    """A constant that must be above zero."""
    value = number(block, name)
    if not value > 0:
        raise InputError(f"the constant `{name}` of a loss is `{value}`", hint="it must be greater than zero")
    return value


def over_training(block: Block) -> Additive:
    """L = E + (a M^eta + b M^-eta) C^-eta with M = D / N, which is additive: M / C = 1 / (6 N^2) and 1 / (M C) = 1 / (6 D^2).

    Source: gadre2024 equation 4.
    """
    e_nats, a, b, eta = (block[name] * 1.0 for name in ("e_nats", "a", "b", "eta"))  # arrays while fitting
    shrink = FLOPS_PER_PARAM_TOKEN**-eta
    return Additive(e_nats, a * shrink, b * shrink, 2 * eta, 2 * eta)


def repeating(block: Block) -> Repeating:
    """The additive constants with R_D* and R_N*."""
    from scaleplan.laws.repetition import Repeating

    return Repeating(additive(block), number(block, "r_d_star"), number(block, "r_n_star"))


def kaplan(block: Block) -> KaplanLoss:
    """N_c, D_c and their exponents."""
    return KaplanLoss(*(number(block, name) for name in KaplanLoss._fields))


LOSSES: Mapping[str, Callable[[Block], Additive | Repeating | KaplanLoss]] = {
    "additive": additive,
    "over-training": over_training,
    "repeating": repeating,
    "kaplan": kaplan,
}
NEEDS_MORE = ("sparse-experts", "routed-experts", "fine-grained-experts", "joint-experts", "precision", "sparsity")
RULES = ("power", "logarithm")


def outside(block: Block, known: Mapping[str, Any]) -> str | None:
    """Why a rule has no answer: a quantity outside the range in which its block says that it holds, or a quantity it lacks."""
    for key, bound in block.items():
        quantity, _, side = key.rpartition("_")
        if side not in ("min", "max") or quantity not in known:
            continue
        value = known[quantity]
        if (value > bound) if side == "max" else (value < bound):
            return f"{quantity} = {value:.3g} is {'above' if side == 'max' else 'below'} {bound:.3g}, where the rule ends"
    return None


def within(block: Block, known: Mapping[str, Any], values: Any) -> Any:
    """Values of a rule in arrays, NaN outside the range in which its block says that it holds."""
    quantities, kept = {**known, "value": values}, values
    for key, bound in block.items():
        quantity, _, side = key.rpartition("_")
        if side in ("min", "max") and quantity in quantities:
            value = quantities[quantity]
            kept = where((value > bound) if side == "max" else (value < bound), nan, kept)
    return kept


def value_of(law: Law, name: str, known: Mapping[str, Any]) -> tuple[Any, str | None]:
    """What a rule of a law says, or None and why it says nothing; `value_min`, `value_max` of its block bound the value itself.

    In arrays, NaN where the rule says nothing.
    """
    rule, block = law.rules.get(name), law.data.get(name, {})
    if rule is None:
        return None, f"no rule for {name}"
    missing = sorted(rule.needs() - set(known))
    if missing:
        return None, f"needs {missing[0]}"
    if not is_number(*known.values()):
        return within(block, known, rule.at(**known)), None
    reason = outside(block, known)
    if reason:
        return None, reason
    value = rule.at(**known)
    reason = outside(block, {"value": value})
    return (None, reason) if reason else (value, None)


def is_rule(block: Any) -> bool:
    """Whether a value of a preset is a block with a rule."""
    return isinstance(block, Mapping) and block.get("form") in RULES


def rule_of(block: Block) -> Power | Logarithm:
    """A quantity that follows from one or more others."""
    return power_of(block) if block["form"] == "power" else Logarithm(number(block, "offset"), number(block, "slope"))


def frontier_of(data: Mapping[str, Any], loss: Any, rules: Mapping[str, Any]) -> Frontier | PowerFrontier | None:
    """Its own `[allocation]`, else the optimum of its loss."""
    block = data.get("allocation")
    if block is None:
        return loss if isinstance(loss, Frontier) else getattr(loss, "fresh", None)  # of repeated data: of the first pass
    allocation, along = power_of(block), rules.get("loss_of_compute")
    spent = block.get("min_compute_fraction", 1)  # C_min / C at the batch size of the run
    allocation, along = at_spent(allocation, spent), at_spent(along, spent) if along else None
    return (frontier_of_tokens if block.get("gives") == "n_tokens" else frontier_of_params)(allocation, along)


def at_spent(law: Power, fraction: float) -> Power:
    """A law of C_min as a law of the compute that is spent: C_min = fraction x C."""
    return law._replace(units={**law.units, "compute_flops": law.units.get("compute_flops", 1) / fraction})


def draws_of(loss: Any, columns: Mapping[str, Sequence[float]]) -> list[Additive]:
    """One law a row of the table; its columns are the constants of the additive form."""
    if not isinstance(loss, Additive):
        raise NotSupported("draws are understood for a loss of form `additive` only")
    missing = [name for name in Additive._fields if name not in columns]
    if missing:
        raise InputError(f"the table of draws has no column `{missing[0]}`", hint="its columns are " + ", ".join(Additive._fields))
    return [Additive(*row) for row in zip(*(columns[name] for name in Additive._fields), strict=True)]


def stacked(draws: Sequence[Additive]) -> Additive:
    """All draws as one law whose constants are arrays."""
    import numpy as np

    return Additive(*np.array(draws).T)
