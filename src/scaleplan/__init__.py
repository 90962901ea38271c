"""Planning calculator for training and serving language models.

    import scaleplan as sp

    sp.params("llama-3-8b").result["n_params"]
    sp.memory("llama-3-8b", hardware="h100-sxm", layout="tp2,dp4")["peak_bytes"]
    print(sp.optimal(compute=1e21))

One function a command; keywords are the flags, with `_` for `-`; values are the texts that the flags take, or numbers in base
units. A function returns an `Answer`; what cannot be answered raises `ScaleplanError`. Formulas that take arrays: `scaleplan.laws`,
`scaleplan.model`, `scaleplan.machine`, and `solve` of each question. A name is imported when it is first used.
"""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"

QUESTIONS = (
    "params",
    "flops",
    "memory",
    "optimal",
    "batch",
    "cost",
    "layout",
    "serve",
    "rl",
    "plan",
    "fit",
    "check",
    "diff",
    "sweep",
    "calibrate",
    "presets",
)
CORE = {
    "Answer": "scaleplan.api",
    "ScaleplanError": "scaleplan.errors",
    "Question": "scaleplan.laws.allocation",
    "allocate": "scaleplan.laws.allocation",
    "allocate_draws": "scaleplan.laws.allocation",
    "arch_of_shape": "scaleplan.model.shape",
    "bill_of": "scaleplan.model.bill",
    "count_flops": "scaleplan.model.flops",
    "count_params": "scaleplan.model.params",
    "load_law": "scaleplan.chain.catalogue",
    "read_model": "scaleplan.model_files",
}
"""What a notebook needs beside the questions, and where it lives."""
__all__ = [*QUESTIONS, *CORE, "__version__"]  # noqa: PLE0604 - names of two tables, all text


def __getattr__(name: str) -> Any:
    if name in QUESTIONS:
        from scaleplan.api import function_of

        found: Any = function_of(name)
    elif name in CORE:
        from importlib import import_module

        found = getattr(import_module(CORE[name]), name)
    else:
        raise AttributeError(f"module 'scaleplan' has no attribute {name!r}")
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return __all__
