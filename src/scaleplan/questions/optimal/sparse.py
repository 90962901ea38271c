"""Sparse weights: what a model is worth of which a share of the weights is zero."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from scaleplan.answer import Answer, Line, line
from scaleplan.chain.law_answers import SparseAnswer, sparse_answer
from scaleplan.laws.precision import sparse_of
from scaleplan.questions.about_laws import answer_of_lines, cautions_of, fitted

if TYPE_CHECKING:
    from scaleplan.questions.optimal.beside import OfSparsity

SIZE = "(a_s * (1 - sparsity) ** b_s + c_s)"


def solve(asked: OfSparsity) -> SparseAnswer:
    """By the law with the role `sparsity`."""
    return sparse_answer(asked.n_params, asked.tokens, asked.sparsity)


def explain(asked: OfSparsity, solved: SparseAnswer) -> Answer:
    """The loss, and the dense models of as many weights and of that loss."""
    inputs = {"sparsity": asked.sparsity, "n_params": asked.n_params, "n_tokens": asked.tokens}
    notes = [
        f"By {solved.law.name} ({solved.law.data['convention']['data']}): sparse during training. Compare its losses with each other alone."
    ]
    return answer_of_lines("optimal", inputs, list(lines_of(asked, solved)), notes=notes, warnings=cautions_of([solved.law]))


def lines_of(asked: OfSparsity, solved: SparseAnswer) -> Iterator[Line]:
    """Each number by its formula."""
    law, form = solved.law, sparse_of(solved.law.data["loss"])
    cited, standing, left = law.sources("loss"), fitted(law), {"n_nonzero": solved.n_nonzero}
    share, size = {"sparsity": asked.sparsity}, {name: getattr(form, name) for name in ("a_s", "c_s", "b_n")}
    rest = {"a_d": form.a_d, "b_d": form.b_d, "c": form.c, "n_tokens": asked.tokens}
    of_left: dict[str, Any] = {"n_params": asked.n_params, **share}
    yield line("n_nonzero", "weights that are not zero", solved.n_nonzero, "params", "n_params * (1 - sparsity)", **of_left)
    made = (
        (
            "loss_nats",
            "loss",
            solved.loss,
            "nats",
            f"{SIZE} / n_nonzero ** b_n + (a_d / n_tokens) ** b_d + c",
            {**left, **share, **size, "b_s": form.b_s, **rest},
        ),
        (
            "dense_loss_nats",
            "loss of a dense model of as many weights",
            solved.dense_loss,
            "nats",
            "(a_s + c_s) / n_nonzero ** b_n + (a_d / n_tokens) ** b_d + c",
            {**left, **size, **rest},
        ),
        (
            "dense_n_params",
            "dense model of the same loss",
            solved.dense_params,
            "params",
            f"((a_s + c_s) / {SIZE}) ** (1 / b_n) * n_nonzero",
            {**left, **share, **size, "b_s": form.b_s},
        ),
    )
    for key, label, value, unit, formula, inputs in made:
        yield line(key, label, value, unit, formula, sources=cited, standing=standing, **inputs)
