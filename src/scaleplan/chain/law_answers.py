"""What published laws say beside the division of a budget: losses of one quantity, bits, routed experts, sparsity, repetition,
positions in the context, and sizes counted without embeddings. Each answer is typed; who shows it makes the lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from scaleplan.chain import catalogue
from scaleplan.chain.optimum import Beyond, beyond
from scaleplan.errors import InputError, NotSupported
from scaleplan.laws.convention import converted_params, training_flops
from scaleplan.laws.experts import RoutedExperts, expert_law_of
from scaleplan.laws.forms import Additive
from scaleplan.laws.law import Law, value_of
from scaleplan.laws.non_embedding import WithoutEmbeddings
from scaleplan.laws.power import Power
from scaleplan.laws.precision import Precision, best_bits, kept_share, precision_of, sparse_of
from scaleplan.laws.repetition import Repeating, geometric, saturated
from scaleplan.wording import field


class LossQuestion(NamedTuple):
    """What is known of a model or run; a law answers with every loss that follows. N is of the law's own kind.

    position   of a token in the context, counted from 1; also the length of a context
    """

    n_params: float | None = None
    n_tokens: float | None = None
    compute_flops: float | None = None
    tokens_per_param: float | None = None
    steps: float | None = None
    position: float | None = None

    def known(self) -> dict[str, float]:
        """What is known, with C = 6 N D and D / N where both are."""
        found = {name: value for name, value in self._asdict().items() if value is not None}
        if "n_params" in found and "n_tokens" in found:
            found.setdefault("compute_flops", training_flops(found["n_params"], found["n_tokens"]))
            found.setdefault("tokens_per_param", found["n_tokens"] / found["n_params"])
        return found


class LossAnswer(NamedTuple):
    """One loss that a law tells.

    block     of its preset: `loss` (of N and D), `loss_of_params`, `loss_of_compute`, `loss_of_position`, ...
    unit      as the preset says: nats per token, nats per byte, ...
    formula   with the names of `inputs`
    """

    law: Law
    block: str
    loss: float
    unit: str
    formula: str
    inputs: Mapping[str, Any]
    beyond: Sequence[Beyond]
    sources: Sequence[str]


def losses(law: Law, asked: LossQuestion) -> list[LossAnswer]:
    """Every loss of a law, with an allocation or without, that follows from what is known; raises where none does."""
    known = asked.known()
    unit = str(law.data.get("convention", {}).get("loss", "nats per token"))
    outside = beyond(law.limits, asked)
    found = [
        LossAnswer(law, name, value, unit, rule.formula(), {**rule.constants(), **inputs_of(rule, known)}, outside, law.sources(name))
        for name, rule in law.rules.items()
        if name.startswith("loss") and isinstance(rule, Power) and (value := value_of(law, name, known)[0]) is not None
    ]
    if isinstance(law.loss, Additive) and {"n_params", "n_tokens"} <= set(known):
        n, d = known["n_params"], known["n_tokens"]
        inputs = {**law.loss._asdict(), "n_params": n, "n_tokens": d}
        formula = Additive.FORMULAS["loss_nats"]
        found.append(LossAnswer(law, "loss", law.loss.loss(n, d), unit, formula, inputs, outside, law.sources("loss")))
    if not found:
        needs = sorted({name for key, rule in law.rules.items() if key.startswith("loss") for name in rule.needs()})
        hint = f"it needs one of {', '.join(needs)}" if needs else f"`{law.name}` tells no loss"
        raise NotSupported(f"`{law.name}` tells no loss of what is given", hint=hint)
    return found


def inputs_of(rule: Power, known: Mapping[str, float]) -> dict[str, float]:
    """The quantities that a rule reads."""
    return {name: known[name] for name in rule.exponents}


class ContextLoss(NamedTuple):
    """Loss by position in the context, or by its length, of one model.

    at_position   of the token there (or of a context of that length)
    mean          over the positions up to there; None for laws of the length
    floor         that of endless context
    """

    law: Law
    at_position: float
    mean: float | None
    floor: float


def context_losses(position: float) -> list[ContextLoss]:
    """Loss at a position (kaplan2020 appendix D.5) and of contexts of that length (xiong2023), by each model that was fitted."""
    if not position >= 1:
        raise InputError(f"position {position:g} is before the first token", hint="positions are counted from 1")
    found = []
    for name in (*catalogue.knowing("position"), *catalogue.knowing("context_length")):
        law = catalogue.load_law(name)
        block = "loss_of_position" if "loss_of_position" in law.rules else "loss_of_context"
        rule = law.rules[block]
        assert isinstance(rule, Power), "losses of the context are powers of it"
        mean = rule.offset + rule.scale * mean_power(position, rule.exponents["position"]) if block == "loss_of_position" else None
        found.append(ContextLoss(law, rule.at(position=position), mean, rule.offset))
    return found


def mean_power(count: float, exponent: float) -> float:
    """Mean of T^exponent over T = 1..count: the integral with the ends halved (Euler and Maclaurin, to the first derivative).

    >>> round(mean_power(1000, -0.5), 4), round(sum(t**-0.5 for t in range(1, 1001)) / 1000, 4)
    (0.0618, 0.0618)
    """
    integral = (count ** (1 + exponent) - 1) / (1 + exponent)
    ends = (1 + count**exponent) / 2
    slopes = exponent * (count ** (exponent - 1) - 1) / 12
    return float((integral + ends + slopes) / count)


class PrecisionAnswer(NamedTuple):
    """Training in few bits.

    effective_share   N_eff / N with these bits for weights, activations and cache
    weights_share     with the weights alone in these bits
    after_training    nats added by quantizing the weights to these bits after training in 16; None without D
    best_bits         that spend C ~ N D P best, all three kinds alike; `published` is what the article says, which does not follow
    """

    law: Law
    bits: float
    effective_share: float
    weights_share: float
    after_training: float | None
    best_bits: float
    best_weight_bits: float
    published_best_bits: tuple[float, float]


def precision_answer(bits: float, n_params: float | None = None, n_tokens: float | None = None) -> PrecisionAnswer:
    """What bits cost and which are best, by the law with the role `precision`. N in its own kind."""
    law = catalogue.load_law(catalogue.first_knowing("precision"))
    precision = precision_of(law.data["precision"])
    added = None
    if n_params is not None and n_tokens is not None:
        added = after_training(law, precision, bits, n_params, n_tokens)
    printed = law.data["published"]
    return PrecisionAnswer(
        law,
        bits,
        precision.effective_share(bits, bits, bits),
        kept_share(bits, precision.gamma_w),
        added,
        best_bits(precision),
        best_bits(precision._replace(gamma_a=precision.gamma_w, gamma_kv=precision.gamma_w)),
        (printed["best_bits_low"], printed["best_bits_high"]),
    )


def after_training(law: Law, precision: Precision, bits: float, n_params: float, n_tokens: float) -> float:
    """delta = C_T D^g_D / N_eff^g_N exp(-P / g_post), of a model trained in 16 bits. Source: kumar2024 equation 4."""
    from scaleplan.numeric import exp

    block = law.data["after_training"]
    effective = n_params * precision.effective_share(16, 16, 16)
    return float(block["c_t"] * n_tokens ** block["gamma_d"] / effective ** block["gamma_n"] * exp(-bits / block["gamma_post"]))


class RoutedAnswer(NamedTuple):
    """Routed experts at the fixed data of their law.

    dense_loss     without routing
    dense_params   the model without routing that has the loss of this one
    useless_from   N above which more experts no longer help
    """

    law: Law
    loss: float
    dense_loss: float
    dense_params: float
    useless_from: float
    beyond: Sequence[Beyond]


class RoutedSize(NamedTuple):
    """What the range of a law of routed experts is held against."""

    n_params: float
    n_experts: float


def routed_answers(n_params: float, n_experts: float) -> list[RoutedAnswer]:
    """N that one token passes and E experts, by each router that was fitted. Source: clark2022."""
    found = []
    for law in map(catalogue.load_law, catalogue.knowing("routed_experts")):
        form = expert_law_of(law.data["loss"])
        assert isinstance(form, RoutedExperts), "the role is of that form"
        outside = beyond(law.limits, RoutedSize(n_params, n_experts))
        dense = form.dense_params(n_params, n_experts)
        found.append(RoutedAnswer(law, form.loss(n_params, n_experts), form.loss(n_params, 1), dense, form.useless_from(), outside))
    return found


class SparseAnswer(NamedTuple):
    """A model with a share of its weights zero.

    n_nonzero     weights that are left
    loss          with them
    dense_loss    of a dense model of as many weights as are left
    dense_params  the dense model that has the loss of the sparse one
    """

    law: Law
    sparsity: float
    n_nonzero: float
    loss: float
    dense_loss: float
    dense_params: float


def sparse_answer(n_params: float, n_tokens: float, sparsity: float) -> SparseAnswer:
    """N weights of which a share is zero, trained so on D tokens, by the law with the role `sparsity`. Source: frantar2023."""
    if not 0 <= sparsity < 1:
        raise InputError(f"a sparsity of {sparsity:g} is no share of the weights", hint=f"{field('sparsity')} from 0 to below 1")
    law = catalogue.load_law(catalogue.first_knowing("sparsity"))
    form = sparse_of(law.data["loss"])
    left = n_params * (1 - sparsity)
    sparse, dense = form.at(sparsity), form.at(0)
    same = (dense.a / sparse.a) ** (1 / dense.alpha) * left  # where A_dense / N^alpha equals the term of the sparse one
    return SparseAnswer(law, sparsity, left, sparse.loss(left, n_tokens), dense.loss(left, n_tokens), same)


class RepetitionAnswer(NamedTuple):
    """Passes over the same tokens, in units of one pass.

    worth_saturating   by the law: U + U R* (1 - exp(-R / R*))
    worth_geometric    each pass worth a share 1 / (1 + R*) less than the one before, which the law approximates
    """

    law: Law
    passes: float
    lost_per_pass: float
    worth_saturating: float
    worth_geometric: float


def repetition_answer(passes: float) -> RepetitionAnswer:
    """What passes are worth, in both forms of the article. Source: muennighoff2023 appendix A."""
    if not passes >= 1:
        raise InputError(f"{passes:g} passes are less than one", hint="data that are seen once at most are fresh")
    law = catalogue.load_law(catalogue.first_knowing("repetition"))
    assert isinstance(law.loss, Repeating), "the role is of that form"
    lost = 1 / (1 + law.loss.r_d_star)
    return RepetitionAnswer(law, passes, lost, saturated(passes, 1.0, law.loss.r_d_star), geometric(passes, lost))


class WithoutEmbeddingsAnswer(NamedTuple):
    """The best size of a budget when embeddings are left out of N and of C.

    n_params           without embeddings
    compute_flops      6 N D with that N
    exponent           of N ~ C^a, that a fit to sizes of kaplan2020 (768 to 1.5e9) finds
    loss_exponent      of L ~ C^-x likewise; negative
    total_exponent     of N ~ C^a with all parameters
    """

    law: Law
    n_params: float
    n_total_params: float
    n_tokens: float
    loss: float
    compute_flops: float
    exponent: float
    loss_exponent: float
    total_exponent: float


def without_embeddings(law: Law, compute_flops: float) -> WithoutEmbeddingsAnswer:
    """Why kaplan2020 and hoffmann2022 disagree: the law of all parameters seen without embeddings. Source: pearce2024."""
    seen, kaplan = WithoutEmbeddings(law.additive), catalogue.critical_batch_law().limits
    n = seen.params_at_compute(compute_flops)
    tokens = seen.tokens_at_compute(compute_flops, n)
    low, high = kaplan["n_params_min"], kaplan["n_params_max"]
    total = converted_params(n, "non_embedding", "total")
    exponents = seen.exponent_between(low, high), seen.loss_exponent_between(low, high), law.additive.exponent
    return WithoutEmbeddingsAnswer(law, n, total, tokens, seen.loss(n, tokens), compute_flops, *exponents)
