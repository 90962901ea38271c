"""Shapes near a number of parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from scaleplan.answer import Answer, Column, Table
from scaleplan.model.synthesis import D_HEAD, Candidate, shapes_near
from scaleplan.model_files import model_document, model_of_words, write_model
from scaleplan.questions.fields import FORMS_OF_SHAPE, SHAPE_WORDS
from scaleplan.units import show_count
from scaleplan.wording import question

if TYPE_CHECKING:
    from scaleplan.questions.params import NearTarget

SHOWN = ("n_layers", "d_model", "n_heads", "n_kv_heads", "d_ff", "n_experts")


def solve(asked: NearTarget) -> list[Candidate]:
    """Buildable shapes, the nearest first."""
    tp, pp = (1, 1) if asked.layout is None else (asked.layout.tp, asked.layout.pp)
    return shapes_near(asked.target, asked.like or FORMS_OF_SHAPE[0], fixed=asked.shape, tp=tp, pp=pp)


def explain(asked: NearTarget, solved: list[Candidate]) -> Answer:
    """The shapes as a table, nearest first."""
    rows = [row_of(one) for one in solved]
    columns = [Column(word, word.removeprefix("n_").replace("_", " "), "int") for word in SHOWN if word in rows[0]]
    columns += [Column("n_params", "parameters", "int"), Column("relative_error", "off", "fraction"), Column("aspect", "d/L", "")]
    inputs = {"target_n_params": asked.target, "like": asked.like or FORMS_OF_SHAPE[0], **asked.shape}
    inputs |= {} if asked.layout is None else {"layout": asked.layout.spelled()}
    notes = [
        f"d_head = {D_HEAD}, divisible by tp and pp. "
        "Ranked by size error and by d_model/n_layers against 100 (a factor 2 counts as 5 % of size)."
    ]
    best = model_of_words(solved[0].words)._replace(label=f"{asked.like or FORMS_OF_SHAPE[0]}-{show_count(solved[0].params.n_params)}")
    notes.append(f"The first one again: {rebuilt(solved[0].words)}")
    return Answer(
        "params",
        inputs | {"model_shape": model_document(best)},
        {"shapes": rows},
        [Table("", columns, rows)],
        notes=notes,
        more_sources=("kaplan2020",),
        files={".toml": {".toml": write_model(best)}},
    )


def rebuilt(words: Mapping[str, Any]) -> str:
    """The question that counts a shape again."""
    told = {word: value for word, value in words.items() if word in SHAPE_WORDS and value is not None}
    switches = {word: value for word, value in told.items() if isinstance(value, bool)}
    return question("params", **{word: value if word in switches else str(value) for word, value in told.items()})


def row_of(one: Candidate) -> dict[str, Any]:
    """One shape in `result.shapes`."""
    return {
        **one.words,
        "n_params": one.params.n_params,
        "n_active_params": one.params.n_active_params,
        "relative_error": one.relative_error,
        "aspect": one.aspect,
    }
