"""The best layout on each of several device counts: the front of time, devices, dollars and energy, and strong scaling."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from scaleplan.answer import Answer, Axis, Chart, Column, Line, Mark, Series, Table, line
from scaleplan.chain.layout_search import Asked, Front, FrontPoint, front_over
from scaleplan.errors import NotSupported
from scaleplan.questions.layout.common import INTERRUPTED, asked_of, completed, inputs_of, row_of, watched
from scaleplan.questions.serve.lines import Money, power_lines
from scaleplan.questions.serve.of_load import money_of
from scaleplan.wording import field

if TYPE_CHECKING:
    from scaleplan.questions.layout import OverCounts


class Solved(NamedTuple):
    """The search, its best layouts by device count, and the price and power behind dollars and energy."""

    search: Asked
    front: Front
    money: Money
    system_w: float | None
    is_complete: bool


def solve(asked: OverCounts) -> Solved:
    """The best layout on each count.

    Raises NotSupported where none fits on any.
    """
    search, money = asked_of(asked, asked.n_devices.points[0]), money_of(asked)
    watts = None if money.power is None else power_lines(money.power)[0][-1].value * money.pue.value
    price = None if money.price is None else money.price.value
    stopped: list[bool] = []
    with watched("device counts") as progress:

        def told(done: int, total: int) -> bool:
            stopped.append(progress(done, total))
            return stopped[-1]

        front = front_over(search, asked.n_devices.points, asked.tokens, price, watts, told)
    if not front.points:
        raise NotSupported(f"{field('n_devices')} {asked.n_devices.text}: no layout fits on any of these counts", hint="more devices")
    return Solved(search, front, money, watts, not any(stopped[:-1]) and len(stopped) == len(asked.n_devices.points))


def explain(asked: OverCounts, solved: Solved) -> Answer:
    """A row a count, and where adding devices stops paying."""
    search, front = solved.search, solved.front
    rows = [point_row(one) for one in front.points]
    result = {"points": rows, "stops_paying_n_devices": front.stops_paying, "is_complete": solved.is_complete}
    answer = Answer(
        "layout",
        inputs_of(asked, search),
        result,
        [points_table(rows)],
        [one for place, point in enumerate(front.points) for one in point_lines(asked, solved, place, point)],
        charts=lambda: [chart_of(front)],
        notes=[*notes_of(solved), *solved.money.notes(serving=False)],
        exit_code=0 if solved.is_complete else INTERRUPTED,
    )
    return completed(answer, asked, search)


def point_row(one: FrontPoint) -> dict[str, Any]:
    """A device count with its run and its best layout."""
    point = one.point
    return {
        "n_devices": point.n_devices,
        "wall_s": point.wall_s,
        "wall_s_p10": point.wall_s * point.row.step_s_p10 / point.row.step_s,
        "wall_s_p90": point.wall_s * point.row.step_s_p90 / point.row.step_s,
        "device_hours": point.device_hours,
        "usd": one.usd,
        "energy_wh": one.energy_wh,
        "on_front": one.on_front,
        **row_of(point.row),
    }


def points_table(rows: list[dict[str, Any]]) -> Table:
    """Counts with time, money, energy and layout."""
    columns = [
        Column("n_devices", "devices", "int"),
        Column("layout", "fastest layout"),
        Column("mfu", "MFU", "fraction"),
        Column("wall_s", "time", "s"),
        Column("device_hours", "device-hours", "h"),
        Column("usd", "dollars", "usd"),
        Column("energy_wh", "energy", "Wh"),
        Column("on_front", "on the front"),
        *(Column(name, name, "hidden") for name in ("step_s", "micro_batch_size_seqs", "recompute", "peak_bytes", "verdict")),
    ]
    return Table("", columns, rows)


def notes_of(solved: Solved) -> list[str]:
    """Where scaling stops paying, and what is compared."""
    stop = solved.front.stops_paying
    notes = ["On the front: no other count is as good in time, devices, dollars and energy, and better in one."]
    if stop is not None:
        notes.append(f"Beyond {stop:,} devices, less than half of added devices turns into speed at this global batch.")
    if not solved.is_complete:
        notes.append("Interrupted: the larger counts were not searched.")
    return [*notes, "Time is that of steps alone; stops and restarts come on top."]


def point_lines(asked: OverCounts, solved: Solved, place: int, one: FrontPoint) -> list[Line]:
    """Time, device-hours, dollars and energy of a count."""
    point, before = one.point, f"points.{place}."
    n_steps = asked.tokens / (solved.search.batch_seqs * solved.search.seq_len)
    work: dict[str, Any] = {
        "tokens": asked.tokens, "global_batch_size_seqs": solved.search.batch_seqs, "seq_len": solved.search.seq_len,
        "step_s": point.row.step_s,
    }  # fmt: skip
    formula = "tokens / (global_batch_size_seqs * seq_len) * step_s"
    found = [
        line(f"{before}step_s", f"{point.n_devices}: step", point.row.step_s, "s", "sum(parts)", standing="estimate",
             parts=list(point.row.parts.values())),
        line(f"{before}wall_s", f"{point.n_devices}: time", n_steps * point.row.step_s, "s", formula, standing="estimate", **work),
        line(f"{before}device_hours", f"{point.n_devices}: device-hours", point.device_hours, "h", "wall_s * n_devices / 3600",
             standing="estimate", wall_s=point.wall_s, n_devices=point.n_devices),
    ]  # fmt: skip
    price = solved.money.price
    if one.usd is not None and price is not None:
        inputs: dict[str, Any] = {"device_hours": point.device_hours, "usd_per_device_hour": price.value}
        cost = "device_hours * usd_per_device_hour"
        found.append(
            line(f"{before}usd", f"{point.n_devices}: dollars", one.usd, "usd", cost, standing="estimate", sources=price.sources, **inputs)
        )
    if one.energy_wh is not None and solved.system_w is not None:
        drawn: dict[str, Any] = {"device_hours": point.device_hours, "facility_w": solved.system_w}
        found.append(
            line(
                f"{before}energy_wh",
                f"{point.n_devices}: energy",
                one.energy_wh,
                "Wh",
                "device_hours * facility_w",
                standing="estimate",
                **drawn,
            )
        )
    return found


def chart_of(front: Front) -> Chart:
    """Strong scaling: the time of the run over devices, beside that of perfect scaling."""
    counts = [float(one.point.n_devices) for one in front.points]
    times = [one.point.wall_s for one in front.points]
    low, high = (
        [one.point.wall_s * getattr(one.point.row, name) / one.point.row.step_s for one in front.points]
        for name in ("step_s_p10", "step_s_p90")
    )
    perfect = [times[0] * counts[0] / n for n in counts]
    stop = front.stops_paying
    marks = [Mark("stops paying", float(stop), times[counts.index(float(stop))])] if stop is not None else []
    series = [Series("fastest layout", counts, times, low, high), Series("perfect scaling", counts, perfect)]
    return Chart("Strong scaling", Axis("devices"), Axis("time of the run", "s"), series, marks)
