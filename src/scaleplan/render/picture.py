"""Chart -> a picture file: interactive HTML, SVG, PNG or PDF from one description. Needs the extra `plot`; works offline."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from scaleplan.answer import Axis, Chart, Mark
from scaleplan.errors import InputError
from scaleplan.wording import visible

KINDS = (".svg", ".png", ".pdf", ".html")
SIZE = {"width": 560, "height": 340}
LETTER_WIDTH, LETTER_HEIGHT = 6, 11  # of the names of marks, in pixels
DOT = 4  # half the width of a mark
INKS: Sequence[dict[str, Any]] = (
    {"fontSize": LETTER_HEIGHT, "stroke": "white", "strokeWidth": 3},  # a halo, so that a name can be read across a line
    {"fontSize": LETTER_HEIGHT},
)
OFFSETS = (-12, 14, -26, 28, -40, 42)  # where they are tried: above, below, farther above, ...
PALETTE = (  # ten colours that can be told apart, then lighter ones of them
    *("#4c78a8", "#f58518", "#e45756", "#72b7b2", "#54a24b", "#eeca3b", "#b279a2", "#ff9da6", "#9d755d", "#79706e"),
    *("#9ecae9", "#ffbf79", "#fcbfd2", "#439894", "#88d27a", "#b79a20", "#d6a5c9", "#d67195", "#d8b5a5", "#bab0ac"),
)
LESS, WRITTEN_LESS = "\uf8ff", "\\uf8ff"  # a mark for `<` in a name, and how JSON writes it
COUNTS = ("params", "tokens", "steps", "seqs", "devices")
IN_BILLIONS = 'replace(datum.label, "G", "B")'  # as parameters and tokens are counted


def write_picture(charts: Sequence[Chart], path: Path) -> None:
    """Draw all charts of an answer below each other into a new file, whose ending says in which form."""
    try:
        import altair
        import vl_convert  # noqa: F401 - altair needs it to write anything but JSON, and says so less clearly
    except ImportError:
        raise InputError(
            "drawing files needs the extra `plot`", hint="install it: pip install 'scaleplan[plot]'; --plot alone draws in the terminal"
        ) from None
    charts = [harmless(chart, as_text if path.suffix == ".html" else visible) for chart in charts]
    colours = colours_of(charts)
    drawn = altair.vconcat(*(layers(altair, chart, colours) for chart in charts)).resolve_scale(color="independent")
    picture = drawn.configure_view(stroke=None).configure_title(anchor="start")
    if path.suffix == ".html":
        # names stand inside a script there, where `</script>` would end it
        path.write_text(picture.to_html(inline=True).replace(WRITTEN_LESS, "\\u003c"), encoding="utf-8", newline="")
    else:
        picture.save(str(path), **({"scale_factor": 2} if path.suffix == ".png" else {}))


def harmless(chart: Chart, clean: Callable[[str], str]) -> Chart:
    """The chart with names, which may come from files, that steer neither a page nor a reader of XML."""
    return chart._replace(
        title=clean(chart.title),
        series=[one._replace(name=clean(one.name)) for one in chart.series],
        marks=[one._replace(name=clean(one.name)) for one in chart.marks],
    )


def as_text(name: str) -> str:
    """A name without control characters, and with a mark for each `<`."""
    return visible(name).replace("<", LESS)


def colours_of(charts: Sequence[Chart]) -> dict[str, str]:
    """A colour for each name, the same in every chart."""
    names = dict.fromkeys(series.name for chart in charts for series in chart.series)
    return {name: PALETTE[place % len(PALETTE)] for place, name in enumerate(names)}


def layers(altair: Any, chart: Chart, colours: Mapping[str, str]) -> Any:
    """Bands, lines and marks of one chart."""
    values = [
        {"series": s.name, "x": px, "y": py, **({"low": s.low[i], "high": s.high[i]} if s.low is not None and s.high is not None else {})}
        for s in chart.series
        for i, (px, py) in enumerate(zip(s.x, s.y, strict=True))
    ]
    names = [s.name for s in chart.series]
    legend = altair.Legend(symbolType="stroke", symbolOpacity=1, labelLimit=0) if len(names) > 1 else None
    scale = altair.Scale(domain=names, range=[colours[name] for name in names])
    base = altair.Chart(altair.Data(values=values)).encode(
        x=axis(altair, "x", chart.x), color=altair.Color("series:N", title=None, scale=scale, legend=legend)
    )
    single = [s.name for s in chart.series if len(s.x) == 1]
    drawn = [
        base.transform_filter("isValid(datum.low)").mark_area(opacity=0.18).encode(y=axis(altair, "low", chart.y), y2="high:Q"),
        base.mark_line().encode(
            y=axis(altair, "y", chart.y), tooltip=["series:N", altair.Tooltip("x:Q", format=".3s"), altair.Tooltip("y:Q", format=".4s")]
        ),
    ]
    if single:
        drawn.append(
            base.transform_filter(altair.FieldOneOfPredicate("series", single)).mark_point(size=60).encode(y=axis(altair, "y", chart.y))
        )
    for mark, place in zip(chart.marks, label_places(chart), strict=True):
        at = altair.Chart(altair.Data(values=[{"name": mark.name, "x": mark.x, "y": mark.y}]))
        here = {"x": axis(altair, "x", chart.x), "y": axis(altair, "y", chart.y)}
        drawn += [
            at.mark_point(filled=True, size=60, color="black", opacity=1).encode(**here),
            *(at.mark_text(dy=place.down, align=place.align, **ink).encode(text="name:N", **here) for ink in INKS),
        ]
    return altair.layer(*drawn).properties(title=chart.title, **SIZE)


class Place(NamedTuple):
    """Where the name of a mark stands: pixels below it, and which end of the text is at it."""

    down: int
    align: str


class Box(NamedTuple):
    """A rectangle of the picture, in pixels."""

    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: Box) -> bool:
        return self.left < other.right and other.left < self.right and self.top < other.bottom and other.top < self.bottom


def label_places(chart: Chart) -> list[Place]:
    """A place for the name of each mark, clear of the frame, of the marks, and of the names before it."""
    across, up = span(chart.x, [s.x for s in chart.series], chart.marks, "x"), span(chart.y, heights(chart), chart.marks, "y")
    points = [(SIZE["width"] * share(chart.x, m.x, across), SIZE["height"] * (1 - share(chart.y, m.y, up))) for m in chart.marks]
    taken = [Box(x - DOT, y - DOT, x + DOT, y + DOT) for x, y in points]
    found = []
    for mark, (x, y) in zip(chart.marks, points, strict=True):
        width = LETTER_WIDTH * len(mark.name)
        align, left = ("left", x) if x < width / 2 else ("right", x - width) if x > SIZE["width"] - width / 2 else ("center", x - width / 2)
        boxes = {down: Box(left, y + down - LETTER_HEIGHT / 2, left + width, y + down + LETTER_HEIGHT / 2) for down in OFFSETS}
        inside = {down: box for down, box in boxes.items() if box.top >= 0 and box.bottom <= SIZE["height"]}
        down = next((down for down, box in inside.items() if not any(box.meets(other) for other in taken)), OFFSETS[0])
        taken.append(boxes[down])
        found.append(Place(down, align))
    return found


def heights(chart: Chart) -> list[Sequence[float]]:
    """Every height that is drawn in a chart."""
    return [part for s in chart.series for part in (s.y, s.low, s.high) if part is not None]


def span(of: Axis, values: Sequence[Sequence[float]], marks: Sequence[Mark], name: str) -> tuple[float, float]:
    """The smallest and largest value along an axis."""
    known = [v for part in [*values, [getattr(mark, name) for mark in marks]] for v in part if v > 0 or not of.log]
    return min(known), max(known)


def share(of: Axis, value: float, ends: tuple[float, float]) -> float:
    """How far along its axis a value lies, between 0 and 1."""
    low, high, here = (math.log(v) if of.log else v for v in (*ends, value))
    return (here - low) / (high - low) if high > low else 0.5


def axis(altair: Any, field: str, of: Axis) -> Any:
    """An axis of the picture; logarithmic where the chart says so."""
    kind = altair.X if field == "x" else altair.Y
    title = f"{of.label} ({of.unit})" if of.unit not in ("", of.label) else of.label
    return kind(
        f"{field}:Q",
        title=title,
        scale=altair.Scale(type="log" if of.log else "linear", zero=False, nice=False),
        axis=altair.Axis(format="~s", tickCount=6, **({"labelExpr": IN_BILLIONS} if of.unit in COUNTS else {})),
    )
