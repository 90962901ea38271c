"""A plan over a grid in one pass: the walk with arrays in its fields, one axis of the arrays for each axis of the grid."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scaleplan.chain.budget import BUDGETS
from scaleplan.chain.walk import AUTO
from scaleplan.questions.asking import requested
from scaleplan.questions.plan.case import Case, case_of
from scaleplan.questions.plan.whole import numbers, solved
from scaleplan.questions.sweep.flat import flat
from scaleplan.questions.sweep.grid import Block

if TYPE_CHECKING:
    from scaleplan.questions.sweep.points import InArrays, Swept

IN_ARRAYS = ("tokens", "n_devices", "mfu", "goodput", "usd_per_device_hour", "pue", "grid_intensity", "device_mtbf", "checkpoint_time",
             "checkpoint_interval", "restart_time", "evaluation_share", "warm_up_share")  # fmt: skip
"""Fields that the walk takes as arrays."""


def solver(swept: Swept) -> InArrays | None:
    """What solves blocks of a plan; None where a point has to be solved by itself."""
    from scaleplan.questions.sweep.points import InArrays

    _, request = requested(swept.question, swept.given)
    case = case_of(request)
    if not allowed(case, [axis.field.name for axis in swept.grid.axes]):
        return None

    def solve(block: Block) -> dict[str, Any]:
        return dict(flat(numbers(solved(case, case.given | arrays_of(swept, block)))))

    first = solve(next(swept.grid.blocks(0, 1)))
    columns = tuple(key for key in first if key not in swept.swept_names())
    return InArrays(columns, lambda block: [solve(block)[key] for key in columns] if block.start else [first[key] for key in columns])


def allowed(case: Case, names: list[str]) -> bool:
    """Whether nothing that hangs on a swept field has to be searched for, one point at a time."""
    given = {**case.given, **dict.fromkeys(names, 0)}
    sized = any(case.given.get(name) is not None for name in ("model", "n_params"))
    open_ends = any(given.get(name) is not None for name in (*BUDGETS, "deadline", "loss"))
    laid_out = case.given.get("layout") == AUTO or (case.given.get("layout") is not None and "n_devices" in names)
    fixed = sized and given.get("tokens") is not None and not isinstance(given["tokens"], str)
    return set(names) <= set(IN_ARRAYS) and not case.searched and not open_ends and (fixed or bool(case.stages)) and not laid_out


def arrays_of(swept: Swept, block: Block) -> dict[str, Any]:
    """Field -> its values in a block: a number where the block has one of them, else an array along its own axis."""
    import numpy as np

    found: dict[str, Any] = {}
    for place, (axis, (low, high)) in enumerate(zip(swept.grid.axes, block.spans, strict=True)):
        values = axis.values[low:high]
        shape = [1] * len(swept.grid.axes)
        shape[place] = len(values)
        whole = all(isinstance(value, int) for value in values)
        found[axis.field.name] = values[0] if len(values) == 1 else np.array(values, dtype=np.int64 if whole else float).reshape(shape)
    return found
