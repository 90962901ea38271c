"""Pipeline schedules in closed form: bubble of a step, and micro-batches in flight on a stage.

`timeline.py` runs every schedule operation by operation; the tests hold these forms to it.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, TypeAlias, get_args

from scaleplan.machine.layout import Layout
from scaleplan.model.arch import Size
from scaleplan.numeric import maximum_of, minimum, where

Schedule: TypeAlias = Literal["gpipe", "1f1b", "interleaved", "zb1p", "zbv", "dualpipe"]
SCHEDULES: tuple[Schedule, ...] = get_args(Schedule)
USUAL_VIRTUAL_STAGES = 2  # of the interleaved schedule, where a layout names none


def staged(layout: Layout, schedule: str) -> Layout:
    """A layout with the virtual stages that the interleaved schedule takes where it names none (one layout)."""
    if schedule == "interleaved" and layout.n_virtual_stages == 1 and layout.pp > 1:
        return layout._replace(n_virtual_stages=USUAL_VIRTUAL_STAGES)
    return layout


class PassTimes(NamedTuple):
    """Seconds of one micro-batch in all layers of one rank.

    overlapped  a forward and a backward pass of two micro-batches run together, as DualPipe does; None: one after the other
    """

    forward: Any
    input_gradient: Any
    weight_gradient: Any
    overlapped: Any = None

    @property
    def backward(self) -> Any:
        """The whole backward pass."""
        return self.input_gradient + self.weight_gradient

    @property
    def both(self) -> Any:
        """Forward and backward pass."""
        return self.forward + self.backward

    @property
    def pair(self) -> Any:
        """A forward pass beside a backward pass of another micro-batch."""
        return self.both if self.overlapped is None else self.overlapped


def bubble_s(schedule: str, pp: Size, n_virtual_stages: Size, passes: PassTimes) -> Any:
    """Seconds that a step takes beyond those of m micro-batches on one rank, where no rank starts the next step before all have ended.

        gpipe, 1f1b   (p - 1) (F + B + W)
        interleaved   (p - 1) (F + B + W) / v
        zb1p          (p - 1) max(F + B - W, F, B)
        zbv           `zbv_bubble`: 0 in steady state where F = B = W, and (p - 1) F / 2 of ranks that start late
        dualpipe      `dualpipe_bubble`: (p / 2 - 1) (2 F + B - W) while W <= B <= 3/2 F

    F forward, B gradient of the inputs, W gradient of the weights. 1F1B with virtual stages is the interleaved schedule; the others take
    none. A step of DualPipe is m pairs (a forward beside a whole backward pass) and its bubble. Equal stages, with at least as many
    micro-batches as fill the pipeline: p, 2p - 1 for zbv, 2p for dualpipe.

    Sources: narayanan2021 section 2.2; qi2024 table 1 (ZB-H1: (p - 1) (F + B - W)); dualpipe.

    >>> bubble_s("1f1b", 8, 1, PassTimes(1, 1, 1)), bubble_s("zb1p", 8, 1, PassTimes(1, 1, 1))
    (21.0, 7)
    """
    if schedule == "zb1p":
        f, b, w = passes[:3]
        return (pp - 1) * maximum_of((f + b - w, f, b))
    if schedule == "zbv":
        return zbv_bubble(pp, passes)
    if schedule == "dualpipe":
        return dualpipe_bubble(pp, passes)
    virtual = n_virtual_stages if schedule in ("1f1b", "interleaved") else 1
    return (pp - 1) * passes.both / virtual


def zbv_bubble(pp: Size, passes: PassTimes) -> Any:
    """The longest of the paths that can bind a V-shaped zero-bubble step, less its work: maximum of linear forms, found by running it.

    Source: qi2024 (the schedule); the forms are those of `schedule_order.zbv_order`, which the tests run.
    """
    f, b, w = passes[:3]
    p = pp - 1
    paths = (
        p * b,
        (2 * p - 1) * f - (p - 1) * b,
        2 * p * (b - w),
        b + (p - 1) * w,
        f + (p - 1) * w,
        2 * p * f - p * b - w,
        2 * p * f - (2 * p + 1) * w,
        (2 * p - 1) * f + b - 2 * p * w,
    )
    return where(pp > 1, maximum_of(paths) / 2, 0)


def dualpipe_bubble(pp: Size, passes: PassTimes) -> Any:
    """The longest of the paths that can bind a step of DualPipe, less m pairs. A pair is no shorter than its backward pass.

    The published form, (p / 2 - 1) (F&B + whole backward - 3 W), is the same where F = B and nothing overlaps.

    Source: dualpipe (the schedule); the forms are those of `schedule_order.dualpipe_order`, which the tests run.
    """
    f, b, w = passes[:3]
    half = pp / 2
    paths = (
        3 * half * f + (pp + 1) * b + 3 * w,
        3 * half * f + (half + 2) * (b + w),
        pp * f + 3 * half * b + 3 * w,
        pp * f + (pp + 1) * b + (half + 2) * w,
    )
    return where(pp > 1, maximum_of(paths) - (half + 2) * passes.pair, 0)


def in_flight(stage: Size, layout: Layout, n_micro_batches: Size, schedule: str = "1f1b") -> Size:
    """Micro-batches that wait on a stage for their backward pass, times the virtual stages: each waits with 1/v of the stage's layers.

        min(m, p - i)                                      one forward, one backward (narayanan2021)
        min(v m, 2 (p - i - 1) + (v - 1) p + 1)            the same, interleaved
        v m                                                GPipe; one without a pipeline, where micro-batches follow each other
        v min(m, p)                                        zero bubble, ZB1P and V-shaped (qi2024)
        v min(m, p + 1)                                    DualPipe (deepseek2024-v3)

    A zero-bubble schedule lets go of a micro-batch after the gradients of its weights.
    """
    p, v, m = layout.pp, layout.n_virtual_stages, n_micro_batches
    if schedule == "gpipe":
        return v * where(p > 1, m, minimum(m, 1))
    if schedule in ("zb1p", "zbv"):
        return v * minimum(m, p)
    if schedule == "dualpipe":
        return v * minimum(m, p + 1)
    interleaved = 2 * (p - stage - 1) + (v - 1) * p + 1
    return where(v > 1, minimum(v * m, interleaved), minimum(m, p - stage))
