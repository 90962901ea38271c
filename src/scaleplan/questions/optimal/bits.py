"""Training in few bits: what stays useful, and which bits spend a budget best."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from scaleplan.answer import Answer, Line, line
from scaleplan.chain.law_answers import PrecisionAnswer, precision_answer
from scaleplan.laws.precision import precision_of
from scaleplan.questions.about_laws import answer_of_lines, cautions_of, fitted

if TYPE_CHECKING:
    from scaleplan.questions.optimal.beside import OfBits

KEPT = "(1 - exp(-bits / gamma_w))"
ALL_KEPT = f"{KEPT} * (1 - exp(-bits / gamma_a)) * (1 - exp(-bits / gamma_kv))"


def solve(asked: OfBits) -> PrecisionAnswer:
    """By the law with the role `precision`."""
    return precision_answer(asked.bits, asked.n_params, asked.tokens)


def explain(asked: OfBits, solved: PrecisionAnswer) -> Answer:
    """Shares of N, the best bits, and what rounding after training adds."""
    low, high = solved.published_best_bits
    notes = [
        "C ~ N D P, with weights, activations and cache in P bits; the best P is a root.",
        f"The article says {low:g} to {high:g} bits, which does not follow from its constants.",
    ]
    return answer_of_lines("optimal", asked._asdict(), list(lines_of(asked, solved)), notes=notes, warnings=cautions_of([solved.law]))


def lines_of(asked: OfBits, solved: PrecisionAnswer) -> Iterator[Line]:
    """Each number by its formula; the best bits are roots."""
    law, gamma, bits = solved.law, precision_of(solved.law.data["precision"]), asked.bits
    cited, standing = law.sources("precision"), fitted(law)
    yield line(
        "effective_params_share",
        "N_eff / N, all in these bits",
        solved.effective_share,
        "fraction",
        ALL_KEPT,
        sources=cited,
        standing=standing,
        bits=bits,
        **gamma._asdict(),
    )
    yield line(
        "weights_params_share",
        "N_eff / N, weights alone",
        solved.weights_share,
        "fraction",
        "1 - exp(-bits / gamma_w)",
        sources=cited,
        standing=standing,
        bits=bits,
        gamma_w=gamma.gamma_w,
    )
    yield line("best_bits", "best bits of all three", solved.best_bits, "bits", sources=cited, standing="estimate")
    yield line(
        "best_weight_bits",
        "best bits, one constant for all three (that of weights)",
        solved.best_weight_bits,
        "bits",
        sources=cited,
        standing="estimate",
    )
    inputs = {"best_weight_bits": solved.best_weight_bits, "gamma_w": gamma.gamma_w}
    yield line(
        "best_bits_over_gamma",
        "the same over that constant",
        solved.best_weight_bits / gamma.gamma_w,
        "x",
        "best_weight_bits / gamma_w",
        sources=cited,
        standing="estimate",
        **inputs,
    )
    for side, value in zip(("low", "high"), solved.published_best_bits, strict=True):
        yield line(
            f"published_best_bits_{side}",
            f"best bits of the article, {side}",
            value,
            "bits",
            sources=law.sources("published"),
            standing="published",
        )
    if solved.after_training is not None:
        constants = {name: law.data["after_training"][name] for name in ("c_t", "gamma_d", "gamma_n", "gamma_post")}
        formula = f"c_t * n_tokens ** gamma_d / (n_params * {ALL_KEPT.replace('bits', 'usual_bits')}) ** gamma_n * exp(-bits / gamma_post)"
        inputs = {**constants, **gamma._asdict(), "n_params": asked.n_params, "n_tokens": asked.tokens, "bits": bits, "usual_bits": 16}
        label, cited = "loss added by rounding the weights after training", law.sources("after_training")
        yield line("after_training_nats", label, solved.after_training, "nats", formula, sources=cited, standing=standing, **inputs)
