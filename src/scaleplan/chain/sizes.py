"""What a plan trains and on how much: N, D, the length of a sequence, the batch, the FLOP and the loss, each as given or by the law."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from scaleplan import library
from scaleplan.answer import Interval
from scaleplan.chain import catalogue
from scaleplan.chain.budget import BUDGETS, budget_flops, named_budgets
from scaleplan.chain.compute import EXACT, compute_of, per_token
from scaleplan.chain.lengths import chosen_decoder_length, chosen_length
from scaleplan.chain.run_cost import Input
from scaleplan.chain.tokens import whole_sequences
from scaleplan.errors import InputError, NotSupported, ScaleplanError, UsageError
from scaleplan.laws.allocation import Question, Run, allocate
from scaleplan.laws.convention import TOTAL, converted_params, training_flops
from scaleplan.laws.law import TopicUnknown
from scaleplan.machine.run_time import flops_to_do
from scaleplan.model.adapters import adapted_bill
from scaleplan.model.bill import bill_of
from scaleplan.model.flops import recomputed_flops
from scaleplan.model.params import count_params
from scaleplan.numeric import floats, is_number
from scaleplan.wording import field, fields

if TYPE_CHECKING:
    from scaleplan.laws.law import Law
    from scaleplan.model.items import Bill
    from scaleplan.model_files import Model

OPTIMAL = "optimal"
CRITICAL = "critical"
Given = Mapping[str, Any]
"""Field -> value in base units, or a word that leaves it to the plan."""


class Size(NamedTuple):
    """What is trained, and on how many tokens.

    model     the architecture; None where the number of parameters alone is known
    standing  given, where a user or a preset says both; fitted, where a law chose one of them; `n_standing` is that of N alone
    unique_tokens  of the tokens, where they repeat
    """

    model: Model | None
    n_params: Any
    n_active_params: Any
    tokens: Any
    standing: str
    n_standing: str = "given"
    unique_tokens: Any = None


class Settled(NamedTuple):
    """What a second look at a plan from a budget knows better than its first.

    flops        of the budget, at the rate of the plan's own step
    tokens       that spend the hours of the budget
    most_params  that the memory of the devices can hold
    """

    flops: Any = None
    tokens: Any = None
    most_params: Any = None


def law_of(given: Given) -> Law:
    """The law that was named, else the recommended one; beside limited data, one that knows what repeated tokens are worth."""
    usual = catalogue.recommended() if given.get("unique_tokens") is None else catalogue.first_knowing("repetition")
    named = given.get("law") or (usual,)
    if len(named) > 1:
        raise UsageError(f"one {field('law')} chooses N and D", hint="give one")
    return catalogue.load_law(named[0])


# ------------------------------------------------------------------------------------------------------------ N and D


def size_of(given: Given, law: Law, device: library.Preset, defaults: Mapping[str, Any], settled: Settled) -> Size:
    """N and D: both given, or one or both by the law, for a budget or at the optimum of the other."""
    model, n_params, n_active = model_of(given)
    tokens = tokens_of(given)
    budget = settled.flops if settled.flops is not None else budget_flops(given, device, n_active, defaults)
    if n_params is not None and tokens is not None:
        refuse_budget(given, budget)
        return Size(model, n_params, n_active, tokens, "given")
    run = fitted(law, asked_of(given, law, budget, n_params if budget is None else n_active, tokens, settled.most_params))
    n_tokens = whole(run.n_tokens if settled.tokens is None else settled.tokens)
    if n_params is not None:
        return Size(model, n_params, n_active, n_tokens, "fitted")
    built = built_near(given, converted_params(run.n_params, law.n_kind, TOTAL))
    n = count_params(bill_of(built.arch))
    return Size(built, n.n_params, n.n_active_params, n_tokens if tokens is None else tokens, "fitted", "fitted")


def refuse_budget(given: Given, budget: Any) -> None:
    """A budget or a loss beside N and D says the same thing twice."""
    if budget is not None or given.get("loss") is not None:
        said = fields(*named_budgets(given), *([] if given.get("loss") is None else ["loss"]))
        raise UsageError(f"{said} and model with tokens both set the compute", hint=f"leave out {said}, the tokens, or the model")


def asked_of(given: Given, law: Law, budget: Any, n_params: Any, tokens: Any, most_params: Any) -> Question:
    """What the law is asked, in its own N. Raises UsageError where nothing is fixed."""
    n = None if n_params is None else converted_params(n_params, TOTAL, law.n_kind)
    unique, served = given.get("unique_tokens"), given.get("inference_tokens")
    asked = Question(budget, n, tokens, given.get("loss"), unique, served)
    if asked.fixed():
        bounded = most_params is not None and n is None and tokens is None
        return asked._replace(bounds=at_most(converted_params(most_params, TOTAL, law.n_kind))) if bounded else asked
    optima = OPTIMAL in (given.get("tokens"), given.get("target"))
    words = f"{fields('target', 'tokens')} `{OPTIMAL}` are optimal for each other" if optima else "nothing says how large the run is"
    more = f"or a budget: {fields(*BUDGETS, 'deadline', joined=', ')}"
    raise UsageError(words, hint=f"give {fields('model', 'tokens', joined=' or ')}, {more}")


def at_most(n_params: Any) -> Any:
    """Bounds that keep a model in memory."""
    from scaleplan.laws.constraints import Bounds

    return Bounds().narrowed("n_params", True, n_params)


def fitted(law: Law, asked: Question) -> Run:
    """What the law answers; of a topic that it does not know, the refusal names a law that does."""
    try:
        return allocate(law, asked)
    except NotSupported as error:
        raise catalogue.with_hint(error) from None


def whole(tokens: Any) -> Any:
    """Tokens are counted."""
    return round(tokens) if is_number(tokens) else tokens


def model_of(given: Given) -> tuple[Model | None, Any, Any]:
    """The model and its parameters, all and active; None where they are left open."""
    model, target = given.get("model"), given.get("target")
    if model is not None:
        n = count_params(bill_of(model.arch))
        return model, n.n_params, n.n_active_params
    if given.get("n_params") is not None:
        return None, given["n_params"], given.get("n_active_params") or given["n_params"]
    if target is not None and target != OPTIMAL:
        built = built_near(given, target)
        n = count_params(bill_of(built.arch))
        return built, n.n_params, n.n_active_params
    return None, None, None


def built_near(given: Given, n_params: float) -> Model:
    """The first buildable architecture near a number of parameters."""
    from scaleplan.model.synthesis import shapes_near
    from scaleplan.model_files import model_of_words
    from scaleplan.units import show_count

    like = given.get("like") or "llama"
    tp, pp = divisions_of(given)
    while True:
        try:
            best = shapes_near(round(n_params), like, fixed=given.get("shape") or {}, tp=tp, pp=pp)[0]
        except InputError:
            if tp == 1 or not is_open(given.get("layout")):
                raise
            tp //= 2  # too small for so many heads: it is divided over fewer devices
        else:
            return model_of_words(best.words)._replace(label=f"{like}-{show_count(best.params.n_params)}")


def is_open(layout: Any) -> bool:
    """Whether the layout is left to the search."""
    return isinstance(layout, str)


def divisions_of(given: Given) -> tuple[int, int]:
    """By how much a layout divides heads and layers; one that is open may divide the heads over a node."""
    layout = given.get("layout")
    if layout is None:
        return 1, 1
    return (NODE, 1) if is_open(layout) else (int(layout.tp), int(layout.pp))


NODE = 8  # devices that tensor parallelism usually stays within


def tokens_of(given: Given) -> Any:
    """Training tokens as given; None where they are left to the law."""
    told = given.get("tokens")
    if told is not None and not isinstance(told, str):
        return told
    if given.get("n_steps") is not None:
        batch = batch_of(given, given.get("seq_len"))
        if batch is None:
            raise UsageError(f"{field('n_steps')} needs a batch size", hint=f"add {field('batch_size_tokens')}")
        return given["n_steps"] * batch
    if given.get("text") is not None and given.get("bytes_per_token") is not None:
        return given["text"] / given["bytes_per_token"]
    return None


# ------------------------------------------------------------------------------------------------------------- compute


def length_of(given: Given, size: Size) -> Any:
    """Tokens of a sequence: as given, else the model's own."""
    if size.model is None:
        return given.get("seq_len")
    return chosen_length(size.model, given.get("seq_len"))[0]


class Work(NamedTuple):
    """FLOP of the run.

    hardware_flops  with the recomputed ones, where the rate counts them
    """

    convention: str
    training_flops: Input
    hardware_flops: Input | None = None


def bill_in(given: Given, model: Model) -> Bill:
    """The bill of materials, with the adapters that are trained instead of the weights."""
    return adapted_bill(model.arch, given.get("lora"))


def compute(given: Given, size: Size, seq_len: Any) -> Work:
    """The FLOP of training: the exact count of an architecture, 6 N D of a size alone."""
    named, standing = given.get("flops_convention"), "exact" if size.standing == "given" else "fitted"
    again = (given.get("recompute") or "none") if given.get("flops_kind") == "hardware" else None
    if size.model is None:
        if named not in (None, "six_n"):
            raise UsageError(f"{field('flops_convention')} `{named}` counts an architecture", hint=f"give {field('model')}")
        flops = training_flops(size.n_active_params, floats(size.tokens))
        done = None if again is None else Input(flops_to_do(flops, "hardware", again), standing)
        return Work("six_n", Input(flops, standing, ("kaplan2020",)), done)
    bill = bill_in(given, size.model)
    decoder = chosen_decoder_length(size.model, bill, seq_len, given.get("decoder_seq_len"))
    found = compute_of(bill, seq_len, convention=named, decoder_seq_len=decoder)
    done = None
    if again is not None:
        each = per_token(found.batch.training_flops + recomputed_flops(found.batch, again), found.batch_tokens)
        done = Input(each * floats(size.tokens), standing, size.model.sources)
    return Work(named or EXACT, Input(found.flops_per_token * floats(size.tokens), standing, size.model.sources), done)


def batch_of(given: Given, seq_len: Any) -> Any:
    """Tokens of a step, whole sequences where their length is known; None where nothing says."""
    tokens, seqs = given.get("batch_size_tokens"), given.get("batch_size_seqs") or given.get("global_batch_size_seqs")
    if seqs is not None and seq_len is None:
        said = "batch_size_seqs" if given.get("batch_size_seqs") is not None else "global_batch_size_seqs"
        raise UsageError(f"{field(said)} needs {field('seq_len')}", hint=f"add {field('seq_len')}")
    if tokens == CRITICAL:
        return None
    if tokens is not None:
        return tokens if seq_len is None else whole_sequences(tokens, seq_len) * seq_len
    return seqs * seq_len if seqs is not None and seq_len is not None else None


def critical_batch(loss_nats: Any) -> Any:
    """B_crit at the loss of the run, in whole tokens; None where no loss is known."""
    if loss_nats is None:
        return None
    found = catalogue.critical_batch().at(loss_nats=loss_nats)
    return round(found) if is_number(found) else found


def loss_of(law: Law, size: Size) -> tuple[Any, Interval | None]:
    """The loss by the law, with its interval where the law has draws; None where it tells none."""
    from scaleplan.chain.optimum import advise

    asked = Question(n_params=size.n_params, n_tokens=size.tokens, unique_tokens=size.unique_tokens)
    try:
        if not is_number(size.n_params, size.tokens):
            run = allocate(law, asked._replace(n_params=converted_params(size.n_params, TOTAL, law.n_kind)))
            return (run.loss_nats if law.in_nats else None), None
        found = advise(law, asked, law, catalogue.critical_batch(), TOTAL)
    except TopicUnknown as error:
        raise catalogue.with_hint(error) from None
    except ScaleplanError:
        return None, None
    return found.loss_nats, (found.intervals or {}).get("loss_nats")
