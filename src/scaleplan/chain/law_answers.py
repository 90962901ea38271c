"""What published laws say beside the division of a budget: bits, routed experts, sparsity, repetition, positions in the
context, and sizes counted without embeddings. Each answer is typed; who shows it makes the lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from scaleplan.chain import catalogue
from scaleplan.chain.optimum import Beyond, beyond
from scaleplan.errors import InputError
from scaleplan.laws.convention import converted_params
from scaleplan.laws.experts import RoutedExperts, expert_law_of
from scaleplan.laws.forms import Additive
from scaleplan.laws.law import Law, TopicUnknown
from scaleplan.laws.non_embedding import WithoutEmbeddings
from scaleplan.laws.power import Power
from scaleplan.laws.precision import Precision, best_bits, kept_share, precision_of, sparse_of
from scaleplan.laws.repetition import Repeating, geometric, saturated
from scaleplan.wording import field


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


class SparseBudget(NamedTuple):
    """The best models of a budget.

    n_params, n_tokens        of sparse weights where every product is computed: C = 6 N D with all N weights
    n_skipped, loss_skipped   weights that are left, and the loss, where products with zeros cost nothing: C = 6 n D
    dense_params, dense_loss  of dense weights
    """

    n_params: float
    n_tokens: float
    n_skipped: float
    loss_skipped: float
    dense_params: float
    dense_loss: float


def sparse_budget(flops: float, sparsity: float) -> SparseBudget:
    """The best use of a budget with a share of zero weights, by the law with the role `sparsity`. Source: frantar2023."""
    form = sparse_of(catalogue.load_law(catalogue.first_knowing("sparsity")).data["loss"])
    skipping, dense = form.at(sparsity), form.at(0)
    computing = of_all_weights(skipping, sparsity)
    n, left, whole = (float(law.params_at_compute(flops)) for law in (computing, skipping, dense))
    return SparseBudget(
        n, flops / 6 / n, left, float(skipping.loss(left, flops / 6 / left)), whole, float(dense.loss(whole, flops / 6 / whole))
    )


def of_all_weights(law: Additive, sparsity: float) -> Additive:
    """A law of the weights that are left as one of all of them: n = N (1 - S)."""
    return law._replace(a=law.a / (1 - sparsity) ** law.alpha)


class RepetitionAnswer(NamedTuple):
    """Passes over the same tokens, in units of one pass.

    worth_saturating   by the law: U + U R* (1 - exp(-R / R*))
    worth_geometric    each pass worth a share 1 / (1 + R*) less than the one before, which the law approximates
    data_term_difference  B / D'^beta of the series over that of the law, less 1
    most_worth         of endless passes
    """

    law: Law
    passes: float
    lost_per_pass: float
    worth_saturating: float
    worth_geometric: float
    data_term_difference: float
    most_worth: float


def repetition_answer(passes: float, law: Law | None = None) -> RepetitionAnswer:
    """What passes are worth, in both forms of the article. Source: muennighoff2023 appendix A.

    law  one that knows repetition; None: the first of the catalogue
    """
    if not passes >= 1:
        raise InputError(f"{passes:g} passes are less than one", hint="data that are seen once at most are fresh")
    law = law or catalogue.load_law(catalogue.first_knowing("repetition"))
    if not isinstance(law.loss, Repeating):
        raise catalogue.with_hint(TopicUnknown(f"`{law.name}` says nothing of repeated data", "repetition"))
    lost = law.loss.lost_per_pass
    worth, series = saturated(passes, 1.0, law.loss.r_d_star), geometric(passes, lost)
    return RepetitionAnswer(law, passes, lost, worth, series, law.loss.data_term_ratio(series, worth) - 1, law.loss.most_worth)


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
