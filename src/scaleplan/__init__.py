"""Planning calculator for training and serving language models.

    import scaleplan as sp

    bill = sp.bill_of(sp.read_model("llama-3-8b").arch)
    sp.count_params(bill).n_params
    sp.count_flops(bill, seq_len=8192).training_flops

    law = sp.load_law("besiroglu2024")
    sp.allocate(law, sp.Question(compute_flops=1e21)).n_params

Every formula takes numbers or numpy arrays. A name is imported when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scaleplan.chain.catalogue import load_law as load_law
    from scaleplan.errors import ScaleplanError as ScaleplanError
    from scaleplan.laws.allocation import Question as Question
    from scaleplan.laws.allocation import allocate as allocate
    from scaleplan.laws.allocation import allocate_draws as allocate_draws
    from scaleplan.model.bill import bill_of as bill_of
    from scaleplan.model.flops import count_flops as count_flops
    from scaleplan.model.params import count_params as count_params
    from scaleplan.model.shape import arch_of_shape as arch_of_shape
    from scaleplan.model_files import read_model as read_model

__version__ = "0.1.0"

NAMES = {
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
"""What a notebook needs, and where it lives."""


def __getattr__(name: str) -> Any:
    if name not in NAMES:
        raise AttributeError(f"module 'scaleplan' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(NAMES[name]), name)


def __dir__() -> list[str]:
    return [*NAMES, "__version__"]
