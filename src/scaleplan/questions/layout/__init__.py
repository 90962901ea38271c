"""Layouts: a table of given ones, priced row by row."""

from __future__ import annotations

from typing import NamedTuple

from scaleplan.questions.asking import Question, Shape
from scaleplan.questions.registry import asks


class TableOfLayouts(NamedTuple):
    """A CSV file of layouts, one a row."""

    table: str


QUESTION = Question(
    name="layout",
    asks=asks("layout"),
    subject=(),
    headings={"Layouts": ("table",)},
    shapes=(Shape("table", TableOfLayouts, "a table of layouts", "layout.of_table", "layout.results:PricedTable"),),
    examples=("scaleplan layout --table layouts.csv -o priced.csv", "scaleplan layout --table layouts.csv --json"),
)
