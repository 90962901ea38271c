"""Training in few bits: what stays useful, and which bits spend a budget best."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

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
    """What stays useful in these bits, the bits that spend a budget best, and what rounding after training adds."""
    yield from share_lines(asked, solved)
    yield from best_lines(solved)
    if solved.after_training is not None:
        yield rounding_line(asked, solved, solved.after_training)


def share_lines(asked: OfBits, solved: PrecisionAnswer) -> Iterator[Line]:
    """Shares of N that stay useful: everything in these bits, or weights alone."""
    law, gamma = solved.law, precision_of(solved.law.data["precision"])
    given: dict[str, Any] = {"sources": law.sources("precision"), "standing": fitted(law), "bits": asked.bits}
    label = "N_eff / N, all in these bits"
    yield line("effective_params_share", label, solved.effective_share, "fraction", ALL_KEPT, **given, **gamma._asdict())
    label, formula = "N_eff / N, weights alone", "1 - exp(-bits / gamma_w)"
    yield line("weights_params_share", label, solved.weights_share, "fraction", formula, **given, gamma_w=gamma.gamma_w)


def best_lines(solved: PrecisionAnswer) -> Iterator[Line]:
    """The best bits, which are roots, beside those of the article."""
    law, gamma_w = solved.law, precision_of(solved.law.data["precision"]).gamma_w
    given: dict[str, Any] = {"sources": law.sources("precision"), "standing": "estimate"}
    yield line("best_bits", "best bits of all three", solved.best_bits, "bits", **given)
    label, best = "best bits, one constant for all three (that of weights)", solved.best_weight_bits
    yield line("best_weight_bits", label, best, "bits", **given)
    label, formula = "the same over that constant", "best_weight_bits / gamma_w"
    yield line("best_bits_over_gamma", label, best / gamma_w, "x", formula, **given, best_weight_bits=best, gamma_w=gamma_w)
    cited = law.sources("published")
    for side, value in zip(("low", "high"), solved.published_best_bits, strict=True):
        yield line(f"published_best_bits_{side}", f"best bits of the article, {side}", value, "bits", sources=cited, standing="published")


def rounding_line(asked: OfBits, solved: PrecisionAnswer, added: float) -> Line:
    """The loss that rounding the weights after training adds."""
    law, gamma = solved.law, precision_of(solved.law.data["precision"])
    constants = {name: law.data["after_training"][name] for name in ("c_t", "gamma_d", "gamma_n", "gamma_post")}
    formula = f"c_t * n_tokens ** gamma_d / (n_params * {ALL_KEPT.replace('bits', 'usual_bits')}) ** gamma_n * exp(-bits / gamma_post)"
    run = {"n_params": asked.n_params, "n_tokens": asked.tokens, "bits": asked.bits, "usual_bits": 16}
    label, cited = "loss added by rounding the weights after training", law.sources("after_training")
    inputs: dict[str, Any] = {**constants, **gamma._asdict(), **run}
    return line("after_training_nats", label, added, "nats", formula, sources=cited, standing=fitted(law), **inputs)
