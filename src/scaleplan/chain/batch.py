"""How large a batch may be: a run of the user's own, or the runs that reach a loss, on the curve of steps against tokens.

    E = E_min (1 + B / B_crit),   S = S_min (1 + B_crit / B),   B_crit = E_min / S_min

B_crit follows from the loss, by the law with the role `critical_batch`. The curve goes through the run that was given: what it
spends at its own batch tells E_min. Sources: mccandlish2018 section 2; kaplan2020 equations 5.1 to 5.6 and appendix B.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from scaleplan.answer import Interval
from scaleplan.chain import catalogue
from scaleplan.chain.optimum import Beyond, beyond
from scaleplan.chain.uncertainty import interval
from scaleplan.errors import InputError, NotSupported, UsageError
from scaleplan.laws.allocation import Question, Run, allocate, check_guessing
from scaleplan.laws.batch import StepLoss, Tradeoff, from_run, from_steps
from scaleplan.laws.convention import training_flops
from scaleplan.laws.law import Law
from scaleplan.laws.training import moment
from scaleplan.numeric import is_number
from scaleplan.wording import field, fields

BatchBasis = Literal["given", "stated", "assumed", "solved"]
"""given: by the user. stated: of the runs that the law was fitted on. assumed: B_crit. solved: what D, N and the loss leave."""
LossBasis = Literal["given", "law"]
SizeBasis = Literal["given", "best"]

FORMULAS: Mapping[str, str] = {
    "min_tokens": "n_tokens / (1 + batch_size_tokens / critical_batch_tokens)",
    "min_tokens_of_steps": "critical_batch_tokens * min_steps",
    "min_steps_of_tokens": "min_tokens / critical_batch_tokens",
    "min_compute_flops": "6 * n_params * min_tokens",
    "batch_size_tokens": "critical_batch_tokens * (n_tokens / min_tokens - 1)",
}


class BatchQuestion(NamedTuple):
    """What is known: a loss; or N and D, whose loss a law tells; or a loss and N, with D or B of the run."""

    loss_nats: Any = None
    n_params: Any = None
    n_tokens: Any = None
    batch_tokens: Any = None


class BatchAnswer(NamedTuple):
    """The runs that reach one loss.

    loss_law           the law that told the loss; None where it was given
    n_params           N; the size that reaches the loss with the least compute where none was given
    n_tokens           D of the run that was given
    batch_tokens       its batch; None where only a loss is known
    curve              E_min and S_min; `curve.steps(B)`, `curve.tokens(B)`, `curve.flops(B, N)` for any batch
    min_compute_flops  least compute to the loss over all sizes and batches; None where E_min comes of a run of another law
    intervals          80 % intervals over the draws of `loss_law`; None without draws
    beyond             where the run lies outside the range of `loss_law`
    """

    loss_nats: Any
    loss_basis: LossBasis
    loss_law: Law | None
    n_params: Any
    size_basis: SizeBasis
    n_tokens: Any
    batch_tokens: Any
    batch_basis: BatchBasis | None
    curve: Tradeoff
    min_compute_flops: Any
    intervals: Mapping[str, Interval] | None
    beyond: Sequence[Beyond]


def check_batch_question(asked: BatchQuestion) -> None:
    """Refuse what says too little or too much."""
    if asked.loss_nats is None and (asked.n_params is None or asked.n_tokens is None):
        raise UsageError("at which loss?", hint=f"give {field('loss')}, or {fields('n_params', 'tokens')} to have a law tell it")
    if asked.loss_nats is not None and asked.n_params is None and asked.n_tokens is not None:
        raise UsageError(f"{fields('loss', 'tokens')} leave the size open", hint=f"add {field('n_params')}, or leave out {field('tokens')}")
    if all(value is not None for value in asked):
        raise UsageError(f"{fields('loss', 'n_params', 'tokens', 'batch_size_tokens')}: three of them fix the fourth", hint="leave one out")


def batch_answer(asked: BatchQuestion, law: Law | None = None) -> BatchAnswer:
    """The curve through what is known; `law` tells the loss of a run (without one, the recommended law)."""
    check_batch_question(asked)
    if asked.loss_nats is None:
        return of_run(asked, law or catalogue.load_law(catalogue.recommended()))
    return of_loss(asked)


# From a run: N and D, and the batch.


def of_run(asked: BatchQuestion, law: Law) -> BatchAnswer:
    """The curve through N parameters on D tokens at the batch given, else at that of the law's own runs, else at B_crit."""
    batch, basis = run_batch(asked, law)
    loss = loss_of_run(asked, law, batch)
    critical = catalogue.critical_batch().at(loss_nats=loss)
    batch = critical if batch is None else batch
    curve = from_run(asked.n_tokens, batch, critical)
    same_law = law.name == catalogue.critical_batch_law().name
    return BatchAnswer(
        loss,
        "law",
        law,
        asked.n_params,
        "given",
        asked.n_tokens,
        batch,
        basis,
        curve,
        least_compute(loss) if same_law else None,
        run_intervals(asked, law, None if basis == "assumed" else batch),
        beyond(law.limits, Run(asked.n_params, asked.n_tokens, loss)),
    )


def run_batch(asked: BatchQuestion, law: Law) -> tuple[Any, BatchBasis]:
    """The batch of a run and where it comes from; None: B_crit, which follows from the loss."""
    if asked.batch_tokens is not None:
        return asked.batch_tokens, "given"
    stated = law.data.get("convention", {}).get("batch_size_tokens")
    return (stated, "stated") if stated else (None, "assumed")


def loss_of_run(asked: BatchQuestion, law: Law, batch_tokens: Any) -> Any:
    """The loss by a law: against steps where it knows that, at this batch; else L(N, D), whatever the batch."""
    along = law.along_steps
    if along is not None:
        return moment(along, catalogue.critical_batch(), asked.n_params, asked.n_tokens, batch_tokens).loss_nats
    loss = allocate(law, Question(n_params=asked.n_params, n_tokens=asked.n_tokens)).loss_nats
    if loss is None:
        raise NotSupported(f"the loss is not known under `{law.name}`", hint=f"another {field('law')}, or {field('loss')}")
    if not law.in_nats:
        unit = law.data["convention"]["loss"]
        raise NotSupported(f"`{law.name}` measures {unit}, and B_crit follows from nats per token", hint=f"another {field('law')}")
    check_guessing(catalogue.critical_batch_law(), loss)
    return loss


def run_intervals(asked: BatchQuestion, law: Law, batch_tokens: Any) -> dict[str, Interval] | None:
    """80 % intervals of what follows from the loss, over the draws of the law."""
    if not law.draws:
        return None
    rule, curves = catalogue.critical_batch(), []
    losses = [draw.loss(asked.n_params, asked.n_tokens) for draw in law.draws]
    for loss in losses:
        critical = rule.at(loss_nats=loss)
        curves.append(from_run(asked.n_tokens, critical if batch_tokens is None else batch_tokens, critical))
    found = {
        "loss_nats": interval(losses),
        "critical_batch_tokens": interval(curve.critical_batch for curve in curves),
        "min_tokens": interval(curve.min_tokens for curve in curves),
        "min_steps": interval(curve.min_steps for curve in curves),
    }
    return {name: points for name, points in found.items() if points}


# From a loss.


def of_loss(asked: BatchQuestion) -> BatchAnswer:
    """The curve of a model of known size to a loss, or of the size that reaches it with the least compute."""
    law, along, loss = catalogue.critical_batch_law(), steps_law(), asked.loss_nats
    check_guessing(law, loss)
    best = along.params_at_loss(loss)
    n_params = best if asked.n_params is None else asked.n_params
    critical = catalogue.critical_batch().at(loss_nats=loss)
    if outdoes_law(asked, along, critical):
        return of_given_run(asked, critical)
    check_size(along, n_params, loss)
    curve = from_steps(along.min_steps(n_params, loss), critical)
    batch, basis = loss_batch(asked, curve)
    tokens = asked.n_tokens if asked.n_tokens is not None or batch is None else curve.tokens(batch)
    run = Run(n_params, curve.min_tokens if tokens is None else tokens, loss)
    size: SizeBasis = "best" if asked.n_params is None else "given"
    outside = beyond(law.limits, run)
    return BatchAnswer(loss, "given", None, n_params, size, tokens, batch, basis, curve, least_compute(loss), None, outside)


def outdoes_law(asked: BatchQuestion, along: StepLoss, critical: Any) -> bool:
    """Whether a run of N on D reached its loss with fewer parameters or tokens than L(N, S_min) allows at any batch."""
    if not is_number(asked.loss_nats, asked.n_params, asked.n_tokens):
        return False
    return bool(
        asked.loss_nats <= along.converged(asked.n_params) or asked.n_tokens <= critical * along.min_steps(asked.n_params, asked.loss_nats)
    )


def of_given_run(asked: BatchQuestion, critical: Any) -> BatchAnswer:
    """The curve through a run of known loss that the law of steps does not reach: B_crit follows from the loss, the batch is B_crit."""
    law, run = catalogue.critical_batch_law(), Run(asked.n_params, asked.n_tokens, asked.loss_nats)
    curve, outside = from_run(asked.n_tokens, critical, critical), beyond(law.limits, run)
    return BatchAnswer(
        asked.loss_nats, "given", None, asked.n_params, "given", asked.n_tokens, critical, "assumed", curve, None, None, outside
    )


def loss_batch(asked: BatchQuestion, curve: Tradeoff) -> tuple[Any, BatchBasis | None]:
    """The batch given, or that with which D tokens reach the loss."""
    if asked.batch_tokens is not None:
        return asked.batch_tokens, "given"
    if asked.n_tokens is None:
        return None, None
    return curve.critical_batch * (asked.n_tokens / curve.min_tokens - 1), "solved"


def check_size(along: StepLoss, n_params: Any, loss_nats: Any) -> None:
    """Refuse a loss that a model of this size never reaches."""
    floor = along.converged(n_params)
    if is_number(loss_nats, floor) and not loss_nats > floor:
        raise InputError(
            f"{n_params:.4g} parameters never reach a loss of {loss_nats:.4g} nats: by {catalogue.critical_batch_law().name} it "
            f"stays above {floor:.4f}",
            hint=f"a larger {field('n_params')}, or a higher {field('loss')}",
        )


def steps_law() -> StepLoss:
    """L(N, S_min) of the law that knows B_crit."""
    along = catalogue.critical_batch_law().along_steps
    assert along is not None, "the law of B_crit has a loss against steps"
    return along


def least_compute(loss_nats: Any) -> Any:
    """C_min: least 6 N E_min over all sizes, at N with L = (1 + alpha_N / alpha_S) L(N, endless training).

    Source: kaplan2020 appendix B.
    """
    along = steps_law()
    best = along.params_at_loss(loss_nats)
    critical = catalogue.critical_batch().at(loss_nats=loss_nats)
    return training_flops(best, critical * along.min_steps(best, loss_nats))
