"""Compute and a rate -> device-hours, for a run whose layout is not known.

A rate of model FLOP counts 6 N D whatever the hardware did; a rate of hardware FLOP also counts what is computed twice
because activations were thrown away (full recomputation: one more forward pass, 8 N D).
"""

from __future__ import annotations

from typing import Any

from scaleplan.errors import InputError, NotSupported

MODEL_FLOPS_PER_PARAM_TOKEN = 6  # 2 forward, 2 for the gradient of the activations, 2 for that of the weights
HARDWARE_FLOPS_PER_PARAM_TOKEN = {"none": 6, "full": 8}  # narayanan2021: full recomputation repeats the forward pass
FLOPS_KINDS = ("model", "hardware")


def training_flops(n_active_params: Any, n_tokens: Any) -> Any:
    """Model FLOP of a run: 6 N D, N the parameters that one token uses (kaplan2020 section 2.1)."""
    return MODEL_FLOPS_PER_PARAM_TOKEN * n_active_params * n_tokens


def flops_to_do(model_flops: Any, flops_kind: str, recompute: str) -> Any:
    """The FLOP that a rate of this kind has to get through, for a run of so many model FLOP."""
    if flops_kind == "model":
        return model_flops
    if recompute not in HARDWARE_FLOPS_PER_PARAM_TOKEN:
        raise NotSupported(
            f"a hardware rate under `--recompute {recompute}` cannot be turned into time without the layers' attention",
            hint="give the rate of model FLOP: --flops-kind model, or --mfu",
        )
    return model_flops * HARDWARE_FLOPS_PER_PARAM_TOKEN[recompute] / MODEL_FLOPS_PER_PARAM_TOKEN


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


def likely_hardware_rate(mfu: float, recompute: str, best_run_mfu: float) -> bool:
    """Whether a rate said to be of model FLOP is likelier one of hardware FLOP.

    So it is when, with the recomputation that was named added to it, the hardware would have had to run above
    `best_run_mfu`, the 90 % point of published whole runs.
    """
    factor = HARDWARE_FLOPS_PER_PARAM_TOKEN.get(recompute, MODEL_FLOPS_PER_PARAM_TOKEN) / MODEL_FLOPS_PER_PARAM_TOKEN
    return mfu * factor > best_run_mfu


def peak_of(peaks: dict[str, float], device: str, precisions: tuple[str, ...] = ("bf16", "fp16")) -> tuple[str, float]:
    """The dense peak a run computes at: the first of the precisions that the device has; 16 bits where nothing else is said.

    Raises InputError when the device has none of them.
    """
    for name in precisions:
        if name in peaks:
            return name, peaks[name]
    raise InputError(f"no {' or '.join(precisions)} rate is known for `{device}`", hint=f"it has {', '.join(sorted(peaks))}")
