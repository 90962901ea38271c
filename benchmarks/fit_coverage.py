"""Do the 95 % intervals of `fit` hold the truth 95 % of the time?

Draws tables of runs from a known law with 1 % noise on the loss (Gaussian, and Laplace of the same standard deviation), fits
each with 1,000 resamples and counts how often the interval holds the true alpha, beta, exponent a of N_opt ~ C^a,
and N_opt at 100 times the largest budget. Of 2,000 repetitions the share varies by 0.5 points (one standard deviation).

    python benchmarks/fit_coverage.py [--repetitions 2000] [--processes 1]
"""

from __future__ import annotations

import argparse
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import numpy as np

from scaleplan.laws.fitting.bootstrap import bootstrap, summary
from scaleplan.laws.fitting.fit import fit
from scaleplan.laws.fitting.shapes import shape
from scaleplan.laws.forms import Additive

TRUTH = Additive(1.817218, 477.826, 2143.417, 0.3473105, 0.3671724)  # the minimum on the runs of hoffmann2022, Figure 4
N_RUNS = 240
PARAMS = (5.7e7, 1.6e10)
COMPUTE = (1.4e18, 1.3e22)
NOISE = 0.01
RESAMPLES = 1000
BEYOND = 100
NOISES = ("gauss", "laplace")


def drawn(noise: str, repetition: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """A table of runs: N and C log-uniform, noise on log L."""
    generator = np.random.default_rng([NOISES.index(noise), repetition])
    n_params = np.exp(generator.uniform(*np.log(PARAMS), N_RUNS))
    n_tokens = np.exp(generator.uniform(*np.log(COMPUTE), N_RUNS)) / 6 / n_params
    errors = generator.normal(0, NOISE, N_RUNS) if noise == "gauss" else generator.laplace(0, NOISE / np.sqrt(2), N_RUNS)
    return {"n_params": n_params, "n_tokens": n_tokens}, TRUTH.loss(n_params, n_tokens) * np.exp(errors)


def quantities(law: Additive) -> dict[str, np.ndarray]:
    """What the intervals are asked to hold."""
    return {
        "alpha": np.atleast_1d(law.alpha),
        "beta": np.atleast_1d(law.beta),
        "a of N_opt ~ C^a": np.atleast_1d(law.exponent),
        f"N_opt at {BEYOND}x the largest budget": np.atleast_1d(law.params_at_compute(BEYOND * COMPUTE[1])),
        "E": np.atleast_1d(law.e_nats),
        "A": np.atleast_1d(law.a),
        "B": np.atleast_1d(law.b),
    }


def held(noise: str, repetition: int) -> list[bool]:
    """Whether each interval of one repetition holds the truth."""
    columns, loss = drawn(noise, repetition)
    found = fit(shape("additive"), columns, loss)
    theta = np.concatenate([part.theta for part in bootstrap(found.problem, found.theta, RESAMPLES, seed=repetition)])
    law = Additive(**{name: np.asarray(value) for name, value in found.shape.constants(theta).items()})
    best = {name: float(values[0]) for name, values in quantities(Additive(**found.constants)).items()}
    intervals = summary(quantities(law), best)
    return [intervals[name]["p2_5"] <= true[0] <= intervals[name]["p97_5"] for name, true in quantities(TRUTH).items()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=2000)
    parser.add_argument("--processes", type=int, default=1)
    asked = parser.parse_args()
    missed: list[str] = []
    for noise in NOISES:
        with ProcessPoolExecutor(asked.processes) as pool:
            hits = np.array(list(pool.map(partial(held, noise), range(asked.repetitions), chunksize=8)))
        print(f"{noise}, {asked.repetitions} repetitions")
        missed += [f"{noise}: {name} {share:.1f} %" for name, share in shares(hits) if not within(share, asked.repetitions)]
        for name, share in shares(hits):
            print(f"  {name:<40} {share:5.1f} %")
    if missed:
        sys.exit("missed: " + "; ".join(missed))


def shares(hits: np.ndarray) -> list[tuple[str, float]]:
    """Quantity and the share of repetitions, in percent, whose interval holds the truth."""
    return list(zip(quantities(TRUTH), 100 * hits.mean(axis=0), strict=True))


def within(share: float, repetitions: int) -> bool:
    """Whether a share is 95 % but for chance and for 2 points that bootstrap intervals of 240 runs are known to be off."""
    return abs(share - 95) <= 2 + 200 * (0.95 * 0.05 / repetitions) ** 0.5


if __name__ == "__main__":
    main()
