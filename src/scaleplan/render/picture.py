"""Chart -> a picture file: interactive HTML, SVG, PNG or PDF from one description. Needs the extra `plot`; works offline."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scaleplan.answer import Axis, Chart
from scaleplan.errors import InputError

KINDS = (".svg", ".png", ".pdf", ".html")
SIZE = {"width": 560, "height": 340}


def write_picture(charts: Sequence[Chart], path: Path) -> None:
    """Draw all charts of an answer below each other into a file, whose ending says in which form."""
    try:
        import altair
        import vl_convert  # noqa: F401 - altair needs it to write anything but JSON, and says so less clearly
    except ImportError:
        raise InputError(
            "drawing files needs the extra `plot`", hint="install it: pip install 'scaleplan[plot]'; --plot alone draws in the terminal"
        ) from None
    picture = altair.vconcat(*(layers(altair, chart) for chart in charts)).configure_view(stroke=None).configure_title(anchor="start")
    draft = path.with_name(f".{path.stem}.part{path.suffix}")
    options: dict[str, Any] = {"inline": True} if path.suffix == ".html" else {"scale_factor": 2} if path.suffix == ".png" else {}
    try:
        picture.save(str(draft), **options)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def layers(altair: Any, chart: Chart) -> Any:
    """Bands, lines and marks of one chart."""
    values = [
        {"series": s.name, "x": px, "y": py, **({"low": s.low[i], "high": s.high[i]} if s.low is not None and s.high is not None else {})}
        for s in chart.series
        for i, (px, py) in enumerate(zip(s.x, s.y, strict=True))
    ]
    base = altair.Chart(altair.Data(values=values)).encode(
        x=axis(altair, "x", chart.x), color=altair.Color("series:N", title=None, sort=[s.name for s in chart.series])
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
    if chart.marks:
        marks = altair.Chart(altair.Data(values=[{"name": m.name, "x": m.x, "y": m.y} for m in chart.marks]))
        place = {"x": axis(altair, "x", chart.x), "y": axis(altair, "y", chart.y)}
        drawn += [
            marks.mark_point(filled=True, size=80, color="black").encode(**place),
            marks.mark_text(dy=-12, fontSize=11).encode(text="name:N", **place),
        ]
    return altair.layer(*drawn).properties(title=chart.title, **SIZE)


def axis(altair: Any, field: str, of: Axis) -> Any:
    """An axis of the picture; logarithmic where the chart says so."""
    kind = altair.X if field == "x" else altair.Y
    title = f"{of.label} ({of.unit})" if of.unit else of.label
    return kind(
        f"{field}:Q",
        title=title,
        scale=altair.Scale(type="log" if of.log else "linear", zero=False, nice=False),
        axis=altair.Axis(format="~s", tickCount=6),
    )
