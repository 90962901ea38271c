"""What `scaleplan batch` answers beside the trade-off: a growing batch, wall-clock time, and the gradient noise scale."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from scaleplan.answer import Answer, Column, Line, Table, quantities
from scaleplan.chain import catalogue
from scaleplan.errors import InputError, UsageError, clipped
from scaleplan.laws.batch import Tradeoff, noise_scale, step_loss_of
from scaleplan.laws.convention import training_flops
from scaleplan.laws.schedule import Schedule, growing_batch

SHOWN = (0.02, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0)  # of the stretches of a schedule


def schedule_for(n_params: float, loss_nats: float) -> Schedule:
    """The growing batch by which N reaches a loss."""
    law = step_loss_of(catalogue.critical_batch_law().data["loss_of_steps"])
    floor = law.converged(n_params)
    if not loss_nats > floor:
        raise InputError(
            f"{n_params:.4g} parameters never reach a loss of {loss_nats:.4g} nats by kaplan2020's L(N, S): it stays above {floor:.4f}",
            hint="give a higher --loss, or a larger --n-params",
        )
    return growing_batch(law, catalogue.critical_batch(), n_params, loss_nats)


def schedule_result(found: Schedule) -> dict[str, Any]:
    """Points along the way, and what growing saves."""
    last = len(found.stretches)
    rows = [
        {
            "loss_nats": at.loss_nats,
            "critical_batch_tokens": at.critical_batch,
            "batch_tokens": at.batch_tokens,
            "steps": at.steps,
            "tokens": at.tokens,
        }
        for at in (found.stretches[max(round(share * last) - 1, 0)] for share in SHOWN)
    ]
    return {
        "stretches": rows,
        "steps": found.steps,
        "tokens": found.tokens,
        "constant_batch_tokens": found.constant_batch,
        "constant_tokens": found.constant_tokens,
        "saved_tokens_fraction": found.saved_fraction,
        "saved_steps_fraction": found.saved_steps_fraction,
    }


def schedule_table(result: Mapping[str, Any]) -> Table:
    """The way, for people."""
    columns = [
        Column("loss_nats", "at loss", "nats"),
        Column("critical_batch_tokens", "B_crit", "tokens"),
        Column("batch_tokens", "batch", "tokens"),
        Column("steps", "steps so far", "steps"),
        Column("tokens", "tokens so far", "tokens"),
    ]
    note = (
        f"Growing the batch saves {100 * result['saved_tokens_fraction']:.3g} % of the tokens of a constant batch of as many steps, "
        f"or {100 * result['saved_steps_fraction']:.3g} % of the steps of one of as many tokens."
    )
    return Table("A batch that grows with the training", columns, result["stretches"], [note])


def timed(rows: Sequence[Mapping[str, Any]], step_s: float) -> list[dict[str, Any]]:
    """The trade-off with wall-clock time, where devices grow with the batch so that a step stays as long.

    doubling_speedup  what doubling devices and batch from here divides the time by: 2 far below B_crit, 1 far above
    """
    return [
        {
            **row,
            "wall_s": row["steps"] * step_s,
            "doubling_speedup": (1 + 1 / row["critical_batches"]) / (1 + 0.5 / row["critical_batches"]),
        }
        for row in rows
    ]


def time_lines(curve: Tradeoff, n_params: float | None, step_s: float) -> Iterator[Line]:
    """The ends of the trade-off where devices grow with the batch, and where doubling them stops paying.

    Doubling from B divides the time by (1 + b) / (1 / 2 + b) and multiplies the compute by (1 + 2 b) / (1 + b), b = B / B_crit;
    the first is the larger until b = 1 / sqrt(2).
    """
    cited = ["mccandlish2018"]
    inputs = {"step_s": step_s, "min_steps": curve.min_steps}
    yield Line("fastest_wall_s", "shortest time", step_s * curve.min_steps, "s", "step_s * min_steps", inputs, cited, "fitted")
    if n_params is not None:
        least = {"n_params": n_params, "min_tokens": curve.min_tokens}
        cheapest = training_flops(n_params, curve.min_tokens)
        yield Line("cheapest_flops", "least compute", cheapest, "FLOP", "6 * n_params * min_tokens", least, cited, "fitted")
    middle = {"critical_batch_tokens": curve.critical_batch}
    turn, label = curve.critical_batch / 2**0.5, "doubling pays below a batch of"
    yield Line("last_doubling_batch_tokens", label, turn, "tokens", "critical_batch_tokens / sqrt(2)", middle, cited, "fitted")


def noise_answer(texts: Sequence[str]) -> Answer:
    """The gradient noise scale from squared gradient norms at two batch sizes."""
    if len(texts) != 2:
        raise UsageError(
            "--gradient-norm2 is measured at two batch sizes", hint="for example --gradient-norm2 32=0.041 --gradient-norm2 512=0.0028"
        )
    (small, small_norm2), (large, large_norm2) = sorted(map(measured, texts))
    if small == large:
        raise UsageError(f"--gradient-norm2: both were measured at a batch of {small:g}", hint="measure at two batch sizes")
    if not small * small_norm2 < large * large_norm2 or not small_norm2 > large_norm2:
        raise InputError(
            "these norms cannot be those of one gradient with noise",
            hint="a larger batch must have the smaller squared norm, but not in proportion to the batch",
        )
    inputs = {"small_batch": small, "large_batch": large, "small_norm2": small_norm2, "large_norm2": large_norm2}
    formula = (
        "(small_norm2 - large_norm2) / (1 / small_batch - 1 / large_batch)"
        " / ((large_batch * large_norm2 - small_batch * small_norm2) / (large_batch - small_batch))"
    )
    value = noise_scale(small, large, small_norm2, large_norm2)
    line = Line("noise_scale", "gradient noise scale", value, "", formula, inputs, ["mccandlish2018"], "estimate")
    note = "In the unit of the batches that were measured; far below it a batch wastes steps, far above it examples."
    return Answer("batch", inputs, {"noise_scale": value}, [quantities("", [line])], [line], notes=[note])


def measured(text: str) -> tuple[float, float]:
    """`32=0.041`: a batch size and the mean squared norm of its gradient."""
    batch, _, norm2 = text.partition("=")
    try:
        size, square = float(batch), float(norm2)
    except ValueError:
        size = square = 0.0
    if not (size > 0 and square > 0 and size < float("inf") and square < float("inf")):
        raise InputError(f"--gradient-norm2: `{clipped(text)}` is not BATCH=NORM2", hint="for example 32=0.041")
    return size, square
