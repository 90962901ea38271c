"""What a size off the efficient one, training towards convergence and too little data cost."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from scaleplan.answer import Answer, Line, line
from scaleplan.chain.efficiency import ConvergenceAnswer, DataAnswer, SizeAnswer, convergence_answer, data_answer, size_answer, steps_of_law
from scaleplan.laws.forms import KaplanLoss
from scaleplan.questions.about_laws import answer_of_lines, fitted

if TYPE_CHECKING:
    from scaleplan.questions.optimal.beside import OfEfficiency

TO_THE_MARGIN = "((1 + overfit) ** (1 / alpha_d) - 1)"


class Solved(NamedTuple):
    """What was asked for; None for the rest."""

    size: SizeAnswer | None
    convergence: ConvergenceAnswer | None
    data: DataAnswer | None


def solve(asked: OfEfficiency) -> Solved:
    """By the law of steps and batches."""
    return Solved(
        None if asked.size_ratio is None else size_answer(asked.size_ratio),
        None if asked.excess is None else convergence_answer(asked.excess),
        None if asked.overfit is None or asked.n_params is None else data_answer(asked.n_params, asked.overfit),
    )


def explain(asked: OfEfficiency, solved: Solved) -> Answer:
    """The numbers of each part."""
    lines = [
        *(size_lines(solved.size) if solved.size else ()),
        *(convergence_lines(solved.convergence) if solved.convergence else ()),
        *(data_lines(asked, solved.data) if solved.data else ()),
    ]
    law, _ = steps_of_law()
    answer = answer_of_lines("optimal", asked._asdict(), lines, notes=[f"By {law.name}, at equal loss."])
    return answer._replace(result={"size": None, "convergence": None, "data": None, **answer.result})


def made_line(key: str, label: str, value: float, unit: str, formula: str, **inputs: Any) -> Line:
    """A number of the law of steps and batches."""
    law, _ = steps_of_law()
    return line(key, label, value, unit, formula, sources=law.sources("loss_of_steps"), standing=fitted(law), **inputs)


def size_lines(found: SizeAnswer) -> Iterator[Line]:
    """Steps and compute against the efficient size."""
    _, along = steps_of_law()
    exponents = {"alpha_n": along.alpha_n, "alpha_s": along.alpha_s, "size_ratio": found.n_ratio}
    steps = "(1 + alpha_s / alpha_n * (1 - size_ratio ** -alpha_n)) ** (-1 / alpha_s)"
    ratios = {"size_ratio": found.n_ratio, "steps_ratio": found.steps_ratio}
    yield made_line("size.steps_ratio", "steps over those of the efficient size", found.steps_ratio, "x", steps, **exponents)
    yield made_line(
        "size.compute_ratio", "compute over that of the efficient size", found.compute_ratio, "x", "size_ratio * steps_ratio", **ratios
    )


def convergence_lines(found: ConvergenceAnswer) -> Iterator[Line]:
    """Efficient training against training to within `excess` of the converged loss."""
    _, along = steps_of_law()
    best = {"efficient_excess": found.efficient_excess, "excess": found.excess}
    exponents = {"alpha_n": along.alpha_n, "alpha_s": along.alpha_s}
    steps = "(efficient_excess * (1 + excess) / (excess * (1 + efficient_excess))) ** (-1 / alpha_s)"
    ratios = {"params_ratio": found.params_ratio, "steps_ratio": found.steps_ratio}
    key, over = "convergence", "over training to this excess"
    yield made_line(
        f"{key}.efficient_excess",
        "efficient training stops above its converged loss by",
        found.efficient_excess,
        "fraction",
        "alpha_n / alpha_s",
        **exponents,
    )
    yield made_line(
        f"{key}.params_ratio",
        f"efficient N {over}",
        found.params_ratio,
        "x",
        "((1 + efficient_excess) / (1 + excess)) ** (1 / alpha_n)",
        alpha_n=along.alpha_n,
        **best,
    )
    yield made_line(f"{key}.steps_ratio", f"efficient steps {over}", found.steps_ratio, "x", steps, alpha_s=along.alpha_s, **best)
    yield made_line(f"{key}.compute_ratio", f"efficient compute {over}", found.compute_ratio, "x", "params_ratio * steps_ratio", **ratios)


def data_lines(asked: OfEfficiency, found: DataAnswer) -> Iterator[Line]:
    """Tokens against overfitting: k N^x by the joint law, and the rounded rule."""
    form, rule = found.law.loss, found.law.rules["tokens_against_overfitting"]
    assert isinstance(form, KaplanLoss), "the answer is of such a law"
    assert asked.n_params is not None, "asked for with a size"
    constants = form._asdict()
    exponent = form.alpha_n / form.alpha_d
    scale = form.tokens_at_overfit(1.0, found.overfit)
    of_size = {"prefactor": scale, "exponent": exponent, "n_params": asked.n_params}
    yield made_line("data.exponent", "exponent of N", exponent, "", "alpha_n / alpha_d", alpha_n=form.alpha_n, alpha_d=form.alpha_d)
    yield made_line(
        "data.prefactor",
        "prefactor k of k N^x tokens",
        scale,
        "",
        f"d_c / n_c ** (alpha_n / alpha_d) / {TO_THE_MARGIN}",
        overfit=found.overfit,
        **constants,
    )
    yield made_line("data.needed_tokens", "tokens needed", found.needed_tokens, "tokens", "prefactor * n_params ** exponent", **of_size)
    yield made_line(
        "data.stated_tokens",
        "by the article's rounded rule for 2 %",
        found.stated_tokens,
        "tokens",
        rule.formula(),
        n_params=asked.n_params,
        **rule.constants(),
    )
