"""What the laws answer to one budget, side by side, and what each answer is worth to the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from scaleplan.answer import Interval
from scaleplan.chain import catalogue
from scaleplan.chain.uncertainty import interval
from scaleplan.errors import ScaleplanError
from scaleplan.laws.allocation import LossKind, Question, Run, allocate, allocate_draws, dataset_loss, loss_kind
from scaleplan.laws.batch import StepLoss
from scaleplan.laws.convention import TOTAL, converted_params, training_flops
from scaleplan.laws.efficient import efficient_frontier
from scaleplan.laws.forms import Additive, KaplanLoss
from scaleplan.laws.law import Law, TopicUnknown, value_of
from scaleplan.laws.power import Power
from scaleplan.numeric import is_number, maximum

NOTHING = 1e-9  # relative: what is as narrow as this is fixed by the bounds


class Advice(NamedTuple):
    """One law's answer.

    run              N in the law's own kind, D, loss
    n_params         N in the kind that was asked for, `n_params_kind`
    critical_batch   Kaplan's B_crit at the loss of the run, in tokens; None where the loss is unknown
    n_steps          steps of the run at that batch
    excess           what the yardstick law expects of this N and D, against its own best at the same compute
    epochs           passes over the different tokens, where those are limited
    rules            what else the law says of this run: batch, steps, other losses
    unsaid           rules of the law that hold elsewhere: name -> why they say nothing of this run
    intervals        80 % intervals of what is not fixed; None for a law without draws
    beyond           where the run lies outside the range in which the law was fitted
    flops_per_token  what a token costs, where that was counted; None: 6 N
    loss_kind        which loss `run.loss_nats` is; None where it is unknown
    dataset_loss     L(N, D) of a data set on which the model trains until it stops improving, of a law that tells it apart
    penalty          what this N and D cost against the law's own best, where they were given; None on the frontier
    shortfall        how far D lies below what keeps a model of N from overfitting, by the law's own bound; None above it
    """

    law: Law
    run: Run
    n_params: float
    n_params_kind: str
    critical_batch: float | None
    n_steps: float | None
    excess: Excess
    epochs: float | None
    rules: Mapping[str, Told]
    intervals: Mapping[str, Interval] | None
    beyond: Sequence[Beyond]
    flops_per_token: float | None = None
    unsaid: Mapping[str, str] = {}
    loss_kind: LossKind | None = None
    dataset_loss: float | None = None
    penalty: Penalty | None = None
    shortfall: Shortfall | None = None

    @property
    def loss_nats(self) -> Any:
        """The loss where it is in nats per token; None for laws that measure something else, which is `run.loss_nats` in `loss_unit`."""
        return self.run.loss_nats if self.law.in_nats else None

    @property
    def loss_unit(self) -> str:
        """What the law's loss counts, as its preset says."""
        return str(self.law.data.get("convention", {}).get("loss", "nats per token"))

    @property
    def compute_flops(self) -> Any:
        """What the run costs, as its tokens are counted."""
        return self.run.compute_flops if self.flops_per_token is None else self.flops_per_token * self.run.n_tokens


Adviser = Callable[[Law, Question, Law, Power, str | None], Advice]
"""What answers as `advise` does."""


class Excess(NamedTuple):
    """A run seen by another law.

    loss_nats          its loss by that law
    above_best_nats    how much above the best loss of as much compute
    wasted_fraction    share of the compute without which the best run would reach the same loss
    spent_flops        its compute as that law counts it
    needed_flops       what the best run of the same loss takes
    """

    loss_nats: Any
    above_best_nats: Any
    wasted_fraction: Any
    spent_flops: Any
    needed_flops: Any


class Penalty(NamedTuple):
    """A run held against the best run of its own law.

    best_n_params, best_n_tokens  the cheapest run that reaches its loss
    best_loss_nats                the best loss of as much compute
    above_best_nats               how much above it
    compute_factor                its compute over that of the cheapest run of the same loss
    """

    best_n_params: float
    best_n_tokens: float
    best_loss_nats: float
    above_best_nats: float
    compute_factor: float


class Shortfall(NamedTuple):
    """Fewer tokens than keep a model from overfitting a data set of that size.

    needed_tokens      the law's bound for this N
    overfit_fraction   L(N, D) / L(N, endless data) - 1
    above_nats         L(N, D) - L(N, endless data)
    """

    needed_tokens: float
    overfit_fraction: float
    above_nats: float


class Told(NamedTuple):
    """A rule of a law at a run: its value and what it was made from."""

    value: float
    rule: Power
    inputs: Mapping[str, float]


class Beyond(NamedTuple):
    """A quantity outside the range of a fit, and by what factor."""

    quantity: str
    value: float
    bound: float
    factor: float


def constrained(question: Question) -> bool:
    """Whether more than a budget is asked, so that the optimum is not that of the plain law."""
    return any(limit is not None for limit in (question.unique_tokens, question.inference_tokens, question.bounds))


def advise(law: Law, question: Question, yardstick: Law, critical_batch: Power, kind: str | None = None) -> Advice:
    """The answer of one law.

    yardstick       the law by which answers are compared
    critical_batch  B_crit as a function of the loss
    kind            the kind of N that is given and shown; None: the law's own
    """
    kind = kind or law.n_kind
    if question.n_params is not None:
        question = question._replace(n_params=converted_params(question.n_params, kind, law.n_kind))
    try:
        run = allocate(law, question)
    except TopicUnknown as error:
        raise catalogue.with_hint(error) from None
    rules, unsaid = told(law, run)
    total = converted_params(run.n_params, law.n_kind, TOTAL)
    batch = batch_at(critical_batch, run.loss_nats) if law.in_nats else None
    return Advice(
        law,
        run,
        n_params=converted_params(run.n_params, law.n_kind, kind),
        n_params_kind=kind,
        critical_batch=batch,
        n_steps=run.n_tokens / batch if batch is not None else None,
        excess=excess(yardstick, total, run.n_tokens),
        epochs=maximum(run.n_tokens / question.unique_tokens, 1.0) if question.unique_tokens is not None else None,
        rules=rules,
        intervals=intervals(law, question, critical_batch, kind),
        beyond=beyond(law.limits, run),
        unsaid=unsaid,
        loss_kind=loss_kind(law, question) if run.loss_nats is not None else None,
        dataset_loss=dataset_loss(law, run.n_params, run.n_tokens) if len(question.fixed()) == 2 else None,
        penalty=penalty(law, run) if len(question.fixed()) == 2 and not constrained(question) else None,
        shortfall=shortfall(law, run) if len(question.fixed()) == 2 else None,
    )


def ask_laws(
    names: Sequence[str], question: Question, kind: str | None = None, precision: str | None = None, adviser: Adviser | None = None
) -> tuple[list[Advice], dict[str, ScaleplanError]]:
    """The answers of laws, and by name why others have none; without names those that are shown by default, or that know repetition.

    kind       the kind of N that is given and shown; None: each law's own
    precision  the number format of training; None: that of each law's runs
    adviser    what answers for one law; None: `advise`
    """
    ask, yardstick, critical_batch = adviser or advise, catalogue.load_law(catalogue.recommended()), catalogue.critical_batch()

    def answer(law: Law) -> Advice:
        if precision:
            from scaleplan.chain.few_bits import in_precision

            law = in_precision(law, precision)
        return ask(law, question, yardstick, critical_batch, kind)

    usual = catalogue.default_laws() if question.unique_tokens is None else catalogue.knowing("repetition")
    wanted = list(names or usual)
    if catalogue.EVERY in wanted:  # of the whole catalogue those that divide a budget
        wanted = [law.name for law in catalogue.load_laws(wanted) if law.frontier is not None]
    return catalogue.ask_each(wanted, catalogue.asked_by_name(names), answer)


def batch_at(critical_batch: Power, loss_nats: Any) -> Any:
    """B_crit, where the loss is known."""
    return critical_batch.at(loss_nats=loss_nats) if loss_nats is not None else None


def excess(yardstick: Law, n_params: Any, n_tokens: Any) -> Excess:
    """N (total) on D, held against the best use of as much compute by the yardstick law."""
    law, flops = yardstick.additive, training_flops(n_params, n_tokens)
    loss = law.loss(n_params, n_tokens)
    best = law.params_at_loss(loss)
    needed = training_flops(best, law.tokens_at_params(best))
    return Excess(loss, maximum(loss - law.least_loss(flops), 0.0), maximum(1 - needed / flops, 0.0), flops, needed)


def penalty(law: Law, run: Run) -> Penalty | None:
    """What a run costs against the best of its law; None for laws whose loss off the frontier is unknown."""
    along, critical_batch = law.along_steps, law.rules.get("critical_batch")
    if along is not None and isinstance(critical_batch, Power):
        return penalty_along_steps(along, critical_batch, run)
    if not isinstance(law.loss, Additive):
        return None
    n = law.loss.params_at_loss(run.loss_nats)
    d = law.loss.tokens_at_params(n)
    best = law.loss.least_loss(run.compute_flops)
    return Penalty(n, d, best, maximum(run.loss_nats - best, 0.0), run.compute_flops / training_flops(n, d))


def penalty_along_steps(along: StepLoss, critical_batch: Power, run: Run) -> Penalty:
    """Of one pass at the critical batch: C(N) / C_opt = r (1 + (alpha_S / alpha_N) (1 - r^-alpha_N))^(-1 / alpha_S), r = N / N_opt.

    Source: kaplan2020 appendix B.4. The best loss of as much compute is where 6 N D of the cheapest run is that compute.
    """

    n = along.params_at_loss(run.loss_nats)
    d = 2 * critical_batch.at(loss_nats=run.loss_nats) * along.min_steps(n, run.loss_nats)
    best = efficient_frontier(along, critical_batch).loss(run.compute_flops / 2)  # half of what is spent at the critical batch
    return Penalty(n, d, best, maximum(run.loss_nats - best, 0.0), along.compute_of_size(run.n_params / n))


def shortfall(law: Law, run: Run) -> Shortfall | None:
    """How far the tokens of a run lie below the law's bound against overfitting."""
    bound = law.rules.get("tokens_against_overfitting")
    if not isinstance(bound, Power) or not isinstance(law.loss, KaplanLoss):
        return None
    needed = bound.at(n_params=run.n_params)
    if not is_number(run.n_tokens, needed) or run.n_tokens >= needed:
        return None
    over = law.loss.overfit(run.n_params, run.n_tokens)
    return Shortfall(needed, over, law.loss.loss(run.n_params, run.n_tokens) * over / (1 + over))


def told(law: Law, run: Run) -> tuple[dict[str, Told], dict[str, str]]:
    """Every power of a law whose quantities a run has, and why others say nothing; a power of compute is of C_min where the law's
    allocation is."""
    least = law.data.get("allocation", {}).get("min_compute_fraction", 1) * run.compute_flops
    known = {"n_params": run.n_params, "n_tokens": run.n_tokens, "compute_flops": least, "loss_nats": run.loss_nats}
    known = {name: value for name, value in known.items() if value is not None}
    found, unsaid = {}, {}
    for name, rule in law.rules.items():
        if name == "critical_batch" or not rule.needs() <= set(known):
            continue
        _, reason = value_of(law, name, known)
        if reason is not None:
            unsaid[name] = reason
        elif isinstance(rule, Power):
            seen = known | ({"compute_flops": run.compute_flops} if law.data[name].get("of_spent_compute") else {})
            found[name] = Told(rule.at(**seen), rule, {quantity: seen[quantity] for quantity in rule.exponents})
    return found, unsaid


def intervals(law: Law, question: Question, critical_batch: Power, kind: str) -> dict[str, Interval] | None:
    """80 % intervals over the draws of a law, of every quantity that the question leaves open."""
    if not law.draws or question.unique_tokens is not None:
        return None
    runs = allocate_draws(law, question)
    open_quantities: dict[str, Callable[[Run], float]] = {
        "n_params": lambda run: converted_params(run.n_params, law.n_kind, kind),
        "n_tokens": lambda run: run.n_tokens,
        "tokens_per_param": lambda run: run.n_tokens / converted_params(run.n_params, law.n_kind, kind),
        "loss_nats": lambda run: run.loss_nats,
        "compute_flops": lambda run: run.compute_flops,
        "critical_batch_tokens": lambda run: critical_batch.at(loss_nats=run.loss_nats),
    }
    fixed = known(question) if law.in_nats else known(question) | {"critical_batch_tokens", "loss_nats"}
    found = {name: interval(map(measure, runs)) for name, measure in open_quantities.items() if name not in fixed}
    kept = {name: points for name, points in found.items() if points}
    if question.bounds is not None:
        kept = {name: points for name, points in kept.items() if is_open(points)}
    return kept or None


def is_open(points: Interval) -> bool:
    """Whether an interval is wider than nothing; those of arrays are kept."""
    return not is_number(*points) or points.p90 - points.p10 > NOTHING * abs(points.p50)


def known(question: Question) -> set[str]:
    """What a question fixes, also through C = 6 N D."""
    fixed = set(question.fixed())
    if len(fixed) == 2:
        fixed |= {"compute_flops", "n_params", "n_tokens", "tokens_per_param"}
    if question.loss_nats is not None:
        fixed |= {"critical_batch_tokens"}
    return fixed


def beyond(limits: Mapping[str, float], run: object) -> list[Beyond]:
    """Where a run lies outside the range of a fit, farthest first."""
    found = []
    for key, bound in limits.items():
        quantity, _, side = key.rpartition("_")
        known: Any = getattr(run, quantity, None)
        if not is_number(known):
            continue
        value = float(known)
        factor = value / bound if side == "max" else bound / value
        if factor > 1:
            found.append(Beyond(quantity, value, bound, factor))
    return sorted(found, key=lambda item: -item.factor)


class Growth(NamedTuple):
    """By how much things grow when compute grows tenfold, and the loss there."""

    law: Law
    n_params: Any
    n_tokens: Any
    critical_batch: Any
    n_steps: Any
    loss_nats: Any


def growth(advice: Advice, critical_batch: Power) -> Growth:
    """Multipliers for ten times the compute: the answer at that budget over the answer at this one."""
    law, here = advice.law, advice.run
    tenfold = allocate(law, Question(compute_flops=10 * advice.compute_flops))
    batch = steps = None
    if law.in_nats and here.loss_nats is not None and tenfold.loss_nats is not None:
        batch = critical_batch.at(loss_nats=tenfold.loss_nats) / critical_batch.at(loss_nats=here.loss_nats)
        steps = tenfold.n_tokens / here.n_tokens / batch
    return Growth(law, tenfold.n_params / here.n_params, tenfold.n_tokens / here.n_tokens, batch, steps, tenfold.loss_nats)


def at_the_optimum(question: Question) -> bool:
    """Whether the runs lie on the frontiers of their laws, so that one can follow them to more compute."""
    return len(question.fixed()) == 1 and not constrained(question)
