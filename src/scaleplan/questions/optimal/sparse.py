"""Sparse weights: what a model is worth of which a share of the weights is zero."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from scaleplan.answer import Answer, Line, line
from scaleplan.chain.law_answers import SparseAnswer, SparseBudget, sparse_answer, sparse_budget
from scaleplan.laws.precision import Sparse, sparse_of
from scaleplan.questions.about_laws import answer_of_lines, cautions_of, fitted

if TYPE_CHECKING:
    from scaleplan.questions.optimal.beside import OfSparsity

SIZE = "(a_s * (1 - sparsity) ** b_s + c_s)"
DENSE_SIZE = "(a_s + c_s)"
BEST = "({} / (b_d * a_d ** b_d)) ** (1 / (b_n + b_d)) * (compute_flops / 6) ** (b_d / (b_n + b_d))"
"""N of least loss at C = 6 N D, of b_n times the size term."""
LOSS = "{} / n_params ** b_n + (a_d * 6 * n_params / compute_flops) ** b_d + c"


class Solved(NamedTuple):
    """A run with sparse weights; the budget that it is the best of, where one was given."""

    answer: SparseAnswer
    n_params: float
    n_tokens: float
    budget: SparseBudget | None

    @property
    def form(self) -> Sparse:
        """The constants of the law."""
        return sparse_of(self.answer.law.data["loss"])


def solve(asked: OfSparsity) -> Solved:
    """By the law with the role `sparsity`, at the N and D given or those of the budget."""
    budget, share = None, asked.sparsity.share
    n_params, n_tokens = asked.n_params, asked.tokens
    if asked.compute is not None:
        budget = sparse_budget(asked.compute, share)
        n_params, n_tokens = budget.n_params, budget.n_tokens  # type: ignore[assignment]  # a size that is found is not whole
    assert n_params is not None, "checked in the request"
    assert n_tokens is not None, "checked in the request"
    return Solved(sparse_answer(n_params, n_tokens, share), n_params, n_tokens, budget)


def explain(asked: OfSparsity, solved: Solved) -> Answer:
    """The loss, and the dense models of as many weights and of that loss; of a budget the best sizes before them."""
    law = solved.answer.law
    inputs = {
        "sparsity": asked.sparsity.spelled(),
        "n_params": asked.n_params,
        "n_tokens": asked.tokens,
        "compute_flops": asked.compute,
    }
    notes = [f"By {law.name} ({law.data['convention']['data']}): sparse during training. Compare its losses with each other alone."]
    if asked.sparsity.pattern is not None:
        notes.append(f"The law was fitted to zeros anywhere; a pattern, {asked.sparsity.pattern}, leaves less choice and does no better.")
    if solved.budget is not None:
        notes.append("C = 6 N D with all N weights, as devices compute zeros too; `skipped` counts the weights that are left alone.")
    lines = [*budget_lines(asked, solved), *lines_of(asked, solved)]
    return answer_of_lines("optimal", inputs, lines, notes=notes, warnings=cautions_of([law]))


def budget_lines(asked: OfSparsity, solved: Solved) -> Iterator[Line]:
    """The best sizes of a budget: zeros computed, zeros skipped, and dense weights."""
    budget, form = solved.budget, solved.form
    if budget is None or asked.compute is None:
        return
    cited: dict[str, Any] = {"sources": solved.answer.law.sources("loss"), "standing": fitted(solved.answer.law)}
    known: dict[str, Any] = {name: getattr(form, name) for name in ("a_s", "c_s", "b_n", "a_d", "b_d")}
    known["compute_flops"] = asked.compute
    zeros: dict[str, Any] = {"sparsity": asked.sparsity.share, "b_s": form.b_s}
    yield line(
        "n_params",
        "best N, zeros included",
        solved.n_params,
        "params",
        BEST.format(f"b_n * {SIZE} / (1 - sparsity) ** b_n"),
        **cited,
        **known,
        **zeros,
    )
    tokens: dict[str, Any] = {"compute_flops": asked.compute, "n_params": solved.n_params}
    yield line("n_tokens", "its tokens", solved.n_tokens, "tokens", "compute_flops / 6 / n_params", **cited, **tokens)
    without: tuple[Any, ...] = ("skipped.n_nonzero", "zeros skipped", budget.n_skipped, SIZE, zeros, budget.loss_skipped)
    dense: tuple[Any, ...] = ("dense.n_params", "dense weights", budget.dense_params, DENSE_SIZE, {}, budget.dense_loss)
    for key, case, size, term, more, loss in (without, dense):
        best: dict[str, Any] = {**cited, **known, **more}
        yield line(key, f"best weights left, {case}" if more else f"best N, {case}", size, "params", BEST.format(f"b_n * {term}"), **best)
        made = {**best, "n_params": size, "c": form.c}
        yield line(f"{key.partition('.')[0]}.loss_nats", f"loss, {case}", loss, "nats", LOSS.format(term), **made)


def lines_of(asked: OfSparsity, solved: Solved) -> Iterator[Line]:
    """Each number by its formula."""
    answer, form = solved.answer, solved.form
    law = answer.law
    cited, standing, left = law.sources("loss"), fitted(law), {"n_nonzero": answer.n_nonzero}
    share, size = {"sparsity": asked.sparsity.share}, {name: getattr(form, name) for name in ("a_s", "c_s", "b_n")}
    rest = {"a_d": form.a_d, "b_d": form.b_d, "c": form.c, "n_tokens": solved.n_tokens}
    of_left: dict[str, Any] = {"n_params": solved.n_params, **share}
    yield line("n_nonzero", "weights that are not zero", answer.n_nonzero, "params", "n_params * (1 - sparsity)", **of_left)
    made = (
        (
            "loss_nats",
            "loss",
            answer.loss,
            "nats",
            f"{SIZE} / n_nonzero ** b_n + (a_d / n_tokens) ** b_d + c",
            {**left, **share, **size, "b_s": form.b_s, **rest},
        ),
        (
            "dense_loss_nats",
            "loss of a dense model of as many weights",
            answer.dense_loss,
            "nats",
            f"{DENSE_SIZE} / n_nonzero ** b_n + (a_d / n_tokens) ** b_d + c",
            {**left, **size, **rest},
        ),
        (
            "dense_n_params",
            "dense model of the same loss",
            answer.dense_params,
            "params",
            f"({DENSE_SIZE} / {SIZE}) ** (1 / b_n) * n_nonzero",
            {**left, **share, **size, "b_s": form.b_s},
        ),
    )
    for key, label, value, unit, formula, inputs in made:
        yield line(key, label, value, unit, formula, sources=cited, standing=standing, **inputs)
