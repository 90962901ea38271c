"""Batch, learning rate and weight decay of a run by every law that names one, by optimizer, and how far the laws disagree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from scaleplan.chain import catalogue
from scaleplan.chain.optimum import Beyond, beyond
from scaleplan.errors import NotSupported, UnknownName
from scaleplan.laws.convention import training_flops
from scaleplan.laws.law import Law, value_of
from scaleplan.laws.optimizer_rules import ADAM_LIKE, compute_ratio, gain_between, rate_at_batch, weight_decay
from scaleplan.laws.power import Power
from scaleplan.wording import field


class RunPoint(NamedTuple):
    """A run as the rules see it; each quantity a law's range may name."""

    n_params: Any
    n_tokens: Any
    compute_flops: Any
    tokens_per_param: Any
    batch_tokens: Any = None
    d_model: Any = None

    def known(self) -> dict[str, Any]:
        """What is known of it."""
        return {name: value for name, value in self._asdict().items() if value is not None}


class Rule(NamedTuple):
    """What one law says of a run.

    batch_tokens, learning_rate  None where it says nothing
    reasons        quantity -> why it is None, where the law has a rule that does not hold here
    rate_at_given  the learning rate at the batch that was given, by eta ~ sqrt(B) from the law's own batch; None without either
    weight_decay   with this rate and batch, by the law of the time scale; None where the optimizer has none or a part is missing
    n_kind         which N the law takes
    beyond         where the run lies outside the range of the law
    """

    law: Law
    optimizer: str
    schedule: str | None
    n_kind: str
    batch_tokens: Any
    learning_rate: Any
    rate_at_given: Any
    weight_decay: Any
    reasons: Mapping[str, str]
    beyond: Sequence[Beyond]


class Spread(NamedTuple):
    """How far the laws disagree: smallest, largest, and their ratio."""

    low: float
    high: float
    factor: float


def run_point(n_params: Any, n_tokens: Any, batch_tokens: Any = None, d_model: Any = None) -> RunPoint:
    """N and D with what follows from them."""
    return RunPoint(n_params, n_tokens, training_flops(n_params, n_tokens), n_tokens / n_params, batch_tokens, d_model)


def optimizers() -> list[str]:
    """The optimizers that some law names a rate or a batch for."""
    return sorted({optimizer_of(law) for law in batch_laws()})


def batch_laws() -> list[Law]:
    """The laws that name a batch or a learning rate, in their order."""
    return [catalogue.load_law(name) for name in catalogue.knowing("batch")]


def optimizer_of(law: Law) -> str:
    """The optimizer of a law's runs."""
    return str(law.data["convention"]["optimizer"])


def hyperparameters(point: RunPoint, optimizer: str | None = None) -> list[Rule]:
    """What every law says of a run; only those of one optimizer where it is named (`adamw` takes Adam's too)."""
    if optimizer is not None and optimizer not in optimizers():
        raise UnknownName(f"{field('optimizer')} with a rule for its rate", optimizer, optimizers())
    same = ADAM_LIKE if optimizer in ADAM_LIKE else (optimizer,)
    return [rule_of(law, point) for law in batch_laws() if optimizer is None or optimizer_of(law) in same]


def rule_of(law: Law, point: RunPoint) -> Rule:
    """What one law says: each of its rules within its range, and the weight decay that goes with its rate and batch."""
    known = point.known()
    batch, no_batch = value_of(law, "batch_tokens", known) if "batch_tokens" in law.rules else (None, None)
    rate, no_rate = value_of(law, "learning_rate", known) if "learning_rate" in law.rules else (None, None)
    reasons = {name: why for name, why in (("batch_tokens", no_batch), ("learning_rate", no_rate)) if why is not None}
    own_batch = law.data["convention"].get("batch_size_tokens") if batch is None else batch
    given = point.batch_tokens
    moved = None if rate is None or own_batch is None or given is None else rate_at_batch(rate, own_batch, given)
    decay = decay_for(law, point, rate if moved is None else moved, own_batch if given is None else given)
    schedule = law.data["convention"].get("schedule")
    return Rule(law, optimizer_of(law), schedule, law.n_kind, batch, rate, moved, decay, reasons, beyond(law.limits, point))


def decay_for(law: Law, point: RunPoint, rate: Any, batch: Any) -> Any:
    """Weight decay from the time scale tau(D / N), for AdamW alone: tau was measured there."""
    if rate is None or batch is None or optimizer_of(law) not in ADAM_LIKE:
        return None
    return weight_decay(batch, rate, point.n_tokens, decay_time(point))


def decay_law() -> tuple[Law, Power]:
    """The law of the best memory of weight decay, and tau as a power of tokens per parameter."""
    law = catalogue.load_law(catalogue.first_knowing("weight_decay"))
    rule = law.rules["weight_decay_time"]
    assert isinstance(rule, Power), "tau is a power of tokens per parameter"
    return law, rule


def decay_time(point: RunPoint) -> Any:
    """tau: the best memory of weight decay as a share of the run, by tokens per parameter."""
    return decay_law()[1].at(tokens_per_param=point.tokens_per_param)


def compared_optimizers() -> Sequence[str]:
    """The optimizers that were compared with AdamW, both tuned."""
    return tuple(catalogue.load_law(catalogue.first_knowing("optimizer_gain")).data["token_gain"]["optimizers"])


def disagreement(rules: Sequence[Rule], quantity: str) -> Spread | None:
    """Between the laws of one quantity (`batch_tokens`, `learning_rate`); None with fewer than two."""
    values = [value for rule in rules if (value := getattr(rule, quantity)) is not None]
    return Spread(min(values), max(values), max(values) / min(values)) if len(values) > 1 else None


class Gain(NamedTuple):
    """AdamW's tokens (or compute) over those of another optimizer, to the same loss.

    low, high    interval over the published comparisons
    tuned        of the comparison in which both were tuned, at this size; None outside the sizes it measured
    claimed      of the optimizer's own authors at this compute; None outside the range of their fit
    untested     whether N lies above every size that was compared with both optimizers tuned
    """

    optimizer: str
    low: float
    high: float
    tuned: float | None
    claimed: float | None
    untested: bool
    sources: Sequence[str]


def gain_over_adamw(optimizer: str, n_params: float, n_tokens: float) -> Gain:
    """How much further a token goes than with AdamW: an interval, never a constant. Sources: wen2025, liu2025."""
    tuned_law = catalogue.load_law(catalogue.first_knowing("optimizer_gain"))
    block = tuned_law.data["token_gain"]
    if optimizer not in block["optimizers"]:
        raise NotSupported(f"no tuned comparison of `{optimizer}` with AdamW", hint="compared: " + ", ".join(block["optimizers"]))
    sizes, gains = block["n_params"], block["gain"]
    tuned = gain_between(n_params, sizes, gains) if sizes[0] <= n_params <= sizes[1] else None
    claimed = claimed_gain(optimizer, training_flops(n_params, n_tokens))
    values = [*([tuned] if tuned else gains), *([claimed] if claimed else [])]
    if optimizer == "muon" and claimed is None:
        values.append(claimed_gain_at_edge())
    cited = [*tuned_law.sources("token_gain"), *(["liu2025"] if optimizer == "muon" else [])]
    return Gain(optimizer, min(values), max(values), tuned, claimed, n_params > sizes[1], cited)


def muon_and_adamw() -> tuple[Law, Power, Power]:
    """The two loss laws of one article along C, and its Muon law."""
    laws = {optimizer_of(law): law for law in map(catalogue.load_law, catalogue.knowing("loss_by_optimizer"))}
    muon, adamw = (laws[name].rules["loss_of_compute"] for name in ("muon", "adamw"))
    assert isinstance(muon, Power) and isinstance(adamw, Power), "both are powers of compute"
    return laws["muon"], muon, adamw


def claimed_gain(optimizer: str, flops: float) -> float | None:
    """AdamW's compute over Muon's by Muon's authors, within the compute they fitted."""
    if optimizer != "muon":
        return None
    law, muon, adamw = muon_and_adamw()
    inside = law.limits["compute_flops_min"] <= flops <= law.limits["compute_flops_max"]
    return float(1 / compute_ratio(muon, adamw, flops)) if inside else None


def claimed_gain_at_edge() -> float:
    """The same at the largest compute they fitted: beyond it their exponents make the gain shrink."""
    law, muon, adamw = muon_and_adamw()
    return float(1 / compute_ratio(muon, adamw, law.limits["compute_flops_max"]))
