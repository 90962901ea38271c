"""The charts of `fit`: curves of equal size through the runs, what is left over, and the optimum with its band."""

from __future__ import annotations

from collections.abc import Iterator

from scaleplan.answer import Axis, Chart, Mark, Series
from scaleplan.laws.fitting.fit import Fit, completed
from scaleplan.laws.fitting.frontier import additive_law
from scaleplan.laws.fitting.shapes import Array
from scaleplan.runs import RunTable

MOST_POINTS = 400
N_SLICES = 5
STEPS = 40


def charts_of(table: RunTable, fitted: Fit, draws: Array | None, target_flops: float) -> list[Chart]:
    """What can be drawn of this form."""
    return [*slices(table, fitted), *leftovers(table, fitted), *extrapolation(table, fitted, draws, target_flops)]


def slices(table: RunTable, fitted: Fit) -> Iterator[Chart]:
    """Loss against N along budgets of equal compute."""
    import numpy as np

    law = additive_law(fitted.shape, fitted.theta)
    columns = completed(table.columns)
    if law is None or "n_params" not in columns:
        return
    compute, params = columns["compute_flops"], columns["n_params"]
    sizes = np.geomspace(params.min(), params.max(), STEPS)
    series = []
    for flops in np.geomspace(compute.min(), compute.max(), N_SLICES):
        loss = law.loss(sizes, flops / 6 / sizes)
        series.append(Series(f"{flops:.1e} FLOP", sizes.tolist(), loss.tolist()))
    yield Chart("Loss along equal compute", Axis("N", "params"), Axis("loss", "nats", log=False), series)


def leftovers(table: RunTable, fitted: Fit) -> Iterator[Chart]:
    """Residuals against compute: a pattern says that the form is wrong."""
    import numpy as np

    compute = completed(table.columns).get("compute_flops")
    if compute is None:
        return
    order = np.argsort(compute)[:: max(1, len(compute) // MOST_POINTS)]
    series = Series("log(law / loss)", compute[order].tolist(), fitted.residuals[order].tolist())
    yield Chart("What the law leaves over", Axis("C", "FLOP"), Axis("log(law / loss)", "", log=False), [series])


def extrapolation(table: RunTable, fitted: Fit, draws: Array | None, target_flops: float) -> Iterator[Chart]:
    """N_opt against compute, from the smallest run to the target, with the 80 % band."""
    import numpy as np

    law = additive_law(fitted.shape, fitted.theta)
    if law is None:
        return
    compute = completed(table.columns)["compute_flops"]
    budgets = np.geomspace(compute.min(), max(float(target_flops), compute.max()), STEPS)
    low = high = None
    if draws is not None:
        many = additive_law(fitted.shape, draws)
        with np.errstate(all="ignore"):
            sizes = np.array([many.params_at_compute(flops) for flops in budgets])  # type: ignore[union-attr]  # the form of `law`
        sizes = sizes[:, np.isfinite(sizes).all(axis=0)]
        if sizes.size:
            low, high = (np.percentile(sizes, p, axis=1).tolist() for p in (10, 90))
    series = Series("N_opt", budgets.tolist(), law.params_at_compute(budgets).tolist(), low, high)
    marks = [Mark("largest run", float(compute.max()), float(law.params_at_compute(compute.max())))]
    yield Chart("The best size", Axis("C", "FLOP"), Axis("N", "params"), [series], marks)
