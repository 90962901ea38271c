"""Tables on a narrow terminal."""

from __future__ import annotations

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
