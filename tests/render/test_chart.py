"""Charts in letters and as files."""

from __future__ import annotations

import struct

import pytest

from scaleplan.answer import Axis, Chart, Mark, Series
from scaleplan.render.chart import draw

LINE = Chart(
    "double",
    Axis("x", "FLOP"),
    Axis("y", "params"),
    [Series("y = x", [1e3, 1e6], [1e3, 1e6], [5e2, 5e5], [2e3, 2e6])],
    [Mark("middle", 1e4, 1e4)],
)


def test_a_straight_line_is_drawn_straight():
    """On logarithmic axes a power law is a line: each column holds its symbol, rising to the right."""
    rows = [row.partition("|")[2] for row in draw(LINE).splitlines() if "|" in row]
    places = [(row.index("*"), number) for number, row in enumerate(rows) if "*" in row]

    assert places == sorted(places, reverse=True)
    assert len({column for row in rows for column, symbol in enumerate(row) if symbol in "*O"}) >= 60


def test_a_drawing_fits_its_width_and_is_plain():
    """No line is longer than asked for, and all of it is ASCII."""
    for width in (60, 80, 100):
        drawing = draw(LINE, width)
        assert max(map(len, drawing.splitlines())) <= width
        assert drawing.isascii()


def test_bands_and_marks_are_named():
    """The legend says which symbol is what and where a mark is."""
    drawing = draw(LINE)

    assert "* y = x" in drawing
    assert ". 80 % interval" in drawing
    assert "O middle: 10.0 kFLOP, 10.0k" in drawing


@pytest.mark.parametrize("xs", [[5.0], [5.0, 5.0], [1.0, 2.0]])
def test_a_chart_of_one_value_has_a_frame(xs):
    """A range of nothing is widened, not divided by."""
    assert "*" in draw(Chart("one", Axis("x", "", log=False), Axis("y"), [Series("s", xs, [2.0] * len(xs))]))


@pytest.mark.parametrize(("ending", "head"), [(".svg", b"<svg"), (".png", b"\x89PNG"), (".pdf", b"%PDF"), (".html", b"<!DOCTYPE html>")])
def test_a_picture_is_written_whole(tmp_path, ending, head):
    """The ending says the form; nothing is left beside the file, and HTML loads nothing from elsewhere."""
    from scaleplan.render.picture import write_picture

    path = tmp_path / f"chart{ending}"
    write_picture([LINE, LINE], path)
    content = path.read_bytes()

    assert content.lstrip().startswith(head)
    assert list(tmp_path.iterdir()) == [path]
    if ending == ".png":
        width, height = struct.unpack(">II", content[16:24])
        assert width > 600
        assert height > 600
    if ending == ".html":
        assert b"<script src=" not in content
        assert b"<link" not in content
