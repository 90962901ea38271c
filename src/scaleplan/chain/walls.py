"""What stops the run of given devices and a time from being larger: each wall, and how much of it is used.

    time           wall time over the deadline
    money, ...     what the run spends over the budget beside the time
    memory         peak of a device over what it may use; without a layout its share of the fully sharded states
    communication  share of a step in which devices wait for the network, over one half
    batch          tokens of a batch over the critical batch size at the loss of the run
    data           training tokens over those there are: 4 epochs of the unique ones, or the stock of public text

The wall that binds is the one of which most is used, or memory where it made the model smaller than the law wants.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from scaleplan.chain import catalogue
from scaleplan.chain.budget import PAID_BY_THE_HOUR
from scaleplan.chain.memory import USUAL_OPTIMIZER, USUAL_PRECISION, USUAL_STACK, Wishes, state_bytes
from scaleplan.chain.sizes import bill_in, critical_batch
from scaleplan.machine.memory import USABLE_SHARE

if TYPE_CHECKING:
    from scaleplan.chain.walk import Walk

Given = Mapping[str, Any]
WallName = Literal["time", "money", "device_days", "energy", "carbon", "memory", "communication", "batch", "data"]
MOST_COMMUNICATION = 0.5  # of a step: more devices then wait for each other longer than they compute
WORTHWHILE_EPOCHS = 4  # up to which repeated tokens are worth nearly as much as new ones (muennighoff2023, section 5)
MONEY: Mapping[str, WallName] = {"usd": "money", "device_days": "device_days", "energy_budget": "energy", "carbon_budget": "carbon"}
"""Budget -> its wall."""


class Wall(NamedTuple):
    """One wall.

    value, limit  what is used and what there is, in `unit`; None where it is unknown
    lacking       the field that would tell
    """

    name: WallName
    value: Any
    limit: Any
    unit: str
    lacking: str | None = None

    @property
    def used_fraction(self) -> Any:
        """How much of it is used; 1 is at the wall."""
        return None if self.value is None or self.limit is None else self.value / self.limit


def walls_of(given: Given, found: Walk) -> tuple[Wall, ...]:
    """Every wall, the one that binds first, those of which nothing is known last.

    Memory binds where it made the model smaller than the law wants.
    """

    def used(wall: Wall) -> float:
        if wall.name == "memory" and found.wanted_params is not None:
            return math.inf
        return -1.0 if wall.used_fraction is None else float(wall.used_fraction)

    walls = [*spent(given, found), memory_wall(given, found), *step_walls(found), data_wall(given, found)]
    return tuple(sorted(walls, key=used, reverse=True))


def spent(given: Given, found: Walk) -> Iterator[Wall]:
    """Time, and the budgets beside it."""
    yield Wall("time", found.cost.wall_s, given["deadline"], "s")
    takes = {"usd": found.usd, "device_days": found.cost.device_days}
    takes |= {name: getattr(found.cost, key) for name, key in PAID_BY_THE_HOUR.items() if name != "usd"}
    units = {"usd": "usd", "device_days": "days", "energy_budget": "Wh", "carbon_budget": "kgCO2e"}
    yield from (Wall(MONEY[name], takes[name], given[name], units[name]) for name in MONEY if given.get(name) is not None)


def memory_wall(given: Given, found: Walk) -> Wall:
    """Memory of the fullest device in its layout; without one, what each holds of the states when all of them share."""
    capacity = found.device.data.get("memory", {}).get("capacity_bytes")
    usable = None if capacity is None else (given.get("usable_share") or USABLE_SHARE) * capacity
    if found.step is not None:
        return Wall("memory", found.step.peak_bytes.p50, found.step.usable_bytes, "bytes")
    if found.size.model is None or capacity is None:
        return Wall("memory", None, usable, "bytes", "model")
    wishes = Wishes(given.get("stack") or USUAL_STACK, given.get("precision") or USUAL_PRECISION, given.get("optimizer") or USUAL_OPTIMIZER)
    return Wall("memory", state_bytes(bill_in(given, found.size.model), wishes) / found.n_devices, usable, "bytes")


def step_walls(found: Walk) -> Iterator[Wall]:
    """Communication and the batch: both are known of a layout, the batch also where it is given."""
    step = found.step
    exposed = None if step is None else step.exposed_s / step.step_s.p50
    yield Wall("communication", exposed, MOST_COMMUNICATION, "fraction", None if step is not None else "layout")
    critical = critical_batch(found.loss_nats)
    lacking = "batch_size_tokens" if found.batch_tokens is None else "law" if critical is None else None
    yield Wall("batch", found.batch_tokens, critical, "tokens", lacking)


def data_wall(given: Given, found: Walk) -> Wall:
    """Tokens of the run against those that are worth training on."""
    unique = given.get("unique_tokens")
    there = catalogue.token_stock().data["stock"]["n_tokens"] if unique is None else WORTHWHILE_EPOCHS * unique
    return Wall("data", found.size.tokens, there, "tokens")
