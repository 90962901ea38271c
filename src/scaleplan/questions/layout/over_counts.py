"""The best layout on each of several device counts: the front of time, devices, dollars and energy, and strong scaling."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from scaleplan.answer import Answer, Axis, Chart, Column, Line, Mark, Series, Table, line
from scaleplan.chain import catalogue
from scaleplan.chain.batch import BatchAnswer, BatchQuestion, batch_answer
from scaleplan.chain.device_counts import Front, FrontPoint, front_over
from scaleplan.chain.layout_search import Asked
from scaleplan.errors import NotSupported
from scaleplan.model.params import count_params
from scaleplan.questions.batch.lines import critical_lines
from scaleplan.questions.batch.tradeoff import warnings_of
from scaleplan.questions.layout.common import INTERRUPTED, asked_of, completed, inputs_of, row_of, watched
from scaleplan.questions.priced import Money, money_given
from scaleplan.units import show_count
from scaleplan.wording import field

if TYPE_CHECKING:
    from scaleplan.questions.layout import OverCounts


class Solved(NamedTuple):
    """The search, its best layouts by device count, and the price and power behind dollars and energy.

    batch  steps against tokens to the loss of the run; None where no law was given
    """

    search: Asked
    front: Front
    money: Money
    is_complete: bool
    batch: BatchAnswer | None = None


def solve(asked: OverCounts) -> Solved:
    """The best layout on each count.

    Raises NotSupported where none fits on any.
    """
    search, money = asked_of(asked, asked.n_devices.points[0]), money_given(asked)
    price = None if money.usd is None else money.usd.value
    batch = batch_of(asked, search)
    curve = None if batch is None else batch.curve
    with watched("device counts") as progress:
        front = front_over(search, asked.n_devices.points, asked.tokens, price, money.facility_w, progress, curve)
    if not front.points:
        raise NotSupported(f"{field('n_devices')} {asked.n_devices.text}: no layout fits on any of these counts", hint="more devices")
    return Solved(search, front, money, not progress.cut_short, batch)


def batch_of(asked: OverCounts, search: Asked) -> BatchAnswer | None:
    """The runs that reach the loss of these tokens at this global batch, by the law that was given."""
    if not asked.law:
        return None
    n = count_params(search.bill).n_params
    return batch_answer(BatchQuestion(None, n, asked.tokens, search.batch_seqs * search.seq_len), catalogue.load_law(asked.law[0]))


def explain(asked: OverCounts, solved: Solved) -> Answer:
    """A row a count, and where adding devices stops paying."""
    search, front = solved.search, solved.front
    rows = [point_row(one) for one in front.points]
    result = {
        "points": rows,
        "stops_paying_n_devices": front.stops_paying,
        "is_complete": solved.is_complete,
        "loss_nats": None if solved.batch is None else solved.batch.loss_nats,
        "critical_batch_tokens": None if solved.batch is None else solved.batch.curve.critical_batch,
    }
    answer = Answer(
        "layout",
        inputs_of(asked, search),
        result,
        [points_table(rows, with_batch=solved.batch is not None)],
        [
            *([] if solved.batch is None else critical_lines(solved.batch)),
            *(one for place, point in enumerate(front.points) for one in point_lines(asked, solved, place, point)),
        ],
        warnings=[*([] if solved.batch is None else warnings_of(solved.batch, None)), *solved.money.price.cautions()],
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
        "global_batch_size_seqs": one.batch_seqs,
        "tokens": one.n_tokens,
        "wall_s": point.wall_s,
        "wall_s_p10": point.wall_s * point.row.step_s_p10 / point.row.step_s,
        "wall_s_p90": point.wall_s * point.row.step_s_p90 / point.row.step_s,
        "device_hours": point.device_hours,
        "usd": one.usd,
        "energy_wh": one.energy_wh,
        "on_front": one.on_front,
        **row_of(point.row),
    }


def points_table(rows: list[dict[str, Any]], *, with_batch: bool) -> Table:
    """Counts with time, money, energy and layout; batch and tokens where they differ."""
    unit = ("int", "tokens") if with_batch else ("hidden", "hidden")
    columns = [
        Column("n_devices", "devices", "int"),
        Column("layout", "fastest layout"),
        Column("global_batch_size_seqs", "batch", unit[0]),
        Column("tokens", "tokens", unit[1]),
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
    at = "at this global batch" if solved.batch is None else "whatever the global batch"
    if stop is not None:
        notes.append(f"Beyond {stop:,} devices, less than half of added devices turns into speed {at}.")
    if solved.batch is not None and solved.batch.loss_law is not None:
        notes.append(batch_note(solved.batch, solved.batch.loss_law.name))
    if not solved.is_complete:
        notes.append("Interrupted: the larger counts were not searched.")
    return [*notes, "Time is that of steps alone; stops and restarts come on top."]


def batch_note(batch: BatchAnswer, law: str) -> str:
    """What a larger batch costs, and which batch each row has."""
    critical = f"Critical batch {show_count(batch.curve.critical_batch)} tokens at a loss of {batch.loss_nats:.3f} ({law})"
    told = (
        f"a larger batch needs more tokens to it, as 1 + B / B_crit; {field('tokens')} are those at {show_count(batch.batch_tokens)} a step"
    )
    return f"{critical}: {told}. Each row has the batch, in powers of two, with which the run ends first."


def tokens_line(batch: BatchAnswer, one: FrontPoint, seq_len: int, before: str) -> Line:
    """The tokens that a run at its batch needs to the same loss."""
    curve: dict[str, Any] = {"min_tokens": batch.curve.min_tokens, "critical_batch_tokens": batch.curve.critical_batch}
    formula = "min_tokens * (1 + global_batch_size_seqs * seq_len / critical_batch_tokens)"
    inputs = curve | {"global_batch_size_seqs": one.batch_seqs, "seq_len": seq_len}
    label = f"{one.point.n_devices}: tokens to the same loss"
    return line(f"{before}tokens", label, one.n_tokens, "tokens", formula, standing="fitted", sources=("mccandlish2018",), **inputs)


def point_lines(asked: OverCounts, solved: Solved, place: int, one: FrontPoint) -> list[Line]:
    """Time, device-hours, dollars and energy of a count."""
    point, before = one.point, f"points.{place}."
    n_steps = one.n_tokens / (one.batch_seqs * solved.search.seq_len)
    work: dict[str, Any] = {
        "tokens": one.n_tokens, "global_batch_size_seqs": one.batch_seqs, "seq_len": solved.search.seq_len,
        "step_s": point.row.step_s,
    }  # fmt: skip
    formula = "tokens / (global_batch_size_seqs * seq_len) * step_s"
    found = [
        *([] if solved.batch is None else [tokens_line(solved.batch, one, solved.search.seq_len, before)]),
        line(f"{before}step_s", f"{point.n_devices}: step", point.row.step_s, "s", "sum(parts)", standing="estimate",
             parts=list(point.row.parts.values())),
        line(f"{before}wall_s", f"{point.n_devices}: time", n_steps * point.row.step_s, "s", formula, standing="estimate", **work),
        line(f"{before}device_hours", f"{point.n_devices}: device-hours", point.device_hours, "h", "wall_s * n_devices / 3600",
             standing="estimate", wall_s=point.wall_s, n_devices=point.n_devices),
    ]  # fmt: skip
    price, facility_w = solved.money.usd, solved.money.facility_w
    if one.usd is not None and price is not None:
        inputs: dict[str, Any] = {"device_hours": point.device_hours, "usd_per_device_hour": price.value}
        cost = "device_hours * usd_per_device_hour"
        found.append(
            line(f"{before}usd", f"{point.n_devices}: dollars", one.usd, "usd", cost, standing="estimate", sources=price.sources, **inputs)
        )
    if one.energy_wh is not None and facility_w is not None:
        drawn: dict[str, Any] = {"device_hours": point.device_hours, "facility_w": facility_w}
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
