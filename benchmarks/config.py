"""How much longer does a count from a Hugging Face config take than one from a preset, cold?

    python benchmarks/config.py [--repeats 15]

Whole processes in turns; every config among the tests' is counted once before, so that the slowest family is the one measured.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from startup import medians

from scaleplan.model.bill import bill_of
from scaleplan.model.params import count_params
from scaleplan.model_files import read_model

CONFIGS = Path(__file__).parents[1] / "tests" / "published" / "configs"
BAR = 1.3


def seconds(path: Path) -> float:
    """Reading and counting one config, warm."""
    start = time.perf_counter()
    count_params(bill_of(read_model(str(path)).arch))
    return time.perf_counter() - start


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="A config against a preset, as whole processes.")
    parser.add_argument("--repeats", type=int, default=15)
    repeats = parser.parse_args().repeats
    paths = sorted(CONFIGS.glob("*.json"))
    seconds(paths[0])  # imports
    slowest = max(paths, key=seconds)
    tool = str(Path(sys.executable).parent / "scaleplan")
    found = medians({"preset": [tool, "params", "gpt2"], "config": [tool, "params", str(slowest)]}, repeats)
    print(f"preset gpt2 {1e3 * found['preset']:.0f} ms; config of {slowest.stem} {1e3 * found['config']:.0f} ms")
    print(f"{found['config'] / found['preset']:.2f}x, bar {BAR}x")


if __name__ == "__main__":
    main()
