"""Charts in letters and as files."""

from __future__ import annotations

import struct

import pytest

from scaleplan.answer import Axis, Chart, Mark, Series
from scaleplan.render.chart import draw, rounded, tick_label
from scaleplan.render.picture import colours_of, label_places

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
    assert len({column for row in rows for column, symbol in enumerate(row) if symbol in "*A"}) >= 60


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
    assert "A middle: 10.0 kFLOP, 10.0k" in drawing


@pytest.mark.parametrize(
    ("low", "high", "log", "ticks"),
    [
        (1.0, 9e5, True, [1, 10, 100, 1e3, 1e4, 1e5]),
        (0.9e12, 4e13, True, [1e12, 2e12, 5e12, 1e13, 2e13]),
        (4e9, 4e12, True, [1e10, 3e10, 1e11, 3e11, 1e12, 3e12]),
        (1.0, 1e24, True, [1, 1e5, 1e10, 1e15, 1e20]),
        (20.0, 31.0, True, [20, 22, 24, 26, 28, 30]),
        (2.31, 2.44, False, [2.32, 2.34, 2.36, 2.38, 2.40, 2.42, 2.44]),
    ],
)
def test_ticks_are_round(low, high, log, ticks):
    """1, 2, 5 times powers of ten where there is room, then 1 and 3, then powers alone; steps of a short axis are even."""
    assert rounded(low, high, 7 if not log else 6, log=log) == pytest.approx(ticks)


@pytest.mark.parametrize(
    ("value", "unit", "label"),
    [(4e6, "steps", "4M"), (1e21, "FLOP", "1 ZFLOP"), (2.5e9, "params", "2.5B"), (100, "tokens", "100"), (2.35, "nats", "2.35")],
)
def test_labels_of_ticks_have_no_idle_zeros(value, unit, label):
    """`4.00M` says no more than `4M`."""
    assert tick_label(value, unit) == label


def test_a_name_has_one_colour_in_all_charts():
    """A series keeps its colour from chart to chart, whatever is beside it."""
    other = LINE._replace(series=[Series("another", [1e3], [1e3]), *LINE.series])
    colours = colours_of([LINE, other])

    assert list(colours) == ["y = x", "another"]
    assert len(set(colours.values())) == 2


def test_names_of_marks_do_not_cover_each_other():
    """Marks that lie together have their names at different heights; at the sides a name stays inside."""
    close = LINE._replace(marks=[Mark("one", 1e4, 1e4), Mark("two", 1.1e4, 1.1e4), Mark("edge", 1e3, 1e3), Mark("end", 1e6, 1e6)])
    one, two, edge, end = label_places(close)

    assert one.down != two.down
    assert (one.align, edge.align, end.align) == ("center", "left", "right")


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
