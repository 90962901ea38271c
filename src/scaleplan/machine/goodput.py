"""Share of a run's wall time in which it advances: the rest goes to failures, checkpoints, restarts, evaluation, warm-up.

A failure loses the work since the last checkpoint, and the time to notice it and to start again. The failures of a job come
from its devices: its MTBF is that of a device over their number. Every formula takes numbers or arrays.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from scaleplan.errors import InputError
from scaleplan.numeric import is_number, minimum, where
from scaleplan.wording import field


class Losses(NamedTuple):
    """What keeps a run from advancing.

    checkpoints, evaluation  seconds for a second of progress
    lost_work, restarts      seconds for a second of wall time: failures go on whatever the run does
    """

    checkpoints: Any
    evaluation: Any
    lost_work: Any
    restarts: Any


def job_mtbf_s(device_mtbf_hours: Any, n_devices: Any) -> Any:
    """Seconds between failures of a job that stops when any of its devices does: device_mtbf_hours * 3600 / n_devices.

    >>> round(job_mtbf_s(50_673, 16384) / 3600, 1)  # Llama 3.1 405B: a failure every three hours (dubey2024)
    3.1
    """
    return device_mtbf_hours * 3600 / n_devices


def best_checkpoint_interval_s(checkpoint_s: Any, mtbf_s: Any) -> Any:
    """Seconds of progress between checkpoints that lose least: sqrt(2 * checkpoint_s * mtbf_s), at most the MTBF (young1974).

    checkpoint_s  time for which training stops to write one
    """
    return minimum((2 * checkpoint_s * mtbf_s) ** 0.5, mtbf_s)


def losses(mtbf_s: Any, checkpoint_interval_s: Any, checkpoint_s: Any, restart_s: Any, evaluation_fraction: Any = 0.0) -> Losses:
    """Losses to first order in the failure rate (young1974, daly2006).

    checkpoints = checkpoint_s / checkpoint_interval_s
    lost_work   = (checkpoint_interval_s + checkpoint_s) / 2 / mtbf_s, half an interval for each failure
    restarts    = restart_s / mtbf_s, to notice the failure, replace the device, load and start again
    """
    lost_work = (checkpoint_interval_s + checkpoint_s) / 2 / mtbf_s
    return Losses(checkpoint_s / checkpoint_interval_s, evaluation_fraction, lost_work, restart_s / mtbf_s)


def break_even_devices(
    device_mtbf_s: Any, checkpoint_s: Any, restart_s: Any, interval_s: Any = None, evaluation_fraction: Any = 0.0
) -> Any:
    """Devices beyond which more of them finish no sooner: devices * goodput is largest there.

        of a given interval    device_mtbf_s / (interval_s + checkpoint_s + 2 restart_s)
        of the best interval   u**2 device_mtbf_s / (2 checkpoint_s), where u is the root of
                               2 / u = (1 / 2 + 2 k u) / (1 - u / 2 - k u**2) + 1 / 2 / (1 + evaluation_fraction + u / 2)

    u = interval / MTBF of the job, k = (checkpoint_s / 2 + restart_s) / (2 checkpoint_s). Steps that scale perfectly; from `losses`.
    """
    if interval_s is not None:
        return device_mtbf_s / (interval_s + checkpoint_s + 2 * restart_s)
    k = (checkpoint_s / 2 + restart_s) / (2 * checkpoint_s)
    low, high = 0.0 * k, (((1 + 16 * k) ** 0.5 - 1) / (4 * k))  # at `high` all time is lost
    for _ in range(HALVINGS):
        u = (low + high) / 2
        gains = 2 / u > (0.5 + 2 * k * u) / (1 - u / 2 - k * u * u) + 0.5 / (1 + evaluation_fraction + u / 2)
        low, high = where(gains, u, low), where(gains, high, u)
    return low * low * device_mtbf_s / (2 * checkpoint_s)


HALVINGS = 60


def goodput(lost: Losses, warm_up_fraction: Any = 0.0) -> Any:
    """Share of the wall time in which the run advances; NaN in arrays where a job fails faster than it recovers.

        (1 - warm_up_fraction) * (1 - lost_work - restarts) / (1 + checkpoints + evaluation)

    Raises InputError for a single run that never advances.
    """
    failing = lost.lost_work + lost.restarts
    if is_number(failing) and failing >= 1:
        raise InputError(
            f"a run that fails this often never advances: {failing:.2g} s are lost in each second",
            hint=f"raise {field('device_mtbf')}, or lower {field('restart_time')} or {field('n_devices')}",
        )
    share = (1 - warm_up_fraction) * (1 - failing) / (1 + lost.checkpoints + lost.evaluation)
    return share if is_number(share) else where(failing < 1, share, float("nan"))
