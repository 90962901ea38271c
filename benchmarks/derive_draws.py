"""The quasi-random points of presets/draws.csv, made again.

    python benchmarks/derive_draws.py [--write]

The last 1,000 of the first 1,024 points of an unscrambled Sobol sequence (no seed, the same on every machine), one dimension
for each uncertain input. Each column is replaced by the normal quantiles of the midpoints of its ranks, so that every column
alone has exactly the 10, 50 and 90 % points of the normal distribution. Exits 1 where the file differs.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

COLUMNS = ("mfu", "goodput", "step_time", "device_power", "host_power", "price", "pue", "grid", "embodied", "water", "serving")
ROWS = 1000  # as many as a law's table of draws, which these join row by row
PATH = Path(__file__).parents[1] / "presets" / "draws.csv"


def table() -> str:
    """The file's text."""
    import numpy as np
    from scipy.stats import norm, qmc

    points = qmc.Sobol(len(COLUMNS), scramble=False).random_base2(10)[-ROWS:]
    ranks = np.argsort(np.argsort(points, axis=0, kind="stable"), axis=0, kind="stable")
    normal = norm.ppf((ranks + 0.5) / ROWS)
    lines = [",".join(f"{value:.6f}" for value in row) for row in normal]
    return "\n".join([",".join(COLUMNS), *lines]) + "\n"


def main() -> None:
    """Compare, or write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write the file instead of comparing")
    if parser.parse_args().write:
        PATH.write_text(table(), encoding="utf-8")
    elif PATH.read_text(encoding="utf-8") != table():
        sys.exit("presets/draws.csv differs from what this script makes")


if __name__ == "__main__":
    main()
