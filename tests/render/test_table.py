"""Tables on a narrow terminal."""

from __future__ import annotations

import re

from scaleplan.answer import Answer, Column, Table
from scaleplan.render import Style, render

WIDE = Table(
    "",
    [Column("name", "name"), *(Column(f"n{place}", f"number {place}", "int") for place in range(6))],
    [{"name": "a name of several words"} | {f"n{place}": 7_001_127_936 for place in range(6)}],
)


def test_numbers_keep_their_digits_on_a_narrow_terminal():
    """A number is never cut: 7,001,127,93 would be another number. Words wrap instead, and then the line grows too long."""
    for width in (40, 60, 80, 100):
        shown = render(Answer("test", {}, {}, [WIDE]), "table", Style(width=width))

        assert shown.count("7,001,127,936") == 6
        assert all(f"number {place}" in shown for place in range(6))


def test_words_wrap_within_the_terminal():
    """While the numbers leave room, no line is longer than the terminal is wide."""
    narrow = WIDE._replace(columns=WIDE.columns[:3])
    shown = render(Answer("test", {}, {}, [narrow]), "table", Style(width=45))

    assert max(map(len, shown.splitlines())) <= 45


def test_a_title_wraps_as_its_table_does():
    """A long title breaks between words, over columns and over blocks."""
    for columns in (WIDE.columns[:2], WIDE.columns):
        shown = render(Answer("test", {}, {}, [WIDE._replace(title="a title " * 8, columns=columns)]), "table", Style(width=30))

        assert max(map(len, shown.splitlines())) <= 30


def test_titles_headings_and_totals_are_bold_in_colour_alone():
    """The same characters with and without colour; a body row is never bold."""
    table = Table("a title", [Column("n", "number", "int")], [{"n": 1}, {"n": 2}, {"n": 3}], total=True)
    plain, bold = (render(Answer("test", {}, {}, [table]), "table", Style(width=80, colour=colour)) for colour in (False, True))

    assert "\x1b" not in plain
    assert bold.replace("\x1b[1m", "").replace("\x1b[0m", "") == plain
    assert re.findall("\x1b\\[1m *(.*?)\x1b", bold) == ["a title", "number", "3"]
