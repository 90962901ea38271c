"""The step of a run under a layout, given or searched for, and the rate of the run that follows from it: what `plan` and `cost` share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from scaleplan.chain.failures import failures_of
from scaleplan.chain.layout_step import LayoutStep, devices_in_time, layout_step, with_fastest
from scaleplan.errors import UsageError
from scaleplan.model.adapters import adapted_bill
from scaleplan.model_files import Model
from scaleplan.numeric import is_number
from scaleplan.wording import field

if TYPE_CHECKING:
    from scaleplan.machine.search import Progress

AUTO = "auto"
Given = Mapping[str, Any]
"""Field -> value in base units, or a word that leaves it to the search."""


def with_devices_in_time(
    given: Given,
    model: Model,
    tokens: Any,
    seq_len: Any,
    batch_tokens: Any,
    defaults: Mapping[str, Any],
    progress: Progress | None = None,
) -> Given:
    """The fields with the fewest whole nodes whose fastest layout finishes by the deadline, goodput included, where both are left open."""
    if given.get("layout") != AUTO or given.get("n_devices") is not None or given.get("deadline") is None:
        return given
    if not is_number(seq_len, tokens, batch_tokens or 1):
        raise UsageError(
            f"{field('layout')} auto without {field('n_devices')} is of one run, not of arrays", hint=f"give {field('n_devices')}"
        )

    def goodput(n_devices: int) -> float:
        lost = failures_of(given, n_devices, of_a_step=True)
        return float(lost.goodput if lost is not None else given.get("goodput") or defaults["goodput"]["p50"])

    bill = adapted_bill(model.arch, given.get("lora"))
    return {**given, "n_devices": devices_in_time(given, bill, seq_len, batch_tokens, tokens, goodput, progress)}


def step_of(given: Given, model: Model, seq_len: Any, batch_tokens: Any, progress: Progress | None = None) -> LayoutStep:
    """The step of the layout that is given, or of the fastest that fits."""
    bill = adapted_bill(model.arch, given.get("lora"))
    if given["layout"] == AUTO:
        given = with_fastest(given, bill, seq_len, batch_tokens, progress)
    layout, stages = given["layout"], given.get("stage_layers")
    return layout_step(given, bill, layout if stages is None else layout._replace(stage_layers=tuple(stages)), seq_len, batch_tokens)
