"""How far a step time may be off: the 80 % interval, from the residuals of measured rows."""

from __future__ import annotations

from typing import Any

from scaleplan.answer import Interval
from scaleplan.machine.efficiency import Learnt, Spread, Spreads
from scaleplan.machine.step_time import StepTime
from scaleplan.model.items import total
from scaleplan.numeric import exp, where


def interval(time: StepTime, spreads: Spreads) -> Interval:
    """exp(-down), 1, exp(up) times the prediction, each linear in what is uncertain of the step."""
    step = time.step_s
    down, up = (half_width(time, side, spreads.learnt) for side in (spreads.down, spreads.up))
    return Interval(step * exp(-down), step, step * exp(up))


def half_width(time: StepTime, spread: Spread, learnt: Learnt | None = None) -> Any:
    """Of log(measured / predicted) on one side; what measured steps told narrows it."""
    step = time.step_s
    narrowed = 1.0 if learnt is None else narrowing(time, learnt)
    return narrowed * (
        spread.base
        + spread.host * time.u_host
        + spread.exposed * time.exposed_s / step
        + spread.bubble * time.bubble_s / step
        + spread.nodes * time.u_nodes
    )


REPEATS = 0.2  # half-width of a measured step over that of a prediction: two runs of one layout differ by 0.7 and 1.1 % (Megatron-Bridge)


def narrowing(time: StepTime, learnt: Learnt) -> Any:
    """Half-width over that before steps were measured: sqrt of the variance after over that before; of a measured step a fifth.

    before  sum of (share of the step in a term)**2 prior**2 + shape**2 + scatter**2
    after   share covariance share + scatter**2,  + shape**2 of a layout whose shape was not measured
    """
    shares = elasticities(time)
    before = total(share * share * variance for share, variance in zip(shares, learnt.prior, strict=True)) + learnt.shape
    known = total(time.same_shapes) if time.same_shapes else 0.0
    vector = [*shares, *time.same_shapes]
    after = (
        total(
            a * b * covariance for a, row in zip(vector, learnt.covariance, strict=True) for b, covariance in zip(vector, row, strict=True)
        )
        + (1 - known) * learnt.shape
    )
    ratio = ((after + learnt.scatter) / (before + learnt.scatter)) ** 0.5
    return where(time.same_step > 0, REPEATS, ratio)


def elasticities(time: StepTime) -> tuple[Any, ...]:
    """Change of the logarithm of a step's seconds with that of each term (`correction.TERMS`).

    A pass is (device**4 + host**4) ** (1/4), so that it moves with the host by u_host; the bubble is made of what its stages are made of.
    """
    step = time.step_s
    device = time.matmul_s + time.attention_s + time.memory_s
    stage = device + time.launch_s + time.tp_s + time.cp_s + time.ep_s
    lift = (1 + time.bubble_s / stage) / step
    passes = lift * (device + time.launch_s)
    moved = passes * (1 - time.u_host) / device
    return (
        moved * (time.matmul_s + time.attention_s),
        moved * time.memory_s + time.optimizer_s / step,
        lift * (time.tp_s + time.cp_s + time.ep_s) + (time.p2p_s + time.dp_s) / step,
        passes * time.u_host,
        time.fixed_s / step,
        1.0,
    )
