"""A budget of `optimal` in dollars or device-days, as the FLOP that it pays for on a device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from scaleplan import library
from scaleplan.answer import Answer, Line, line
from scaleplan.chain.budget import budget_hours, flops_in
from scaleplan.chain.cost_given import price_of, rate_inputs
from scaleplan.chain.run_cost import Input

if TYPE_CHECKING:
    from scaleplan.questions.optimal import OfDense

PAID = ("usd", "device_days")


class Paid(NamedTuple):
    """What a budget buys: device-hours at a price, FLOP at a rate."""

    name: str
    amount: Any
    device: str
    device_hours: Any
    price: Input | None
    peak: Input
    mfu: Input
    compute_flops: Any


def paid_for(asked: OfDense) -> Paid | None:
    """The FLOP of a budget in dollars or device-days; None where the budget is of another kind. Amounts may be arrays."""
    name = next((name for name in PAID if getattr(asked, name) is not None), None)
    if name is None:
        return None
    given, defaults = asked._asdict(), library.defaults()
    device = library.load("hardware", str(asked.hardware))
    hours = budget_hours(given, name, device, defaults)
    rate = rate_inputs(given, device, None, "six_n", defaults)
    price = price_of(given, device)[0] if name == "usd" else None
    return Paid(name, getattr(asked, name), device.name, hours, price, rate.peak_flops_per_s, rate.mfu, flops_in(hours, rate))


def with_budget(paid: Paid, answer: Answer) -> Answer:
    """The answer and how the budget became FLOP."""
    lines = list(lines_of(paid))
    budget = {one.key.removeprefix("budget."): one.value for one in lines}
    dollars = (
        "" if paid.price is None else f" at ${paid.price.value:.3g} a device-hour ({standing_words(paid.price, 'median of providers')})"
    )
    said = standing_words(paid.mfu, "median of published whole runs")
    notes = [f"Budget: {paid.device_hours:,.0f} device-hours of {paid.device}{dollars}, at an MFU of {paid.mfu.value:.2g} ({said})."]
    inputs = {key: value for key, value in answer.inputs.items() if key != "compute_flops"} | {
        paid.name: paid.amount,
        "hardware": paid.device,
    }
    return answer._replace(
        inputs=inputs, result={**answer.result, "budget": budget}, lines=[*lines, *answer.lines], notes=[*notes, *answer.notes]
    )


def standing_words(one: Input, usual: str) -> str:
    """Where an input is from."""
    return "given" if one.standing == "given" else usual


def lines_of(paid: Paid) -> list[Line]:
    """Budget, price, hours, rate and FLOP, each with its formula."""
    given = line(f"budget.{paid.name}", "budget", paid.amount, "usd" if paid.name == "usd" else "d", standing="given")
    rate = [
        line("budget.peak_flops_per_s", "peak", paid.peak.value, "FLOP/s", sources=paid.peak.sources, standing=paid.peak.standing),
        line("budget.mfu", "MFU", paid.mfu.value, "fraction", sources=paid.mfu.sources, standing=paid.mfu.standing),
    ]
    if paid.price is not None:
        price = paid.price
        rate.insert(0, line("budget.usd_per_device_hour", "price", price.value, "usd", sources=price.sources, standing=price.standing))
        hours: dict[str, Any] = {"usd": paid.amount, "usd_per_device_hour": price.value}
        formula = "usd / usd_per_device_hour"
    else:
        hours, formula = {"device_days": paid.amount}, "device_days * 24"
    flops: dict[str, Any] = {"device_hours": paid.device_hours, "peak_flops_per_s": paid.peak.value, "mfu": paid.mfu.value}
    return [
        given,
        *rate,
        line("budget.device_hours", "device-hours", paid.device_hours, "h", formula, standing="estimate", **hours),
        line(
            "budget.compute_flops",
            "compute",
            paid.compute_flops,
            "FLOP",
            "device_hours * 3600 * peak_flops_per_s * mfu",
            standing="estimate",
            **flops,
        ),
    ]
