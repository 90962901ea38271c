"""A budget -> N and D, from whichever side it is given.

A question fixes one of compute, N, D and the loss (the rest is then what is best), or two of the first three (the third
follows from C = 6 N D). Numbers and numpy arrays pass through the same formulas, and so do a law and its draws.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from scaleplan.errors import InputError, NotSupported, UsageError
from scaleplan.laws.convention import FLOPS_PER_PARAM_TOKEN, inference_flops, training_flops
from scaleplan.laws.forms import Additive, Frontier, KaplanLoss
from scaleplan.laws.law import Law, TopicUnknown
from scaleplan.laws.power import Power, PowerFrontier
from scaleplan.laws.training import moment
from scaleplan.numeric import is_number
from scaleplan.wording import field, fields
from scaleplan.wording import question as ask

if TYPE_CHECKING:
    from scaleplan.laws.constraints import Bounds

ENDLESS = 1e30
LARGEST_RUN = 1e24  # tokens or parameters: more than a billion times the stock of public text is no run

LossKind = Literal["frontier", "one-pass", "repeated"]
"""frontier: of the best N and D of a budget, L(C). one-pass: of N on D fresh tokens. repeated: of passes over a limited set."""

FIELDS = {"compute_flops": "compute", "n_params": "n_params", "n_tokens": "tokens", "loss_nats": "loss"}
"""What a question fixes -> the field that gives it."""


class Question(NamedTuple):
    """What is fixed. N is in the law's own kind.

    unique_tokens     how many different tokens exist, where that is limited
    inference_tokens  tokens that the model will read and write once trained, where that should count
    bounds            on N, D and D / N, where they are not free
    """

    compute_flops: Any = None
    n_params: Any = None
    n_tokens: Any = None
    loss_nats: Any = None
    unique_tokens: Any = None
    inference_tokens: Any = None
    bounds: Bounds | None = None

    def fixed(self) -> list[str]:
        """The names of what is fixed among compute, N, D and the loss."""
        return [name for name in FIELDS if getattr(self, name) is not None]


class Run(NamedTuple):
    """One training run: N parameters (of the law's kind) on D tokens, and the loss, where the law knows it."""

    n_params: Any
    n_tokens: Any
    loss_nats: Any

    @property
    def compute_flops(self) -> Any:
        return training_flops(self.n_params, self.n_tokens)

    @property
    def tokens_per_param(self) -> Any:
        return self.n_tokens / self.n_params


def check_question(question: Question) -> None:
    """Refuse what is fixed twice, or not at all."""
    fixed = question.fixed()
    given = fields(*(FIELDS[name] for name in fixed))
    if not fixed:
        raise UsageError("what is the budget?", hint=f"give one of {fields(*FIELDS.values(), joined=', ')}")
    if "loss_nats" in fixed and len(fixed) > 1:
        raise UsageError(
            f"{given} contradict each other", hint=f"{field('loss')} asks for the cheapest run that reaches it; leave out the rest"
        )
    if question.bounds is not None and fixed not in (["compute_flops"], ["loss_nats"]):
        raise UsageError(
            f"bounds do not go with {given}", hint=f"they narrow what {fields('compute', 'loss', joined=' or ')} alone leaves open"
        )
    if len(fixed) > 2:
        raise UsageError(f"{given}: two of them fix the third", hint="leave one out")


def allocate(law: Law, question: Question) -> Run:
    """What a law answers. Raises NotSupported where it has no answer, InputError where no run can be."""
    check_guessing(law, question.loss_nats)
    check_serving(question)
    run = unchecked(law, question)
    check_run(law, run, question)
    return run


def check_guessing(law: Law, loss_nats: Any) -> None:
    """Refuse a loss that guessing reaches."""
    if is_number(loss_nats, law.guessing_nats) and loss_nats > law.guessing_nats:
        raise InputError(
            f"a loss of {loss_nats:.4g} nats is worse than guessing a token, {law.guessing_nats:.2f} nats", hint="losses are per token"
        )


def check_serving(question: Question) -> None:
    """Refuse a budget that serving alone exceeds."""
    if is_number(question.inference_tokens, question.n_params, question.compute_flops):
        serving = inference_flops(question.n_params, question.inference_tokens)
        if not serving < question.compute_flops:
            raise InputError(
                f"serving alone takes 2 N I = {serving:.3g} FLOP of a budget of {question.compute_flops:.3g}",
                hint=f"a smaller {field('n_params')}, fewer {field('inference_tokens')} or more {field('compute')}",
            )


def check_run(law: Law, run: Run, question: Question) -> None:
    """Refuse a run that cannot be: less than one parameter or token, more than any could have, or no better than guessing."""
    hint = f"a larger {field('loss')}" if question.loss_nats is not None else "change the budget"
    for value, what in ((run.n_params, "parameters"), (run.n_tokens, "tokens")):
        if is_number(value) and not 1 <= value <= LARGEST_RUN:
            size = "fewer than one" if value < 1 else f"more than {LARGEST_RUN:.0e}"
            raise InputError(f"`{law.name}` answers with {value:.3g} {what}, {size}", hint=hint)
    if is_number(run.loss_nats, law.guessing_nats) and run.loss_nats > law.guessing_nats:
        worse = f"worse than guessing a token, {law.guessing_nats:.2f} nats"
        raise InputError(f"`{law.name}` answers with a loss of {run.loss_nats:.4g} nats, {worse}", hint="a larger budget")


def unchecked(law: Law, question: Question) -> Run:
    """What the formulas of a law give."""
    frontier = frontier_for(law, question)
    if question.loss_nats is not None:
        check_reach(law, frontier, question)
    n, d = locator(question)(within(frontier, question))
    if isinstance(frontier, Frontier) or (len(question.fixed()) == 1 and question.bounds is None):
        return Run(n, d, frontier.loss(n, d))
    # A published power law knows the loss along its frontier; beside it another fit of the same article may know L(N, D), which
    # must not be set beside the first: a bound would seem to improve the loss.
    return Run(n, d, None if question.bounds is not None else loss_off_frontier(law, n, d))


def allocate_draws(law: Law, question: Question) -> list[Run]:
    """The same question to each draw of the law; draws that cannot reach a loss are left out."""
    draws: Sequence[Additive] = law.draws
    if is_number(question.loss_nats):
        draws = [draw for draw in draws if draw.e_nats < question.loss_nats]
    frontiers: Sequence[Frontier] = draws
    if question.inference_tokens is not None:
        from scaleplan.laws.inference import Served

        frontiers = [Served(draw, question.inference_tokens) for draw in draws]
    locate = locator(question)
    runs = []
    for draw, frontier in zip(draws, frontiers, strict=True):
        try:
            n, d = locate(within(frontier, question))
        except InputError:  # this draw cannot reach the loss within the bounds
            continue
        runs.append(Run(n, d, draw.loss(n, d)))
    return runs


def frontier_for(law: Law, question: Question) -> Frontier | PowerFrontier:
    """The frontier of a law under the constraints of a question."""
    base = frontier_of_repetition(law, question) if question.unique_tokens is not None else None
    if question.inference_tokens is not None:
        from scaleplan.laws.inference import Served

        return Served(base or law.additive, question.inference_tokens)
    if base is not None:
        return base
    if law.frontier is None:
        raise NotSupported(
            f"`{law.name}` does not say how to divide a budget", hint=f"`{ask('presets', 'laws', law.name)}` shows what it says"
        )
    return law.frontier


def within(frontier: Frontier | PowerFrontier, question: Question) -> Frontier | PowerFrontier:
    """The frontier within the bounds of a question."""
    if question.bounds is None:
        return frontier
    from scaleplan.laws.constraints import Bounded

    return Bounded(frontier, question.bounds)


def frontier_of_repetition(law: Law, question: Question) -> Frontier:
    """The frontier where different tokens are limited."""
    from scaleplan.laws.repetition import Repeating

    if not isinstance(law.loss, Repeating):
        raise TopicUnknown(f"`{law.name}` does not know what repeated data are worth", "repetition")
    return law.loss.on(question.unique_tokens)


Locator = Callable[[Any], tuple[Any, Any]]


def locator(question: Question) -> Locator:
    """How N and D follow from a frontier: chosen once, used for a law and for each of its draws."""
    c, n, d, loss = question[:4]
    match question.fixed():
        case ["compute_flops", "n_params"]:
            return lambda frontier: (n, frontier.tokens_at_compute(c, n))
        case ["compute_flops", "n_tokens"]:
            return lambda _: (c / FLOPS_PER_PARAM_TOKEN / d, d)
        case ["n_params", "n_tokens"]:
            return lambda _: (n, d)
        case ["compute_flops"]:
            return lambda frontier: with_tokens(frontier, frontier.params_at_compute(c), c)
        case ["n_params"]:
            return lambda frontier: (n, frontier.tokens_at_params(n))
        case ["n_tokens"]:
            return lambda frontier: (frontier.params_at_tokens(d), d)
        case _:
            return lambda frontier: with_loss(frontier, frontier.params_at_loss(loss), loss)


def with_tokens(frontier: Frontier | PowerFrontier, n_params: Any, flops: Any) -> tuple[Any, Any]:
    """N and what the budget leaves for D."""
    return n_params, frontier.tokens_at_compute(flops, n_params)


def with_loss(frontier: Frontier | PowerFrontier, n_params: Any, loss_nats: Any) -> tuple[Any, Any]:
    """N and the D with which it reaches the loss."""
    return n_params, frontier.tokens_at_loss(n_params, loss_nats)


def loss_off_frontier(law: Law, n_params: Any, n_tokens: Any) -> Any:
    """The loss of one pass, by a law that publishes its frontier apart; None where it has no such loss.

    Where a law knows the loss against steps, that is the run at the critical batch; its L(N, D) of a data set, on which a model
    trains until it stops improving, is another loss: `dataset_loss`.
    """
    along, critical_batch = law.along_steps, law.rules.get("critical_batch")
    if along is not None and isinstance(critical_batch, Power):
        return moment(along, critical_batch, n_params, n_tokens).loss_nats
    return law.loss.loss(n_params, n_tokens) if isinstance(law.loss, KaplanLoss | Additive) else None


def dataset_loss(law: Law, n_params: Any, n_tokens: Any) -> Any:
    """L(N, D) of a data set on which a model trains until it stops improving; None for laws of one pass."""
    return law.loss.loss(n_params, n_tokens) if isinstance(law.loss, KaplanLoss) else None


def loss_kind(law: Law, question: Question) -> LossKind | None:
    """Which loss `allocate` tells: of the best run of a budget, of one pass over D tokens, or of passes over a limited set."""
    if question.unique_tokens is not None:
        return "repeated"
    free = len(question.fixed()) == 1 and question.bounds is None
    if isinstance(law.frontier, PowerFrontier) and question.inference_tokens is None:
        return "frontier" if free else None if question.bounds is not None else "one-pass"
    return "one-pass"


def check_reach(law: Law, frontier: Frontier | PowerFrontier, question: Question) -> None:
    """Refuse a loss that no budget reaches under this law, and name the limit."""
    if isinstance(frontier, PowerFrontier):
        if frontier.loss_of_compute is None:
            others = fields("compute", "n_params", "tokens", joined=", ")
            raise NotSupported(f"the loss is not known under `{law.name}`", hint=f"fix one of {others}, or ask another law")
        return
    limit, loss_nats = lowest_loss(frontier, law), question.loss_nats
    if is_number(loss_nats, limit) and not loss_nats > limit:
        reason = "" if question.unique_tokens is None else f"with these {field('unique_tokens')} "
        raise InputError(
            f"no budget reaches a loss of {loss_nats} nats under `{law.name}`: {reason}it stays above {limit:.6g}",
            hint=f"the nearest that can be reached lies just above {limit:.6g} nats",
        )


def lowest_loss(frontier: Frontier, law: Law) -> Any:
    """E; or where data are limited, the loss of endless repetition and of parameters without end."""
    return law.additive.e_nats if isinstance(frontier, Additive) else frontier.loss(ENDLESS, ENDLESS)
