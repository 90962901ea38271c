"""A run with its trial runs, idle nodes and the making of its devices, as `cost` and `plan` show it."""

from __future__ import annotations

from typing import Any

from scaleplan.answer import Line, line
from scaleplan.chain.beside_run import Total
from scaleplan.chain.run_cost import CostInputs, RunCost, standing_of
from scaleplan.units import show_mass, show_si, show_usd

NAMES = {"device_hours": ("device-hours", "h"), "usd": ("cost of the devices", "usd"), "energy_wh": ("energy, facility", "Wh")}
"""Quantities that are the run's times a share -> label and base unit."""


def result_of(total: Total) -> dict[str, Any]:
    """The total as a key of the result."""
    numbers = {name: getattr(total, name) for name in ("device_hours", "usd", "energy_wh", "kgco2e", "embodied_kgco2e")}
    spread = {name: interval._asdict() for name, interval in total.intervals.items()} or None
    shares = {"trial_share": total.trial_share, "idle_share": total.idle_share}
    return {"includes": total.includes, **shares, **numbers, "intervals": spread}


def lines_of(total: Total, inputs: CostInputs, cost: RunCost) -> list[Line]:
    """The quantities that the total changes, each with its formula."""
    shares = {name: getattr(total, name) for name in ("trial_share", "idle_share") if getattr(total, name)}
    found = []
    for name, (label, unit) in NAMES.items():
        own = {key: share for key, share in shares.items() if key == "trial_share" or name == "energy_wh"}
        if own and getattr(total, name) is not None:
            found.append(times_shares(total, f"{label}, with {words(own)}", name, unit, own, inputs, cost))
    return [*found, *kgco2e_lines(total, shares, inputs, cost)]


def times_shares(
    total: Total, label: str, name: str, unit: str, shares: dict[str, Any], inputs: CostInputs, cost: RunCost
) -> Line:  # fmt: skip
    """A quantity of the run times one and its shares."""
    formula = f"{name} * (1 + {' + '.join(shares)})"
    named: dict[str, Any] = {name: getattr(cost, name), **shares}
    spread = total.intervals.get(name)
    return line(f"total.{name}", label, getattr(total, name), unit, formula, standing=standing_of(name, inputs), interval=spread, **named)


def kgco2e_lines(total: Total, shares: dict[str, Any], inputs: CostInputs, cost: RunCost) -> list[Line]:
    """CO2e in all: operation with its shares, and the making of the devices."""
    if total.kgco2e is None:
        return []
    formula = f"kgco2e * (1 + {' + '.join(shares)})" if shares else "kgco2e"
    named: dict[str, Any] = {"kgco2e": cost.kgco2e, **shares}
    if total.embodied_kgco2e is not None:
        formula += " + embodied_kgco2e" + (" * (1 + trial_share)" if "trial_share" in shares else "")
        named["embodied_kgco2e"] = cost.embodied_kgco2e
    label = f"CO2e, {inputs.carbon_scope} with {', '.join(total.includes)}"
    return [
        line(
            "total.kgco2e", label, total.kgco2e, "kgCO2e", formula, standing=standing_of("kgco2e", inputs),
            interval=total.intervals.get("kgco2e"), **named,
        )
    ]  # fmt: skip


def words(shares: dict[str, Any]) -> str:
    """What is in a quantity, in words."""
    return " and ".join({"trial_share": "trials", "idle_share": "idle nodes"}[name] for name in shares)


def sentence(total: Total, scope: str) -> str:
    """The total in words."""
    shown = [
        (total.usd, show_usd),
        (total.energy_wh, lambda value: show_si(value, "Wh")),
        (total.kgco2e, lambda value: f"{show_mass(value)} of CO2e ({scope})"),
    ]
    numbers = ", ".join(show(value) for value, show in shown if value is not None)
    return f"With {', '.join(total.includes)}: {numbers}."
