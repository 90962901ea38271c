"""Compute and a rate -> device-hours, for a run whose layout is not known.

A rate of model FLOP counts 6 N D whatever the hardware did; a rate of hardware FLOP also counts what is computed twice
because activations were thrown away (full recomputation: one more forward pass, 8 N D).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scaleplan.answer import Interval
from scaleplan.errors import InputError, NotSupported
from scaleplan.numeric import log
from scaleplan.wording import field

PASSES = {"none": 3, "full": 4}  # forward and twice that backward; full recomputation repeats the forward pass (narayanan2021)


def flops_to_do(model_flops: Any, flops_kind: str, recompute: str) -> Any:
    """The FLOP that a rate of this kind has to get through, for a run of so many model FLOP."""
    if flops_kind == "model":
        return model_flops
    if recompute not in PASSES:
        raise NotSupported(
            f"a hardware rate under {field('recompute')} `{recompute}` cannot be turned into time without the layers' attention",
            hint=f"give the rate of model FLOP: {field('flops_kind')} model, or {field('mfu')}",
        )
    return model_flops * PASSES[recompute] / PASSES["none"]


def device_hours(flops: Any, flops_per_s: Any, goodput: Any = 1.0) -> Any:
    """Hours that one device would need.

        flops / (flops_per_s goodput) / 3600

    flops_per_s  what a device delivers while it trains, of the kind that `flops` counts
    goodput      share of the run's time in which it trains; the rest is lost to restarts, checkpoints and waiting
    """
    return flops / (flops_per_s * goodput) / 3600


def model_flops_utilisation(model_flops: Any, hours: Any, peak_flops_per_s: Any) -> Any:
    """Share of the peak that went into model FLOP over these device-hours (MFU)."""
    return model_flops / (hours * 3600 * peak_flops_per_s)


def whole_run_mfu(usual: Mapping[str, Any], n_active_params: float | None = None, convention: str = "six_n") -> Interval:
    """MFU of a whole run of which only the size is known; `usual` is the table `whole_run_mfu` of presets/defaults.toml.

    n_active_params  the interval narrows with it, between the table's two sizes in proportion to its logarithm; the median stays
    convention       the utilisation of FLOP counted this way: 6 N D times the ratio of the counts, so that an ordinary run takes
                     the same hours in every convention; InputError for a convention without a ratio
    """
    ratios = usual["over_six_n"]
    if convention != "six_n" and not isinstance(ratios.get(convention), float):
        raise InputError(f"no usual MFU is known for FLOP counted as `{convention}`", hint=f"give {field('mfu')}")
    ratio = 1.0 if convention == "six_n" else ratios[convention]
    narrow = 0.0 if n_active_params is None else share_between(usual["by_size"]["n_params"], n_active_params)
    small, large = (usual["by_size"][key] for key in ("p10_p90_small", "p10_p90_large"))
    ends = [a ** (1 - narrow) * b**narrow for a, b in zip(small, large, strict=True)]
    return Interval(ends[0] * ratio, usual["p50"] * ratio, ends[1] * ratio)


def share_between(ends: tuple[float, float], size: float) -> float:
    """Where a size lies between two others on a logarithmic scale: 0 at or below the first, 1 at or above the second."""
    share = (log(size) - log(ends[0])) / (log(ends[1]) - log(ends[0]))
    return float(min(1.0, max(0.0, share)))


def fewest_devices(device_hours: float, within_s: float) -> int:
    """The fewest devices whose wall time, device_hours * 3600 / n_devices, is within a time."""
    n_devices = -int(-device_hours * 3600 // within_s)
    fewer = max(1, n_devices - 1)
    return fewer if device_hours * 3600 / fewer <= within_s else n_devices  # a quotient may round to the limit itself


def likely_hardware_rate(mfu: float, recompute: str, best_run_mfu: float) -> bool:
    """Whether a rate said to be of model FLOP is likelier one of hardware FLOP.

    So it is when, with the recomputation that was named added to it, the hardware would have had to run above
    `best_run_mfu`, the 90 % point of published whole runs.
    """
    return mfu * PASSES.get(recompute, PASSES["none"]) / PASSES["none"] > best_run_mfu


def mfu_of_hfu(hfu: float) -> float:
    """The utilisation by model FLOP of a rate by hardware FLOP, under full recomputation: 3 / 4 of it."""
    return hfu * PASSES["none"] / PASSES["full"]


def peak_of(peaks: dict[str, float], device: str, precisions: tuple[str, ...] = ("bf16", "fp16")) -> tuple[str, float]:
    """The dense peak a run computes at: the first of the precisions that the device has; 16 bits where nothing else is said.

    Raises InputError when the device has none of them.
    """
    for name in precisions:
        if name in peaks:
            return name, peaks[name]
    raise InputError(f"no {' or '.join(precisions)} rate is known for `{device}`", hint=f"it has {', '.join(sorted(peaks))}")
