"""Passes over the same tokens: what they are worth in fresh ones."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from scaleplan.answer import Answer, Line, line
from scaleplan.chain import catalogue
from scaleplan.chain.law_answers import RepetitionAnswer, repetition_answer
from scaleplan.laws.repetition import Repeating
from scaleplan.questions.about_laws import answer_of_lines, fitted

if TYPE_CHECKING:
    from scaleplan.questions.optimal.beside import OfEpochs


def solve(asked: OfEpochs) -> RepetitionAnswer:
    """By the law that was asked for, or the first that knows repetition."""
    return repetition_answer(asked.epochs, catalogue.load_law(asked.law[0]) if asked.law else None)


def explain(asked: OfEpochs, solved: RepetitionAnswer) -> Answer:
    """The worth of the passes, in units of one."""
    notes = [f"In units of one pass, by {solved.law.name}; its fit uses the first form, which approximates the geometric series."]
    return answer_of_lines("optimal", {"epochs": asked.epochs, "law": solved.law.name}, list(lines_of(solved)), notes=notes)


def lines_of(solved: RepetitionAnswer) -> Iterator[Line]:
    """Both forms, and how far their data terms differ."""
    law, form, passes = solved.law, solved.law.loss, {"epochs": solved.passes}
    assert isinstance(form, Repeating), "the answer is of such a law"
    star, lost = {"r_d_star": form.r_d_star}, {"lost_per_epoch": solved.lost_per_pass}
    worth = {"worth": solved.worth_saturating}
    both = {**worth, "worth_geometric": solved.worth_geometric, "beta": form.fresh.beta}
    saturating, geometric = "1 + r_d_star * (1 - exp(-(epochs - 1) / r_d_star))", "(1 - (1 - lost_per_epoch) ** epochs) / lost_per_epoch"
    average, excess = solved.worth_saturating / solved.passes, solved.data_term_difference
    series, differing = "worth as a geometric series", "data term of the series over the first, less 1"
    made = (
        ("worth", "worth: 1 + R* (1 - exp(-R / R*))", solved.worth_saturating, "passes", saturating, {**passes, **star}),
        ("worth_per_epoch", "worth of a pass, on average", average, "fraction", "worth / epochs", {**worth, **passes}),
        ("lost_per_epoch", "share that each pass loses to the one before", solved.lost_per_pass, "fraction", "1 / (1 + r_d_star)", star),
        ("worth_geometric", series, solved.worth_geometric, "passes", geometric, {**passes, **lost}),
        ("data_term_difference", differing, excess, "fraction", "(worth / worth_geometric) ** beta - 1", both),
        ("most_worth", "worth of endless passes", solved.most_worth, "passes", "1 + r_d_star", star),
    )
    for key, label, value, unit, formula, inputs in made:
        yield line(key, label, value, unit, formula, sources=law.sources("loss"), standing=fitted(law), **inputs)
