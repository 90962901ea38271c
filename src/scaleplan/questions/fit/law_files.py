"""A fitted law as files: the preset that `optimal` takes, and its draws."""

from __future__ import annotations

from typing import Any

from scaleplan.chain.law_file import draws_text, law_text
from scaleplan.laws.fitting.fit import Fit
from scaleplan.laws.fitting.frontier import additive_law
from scaleplan.laws.fitting.shapes import Array
from scaleplan.questions.fit.table import Runs, range_of


def law_block(fitted: Fit) -> dict[str, Any] | None:
    """The `[loss]` of the preset; None for a form that `optimal` does not know."""
    if fitted.shape.name in ("additive", "over-training"):
        return {"form": fitted.shape.name, **fitted.constants}
    law = additive_law(fitted.shape, fitted.theta)
    return {"form": "additive", **law._asdict()} if law else None


def usable(fitted: Fit, draws: Array) -> Array:
    """The draws that have an optimum: all constants finite and above zero."""
    import numpy as np

    with np.errstate(all="ignore"):
        constants = np.array(additive_law(fitted.shape, draws))
    kept: Array = draws[(np.isfinite(constants) & (constants > 0)).all(axis=0)]
    return kept


def files_of(runs: Runs, fitted: Fit, draws: Array | None) -> dict[str, str | None]:
    """The preset and the draws that belong to it."""
    import numpy as np

    table = runs.table

    block = law_block(fitted) or {}
    convention = {
        "n_params": runs.n_kind,
        "n_tokens": "as in the table",
        "compute": "6 N D",
        "loss": "as in the table, nats per token",
        "tokenizer": "unknown",
    }
    data = {"file": table.file, "sha256": table.digest, "n_rows": table.n_rows, "objective": fitted.objective}
    text = law_text(f"Fitted to {table.n_rows} runs", convention, range_of(table), {"loss": block, "runs": data})
    law = additive_law(fitted.shape, usable(fitted, draws)) if draws is not None and block.get("form") == "additive" else None
    return {
        ".toml": text,
        ".draws.csv": draws_text({name: np.asarray(values).tolist() for name, values in law._asdict().items()}) if law else None,
    }
